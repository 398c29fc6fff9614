//! `success`: a pattern over a response, whose shape is known: `{"status", "headers", "body"}`.
//!
//! Classes and numbers as in `retry.statuses` become patterns over the number, names of headers are compared
//! without case, and what no response can meet is an error.

use antar_json::{Builder, Document, Kind, Value};
use antar_rules::Pattern;

use crate::model::{FieldError, pointer_token};

/// The members of a response.
const MEMBERS: [&str; 3] = ["status", "headers", "body"];

const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

/// The pattern that a `success` stands for.
///
/// # Errors
/// All conditions that no response can meet, with pointers into `success`.
pub(crate) fn success_pattern(success: Value<'_>) -> Result<Document, Vec<FieldError>> {
    let mut reader = Reader { out: Builder::new(), errors: Vec::new() };
    reader.response("", success);
    if reader.errors.is_empty() { Ok(reader.out.finish()) } else { Err(reader.errors) }
}

struct Reader {
    out: Builder,
    errors: Vec<FieldError>,
}

impl Reader {
    fn error(&mut self, pointer: &str, detail: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, detail));
        self.out.null();
    }

    /// A value that is checked elsewhere.
    fn copy(&mut self, value: Value<'_>) {
        self.out.copy(value);
    }

    fn members(
        &mut self,
        pointer: &str,
        value: Value<'_>,
        member: impl Fn(&mut Reader, &str, &str, Value<'_>),
    ) {
        if value.kind() != Kind::Object {
            return self.copy(value);
        }
        self.out.object();
        for (key, value) in value.members() {
            let key = key.as_str().unwrap_or_default();
            member(self, &format!("{pointer}/{}", pointer_token(&key)), &key, value);
        }
        self.out.end();
    }

    /// The branches of an `$or`, each read by `branch`.
    fn branches(
        &mut self,
        pointer: &str,
        value: Value<'_>,
        branch: impl Fn(&mut Reader, &str, Value<'_>),
    ) {
        self.out.key("$or");
        if value.kind() != Kind::Array {
            return self.copy(value);
        }
        self.out.array();
        for (number, value) in value.elements().enumerate() {
            branch(self, &format!("{pointer}/{number}"), value);
        }
        self.out.end();
    }

    fn response(&mut self, pointer: &str, value: Value<'_>) {
        self.members(pointer, value, |reader, pointer, key, value| {
            let (member, rest) = match key.split_once('.') {
                Some((member, rest)) => (member, Some(rest)),
                None => (key, None),
            };
            match (member, rest) {
                ("$or", None) => reader.branches(pointer, value, Reader::response),
                ("status", None) => {
                    reader.out.key("status");
                    reader.status(pointer, value);
                }
                ("headers", None) => {
                    reader.out.key("headers");
                    reader.headers(pointer, value);
                }
                ("headers", Some(name)) => {
                    reader.out.key(&format!("headers.{}", name.to_ascii_lowercase()));
                    reader.header(pointer, value);
                }
                ("body", _) => {
                    reader.out.key(key);
                    reader.copy(value);
                }
                _ => {
                    reader.out.key(key);
                    let near = antar_template::nearest(member, MEMBERS);
                    let near = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    let detail = format!(
                        "no response has `{key}`: `success` looks at status (a number), headers (text) and body{near}"
                    );
                    reader.error(pointer, detail);
                }
            }
        });
    }

    fn headers(&mut self, pointer: &str, value: Value<'_>) {
        if value.kind() == Kind::Array {
            let detail = "name a header: {\"headers\": {\"content-type\": [\"application/json\"]}}";
            return self.error(pointer, detail);
        }
        self.members(pointer, value, |reader, pointer, key, value| {
            if key == "$or" {
                return reader.branches(pointer, value, Reader::headers);
            }
            reader.out.key(&key.to_ascii_lowercase());
            reader.header(pointer, value);
        });
    }

    fn header(&mut self, pointer: &str, value: Value<'_>) {
        let wanted = "a header is text: give a list of texts, or of operators on text";
        match value.kind() {
            Kind::Object => return self.error(pointer, wanted),
            Kind::Array => {}
            _ => return self.copy(value),
        }
        self.out.array();
        for (number, value) in value.elements().enumerate() {
            let is_numeric = value.members().any(|(key, _)| key.str_eq("numeric"));
            match value.kind() {
                Kind::Number | Kind::Bool | Kind::Null => {
                    let detail = format!("a header is text: write \"{}\"", value.raw());
                    self.error(&format!("{pointer}/{number}"), detail);
                }
                Kind::Object if is_numeric => {
                    self.error(&format!("{pointer}/{number}/numeric"), wanted);
                }
                _ => self.copy(value),
            }
        }
        self.out.end();
    }

    fn status(&mut self, pointer: &str, value: Value<'_>) {
        match value.kind() {
            Kind::Object => {
                let detail = "the status is a number: write {\"status\": [200]} or [\"2xx\"]";
                return self.error(pointer, detail);
            }
            Kind::Array => {}
            _ => return self.copy(value),
        }
        let mut list = Builder::new();
        list.object().key("status").array();
        let before = self.errors.len();
        for (number, value) in value.elements().enumerate() {
            let text = value.as_str();
            match text.as_deref().map(|text| (text, Status::parse(text))) {
                Some((_, Some(Status::One(status)))) => {
                    list.number(status.into());
                }
                Some((_, Some(Status::Class(class)))) => {
                    list.object().key("numeric").array();
                    list.string(">=").number((class * 100).into());
                    list.string("<").number((class * 100 + 100).into());
                    list.end().end();
                }
                Some((text, None)) => {
                    let detail = format!("`{text}` is no status: write 200 or \"2xx\"");
                    self.errors.push(FieldError::new(format!("{pointer}/{number}"), detail));
                }
                None => {
                    list.copy(value);
                }
            }
        }
        list.end().end();
        let list = list.finish();
        // A pattern that is wrong in itself is reported where patterns are parsed.
        let meets = |pattern: &Pattern| {
            STATUSES.clone().any(|status| {
                let mut out = Builder::new();
                out.object().key("status").number(status.into()).end();
                pattern.matches(out.finish().root())
            })
        };
        if self.errors.len() == before
            && Pattern::parse(list.root()).is_ok_and(|pattern| !meets(&pattern))
        {
            let detail = "no status from 100 to 599 meets this: write [200], [\"2xx\"] or \
                          [{\"numeric\": [\">=\", 200, \"<\", 300]}]";
            self.errors.push(FieldError::new(pointer, detail));
        }
        for (_, status) in list.root().members() {
            self.copy(status);
        }
    }
}

/// A status as text.
enum Status {
    One(u16),
    Class(u16),
}

impl Status {
    fn parse(text: &str) -> Option<Status> {
        let [first, rest @ ..] = text.as_bytes() else { return None };
        if rest.eq_ignore_ascii_case(b"xx") && (b'1'..=b'5').contains(first) {
            return Some(Status::Class(u16::from(first - b'0')));
        }
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = digits.then(|| text.parse().ok()).flatten()?;
        STATUSES.contains(&status).then_some(Status::One(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Vec<String>> {
        let document: Document = text.parse().unwrap();
        let errors = |errors: Vec<FieldError>| errors.into_iter().map(|e| e.pointer).collect();
        success_pattern(document.root()).map(|pattern| pattern.text().to_owned()).map_err(errors)
    }

    #[test]
    fn statuses_are_written_as_for_retries() {
        for (written, meant) in [
            (r#"["2xx"]"#, r#"[{"numeric":[">=",200,"<",300]}]"#),
            (r#"["5XX", 404]"#, r#"[{"numeric":[">=",500,"<",600]},404]"#),
            (r#"["200"]"#, "[200]"),
            ("[200, 202.0]", "[200,202.0]"),
            (r#"[{"numeric": [">", 199]}]"#, r#"[{"numeric":[">",199]}]"#),
            (r#"[{"anything-but": [500]}]"#, r#"[{"anything-but":[500]}]"#),
        ] {
            let read = read(&format!(r#"{{"status": {written}}}"#));
            assert_eq!(read, Ok(format!(r#"{{"status":{meant}}}"#)), "{written}");
        }
    }

    #[test]
    fn what_no_response_meets_is_refused() {
        for (text, pointer) in [
            (r#"{"code": [200]}"#, "/code"),
            (r#"{"Status": [200]}"#, "/Status"),
            (r#"{"statusCode": [200]}"#, "/statusCode"),
            (r#"{"response.status": [200]}"#, "/response.status"),
            (r#"{"status": ["ok"]}"#, "/status/0"),
            (r#"{"status": [200, "2x"]}"#, "/status/1"),
            (r#"{"status": ["6xx"]}"#, "/status/0"),
            (r#"{"status": [2000]}"#, "/status"),
            (r#"{"status": [null, true]}"#, "/status"),
            (r#"{"status": [{"prefix": "2"}]}"#, "/status"),
            (r#"{"status": [{"exists": false}]}"#, "/status"),
            (r#"{"status": [{"numeric": [">", 600]}]}"#, "/status"),
            (r#"{"status": {"code": [200]}}"#, "/status"),
            (r#"{"status.code": [200]}"#, "/status.code"),
            (r#"{"headers": ["x"]}"#, "/headers"),
            (r#"{"headers": {"x-count": [3]}}"#, "/headers/x-count/0"),
            (r#"{"headers": {"x-count": [{"numeric": [">", 3]}]}}"#, "/headers/x-count/0/numeric"),
            (r#"{"headers": {"x": {"y": ["z"]}}}"#, "/headers/x"),
            (r#"{"$or": [{"status": [200]}, {"staus": [201]}]}"#, "/$or/1/staus"),
        ] {
            assert_eq!(read(text), Err(vec![pointer.to_owned()]), "{text}");
        }
    }

    #[test]
    fn names_of_headers_have_no_case() {
        let read = read(
            r#"{"headers": {"Content-Type": [{"prefix": "application/json"}], "$or": [{"X-A": ["1"]}, {"x-b": [{"exists": false}]}]},
                "$or": [{"headers.X-Request-Id": [{"exists": true}]}, {"body.Ok": [true]}], "body": {"Data": {"Id": [1]}}}"#,
        );
        let meant = r#"{"headers":{"content-type":[{"prefix":"application/json"}],"$or":[{"x-a":["1"]},{"x-b":[{"exists":false}]}]},"$or":[{"headers.x-request-id":[{"exists":true}]},{"body.Ok":[true]}],"body":{"Data":{"Id":[1]}}}"#;
        assert_eq!(read, Ok(meant.to_owned()));
    }
}
