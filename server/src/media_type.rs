//! Media types, compared without case (RFC 9110 §8.3.1).

use mime::Mime;

/// A media type with its parameters.
pub(crate) struct MediaType(Mime);

impl MediaType {
    /// None: the text is no media type. Parameters that are written wrong are left out.
    pub(crate) fn parse(text: &str) -> Option<MediaType> {
        // A header that is sent twice arrives joined by a comma.
        let essence = || text.split([';', ',']).next().unwrap_or_default().trim();
        text.trim().parse().or_else(|_| essence().parse()).ok().map(MediaType)
    }

    /// `application/json`, another subtype `json`, or any with the suffix `+json` (RFC 6839 §3.1).
    pub(crate) fn is_json(&self) -> bool {
        self.0.subtype() == mime::JSON || self.0.suffix() == Some(mime::JSON)
    }

    /// Whether it is of this type, such as `multipart/form-data`.
    pub(crate) fn is(&self, essence: &str) -> bool {
        self.0.essence_str().eq_ignore_ascii_case(essence)
    }

    /// Whether it begins with these characters.
    pub(crate) fn begins_with(&self, prefix: &str) -> bool {
        let text = self.0.essence_str();
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.0.get_param(name).map(|value| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_however_it_is_written() {
        for (text, is_json) in [
            ("application/json", true),
            ("Application/JSON; Charset=UTF-8", true),
            ("application/vnd.api+json", true),
            ("application/VND.API+JSON ; charset=utf-8", true),
            ("text/json", true),
            ("application/json;", true),
            ("application/json; charset", true),
            ("application/json, application/json", true),
            ("application/problem+json", true),
            ("application/jsonp", false),
            ("application/json-seq", false),
            ("application/x-ndjson", false),
            ("text/plain; x=application/json", false),
            ("application/xml", false),
        ] {
            let media_type = MediaType::parse(text).expect(text);
            assert_eq!(media_type.is_json(), is_json, "{text}");
        }
        assert!(MediaType::parse("json").is_none());
        assert!(MediaType::parse("").is_none());
    }

    #[test]
    fn types_and_parameters() {
        let form = MediaType::parse("Multipart/Form-Data; BOUNDARY=\"a b\"").unwrap();
        assert!(form.is("multipart/form-data") && form.begins_with("multipart/"));
        assert_eq!(form.parameter("boundary"), Some("a b"));
    }
}
