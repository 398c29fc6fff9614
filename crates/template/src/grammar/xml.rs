//! XML 1.0 (fifth edition) as an automaton, for the proof that the output is well formed: one root element,
//! matching tags, known references, no duplicate attributes. Holes are allowed in an element's text and in
//! quoted attributes.

use crate::Cause;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};

mod declarations;
mod joins;

pub(crate) struct Xml {
    /// Elements that may be open at once.
    pub(crate) depth_max: usize,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct State {
    at: At,
    /// Names of the open elements.
    open: Vec<String>,
    /// The attributes of the start tag that is being read.
    attributes: Vec<String>,
    /// Whether the root element has begun.
    rooted: bool,
    /// Whether nothing was written yet; only then an XML declaration is allowed.
    fresh: bool,
}

#[derive(Clone, PartialEq, Debug)]
enum At {
    /// In text, after this many `]` (two at most): text can't contain `]]>`.
    Text(u8),
    /// After `&`, in text or in an attribute with this quote.
    Reference {
        read: String,
        quote: Option<char>,
    },
    /// After `<`, with the characters read since.
    Open(String),
    StartName(String),
    /// In a start tag; `spaced`: an attribute may begin here.
    Tag {
        spaced: bool,
    },
    AttributeName(String),
    /// After an attribute's name, and after its `=`.
    Equals {
        found: bool,
    },
    Quoted(char),
    /// After the `/` of an empty element.
    Slash,
    /// In an end tag; `ended`: after its name.
    EndName {
        read: String,
        ended: bool,
    },
    /// After this many `-`.
    Comment(u8),
    /// After this many `]`.
    Cdata(u8),
    Instruction(String),
    Doctype(String),
}

impl Grammar for Xml {
    type State = State;

    fn start(&self) -> State {
        let (open, attributes) = (Vec::new(), Vec::new());
        State { at: At::Text(0), open, attributes, rooted: false, fresh: true }
    }

    fn text(
        &self,
        state: &mut State,
        text: &str,
        _events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck> {
        for (at, c) in text.char_indices() {
            self.character(state, c).map_err(|stuck| Stuck { at, ..stuck })?;
        }
        Ok(())
    }

    fn hole(&self, state: &mut State, _hole: &Hole) -> Result<Slot, Stuck> {
        match &state.at {
            At::Text(_) if state.open.is_empty() => Err(outside("a tag")),
            At::Text(_) => {
                // A value may end in brackets.
                state.at = At::Text(2);
                Ok(Slot::Markup)
            }
            At::Quoted(_) => Ok(Slot::Attribute),
            At::Comment(_) => Err(Stuck::new(
                Cause::TagInComment,
                "a tag can't stand in a comment: nothing could be escaped there",
            )),
            At::Cdata(_) => {
                Err(Stuck::new(Cause::TagInCdata, "a tag can't stand in a CDATA section")
                    .suggest("leave `<![CDATA[` and `]]>` out: values are escaped"))
            }
            At::Instruction(_) | At::Doctype(_) => Err(Stuck::new(
                Cause::TagInScript,
                "a tag can't stand in a declaration or processing instruction",
            )),
            At::Reference { .. } => Err(Stuck::new(
                Cause::MarkupReference,
                "a tag can't continue a reference that begins with `&`",
            )),
            _ => Err(Stuck::new(
                Cause::TagInMarkupTag,
                "a tag can't stand inside a markup tag, unless in a quoted attribute",
            )),
        }
    }

    fn join(&self, one: &State, other: &State) -> Result<State, Stuck> {
        joins::join(one, other)
    }

    fn end(&self, state: &State) -> Result<(), Stuck> {
        if !matches!(state.at, At::Text(_)) {
            return Err(Stuck::new(
                Cause::EndsInMarkup,
                "the text ends inside a markup tag, a reference or a comment",
            ));
        }
        if let Some(name) = state.open.last() {
            let detail = format!("the text ends inside the element `<{name}>`");
            return Err(
                Stuck::new(Cause::EndsInElement, detail).suggest(format!("add `</{name}>`"))
            );
        }
        if state.rooted {
            return Ok(());
        }
        Err(Stuck::new(Cause::NoRootElement, "the text can end without an XML element"))
    }
}

fn outside(what: &str) -> Stuck {
    Stuck::new(
        Cause::OutsideRootElement,
        format!("XML has one element around everything; {what} can't stand outside of it"),
    )
}

fn syntax(detail: impl Into<String>) -> Stuck {
    Stuck::new(Cause::NotXml, detail)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// `Char`, §2.2
fn is_character(c: char) -> bool {
    !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// `NameStartChar`, §2.3
fn starts_name(c: char) -> bool {
    matches!(c, ':' | '_' | 'A'..='Z' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// `NameChar`, §2.3
fn continues_name(c: char) -> bool {
    let more = matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}');
    more || starts_name(c)
}

impl Xml {
    fn character(&self, state: &mut State, c: char) -> Result<(), Stuck> {
        if !is_character(c) {
            return Err(syntax("a control character can't stand in XML").suggest("take it out"));
        }
        let fresh = std::mem::take(&mut state.fresh);
        let at = std::mem::replace(&mut state.at, At::Text(0));
        state.at = match at {
            At::Text(brackets) => text(state, brackets, c)?,
            At::Reference { read, quote } => reference(read, quote, c)?,
            At::Open(read) => {
                state.fresh = fresh;
                self.open(state, read, c)?
            }
            At::StartName(mut name) if continues_name(c) => {
                name.push(c);
                At::StartName(name)
            }
            At::StartName(name) => {
                state.open.push(name);
                state.attributes.clear();
                tag(state, false, c)?
            }
            At::Tag { spaced } => tag(state, spaced, c)?,
            At::AttributeName(mut name) if continues_name(c) => {
                name.push(c);
                At::AttributeName(name)
            }
            At::AttributeName(name) => {
                if state.attributes.contains(&name) {
                    let detail = format!("the attribute `{name}` can stand in this tag twice");
                    return Err(Stuck::new(Cause::AttributeTwice, detail));
                }
                state.attributes.push(name);
                value(false, c)?
            }
            At::Equals { found } => value(found, c)?,
            At::Quoted(quote) if c == quote => At::Tag { spaced: false },
            At::Quoted(_) if c == '<' => {
                return Err(syntax("`<` can't stand in an attribute").suggest("write `&lt;`"));
            }
            At::Quoted(quote) if c == '&' => {
                At::Reference { read: String::new(), quote: Some(quote) }
            }
            At::Quoted(quote) => At::Quoted(quote),
            At::Slash if c == '>' => close(state),
            At::Slash => return Err(syntax("`/` in a tag is followed by `>`")),
            At::EndName { read, ended } => end_name(state, read, ended, c)?,
            At::Comment(2) if c == '>' => At::Text(0),
            At::Comment(2) => {
                return Err(syntax("`--` can't stand inside a comment"));
            }
            At::Comment(dashes) => At::Comment(if c == '-' { dashes + 1 } else { 0 }),
            At::Cdata(2) if c == '>' => At::Text(0),
            At::Cdata(brackets) => At::Cdata(if c == ']' { (brackets + 1).min(2) } else { 0 }),
            At::Instruction(read) => declarations::instruction(state, read, fresh, c)?,
            At::Doctype(read) => declarations::doctype(read, c)?,
        };
        // Markup that began at the very first character still counts as the first.
        state.fresh = fresh && matches!(state.at, At::Open(_) | At::Instruction(_));
        Ok(())
    }

    fn open(&self, state: &mut State, mut read: String, c: char) -> Result<At, Stuck> {
        if read.is_empty() && starts_name(c) {
            if state.open.is_empty() && state.rooted {
                return Err(outside("a second element"));
            }
            if state.open.len() >= self.depth_max {
                return Err(Stuck::new(Cause::MarkupTooDeep, "elements nest too deeply"));
            }
            state.rooted = true;
            return Ok(At::StartName(c.to_string()));
        }
        read.push(c);
        match read.as_str() {
            "/" => Ok(At::EndName { read: String::new(), ended: false }),
            "?" => Ok(At::Instruction(String::new())),
            "!--" => Ok(At::Comment(0)),
            "![CDATA[" if state.open.is_empty() => Err(outside("a CDATA section")),
            "![CDATA[" => Ok(At::Cdata(0)),
            "!DOCTYPE" if state.rooted => Err(syntax("a DOCTYPE stands before the first element")),
            "!DOCTYPE" => Ok(At::Doctype(String::new())),
            begun
                if ["!--", "![CDATA[", "!DOCTYPE"].iter().any(|known| known.starts_with(begun)) =>
            {
                Ok(At::Open(read))
            }
            _ => Err(syntax("`<` begins a tag here, and this is no name")
                .suggest("for the character itself write `&lt;`")),
        }
    }
}

fn text(state: &State, brackets: u8, c: char) -> Result<At, Stuck> {
    match c {
        '<' => Ok(At::Open(String::new())),
        _ if is_space(c) => Ok(At::Text(0)),
        _ if state.open.is_empty() => Err(outside(&format!("`{c}`"))),
        '&' => Ok(At::Reference { read: String::new(), quote: None }),
        '>' if brackets == 2 => {
            Err(syntax("`>` can't follow `]]` in text, in which a tag's value may end")
                .suggest("write `&gt;`"))
        }
        ']' => Ok(At::Text((brackets + 1).min(2))),
        _ => Ok(At::Text(0)),
    }
}

fn reference(mut read: String, quote: Option<char>, c: char) -> Result<At, Stuck> {
    if c == ';' {
        let number = read.strip_prefix('#').map(|digits| match digits.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => digits.parse(),
        });
        let known = match number {
            Some(code) => code.ok().and_then(char::from_u32).is_some_and(is_character),
            None => matches!(read.as_str(), "lt" | "gt" | "amp" | "apos" | "quot"),
        };
        if known {
            return Ok(quote.map_or(At::Text(0), At::Quoted));
        }
        let detail = format!("XML knows no reference `&{read};`");
        return Err(Stuck::new(Cause::MarkupReference, detail)
            .suggest("there are `&lt; &gt; &amp; &apos; &quot;` and numbers such as `&#233;`"));
    }
    let begins = read.is_empty() && c == '#';
    if (begins || c.is_ascii_alphanumeric()) && read.len() < 10 {
        read.push(c);
        return Ok(At::Reference { read, quote });
    }
    Err(Stuck::new(Cause::MarkupReference, "`&` begins a reference such as `&lt;`"))
}

fn tag(state: &mut State, spaced: bool, c: char) -> Result<At, Stuck> {
    match c {
        '>' => Ok(At::Text(0)),
        '/' => Ok(At::Slash),
        _ if is_space(c) => Ok(At::Tag { spaced: true }),
        _ if spaced && starts_name(c) => Ok(At::AttributeName(c.to_string())),
        _ => Err(syntax(format!(
            "`{c}` can't stand here in the tag `<{}`: it needs an attribute or `>`",
            state.open.last().map_or("", String::as_str)
        ))),
    }
}

fn value(found: bool, c: char) -> Result<At, Stuck> {
    match (found, c) {
        _ if is_space(c) => Ok(At::Equals { found }),
        (false, '=') => Ok(At::Equals { found: true }),
        (true, '"' | '\'') => Ok(At::Quoted(c)),
        _ => Err(syntax("an attribute is written `name=\"value\"`")),
    }
}

fn close(state: &mut State) -> At {
    state.open.pop();
    state.attributes.clear();
    At::Text(0)
}

fn end_name(state: &mut State, mut read: String, ended: bool, c: char) -> Result<At, Stuck> {
    let name_goes_on = !ended && if read.is_empty() { starts_name(c) } else { continues_name(c) };
    if name_goes_on {
        read.push(c);
        return Ok(At::EndName { read, ended });
    }
    if is_space(c) && !read.is_empty() {
        return Ok(At::EndName { read, ended: true });
    }
    if c != '>' || read.is_empty() {
        return Err(syntax("an end tag is written `</name>`"));
    }
    match state.open.last() {
        Some(open) if *open == read => Ok(close(state)),
        Some(open) => {
            let detail = format!("`</{read}>` stands where `<{open}>` is still open");
            Err(Stuck::new(Cause::EndTagMismatch, detail).suggest(format!("write `</{open}>`")))
        }
        None => {
            let detail = format!("`</{read}>` ends no element");
            Err(Stuck::new(Cause::EndTagMismatch, detail).suggest("take it out"))
        }
    }
}
