//! Which URLs lead to this server itself.

use super::ServerConfig;

impl ServerConfig {
    /// The URL of this server, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> String {
        match self.public_url.trim_end_matches('/') {
            "" => format!("http://{}", self.listen),
            url => url.to_owned(),
        }
    }

    /// Whether a URL leads to this server, as far as its text tells.
    #[must_use]
    pub fn is_at(&self, url: &url::Url) -> bool {
        let place =
            |url: &url::Url| Some((url.host_str()?.to_owned(), url.port_or_known_default()));
        let Some(called) = place(url) else { return false };
        let listen = url::Url::parse(&format!("http://{}", self.listen)).ok();
        let local = listen.as_ref().is_some_and(|listen| {
            let everywhere = matches!(listen.host_str(), Some("0.0.0.0" | "[::]"));
            let loopback = ["127.0.0.1", "[::1]", "localhost"];
            let here = |host: Option<&str>| host.is_some_and(|host| loopback.contains(&host));
            (everywhere || here(listen.host_str()))
                && here(url.host_str())
                && called.1 == listen.port_or_known_default()
        });
        let public = url::Url::parse(&self.public_url).ok();
        local || [public, listen].iter().flatten().any(|own| place(own).as_ref() == Some(&called))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_knows_its_own_urls() {
        let server = |listen: &str, public_url: &str| ServerConfig {
            listen: listen.to_owned(),
            public_url: public_url.to_owned(),
            ..ServerConfig::default()
        };
        for (listen, public_url, url, own) in [
            ("127.0.0.1:8090", "", "http://127.0.0.1:8090/in/a/b", true),
            ("127.0.0.1:8090", "", "http://LOCALHOST:8090", true),
            ("127.0.0.1:8090", "", "http://127.0.0.1:8091/in/a/b", false),
            ("0.0.0.0:8090", "", "http://[::1]:8090/", true),
            ("0.0.0.0:8090", "", "http://192.0.2.1:8090/", false),
            ("192.0.2.1:80", "", "http://192.0.2.1/", true),
            ("192.0.2.1:80", "", "http://localhost/", false),
            (
                "127.0.0.1:8090",
                "https://hooks.example.com",
                "https://hooks.example.com:443/in",
                true,
            ),
            (
                "127.0.0.1:8090",
                "https://hooks.example.com/x/",
                "https://Hooks.example.com/x/in",
                true,
            ),
            ("127.0.0.1:8090", "https://hooks.example.com", "https://hooks.example.org/", false),
        ] {
            let found = server(listen, public_url).is_at(&url.parse().unwrap());
            assert_eq!(found, own, "{listen} {public_url} {url}");
        }
    }
}
