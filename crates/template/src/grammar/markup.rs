//! The part of HTML's grammar that matters for escaping: holes are allowed in text and in quoted
//! attributes, nowhere else.

use crate::Cause;
use crate::plan::{Event, Hole, Slot};
use crate::prove::{Grammar, Stuck};

pub(crate) struct Markup;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum State {
    Text,
    /// After `<`, with the characters read since, as long as they can begin a comment or a CDATA section.
    Open(String),
    /// Inside a tag: its name, lower case, and whether the name continues.
    Tag {
        name: String,
        named: bool,
    },
    Quoted {
        name: String,
        quote: char,
    },
    /// Inside a comment, script or similar that only its end mark ends, with the last characters read.
    Until {
        end: &'static str,
        read: String,
    },
}

/// HTML elements whose content is not markup, where escaping has no effect.
const RAW: [(&str, &str); 2] = [("script", "</script"), ("style", "</style")];

impl Grammar for Markup {
    type State = State;

    fn start(&self) -> State {
        State::Text
    }

    fn text(
        &self,
        state: &mut State,
        text: &str,
        _events: &mut Vec<(usize, Event)>,
    ) -> Result<(), Stuck> {
        for c in text.chars() {
            *state = step(std::mem::replace(state, State::Text), c);
        }
        Ok(())
    }

    fn hole(&self, state: &mut State, _hole: &Hole) -> Result<Slot, Stuck> {
        match state {
            State::Text => Ok(Slot::Markup),
            State::Quoted { .. } => Ok(Slot::Attribute),
            State::Open(_) | State::Tag { .. } => Err(Stuck::new(
                Cause::TagInMarkupTag,
                "a tag can't stand inside a markup tag, unless in a quoted attribute",
            )
            .suggest("write `name=\"{{…}}\"`")),
            State::Until { end: "-->", .. } => Err(Stuck::new(
                Cause::TagInComment,
                "a tag can't stand in a comment: nothing could be escaped there",
            )),
            State::Until { end: "]]>", .. } => {
                Err(Stuck::new(Cause::TagInCdata, "a tag can't stand in a CDATA section")
                    .suggest("leave `<![CDATA[` and `]]>` out: values are escaped"))
            }
            State::Until { .. } => Err(Stuck::new(
                Cause::TagInScript,
                "a tag can't stand in a script, a style or a declaration",
            )
            .suggest("put the value into a `data-…` attribute")),
        }
    }

    fn join(&self, one: &State, other: &State) -> Result<State, Stuck> {
        if one == other {
            return Ok(one.clone());
        }
        Err(Stuck::new(
            Cause::DifferentStates,
            "the ways through this block end in different states: each must close the tags, quotes and comments that it opens",
        ))
    }

    fn end(&self, state: &State) -> Result<(), Stuck> {
        match state {
            State::Text => Ok(()),
            _ => Err(Stuck::new(
                Cause::EndsInMarkup,
                "the text ends inside a markup tag, comment or script",
            )),
        }
    }
}

fn step(state: State, c: char) -> State {
    match state {
        State::Text if c == '<' => State::Open(String::new()),
        State::Text => State::Text,
        State::Open(read) => open(read, c),
        State::Tag { name, .. } if c == '>' => match RAW.iter().find(|raw| raw.0 == name) {
            Some((_, end)) => State::Until { end, read: String::new() },
            None => State::Text,
        },
        State::Tag { name, .. } if c == '"' || c == '\'' => State::Quoted { name, quote: c },
        State::Tag { mut name, named } => {
            let named = named && !c.is_whitespace();
            if named {
                name.push(c.to_ascii_lowercase());
            }
            State::Tag { name, named }
        }
        State::Quoted { name, quote } if c == quote => State::Tag { name, named: false },
        State::Quoted { .. } => state,
        State::Until { end, mut read } => {
            read.push(c.to_ascii_lowercase());
            if read.ends_with(end) {
                // The end mark of a raw element is the beginning of its end tag.
                let in_tag = end.starts_with("</");
                let tag = State::Tag { name: String::new(), named: false };
                return if in_tag { tag } else { State::Text };
            }
            let surplus = read.chars().count().saturating_sub(end.len());
            State::Until { end, read: read.chars().skip(surplus).collect() }
        }
    }
}

fn open(mut read: String, c: char) -> State {
    read.push(c);
    match read.as_str() {
        "!--" => State::Until { end: "-->", read: String::new() },
        "![CDATA[" => State::Until { end: "]]>", read: String::new() },
        "?" => State::Until { end: "?>", read: String::new() },
        begun if "!--".starts_with(begun) || "![CDATA[".starts_with(begun) => State::Open(read),
        begun if begun.starts_with('!') => State::Until { end: ">", read: String::new() },
        _ if c.is_whitespace() => State::Text,
        _ => step(State::Tag { name: String::new(), named: true }, c),
    }
}
