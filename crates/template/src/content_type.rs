//! The places that a template can be written for: URLs, headers, and bodies by content type.

/// Content type of a body, which decides how it is proved and escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/xml`, `text/xml` and types that end in `+xml`: proved to be well formed.
    Xml,
    /// `text/html`
    Html,
    /// `text/plain` and `text/markdown`: values are written unchanged.
    Text,
    /// A type whose escaping rules are not known: its body can't contain values.
    Unknown,
}

/// Where a template's output goes, which decides how values are escaped in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A whole URL. Variables in the host part are accepted only with allowed hosts: exact names
    /// (`eu.example.com`) or all names below one (`*.example.com`), case-insensitive.
    Url {
        hosts_allowed: Vec<String>,
    },
    /// One header's value.
    Header,
    Body(ContentType),
}

impl ContentType {
    /// The type of a body, from the Content-Type header; without one, JSON if the first character outside
    /// tags is `{` or `[` or if the text is a single hole, otherwise plain text. A header whose type comes
    /// from a tag is unknown, as it may name any type.
    #[must_use]
    pub fn of(header: Option<&str>, body: &str) -> ContentType {
        match header.filter(|header| !header.trim().is_empty()) {
            Some(header) => ContentType::of_media_type(header),
            None => ContentType::of_text(body),
        }
    }

    fn of_media_type(header: &str) -> ContentType {
        let media_type = header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" | "text/json" => ContentType::Json,
            "application/x-www-form-urlencoded" => ContentType::Form,
            "text/html" => ContentType::Html,
            "text/xml" | "application/xml" => ContentType::Xml,
            "text/plain" | "text/markdown" => ContentType::Text,
            other if other.contains("{{") => ContentType::Unknown,
            other if other.ends_with("+json") => ContentType::Json,
            other if other.ends_with("+xml") => ContentType::Xml,
            _ => ContentType::Unknown,
        }
    }

    fn of_text(body: &str) -> ContentType {
        let (mut rest, mut holes, mut blocks) = (body.trim(), 0, 0);
        while let Some(tag) = rest.strip_prefix("{{") {
            let Some(length) = crate::syntax::scan::tag_length(rest) else {
                return ContentType::Text;
            };
            match tag.trim_start_matches(['~', ' ']).chars().next() {
                Some('!') => {}
                Some('#' | '/' | '^') => blocks += 1,
                _ => holes += 1,
            }
            rest = rest[length..].trim_start();
        }
        match rest.chars().next() {
            Some('{' | '[') => ContentType::Json,
            None if holes == 1 && blocks == 0 => ContentType::Json,
            _ => ContentType::Text,
        }
    }
}
