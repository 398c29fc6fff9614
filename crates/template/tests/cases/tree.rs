//! JSON values of the generators, which share nothing with the crates under test. Strings are UTF-16
//! units, so that lone surrogates count.

use std::fmt::Write as _;

use super::dice::Dice;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(Text),
    Array(Vec<Tree>),
    Object(Vec<(Text, Tree)>),
}

/// A string with its escapes as written, which are ignored in comparisons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) units: Vec<u16>,
    raw: String,
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.units == other.units
    }
}

impl Text {
    pub(crate) fn plain(text: &str) -> Text {
        Text { units: text.encode_utf16().collect(), raw: String::new() }
    }

    pub(crate) fn units(units: Vec<u16>) -> Text {
        Text { units, raw: String::new() }
    }

    pub(crate) fn lossy(&self) -> String {
        String::from_utf16_lossy(&self.units)
    }

    fn push(&mut self, dice: &mut Dice, piece: &str) {
        self.units.extend(piece.encode_utf16());
        for c in piece.chars() {
            let must = matches!(c, '"' | '\\' | '\0'..='\u{1f}');
            match c {
                '"' | '\\' if !dice.one_in(4) => self.raw.extend(['\\', c]),
                '/' if dice.one_in(3) => self.raw.push_str("\\/"),
                '\n' if dice.one_in(2) => self.raw.push_str("\\n"),
                c if must || dice.one_in(12) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.raw, "\\u{unit:04x}");
                    }
                }
                c => self.raw.push(c),
            }
        }
    }
}

const NASTY: [&str; 40] = [
    "\"",
    "\\",
    "\r\n",
    "\n",
    "\t",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "{{a}}",
    "{{",
    "}}",
    "],",
    "\",\"x\":1",
    "}",
    "&x=1",
    "=",
    "?",
    "#",
    "/",
    "//",
    "..",
    ".",
    "%2e",
    "%",
    "%0d%0a",
    "@evil.example",
    "@",
    ":",
    "<b>",
    "</a>",
    "]]>",
    "-->",
    "'",
    "\r\nX-Evil: 1",
    "😀",
    "\\u0000",
    "&amp;",
    "\u{fffe}",
];

const PLAIN: [&str; 8] = ["Ann", "a b", "né", "0", "x", "long text, with a comma", " ", "+62"];

pub(crate) fn text(dice: &mut Dice) -> Text {
    let mut text = Text::default();
    for _ in 0..dice.below(5) {
        match dice.below(10) {
            0 => {
                let unit = 0xd800 + u16::try_from(dice.below(0x800)).unwrap_or(0);
                text.units.push(unit);
                let _ = write!(text.raw, "\\u{unit:04X}");
            }
            1 => {
                let any = u32::try_from(dice.below(0x11_0000)).unwrap_or(0);
                let c = char::from_u32(any).unwrap_or('x').to_string();
                text.push(dice, &c);
            }
            2..=4 => {
                let piece = dice.pick(&PLAIN);
                text.push(dice, piece);
            }
            _ => {
                let piece = dice.pick(&NASTY);
                text.push(dice, piece);
            }
        }
    }
    text
}

const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "0.0",
    "0e9",
    "1",
    "-1",
    "1.50",
    "1E+5",
    "1e400",
    "-1e-400",
    "9007199254740993",
    "123456789012345678901234567890.5",
    "1773100800",
    "7",
];

pub(crate) const NAMES: [&str; 6] = ["a", "b", "c", "list", "name", "x"];

pub(crate) fn value(dice: &mut Dice, depth: usize) -> Tree {
    match dice.below(if depth == 0 { 6 } else { 10 }) {
        0 => Tree::Null,
        1 => Tree::Bool(dice.one_in(2)),
        2 => Tree::Number(dice.pick(&NUMBERS).to_owned()),
        3..=5 => Tree::Text(text(dice)),
        6 | 7 => Tree::Array((0..dice.below(4)).map(|_| value(dice, depth - 1)).collect()),
        _ => Tree::Object((0..dice.below(4)).map(|_| member(dice, depth - 1)).collect()),
    }
}

fn member(dice: &mut Dice, depth: usize) -> (Text, Tree) {
    let mut key = Text::default();
    if dice.one_in(3) {
        key = text(dice);
    } else {
        let name = dice.pick(&NAMES);
        key.push(dice, name);
    }
    (key, value(dice, depth))
}

/// An object that often contains the usual names, sometimes twice.
pub(crate) fn event(dice: &mut Dice) -> Tree {
    let mut members: Vec<_> = (0..1 + dice.below(6)).map(|_| member(dice, 2)).collect();
    if dice.one_in(2) {
        let elements = (0..dice.below(5)).map(|_| value(dice, 1)).collect();
        members.push((Text { raw: "list".into(), ..Text::plain("list") }, Tree::Array(elements)));
    }
    Tree::Object(members)
}

impl Tree {
    /// As posted, without spaces between tokens.
    pub(crate) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, &mut |_| {});
        out
    }

    /// As posted, with spaces here and there.
    pub(crate) fn spaced(&self, dice: &mut Dice) -> String {
        let mut out = String::new();
        self.write(&mut out, &mut |out| {
            if dice.one_in(6) {
                out.push_str(dice.pick(&[" ", "\n", "\t ", "\r\n"]));
            }
        });
        out
    }

    fn write(&self, out: &mut String, space: &mut dyn FnMut(&mut String)) {
        space(out);
        match self {
            Tree::Null => out.push_str("null"),
            Tree::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Tree::Number(text) => out.push_str(text),
            Tree::Text(text) => {
                let _ = write!(out, "\"{}\"", text.raw);
            }
            Tree::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    element.write(out, space);
                }
                out.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    space(out);
                    let _ = write!(out, "\"{}\"", key.raw);
                    space(out);
                    out.push(':');
                    value.write(out, space);
                }
                out.push('}');
            }
        }
        space(out);
    }

    /// The value one step down: the last one of duplicate keys; a number selects an element of an array.
    pub(crate) fn step(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Object(members) => {
                let wanted = Text::plain(name);
                members.iter().rev().find(|(key, _)| *key == wanted).map(|(_, value)| value)
            }
            Tree::Array(elements) => elements.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }

    pub(crate) fn is_container(&self) -> bool {
        matches!(self, Tree::Array(_) | Tree::Object(_))
    }
}
