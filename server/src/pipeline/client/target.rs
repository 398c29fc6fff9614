//! Where a connection leads, and who may use it.

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::model::TenantId;

/// Which requests may share a connection: those that agree in all of this. Whatever else makes one
/// connection differ from another, such as a client certificate or a proxy, becomes a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    pub(super) tenant: TenantId,
    pub(super) target: Target,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) https: bool,
    authority: Authority,
}

impl Target {
    /// None: the URI has no host. A user name is no part of where it leads.
    pub(super) fn of(uri: &Uri) -> Option<Target> {
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority()?;
        let authority = match authority.as_str().rsplit_once('@') {
            Some((_, host)) => host.parse().ok()?,
            None => authority.clone(),
        };
        Some(Target { https, authority })
    }

    /// The URI as HTTP/2 sends it.
    pub(super) fn absolute(&self, uri: &Uri) -> Uri {
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(self.authority.clone());
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }

    /// A name, or an address without brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(self.standard_port())
    }

    fn standard_port(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }

    /// The value of the header `Host`: without user name, and without a standard port.
    pub(super) fn host_header(&self) -> String {
        let host = self.authority.host();
        match self.authority.port_u16() {
            Some(port) if port != self.standard_port() => format!("{host}:{port}"),
            _ => host.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let parts = |uri: &'static str| {
            let target = Target::of(&Uri::from_static(uri)).unwrap();
            (target.host().to_owned(), target.port(), target.host_header())
        };
        let parts_of = |host: &str, port, header: &str| (host.to_owned(), port, header.to_owned());
        assert_eq!(parts("https://a.example/x"), parts_of("a.example", 443, "a.example"));
        assert_eq!(parts("http://a.example:80/"), parts_of("a.example", 80, "a.example"));
        assert_eq!(parts("http://a.example:443/"), parts_of("a.example", 443, "a.example:443"));
        assert_eq!(parts("https://u:p@[::1]:9/"), parts_of("::1", 9, "[::1]:9"));
        assert!(Target::of(&Uri::from_static("/path")).is_none());
    }
}
