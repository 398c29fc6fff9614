//! The parser: validates a text, drops its whitespace and records its values in one pass.

use crate::{Document, Node, Tag};

/// Limits on the size and nesting of a document.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest accepted text in bytes, before whitespace is dropped; never above 4 GiB.
    pub bytes_max: usize,
    /// Deepest nesting of arrays and objects; a scalar has depth 0.
    pub depth_max: usize,
}

impl Default for Limits {
    /// 64 MiB and 128 levels.
    fn default() -> Limits {
        Limits { bytes_max: 64 << 20, depth_max: 128 }
    }
}

/// Why and where a text is not valid JSON. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub struct ParseError {
    pub what: &'static str,
    /// Byte offset in the posted text.
    pub offset: usize,
    pub line: usize,
    pub column: usize,
}

pub(crate) fn parse(bytes: &[u8], limits: Limits) -> Result<Document, ParseError> {
    check_length(bytes, limits)?;
    let text = std::str::from_utf8(bytes)
        .map_err(|e| error(bytes, "the text is not UTF-8", e.valid_up_to()))?;
    parse_str(text, limits)
}

fn check_length(bytes: &[u8], limits: Limits) -> Result<(), ParseError> {
    let bytes_max = limits.bytes_max.min(u32::MAX as usize);
    match bytes.len() > bytes_max {
        true => Err(error(bytes, "the text is too long", bytes_max)),
        false => Ok(()),
    }
}

pub(crate) fn parse_str(text: &str, limits: Limits) -> Result<Document, ParseError> {
    check_length(text.as_bytes(), limits)?;
    let mut parser = Parser {
        source: text,
        at: 0,
        copied: 0,
        out: String::with_capacity(text.len()),
        nodes: Vec::with_capacity(text.len() / 12 + 4),
        open: Vec::new(),
        depth_max: limits.depth_max,
    };
    match parser.document() {
        Ok(()) => Ok(Document { text: parser.out.into_boxed_str(), nodes: parser.nodes }),
        Err(what) => Err(error(text.as_bytes(), what, parser.at)),
    }
}

/// A parser may ignore one before the text (RFC 8259 §8.1).
const BYTE_ORDER_MARK: char = '\u{FEFF}';

fn error(bytes: &[u8], what: &'static str, offset: usize) -> ParseError {
    let before = String::from_utf8_lossy(&bytes[..offset.min(bytes.len())]);
    let before = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&before);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ParseError { what, offset, line, column }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    /// Offset in `source` up to which everything but whitespace is copied to `out`.
    copied: usize,
    out: String,
    nodes: Vec<Node>,
    /// Indexes of the arrays and objects that are open.
    open: Vec<u32>,
    depth_max: usize,
}

type Step<T> = Result<T, &'static str>;

impl Parser<'_> {
    fn document(&mut self) -> Step<()> {
        if self.source.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len_utf8();
            self.copied = self.at;
        }
        self.skip_whitespace();
        // Iterative: nesting costs heap memory, not stack.
        loop {
            self.value_start()?;
            if !self.after_value()? {
                break;
            }
        }
        self.skip_whitespace();
        if self.at < self.source.len() {
            return Err("more text after the end of the value");
        }
        self.flush();
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    /// Copies the text since the last whitespace to `out`.
    fn flush(&mut self) {
        self.out.push_str(&self.source[self.copied..self.at]);
        self.copied = self.at;
    }

    fn skip_whitespace(&mut self) {
        if !matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            return;
        }
        self.flush();
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
        self.copied = self.at;
    }

    /// Offset in the compact text of the byte at `self.at`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "parse() refuses texts above u32::MAX bytes"
    )]
    fn position(&self) -> u32 {
        (self.out.len() + self.at - self.copied) as u32
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "every node has a byte of its own in the text"
    )]
    fn node_count(&self) -> u32 {
        self.nodes.len() as u32
    }

    fn scalar(&mut self, tag: Tag, start: u32) {
        let next = self.node_count() + 1;
        self.nodes.push(Node { start, end: self.position(), next, tag });
    }

    /// Reads a scalar, or opens an array or object up to its first value.
    fn value_start(&mut self) -> Step<()> {
        loop {
            let start = self.position();
            match self.peek() {
                Some(b'"') => return self.string(start),
                Some(b'-' | b'0'..=b'9') => return self.number(start),
                Some(b't') => return self.word("true", Tag::True, start),
                Some(b'f') => return self.word("false", Tag::False, start),
                Some(b'n') => return self.word("null", Tag::Null, start),
                Some(open @ (b'{' | b'[')) => {
                    let (tag, close) =
                        if open == b'{' { (Tag::Object, b'}') } else { (Tag::Array, b']') };
                    if self.open.len() >= self.depth_max {
                        return Err("too many levels of nesting");
                    }
                    let index = self.node_count();
                    self.nodes.push(Node { start, end: start, next: index, tag });
                    self.open.push(index);
                    self.at += 1;
                    self.skip_whitespace();
                    if self.peek() == Some(close) {
                        self.close();
                        return Ok(());
                    }
                    if tag == Tag::Object {
                        self.key()?;
                    }
                }
                Some(_) => return Err("expected a value"),
                None => return Err("the text ends where a value is expected"),
            }
        }
    }

    /// Closes the arrays and objects that end here. True if another value follows.
    fn after_value(&mut self) -> Step<bool> {
        loop {
            let Some(&container) = self.open.last() else { return Ok(false) };
            let object = self.nodes[container as usize].tag == Tag::Object;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_whitespace();
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                Some(b'}') if object => self.close(),
                Some(b']') if !object => self.close(),
                Some(_) if object => return Err("expected `,` or `}`"),
                Some(_) => return Err("expected `,` or `]`"),
                None => return Err("the text ends inside an array or object"),
            }
        }
    }

    fn close(&mut self) {
        self.at += 1;
        let (end, next) = (self.position(), self.node_count());
        if let Some(container) = self.open.pop() {
            let node = &mut self.nodes[container as usize];
            (node.end, node.next) = (end, next);
        }
    }

    fn key(&mut self) -> Step<()> {
        let start = self.position();
        if self.peek() != Some(b'"') {
            return Err("expected a key in double quotes");
        }
        self.string(start)?;
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err("expected `:` after a key");
        }
        self.at += 1;
        self.skip_whitespace();
        Ok(())
    }

    fn string(&mut self, start: u32) -> Step<()> {
        let bytes = self.source.as_bytes();
        let mut tag = Tag::String;
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    self.scalar(tag, start);
                    return Ok(());
                }
                Some(b'\\') => {
                    tag = Tag::EscapedString;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err("a control character in a string must be escaped"),
                Some(_) => self.at += 1,
                None => return Err("the text ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Step<()> {
        let rest = &self.source.as_bytes()[self.at + 1..];
        match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if rest.len() > 4 && rest[1..5].iter().all(u8::is_ascii_hexdigit) => {
                self.at += 6;
            }
            _ => return Err("unknown escape in a string"),
        }
        Ok(())
    }

    fn number(&mut self, start: u32) -> Step<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err("expected a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.scalar(Tag::Number, start);
        Ok(())
    }

    fn digits(&mut self) -> Step<()> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err("expected a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, tag: Tag, start: u32) -> Step<()> {
        if !self.source[self.at..].starts_with(word) {
            return Err("expected a value");
        }
        self.at += word.len();
        self.scalar(tag, start);
        Ok(())
    }
}
