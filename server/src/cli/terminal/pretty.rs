//! JSON over several lines, with values kept as they were written.

use antar_json::{Document, Kind, Value};

/// Formats `document` with two spaces per level. Numbers, escapes and the order of keys stay.
pub(crate) fn pretty(document: &Document) -> String {
    let mut out = String::with_capacity(document.text().len() * 2);
    write(&mut out, document.root(), 0);
    out
}

fn write(out: &mut String, value: Value<'_>, level: usize) {
    let (open, close) = match value.kind() {
        Kind::Object if value.members().next().is_some() => ('{', '}'),
        Kind::Array if value.elements().next().is_some() => ('[', ']'),
        _ => return out.push_str(value.raw()),
    };
    out.push(open);
    let mut first = true;
    let mut begin = |out: &mut String| {
        out.push_str(if first { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(level + 1));
        first = false;
    };
    if open == '{' {
        for (key, member) in value.members() {
            begin(out);
            out.push_str(key.raw());
            out.push_str(": ");
            write(out, member, level + 1);
        }
    } else {
        for element in value.elements() {
            begin(out);
            write(out, element, level + 1);
        }
    }
    out.push('\n');
    out.push_str(&"  ".repeat(level));
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whitespace_is_added() {
        let text = r#"{"b":[1.00,{}],"a":{"x":"\u00e9"},"c":[]}"#;
        let document: Document = text.parse().unwrap();
        let shown = pretty(&document);
        assert_eq!(
            shown,
            "{\n  \"b\": [\n    1.00,\n    {}\n  ],\n  \"a\": {\n    \"x\": \"\\u00e9\"\n  },\n  \"c\": []\n}"
        );
        assert_eq!(shown.parse::<Document>().unwrap(), document);
    }
}
