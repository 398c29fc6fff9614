//! Views of the values in a document.

use std::borrow::Cow;

use crate::{Document, Node, OutOfSteps, Steps, Tag};

/// A view of one value. Copying it copies a pointer and an index.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(crate) document: &'a Document,
    pub(crate) index: u32,
}

/// The six kinds of JSON values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Value<'a> {
    pub(crate) fn node(self) -> Node {
        self.document.nodes[self.index as usize]
    }

    #[must_use]
    pub fn kind(self) -> Kind {
        match self.node().tag {
            Tag::Null => Kind::Null,
            Tag::False | Tag::True => Kind::Bool,
            Tag::Number => Kind::Number,
            Tag::String | Tag::EscapedString => Kind::String,
            Tag::Array => Kind::Array,
            Tag::Object => Kind::Object,
        }
    }

    /// The compact text of the value, as posted: a string with its quotes and escapes.
    #[must_use]
    pub fn raw(self) -> &'a str {
        let node = self.node();
        &self.document.text[node.start as usize..node.end as usize]
    }

    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.node().tag {
            Tag::True => Some(true),
            Tag::False => Some(false),
            _ => None,
        }
    }

    /// The text of a number, as posted.
    #[must_use]
    pub fn as_number(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    /// The characters of a string. A lone surrogate escape reads as U+FFFD.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = || {
            let raw = self.raw();
            &raw[1..raw.len() - 1]
        };
        match self.node().tag {
            Tag::String => Some(Cow::Borrowed(inner())),
            Tag::EscapedString => Some(Cow::Owned(unescape(inner()))),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        let node = self.node();
        let at = if node.tag == Tag::Array { self.index + 1 } else { node.next };
        Elements { document: self.document, at, end: node.next }
    }

    /// Keys (as strings to read with [`Value::as_str`]) and values of an object in posted order,
    /// duplicates included; none for anything else.
    #[must_use]
    pub fn members(self) -> Members<'a> {
        let node = self.node();
        let at = if node.tag == Tag::Object { self.index + 1 } else { node.next };
        Members { document: self.document, at, end: node.next }
    }

    /// The [`Value::members`] whose key is a prefix of `path`, each with the rest of `path` after the key.
    pub fn members_along<'p>(
        self,
        path: &'p str,
    ) -> impl Iterator<Item = (Value<'a>, &'p str)> + use<'a, 'p> {
        let along = move |(key, member): (Value<'a>, _)| {
            Some((member, path.strip_prefix(&*key.as_str()?)?))
        };
        self.members().filter_map(along)
    }

    /// The member `key` of an object; the last one of duplicate keys, as in `JSON.parse`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.members().filter(|(name, _)| name.str_eq(key)).last().map(|(_, value)| value)
    }

    /// Whether this is a string equal to `other`. Allocates only for escaped strings.
    #[must_use]
    pub fn str_eq(self, other: &str) -> bool {
        // An escape takes up to six bytes for one: most unequal strings are told apart by their lengths.
        let inner_bytes = self.raw().len().saturating_sub(2);
        (other.len()..=6 * other.len()).contains(&inner_bytes)
            && self.as_str().is_some_and(|s| s == other)
    }

    /// How many values this is, with everything inside it; keys count as well.
    #[must_use]
    pub fn count(self) -> usize {
        (self.node().next - self.index) as usize
    }

    /// The value at a dotted path. A number selects an element of an array; a key that itself contains dots
    /// is found if no shorter key leads to a value. The empty path is the value itself.
    ///
    /// For paths and values whose size is bounded; others go to [`Value::at_within`].
    #[must_use]
    pub fn at(self, path: &str) -> Option<Value<'a>> {
        self.at_within(path, &Steps::unlimited()).ok().flatten()
    }

    /// [`Value::at`], counting each key that is compared.
    ///
    /// # Errors
    /// [`OutOfSteps`]: whether there is a value is not known.
    pub fn at_within(self, path: &str, steps: &Steps) -> Result<Option<Value<'a>>, OutOfSteps> {
        if path.is_empty() {
            return Ok(Some(self));
        }
        match self.kind() {
            Kind::Object => self.member_within(path, steps),
            Kind::Array => {
                let (head, rest) = path.split_once('.').unwrap_or((path, ""));
                match self.element_within(head, steps)? {
                    Some(element) => element.at_within(rest, steps),
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// [`Value::at_within`] for an object, in one pass over its members, however many dots the path has: those whose
    /// key begins the path, the shortest key first.
    fn member_within(self, path: &str, steps: &Steps) -> Result<Option<Value<'a>>, OutOfSteps> {
        let mut first: Option<(Value<'a>, &str)> = None;
        let mut others: Vec<(Value<'a>, &str)> = Vec::new();
        for (key, member) in self.members() {
            steps.read(key.raw().len())?;
            let rest = key.as_str().and_then(|key| path.strip_prefix(&*key));
            let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('.')) else {
                continue;
            };
            match &mut first {
                // Most often it is the same key again; the last one counts.
                Some(known) if known.1.len() == rest.len() => *known = (member, rest),
                Some(_) => others.push((member, rest)),
                None => first = Some((member, rest)),
            }
        }
        if !others.is_empty() {
            others.extend(first.take());
            // The shorter the key, the more is left of the path. Of equal keys only the last one counts.
            others.sort_by_key(|(member, rest)| std::cmp::Reverse((rest.len(), member.index)));
            others.dedup_by_key(|(_, rest)| rest.len());
        }
        for (member, rest) in first.into_iter().chain(others) {
            if let Some(value) = member.at_within(rest.strip_prefix('.').unwrap_or(rest), steps)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// [`Value::get`], counting each key that is compared.
    ///
    /// # Errors
    /// [`OutOfSteps`]: whether there is a member is not known.
    pub fn get_within(self, key: &str, steps: &Steps) -> Result<Option<Value<'a>>, OutOfSteps> {
        let mut found = None;
        for (name, value) in self.members() {
            steps.read(name.raw().len())?;
            if name.str_eq(key) {
                found = Some(value);
            }
        }
        Ok(found)
    }

    fn element_within(self, index: &str, steps: &Steps) -> Result<Option<Value<'a>>, OutOfSteps> {
        let Ok(index) = index.parse::<usize>() else { return Ok(None) };
        for (at, element) in self.elements().enumerate() {
            steps.take(1)?;
            if at == index {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// Copies this value into a document of its own.
    #[must_use]
    pub fn to_document(self) -> Document {
        let node = self.node();
        let shift = |n: &Node| Node {
            start: n.start - node.start,
            end: n.end - node.start,
            next: n.next - self.index,
            tag: n.tag,
        };
        Document { text: self.raw().into(), nodes: self.nodes().iter().map(shift).collect() }
    }

    /// The nodes of this value and its descendants.
    pub(crate) fn nodes(self) -> &'a [Node] {
        &self.document.nodes[self.index as usize..self.node().next as usize]
    }

    /// Converts the value for libraries that need `serde_json`; numbers beyond 64 bits become `f64`.
    #[must_use]
    pub fn to_serde(self) -> serde_json::Value {
        match self.kind() {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool => serde_json::Value::Bool(self.as_bool() == Some(true)),
            Kind::Number => serde_json::from_str(self.raw()).unwrap_or_default(),
            Kind::String => self.as_str().unwrap_or_default().into_owned().into(),
            Kind::Array => self.elements().map(Value::to_serde).collect(),
            Kind::Object => self
                .members()
                .map(|(key, value)| {
                    (key.as_str().unwrap_or_default().into_owned(), value.to_serde())
                })
                .collect(),
        }
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.raw())
    }
}

impl serde::Serialize for Value<'_> {
    /// Passes the raw text to `serde_json`, so that nothing changes on the way.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(self.raw()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Iterator of [`Value::elements`].
#[derive(Clone)]
pub struct Elements<'a> {
    document: &'a Document,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { document: self.document, index: self.at };
        self.at = value.node().next;
        Some(value)
    }
}

/// Iterator of [`Value::members`].
#[derive(Clone)]
pub struct Members<'a> {
    document: &'a Document,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        if self.at >= self.end {
            return None;
        }
        let key = Value { document: self.document, index: self.at };
        let value = Value { document: self.document, index: self.at + 1 };
        self.at = value.node().next;
        Some((key, value))
    }
}

/// Resolves the escapes of a validated string, given without its quotes.
pub(crate) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => rest = unicode(rest, &mut out),
            literal => out.push(char::from(literal)),
        }
    }
    out.push_str(rest);
    out
}

/// Reads four hex digits, and a second escape if they are the first half of a surrogate pair.
fn unicode<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let unit = |s: &str| s.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let first = unit(rest).unwrap_or(0xfffd);
    let after = rest.get(4..).unwrap_or_default();
    if let Some(second) = after.strip_prefix("\\u").and_then(unit) {
        if let Some(Ok(pair)) = char::decode_utf16([first, second]).next() {
            out.push(pair);
            let paired = u32::from(pair) > 0xffff;
            return if paired { &after[6..] } else { after };
        }
    }
    out.push(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER));
    after
}
