//! Finds the tags of a template: where each begins and ends, and how blocks nest.
//!
//! The Handlebars parser returns a tree without byte positions, recurses on nested input, and reports
//! mistakes in terms of its grammar. This scanner therefore runs first: it refuses text that nests too
//! deeply, is left open or is not part of our language, with position and description; afterwards its tags
//! provide the positions of the tree's elements.

use crate::{Cause, Limits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKind {
    Hole,
    Open,
    Else,
    /// `{{else if …}}`
    ElseChain,
    Close,
    Comment,
}

/// A tag and its bytes in the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) kind: TagKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A mistake at a position in the source.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) detail: String,
    pub(crate) suggestion: Option<String>,
}

impl Fault {
    pub(crate) fn new(cause: Cause, start: usize, end: usize, detail: impl Into<String>) -> Fault {
        Fault { cause, start, end, detail: detail.into(), suggestion: None }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Fault {
        self.suggestion = Some(suggestion.into());
        self
    }
}

struct OpenBlock<'s> {
    name: &'s str,
    start: usize,
    end: usize,
    has_else: bool,
}

pub(crate) fn tags(source: &str, limits: &Limits) -> Result<Vec<Tag>, Fault> {
    let mut scanner = Scanner { source, limits, tags: Vec::new(), blocks: Vec::new() };
    let mut at = 0;
    while let Some(found) = source[at..].find("{{") {
        let start = at + found;
        at = match backslashes_before(source, at, start) {
            // One backslash turns the braces into text; two or more are text before a tag.
            1 => start + if source[start + 2..].starts_with("{{") { 4 } else { 2 },
            _ => scanner.tag(start)?,
        };
    }
    match scanner.blocks.last() {
        Some(open) => Err(Fault::new(
            Cause::BlockNotClosed,
            open.start,
            open.end,
            format!("`{{{{#{}}}}}` is never closed", open.name),
        )
        .suggest(format!("add `{{{{/{}}}}}`", open.name))),
        None => Ok(scanner.tags),
    }
}

fn backslashes_before(source: &str, from: usize, at: usize) -> usize {
    source[from..at].bytes().rev().take_while(|byte| *byte == b'\\').count()
}

/// Bytes of the tag that `text` begins with; `None` if the tag never ends.
pub(crate) fn tag_length(text: &str) -> Option<usize> {
    if text.starts_with("{{!") {
        return comment_length(text);
    }
    let mut inside = Inside { text, at: 2, open: Vec::new(), depth_max: usize::MAX };
    if inside.peek() == Some(b'~') {
        inside.at += 1;
    }
    let triple = inside.peek() == Some(b'{');
    if triple {
        inside.at += 1;
    }
    inside.end(triple).ok()
}

fn comment_length(text: &str) -> Option<usize> {
    let long = text.starts_with("{{!--").then(|| text.find("--}}").map(|at| at + 4)).flatten();
    long.or_else(|| text.find("}}").map(|at| at + 2))
}

struct Scanner<'s> {
    source: &'s str,
    limits: &'s Limits,
    tags: Vec<Tag>,
    blocks: Vec<OpenBlock<'s>>,
}

impl<'s> Scanner<'s> {
    /// Reads the tag at `start` and returns its end.
    fn tag(&mut self, start: usize) -> Result<usize, Fault> {
        let rest = &self.source[start..];
        if rest.starts_with("{{{{") {
            return Err(Fault::new(
                Cause::Unsupported,
                start,
                start + 4,
                "raw blocks (`{{{{`) are not supported",
            )
            .suggest("put a space between a JSON `{` and the tag"));
        }
        if self.tags.len() >= self.limits.tags_max {
            let detail = format!("there are more than {} tags", self.limits.tags_max);
            return Err(Fault::new(Cause::TooManyTags, start, start + 2, detail));
        }
        let end = start + self.length(start)?;
        let kind = self.kind(start, end)?;
        self.tags.push(Tag { kind, start, end });
        Ok(end)
    }

    fn length(&self, start: usize) -> Result<usize, Fault> {
        let text = &self.source[start..];
        let unclosed = || {
            let end = start + text.find('\n').unwrap_or(text.len()).min(40);
            let end = (start..=end).rev().find(|at| self.source.is_char_boundary(*at));
            Fault::new(Cause::TagNotClosed, start, end.unwrap_or(start), "this tag is never closed")
                .suggest("end it with `}}`; for the two characters themselves write `\\{{`")
        };
        if text.starts_with("{{!") {
            return comment_length(text).ok_or_else(unclosed);
        }
        let mut inside =
            Inside { text, at: 2, open: Vec::new(), depth_max: self.limits.depth_max.min(32) };
        if inside.peek() == Some(b'~') {
            inside.at += 1;
        }
        let triple = inside.peek() == Some(b'{');
        if triple {
            inside.at += 1;
        }
        inside.end(triple).map_err(|stop| match stop {
            Stop::Unclosed => unclosed(),
            Stop::Deep(at) => {
                Fault::new(Cause::TagTooDeep, start, start + at, "this nests too deeply")
            }
        })
    }

    fn kind(&mut self, start: usize, end: usize) -> Result<TagKind, Fault> {
        let inner = inner(&self.source[start..end]);
        let refuse = |cause: Cause, detail: &str| Err(Fault::new(cause, start, end, detail));
        let Some(first) = inner.chars().next() else {
            return refuse(Cause::EmptyTag, "this tag is empty");
        };
        let after = inner[first.len_utf8()..].trim_start();
        match first {
            '!' => Ok(TagKind::Comment),
            '>' => {
                refuse(Cause::Unsupported, "partials (`{{>`) are not supported: write the text out")
            }
            '*' => refuse(Cause::Unsupported, "decorators (`{{*`) are not supported"),
            '#' if after.starts_with('>') => {
                refuse(Cause::Unsupported, "partial blocks (`{{#>`) are not supported")
            }
            '#' if after.starts_with('*') => {
                refuse(Cause::Unsupported, "decorators (`{{#*`) are not supported")
            }
            '#' => {
                if self.blocks.len() >= self.limits.depth_max {
                    return refuse(Cause::BlocksTooDeep, "blocks nest too deeply");
                }
                self.blocks.push(OpenBlock { name: word(after), start, end, has_else: false });
                Ok(TagKind::Open)
            }
            '/' => self.close(word(after), start, end),
            '^' if !after.is_empty()
                && (self.blocks.is_empty()
                    || !["if", "unless", "each", "with"].contains(&word(after))) =>
            {
                let condition = after.strip_prefix("if ").unwrap_or(after).trim();
                Err(Fault::new(Cause::Unsupported, start, end, "`{{^` is no block of its own here")
                    .suggest(format!("write `{{{{#unless {condition}}}}}…{{{{/unless}}}}`")))
            }
            '^' => self.branch(after.is_empty(), start, end),
            _ if word(inner) == "else" => {
                self.branch(inner[4..].trim_start().is_empty(), start, end)
            }
            _ if inner.starts_with("else") => {
                let detail = "a name at the start of a tag can't begin with `else`";
                Err(Fault::new(Cause::ElseName, start, end, detail)
                    .suggest(format!("write `{{{{this.{inner}}}}}`")))
            }
            _ => Ok(TagKind::Hole),
        }
    }

    fn close(&mut self, name: &str, start: usize, end: usize) -> Result<TagKind, Fault> {
        let Some(open) = self.blocks.pop() else {
            return Err(Fault::new(
                Cause::CloseWithoutBlock,
                start,
                end,
                "no block is open that this could close",
            ));
        };
        if open.name == name {
            return Ok(TagKind::Close);
        }
        let detail = format!("`{{{{#{}}}}}` is still open here", open.name);
        Err(Fault::new(Cause::WrongClose, start, end, detail)
            .suggest(format!("write `{{{{/{}}}}}`", open.name)))
    }

    fn branch(&mut self, plain: bool, start: usize, end: usize) -> Result<TagKind, Fault> {
        let Some(open) = self.blocks.last_mut() else {
            return Err(Fault::new(
                Cause::ElseOutside,
                start,
                end,
                "`else` stands outside of any block",
            ));
        };
        if open.has_else {
            return Err(Fault::new(
                Cause::SecondElse,
                start,
                end,
                "this block has its last `else` already",
            ));
        }
        open.has_else = plain;
        Ok(if plain { TagKind::Else } else { TagKind::ElseChain })
    }
}

/// A tag's text without braces, tildes and surrounding spaces, nor the inner braces of a triple.
pub(crate) fn inner(tag: &str) -> &str {
    let text = tag.strip_prefix("{{").unwrap_or(tag);
    let text = text.strip_suffix("}}").unwrap_or(text);
    let text = text.strip_prefix('~').unwrap_or(text);
    let text = text.strip_suffix('~').unwrap_or(text);
    let text = match text.strip_prefix('{') {
        Some(triple) => triple.strip_suffix('}').unwrap_or(triple),
        None => text,
    };
    text.trim()
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| c.is_whitespace() || matches!(c, '.' | '/' | '(' | ')' | '[' | '='))
        .unwrap_or(text.len());
    &text[..end]
}

/// Bytes of the quoted text that `text` begins with, quotes included.
pub(crate) fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

enum Stop {
    Unclosed,
    Deep(usize),
}

/// A cursor inside a tag that skips strings and counts brackets.
struct Inside<'s> {
    text: &'s str,
    at: usize,
    open: Vec<u8>,
    depth_max: usize,
}

impl Inside<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The tag's length in bytes.
    fn end(&mut self, triple: bool) -> Result<usize, Stop> {
        while let Some(byte) = self.peek() {
            match byte {
                b'"' | b'\'' => self.string(byte)?,
                b'[' if self.key_begins() => self.key()?,
                b'(' | b'[' | b'{' => {
                    self.open.push(byte);
                    if self.open.len() > self.depth_max {
                        return Err(Stop::Deep(self.at + 1));
                    }
                }
                b'}' if self.open.is_empty() => return self.closing(triple),
                b')' | b']' | b'}' => {
                    self.open.pop();
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(Stop::Unclosed)
    }

    fn closing(&self, triple: bool) -> Result<usize, Stop> {
        let rest = &self.text[self.at..];
        let endings: &[&str] = if triple { &["}}}", "}~}}"] } else { &["}}"] };
        let ending = endings.iter().find(|ending| rest.starts_with(**ending));
        ending.map(|ending| self.at + ending.len()).ok_or(Stop::Unclosed)
    }

    /// Whether a bracket here begins a key like `[first name]` rather than a list of literals.
    fn key_begins(&self) -> bool {
        let (before, after) = self.text.split_at(self.at);
        let list = ['"', '\'', '-', '[', '{', ']'];
        let first = after[1..].trim_start().chars().next();
        before.ends_with(['.', '/'])
            || first.is_some_and(|c| !c.is_ascii_digit() && !list.contains(&c))
    }

    fn key(&mut self) -> Result<(), Stop> {
        let length = self.text[self.at..].find(']').ok_or(Stop::Unclosed)?;
        self.at += length;
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<(), Stop> {
        loop {
            self.at += 1;
            match self.peek() {
                None => return Err(Stop::Unclosed),
                Some(b'\\') => self.at += 1,
                Some(byte) if byte == quote => return Ok(()),
                Some(_) => {}
            }
        }
    }
}
