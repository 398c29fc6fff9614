//! Writes documents from strings and copies of values, without parsing.

use crate::{Document, Node, Tag, Value};

/// Writes a compact document from the outside in and inserts the commas. The caller is responsible for
/// the order of calls: a `key` before each value of an object, an `end` for each `object` and `array`.
#[derive(Default)]
pub struct Builder {
    text: String,
    nodes: Vec<Node>,
    open: Vec<u32>,
}

impl Builder {
    #[must_use]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Reserves room for a copy of `value` and a few more members.
    #[must_use]
    pub fn with_room_for(value: Value<'_>) -> Builder {
        let text = String::with_capacity(value.raw().len() + 512);
        let nodes = Vec::with_capacity(value.nodes().len() + 32);
        Builder { text, nodes, open: Vec::new() }
    }

    /// Opens an object.
    pub fn object(&mut self) -> &mut Builder {
        self.begin(Tag::Object, '{')
    }

    /// Opens an array.
    pub fn array(&mut self) -> &mut Builder {
        self.begin(Tag::Array, '[')
    }

    fn begin(&mut self, tag: Tag, bracket: char) -> &mut Builder {
        self.comma();
        let (start, index) = (self.position(), self.count());
        self.text.push(bracket);
        self.nodes.push(Node { start, end: start, next: index, tag });
        self.open.push(index);
        self
    }

    /// Closes the innermost array or object; does nothing if none is open.
    pub fn end(&mut self) -> &mut Builder {
        if let Some(index) = self.open.pop() {
            let object = self.nodes[index as usize].tag == Tag::Object;
            self.text.push(if object { '}' } else { ']' });
            let (end, next) = (self.position(), self.count());
            let node = &mut self.nodes[index as usize];
            (node.end, node.next) = (end, next);
        }
        self
    }

    /// Writes the key of the next value.
    pub fn key(&mut self, key: &str) -> &mut Builder {
        self.string(key);
        self.text.push(':');
        self
    }

    pub fn string(&mut self, value: &str) -> &mut Builder {
        self.comma();
        let start = self.position();
        self.text.push('"');
        let before = self.text.len();
        escape_into(&mut self.text, value);
        let escaped = self.text.len() - before != value.len();
        self.text.push('"');
        self.scalar(if escaped { Tag::EscapedString } else { Tag::String }, start)
    }

    pub fn bool(&mut self, value: bool) -> &mut Builder {
        self.word(if value { "true" } else { "false" }, if value { Tag::True } else { Tag::False })
    }

    pub fn null(&mut self) -> &mut Builder {
        self.word("null", Tag::Null)
    }

    pub fn number(&mut self, value: i64) -> &mut Builder {
        self.word(&value.to_string(), Tag::Number)
    }

    fn word(&mut self, word: &str, tag: Tag) -> &mut Builder {
        self.comma();
        let start = self.position();
        self.text.push_str(word);
        self.scalar(tag, start)
    }

    /// Copies `value` and its descendants byte for byte.
    pub fn copy(&mut self, value: Value<'_>) -> &mut Builder {
        self.comma();
        let (start, index) = (self.position(), self.count());
        let from = value.node().start;
        self.text.push_str(value.raw());
        self.nodes.extend(value.nodes().iter().map(|n| Node {
            start: n.start - from + start,
            end: n.end - from + start,
            next: n.next - value.index + index,
            tag: n.tag,
        }));
        self
    }

    /// Copies a member's key as posted, escapes included.
    pub fn copy_key(&mut self, key: Value<'_>) -> &mut Builder {
        self.copy(key);
        self.text.push(':');
        self
    }

    pub fn serde(&mut self, value: &serde_json::Value) -> &mut Builder {
        match value {
            serde_json::Value::Null => self.null(),
            serde_json::Value::Bool(b) => self.bool(*b),
            serde_json::Value::Number(n) => self.word(&n.to_string(), Tag::Number),
            serde_json::Value::String(s) => self.string(s),
            serde_json::Value::Array(elements) => {
                self.array();
                for element in elements {
                    self.serde(element);
                }
                self.end()
            }
            serde_json::Value::Object(members) => {
                self.object();
                for (key, value) in members {
                    self.key(key).serde(value);
                }
                self.end()
            }
        }
    }

    /// Finishes the document and closes all open arrays and objects. If nothing was written, the document
    /// is `null`.
    #[must_use]
    pub fn finish(mut self) -> Document {
        while !self.open.is_empty() {
            self.end();
        }
        if self.nodes.is_empty() {
            self.null();
        }
        Document { text: self.text.into_boxed_str(), nodes: self.nodes }
    }

    fn comma(&mut self) {
        if !matches!(self.text.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.text.push(',');
        }
    }

    fn scalar(&mut self, tag: Tag, start: u32) -> &mut Builder {
        let (end, next) = (self.position(), self.count() + 1);
        self.nodes.push(Node { start, end, next, tag });
        self
    }

    #[expect(clippy::cast_possible_truncation, reason = "parts come from texts bounded by Limits")]
    fn position(&self) -> u32 {
        self.text.len() as u32
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "every node has a byte of its own in the text"
    )]
    fn count(&self) -> u32 {
        self.nodes.len() as u32
    }
}

/// Appends `value` with the escapes that JSON requires (RFC 8259 §7), without quotes. Leaves U+2028 and
/// U+2029 unescaped, as `JSON.stringify` does.
pub fn escape_into(out: &mut String, value: &str) {
    let mut done = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&value[done..at]);
        done = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            other => out.push_str(&format!("\\u{other:04x}")),
        }
    }
    out.push_str(&value[done..]);
}

/// `value` as a JSON string with its quotes.
#[must_use]
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    escape_into(&mut out, value);
    out.push('"');
    out
}
