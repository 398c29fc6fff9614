//! Generates URL, header, form and XML templates together with the values to read back from the output.

use antar_template::Unresolved;

use super::dice::Dice;
use super::model::{Around, Expr, Hole, Model, condition, hole, path};

/// A part of a text: a literal that is sent unchanged, or a tag.
#[derive(Debug)]
pub(crate) enum Part {
    Plain(&'static str),
    Hole(Hole),
    Secret,
    If(Expr, Vec<Part>),
    Each(Expr, &'static str, Vec<Part>),
}

/// Maps the text of a value to the text that is read back from its place.
pub(crate) type Clean = fn(&str) -> String;

fn parts(dice: &mut Dice, around: &Around, depth: usize) -> Vec<Part> {
    let part = |dice: &mut Dice| match dice.below(if depth == 0 { 7 } else { 9 }) {
        0..=3 => Part::Hole(hole(dice, around, false)),
        4 if dice.one_in(3) => Part::Secret,
        7 => Part::If(condition(dice, around), some_parts(dice, around, depth - 1)),
        8 => {
            let (subject, separator) = (path(dice, around), dice.pick(&["-", "", "_x_"]));
            Part::Each(subject, separator, some_parts(dice, &around.inside(true), depth - 1))
        }
        _ => Part::Plain(dice.pick(&["x", "a-b", "7", "_"])),
    };
    (0..dice.below(4)).map(|_| part(dice)).collect()
}

/// Parts with at least one text: beside a block without any text, a hole could be the entire value.
fn some_parts(dice: &mut Dice, around: &Around, depth: usize) -> Vec<Part> {
    let mut some = parts(dice, around, depth);
    some.push(Part::Plain("-"));
    some
}

fn print(parts: &[Part], out: &mut String) {
    for part in parts {
        match part {
            Part::Plain(text) => out.push_str(text),
            Part::Hole(hole) => out.push_str(&hole.token),
            Part::Secret => out.push_str("{{antar.secret.s}}"),
            Part::If(condition, body) => {
                out.push_str(&format!("{{{{#if {}}}}}", condition.argument()));
                print(body, out);
                out.push_str("{{/if}}");
            }
            Part::Each(subject, separator, body) => {
                out.push_str(&format!("{{{{#each {} join=\"{separator}\"}}}}", subject.words()));
                print(body, out);
                out.push_str("{{/each}}");
            }
        }
    }
}

fn eval(parts: &[Part], model: &mut Model, clean: Clean) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Plain(text) => out.push_str(text),
            Part::Hole(hole) => out.push_str(&clean(&model.text(hole).lossy())),
            Part::Secret => out.push_str(&clean(super::SECRET)),
            Part::If(condition, body) => {
                if model.holds(condition) {
                    out.push_str(&eval(body, model, clean));
                }
            }
            Part::Each(subject, separator, body) => {
                let mut turns = Vec::new();
                model.each(subject, |model| turns.push(eval(body, model, clean)));
                turns.retain(|turn| !turn.is_empty());
                out.push_str(&turns.join(separator));
            }
        }
    }
    out
}

/// Every text is read back unchanged.
fn same(text: &str) -> String {
    text.to_owned()
}

/// Whether `omit` drops the parameter or header whose entire value these parts are.
fn omitted(parts: &[Part], model: &mut Model) -> bool {
    match parts {
        [Part::Hole(hole)] if model.policy == Unresolved::Omit => {
            model.value(&hole.expr).is_none_or(|value| value == super::tree::Tree::Null)
        }
        _ => false,
    }
}

/// Parameters of a query or form.
#[derive(Debug)]
pub(crate) enum Pair {
    One(Vec<Part>),
    If(Expr, Vec<Part>),
    Loop(Expr, Vec<Part>),
}

pub(crate) fn pairs(dice: &mut Dice) -> Vec<Pair> {
    let around = Around::default();
    let mut all = vec![Pair::One(pair_value(dice, &around))];
    for _ in 0..dice.below(3) {
        all.push(match dice.below(3) {
            0 => Pair::One(pair_value(dice, &around)),
            1 => Pair::If(condition(dice, &around), pair_value(dice, &around)),
            _ => Pair::Loop(path(dice, &around), pair_value(dice, &around.inside(true))),
        });
    }
    all
}

fn pair_value(dice: &mut Dice, around: &Around) -> Vec<Part> {
    if dice.one_in(2) {
        vec![Part::Hole(hole(dice, around, false))]
    } else {
        parts(dice, around, 1)
    }
}

pub(crate) fn print_pairs(pairs: &[Pair], out: &mut String) {
    for (at, pair) in pairs.iter().enumerate() {
        let lead = if at > 0 { "&" } else { "" };
        match pair {
            Pair::One(value) => {
                out.push_str(&format!("{lead}p{at}="));
                print(value, out);
            }
            Pair::If(condition, value) => {
                out.push_str(&format!("{{{{#if {}}}}}&p{at}=", condition.argument()));
                print(value, out);
                out.push_str("{{/if}}");
            }
            // A parameter that is always present keeps a lone `&` from being another one.
            Pair::Loop(subject, value) => {
                let words = subject.words();
                out.push_str(&format!("&q=1&{{{{#each {words} join=\"&\"}}}}p{at}="));
                print(value, out);
                out.push_str("{{/each}}");
            }
        }
    }
}

pub(crate) fn eval_pairs(pairs: &[Pair], model: &mut Model) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    let mut add = |model: &mut Model, at: usize, value: &[Part]| {
        let out = omitted(value, model);
        let text = eval(value, model, same);
        if !out {
            sent.push((format!("p{at}"), text));
        }
    };
    for (at, pair) in pairs.iter().enumerate() {
        match pair {
            Pair::One(value) => add(model, at, value),
            Pair::If(condition, value) => {
                if model.holds(condition) {
                    add(model, at, value);
                }
            }
            Pair::Loop(subject, value) => {
                model.each(subject, |model| add(model, at, value));
            }
        }
    }
    sent
}

/// The pairs to compare, of those that were read: without the fixed ones and the empty ones between two
/// `&`.
pub(crate) fn counted(read: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    read.filter(|(key, value)| key != "q" && !(key.is_empty() && value.is_empty())).collect()
}

pub(crate) const AUTHORITIES: [&str; 5] = [
    "https://crm.example",
    "http://crm.example:8080",
    "https://user:pw@crm.example:8443",
    "https://[2001:db8::1]",
    "HTTPS://Crm.Example:443",
];

#[derive(Debug)]
pub(crate) struct Url {
    pub(crate) authority: &'static str,
    segments: Vec<Vec<Part>>,
    query: Option<Vec<Pair>>,
    fragment: Option<Vec<Part>>,
}

pub(crate) struct UrlParts {
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) fragment: Option<String>,
}

pub(crate) fn url(dice: &mut Dice) -> Url {
    let around = Around::default();
    Url {
        authority: dice.pick(&AUTHORITIES),
        segments: (0..1 + dice.below(3)).map(|_| parts(dice, &around, 1)).collect(),
        query: dice.one_in(2).then(|| pairs(dice)),
        fragment: dice.one_in(3).then(|| parts(dice, &around, 0)),
    }
}

impl Url {
    pub(crate) fn print(&self) -> String {
        let mut out = self.authority.to_owned();
        for segment in &self.segments {
            out.push('/');
            print(segment, &mut out);
        }
        if let Some(query) = &self.query {
            out.push('?');
            print_pairs(query, &mut out);
        }
        if let Some(fragment) = &self.fragment {
            out.push('#');
            print(fragment, &mut out);
        }
        out
    }

    pub(crate) fn eval(&self, model: &mut Model) -> UrlParts {
        UrlParts {
            segments: self.segments.iter().map(|parts| eval(parts, model, same)).collect(),
            query: self.query.as_ref().map(|query| eval_pairs(query, model)).unwrap_or_default(),
            fragment: self.fragment.as_ref().map(|parts| eval(parts, model, same)),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Header(Vec<Part>);

pub(crate) fn header(dice: &mut Dice) -> Header {
    Header(parts(dice, &Around::default(), 2))
}

impl Header {
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        print(&self.0, &mut out);
        out
    }

    /// The line, and whether the header is left out.
    pub(crate) fn eval(&self, model: &mut Model) -> (String, bool) {
        let out = omitted(&self.0, model);
        (eval(&self.0, model, one_line), out)
    }
}

fn one_line(text: &str) -> String {
    let parts: Vec<&str> = text.split(char::is_control).collect();
    let last = parts.len() - 1;
    let kept: Vec<&str> = parts
        .iter()
        .enumerate()
        .filter(|(at, part)| !part.is_empty() || *at == 0 || *at == last)
        .map(|(_, part)| *part)
        .collect();
    match kept.as_slice() {
        ["", ""] => " ".to_owned(),
        kept => kept.join(" "),
    }
}

#[derive(Debug)]
pub(crate) struct Xml {
    double: Vec<Part>,
    single: Vec<Part>,
    text: Vec<Part>,
    list: Expr,
    item: Vec<Part>,
}

pub(crate) fn xml(dice: &mut Dice) -> Xml {
    let around = Around::default();
    Xml {
        double: parts(dice, &around, 1),
        single: parts(dice, &around, 1),
        text: parts(dice, &around, 2),
        list: path(dice, &around),
        item: parts(dice, &around.inside(true), 1),
    }
}

impl Xml {
    pub(crate) fn print(&self) -> String {
        let mut out = "<?xml version=\"1.0\"?><r a=\"".to_owned();
        print(&self.double, &mut out);
        out.push_str("\" b='");
        print(&self.single, &mut out);
        out.push_str("'><t>");
        print(&self.text, &mut out);
        out.push_str(&format!("</t>{{{{#each {}}}}}<i>", self.list.words()));
        print(&self.item, &mut out);
        out.push_str("</i>{{/each}}</r>");
        out
    }

    /// The two attributes, the text, and the items.
    pub(crate) fn eval(&self, model: &mut Model) -> Vec<String> {
        let mut read = vec![
            eval(&self.double, model, allowed),
            eval(&self.single, model, allowed),
            eval(&self.text, model, allowed),
        ];
        model.each(&self.list, |model| read.push(eval(&self.item, model, allowed)));
        read
    }
}

/// The characters that XML 1.0 allows.
fn allowed(text: &str) -> String {
    let excluded = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.chars().filter(|c| !excluded(*c)).collect()
}
