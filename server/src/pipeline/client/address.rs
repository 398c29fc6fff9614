//! Address policy: which addresses deliveries may connect to. Checked at save if the URL contains an
//! address, and at every connect after name resolution, because a name may resolve differently by then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// Permits public addresses and the networks that the operator added.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// Permits 127.0.0.0/8 and ::1.
    pub loopback: bool,
    pub allowed: Vec<IpNet>,
}

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a public address; deliveries to private, loopback and link-local addresses are \
     refused (the operator can permit networks with delivery.allowed_networks)"
)]
pub struct Refused(pub IpAddr);

/// Special-purpose networks of the IANA registries that are not globally reachable.
static NOT_PUBLIC: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    const NETWORKS: [&str; 18] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    ];
    NETWORKS.iter().filter_map(|network| network.parse().ok()).collect()
});

impl AddressPolicy {
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let inner = embedded(address);
        let permitted = self.allowed.iter().any(|network| network.contains(&inner))
            || (self.loopback && inner.is_loopback())
            || is_public(inner);
        if permitted { Ok(()) } else { Err(Refused(address)) }
    }

    /// Checks a URL's host if it is an address or a name for this machine; other names pass.
    pub fn check_host(&self, host: &str) -> Result<(), Refused> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return self.check(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        bare.parse().map_or(Ok(()), |address| self.check(address))
    }
}

/// Of IPv6, only 2000::/3 is allocated as global unicast; everything outside is special-purpose.
fn is_public(address: IpAddr) -> bool {
    let given_out = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    };
    given_out && !NOT_PUBLIC.iter().any(|network| network.contains(&address))
}

/// The IPv4 address embedded in an IPv6 one (mapped, NAT64, 6to4), else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [s0, s1, s2, _, _, _, s6, s7] = v6.segments();
    let v4 =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, s6, s7) == v6;
    match v6.to_ipv4_mapped() {
        Some(mapped) => IpAddr::V4(mapped),
        None if nat64 => v4(s6, s7),
        None if s0 == 0x2002 => v4(s1, s2),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses() {
        let policy = AddressPolicy::default();
        let ok = |text: &str| policy.check(text.parse().unwrap()).is_ok();
        for public in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(ok(public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fec0::1",
            "::7f00:1",
            "3fff::1",
            "224.0.0.1",
        ] {
            assert!(!ok(private), "{private}");
        }
        assert!(policy.check_host("localhost").is_err());
        assert!(policy.check_host("a.localhost.").is_err());
        assert!(policy.check_host("[::1]").is_err());
        assert!(policy.check_host("example.com").is_ok());
    }

    #[test]
    fn what_the_operator_adds() {
        let allowed = vec!["10.0.0.0/8".parse().unwrap()];
        let policy = AddressPolicy { loopback: true, allowed };
        assert!(policy.check("10.9.9.9".parse().unwrap()).is_ok());
        assert!(policy.check("::1".parse().unwrap()).is_ok());
        assert!(policy.check("192.168.0.1".parse().unwrap()).is_err());
    }
}
