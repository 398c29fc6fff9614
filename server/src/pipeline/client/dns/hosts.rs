//! The hosts file: names that the operator has given an address. It comes before any name server.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses by name, in lower case and without a final dot.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads lines such as `10.0.0.7 db db.internal`. Lines that begin with no address are skipped.
    pub(super) fn parse(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            for name in words {
                let known = hosts.0.entry(plain(name)).or_default();
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        hosts
    }

    /// The addresses of a name that needs no name server. `localhost` and names below it are this machine
    /// (RFC 6761 §6.3).
    pub(super) fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        let name = plain(name);
        if let Some(known) = self.0.get(&name) {
            return Some(known.clone());
        }
        let local = name == "localhost" || name.ends_with(".localhost");
        local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_hosts_file() {
        let text = "\u{feff}127.0.0.1\tlocalhost\n# 9.9.9.9 no\nfe80::1%lo0 scoped\n\n\
                    10.0.0.7 Db.Internal db # main\nfd00::7 db\n10.0.0.7 db\n10.0.0.8";
        let hosts = Hosts::parse(text);
        let found = |name: &str| {
            let found = hosts.find(name).unwrap_or_default();
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("db.internal."), "10.0.0.7");
        assert_eq!(found("DB"), "10.0.0.7 fd00::7");
        assert_eq!(found("localhost"), "127.0.0.1", "what the file says comes first");
        assert_eq!(found("a.localhost"), "127.0.0.1 ::1");
        assert_eq!(hosts.find("no"), None);
        assert_eq!(hosts.find("scoped"), None);
    }
}
