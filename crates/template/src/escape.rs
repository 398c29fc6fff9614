//! Escapes values, with one variant for each kind of place.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// How a value is escaped for its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// Unchanged: plain text.
    None,
    /// A whole URL, or a part of a host: unchanged but for control characters, which are removed.
    Url,
    /// In a URL's path, query or fragment: everything but `A-Z a-z 0-9 - . _ ~` is percent-encoded.
    Percent,
    /// A header's value: each run of control characters becomes one space.
    Header,
    /// A form field: as [`Escape::Percent`], with `+` for a space.
    Form,
    /// Inside a JSON string.
    JsonText,
    /// A JSON string with its quotes.
    JsonValue,
    /// Text in XML and HTML. Characters that XML 1.0 §2.2 excludes are removed; a carriage return becomes
    /// a reference, as parsers turn a bare one into a line feed (§2.11).
    Markup,
    /// The same in a quoted attribute, where parsers turn bare tabs and line feeds into spaces
    /// (§3.3.3).
    Attribute,
}

/// RFC 3986 §2.3, unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL standard's urlencoded set leaves `* - . _` and turns spaces into `+`.
const FORM: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

impl Escape {
    /// All variants, for finding a value that was written with one of them.
    pub const ALL: [Escape; 9] = [
        Escape::None,
        Escape::Url,
        Escape::Percent,
        Escape::Header,
        Escape::Form,
        Escape::JsonText,
        Escape::JsonValue,
        Escape::Markup,
        Escape::Attribute,
    ];

    /// `text`, escaped.
    #[must_use]
    pub fn escaped(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.write(&mut out, text);
        out
    }

    /// Appends `text` to `out`, escaped.
    pub(crate) fn write(self, out: &mut String, text: &str) {
        match self {
            Escape::None => out.push_str(text),
            Escape::Url => out.extend(text.chars().filter(|c| !c.is_control())),
            Escape::Percent => out.extend(utf8_percent_encode(text, RESERVED)),
            Escape::Header => out.push_str(&header_line(text)),
            Escape::Form => {
                for part in utf8_percent_encode(text, FORM) {
                    out.extend(part.chars().map(|c| if c == ' ' { '+' } else { c }));
                }
            }
            Escape::JsonText => antar_json::escape_into(out, text),
            Escape::JsonValue => {
                out.push('"');
                antar_json::escape_into(out, text);
                out.push('"');
            }
            Escape::Markup => markup(out, text, false),
            Escape::Attribute => markup(out, text, true),
        }
    }
}

pub(crate) fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `text` on one line: each run of control characters becomes one space.
pub(crate) fn header_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut run = false;
    for c in text.chars() {
        if c.is_control() && !run {
            out.push(' ');
        } else if !c.is_control() {
            out.push(c);
        }
        run = c.is_control();
    }
    Cow::Owned(out)
}

fn markup(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\t' | '\n' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(c),
        }
    }
}
