//! The address that a request comes from. Behind trusted proxies it is the one that they report.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// Proxies that one request may have passed.
const HOPS_MAX: usize = 64;

/// What limits count by address: one IPv4 address, or the /64 that an IPv6 customer has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    V4(Ipv4Addr),
    V6([u16; 4]),
    /// The peer has no address, or it is not known.
    Unknown,
}

impl Network {
    pub(crate) fn of(address: Option<IpAddr>) -> Network {
        match address.map(|address| address.to_canonical()) {
            None => Network::Unknown,
            Some(IpAddr::V4(address)) => Network::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Network::V6([a, b, c, d])
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::V4(address) => address.fmt(f),
            Network::V6([a, b, c, d]) => write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64"),
            Network::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whether `address` is a proxy that may say for whom it calls.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The address of the client: the peer's, or, if that is a trusted proxy, the last one reported that is
/// not itself a trusted proxy. Where the reports can't be read or contradict each other, the proxy counts
/// as the client: a proxy that writes one of the headers passes the other one on as a client sent it.
pub(crate) fn client(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return Some(peer);
    }
    let by = |name: HeaderName, read: fn(&str) -> Option<IpAddr>| {
        headers.contains_key(&name).then(|| reported(peer, headers, &name, read, trusted))
    };
    let forwarded = by(FORWARDED, in_forwarded);
    let forwarded_for = by(X_FORWARDED_FOR, in_forwarded_for);
    Some(match (forwarded, forwarded_for) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    })
}

/// Walks a header's elements from the last to the first.
fn reported(
    peer: IpAddr,
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
    trusted: &[IpNet],
) -> IpAddr {
    let lines: Vec<_> = headers.get_all(name).collect();
    let elements = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let mut proxy = peer;
    for element in elements.take(HOPS_MAX) {
        match std::str::from_utf8(element).ok().and_then(|element| read(element.trim())) {
            Some(address) if is_trusted(address, trusted) => proxy = address,
            Some(address) => return address,
            None => return proxy,
        }
    }
    proxy
}

/// An element of `X-Forwarded-For`: an address, with a port where a proxy adds it.
fn in_forwarded_for(element: &str) -> Option<IpAddr> {
    let bare = element.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(element);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(element.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// An element of `Forwarded` (RFC 7239 §4): `for=192.0.2.43;proto=https`, or `for="[2001:db8::1]:4711"`.
fn in_forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node = node.trim();
    let bare = node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    in_forwarded_for(bare.unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(peer: &str, lines: &[(&str, &str)]) -> String {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8", "127.0.0.1/32"].map(|net| net.parse().unwrap()).into();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        client(Some(peer.parse().unwrap()), &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn the_table_of_proxies() {
        let (xff, fwd) = ("x-forwarded-for", "forwarded");
        for (peer, lines, expected) in [
            // Without a trusted proxy, headers say nothing.
            ("203.0.113.9", vec![], "203.0.113.9"),
            ("203.0.113.9", vec![(xff, "198.51.100.1")], "203.0.113.9"),
            ("203.0.113.9", vec![(fwd, "for=198.51.100.1")], "203.0.113.9"),
            ("::ffff:203.0.113.9", vec![], "203.0.113.9"),
            // A trusted proxy that reports nothing.
            ("10.0.0.1", vec![], "10.0.0.1"),
            // The last address that no trusted proxy has: what a client put before it is not believed.
            ("10.0.0.1", vec![(xff, "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(xff, "1.1.1.1, 198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(xff, "1.1.1.1, 198.51.100.1 , 10.0.0.2")], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec![(xff, "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(xff, "::ffff:10.0.0.7,10.0.0.2")], "10.0.0.7"),
            ("10.0.0.1", vec![(xff, "198.51.100.1:4711")], "198.51.100.1"),
            ("10.0.0.1", vec![(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("10.0.0.1", vec![(xff, "[2001:db8::1]")], "2001:db8::1"),
            ("fd00::1", vec![(xff, "2001:db8::1")], "2001:db8::1"),
            // Several lines are one list.
            ("10.0.0.1", vec![(xff, "1.1.1.1"), (xff, "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(xff, "198.51.100.1"), (xff, "10.0.0.2")], "198.51.100.1"),
            // What can't be read counts as the proxy that reported it.
            ("10.0.0.1", vec![(xff, "unknown")], "10.0.0.1"),
            ("10.0.0.1", vec![(xff, "")], "10.0.0.1"),
            ("10.0.0.1", vec![(xff, "198.51.100.1,")], "10.0.0.1"),
            ("10.0.0.1", vec![(xff, "198.51.100.1, junk, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", vec![(xff, "198.51.100.256")], "10.0.0.1"),
            // RFC 7239.
            ("10.0.0.1", vec![(fwd, "for=198.51.100.1;proto=https;by=10.0.0.1")], "198.51.100.1"),
            ("10.0.0.1", vec![(fwd, "proto=http; For=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            (
                "10.0.0.1",
                vec![(fwd, "for=1.1.1.1, for=198.51.100.1, for=10.0.0.2")],
                "198.51.100.1",
            ),
            ("10.0.0.1", vec![(fwd, "for=_hidden")], "10.0.0.1"),
            ("10.0.0.1", vec![(fwd, "for=unknown, for=10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", vec![(fwd, "proto=https")], "10.0.0.1"),
            ("10.0.0.1", vec![(fwd, "for=\"198.51.100.1")], "10.0.0.1"),
            // One header is the proxy's, the other one the client's; nobody knows which.
            ("10.0.0.1", vec![(fwd, "for=1.1.1.1"), (xff, "198.51.100.1")], "10.0.0.1"),
            ("10.0.0.1", vec![(fwd, "for=198.51.100.1"), (xff, "198.51.100.1")], "198.51.100.1"),
        ] {
            assert_eq!(of(peer, &lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_chain_of_proxies_is_bounded() {
        let many = vec!["10.0.0.2"; 10_000].join(",");
        assert_eq!(
            of("10.0.0.1", &[("x-forwarded-for", &format!("198.51.100.1,{many}"))]),
            "10.0.0.2"
        );
    }

    #[test]
    fn limits_count_an_ipv6_network_as_one() {
        let network = |text: &str| Network::of(Some(text.parse().unwrap()));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(Network::of(None).to_string(), "unknown");
        assert_eq!(network("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_peer_without_an_address_has_none() {
        let trusted = ["0.0.0.0/0".parse().unwrap()];
        assert_eq!(client(None, &HeaderMap::new(), &trusted), None);
    }
}
