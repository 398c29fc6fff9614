//! Generates JSON templates together with their expected output.

use antar_template::Unresolved;

use super::dice::Dice;
use super::model::{Around, Expr, Hole, Model, condition, hole, path};
use super::tree::{Text, Tree};

#[derive(Debug)]
pub(crate) enum Val {
    Hole(Hole),
    Text(Vec<Part>),
    Number(&'static str),
    Secret,
    Array(Items),
    Object(Items),
    /// `{{#if}}`, or `{{#unless}}` if negated
    If(Expr, bool, Box<Val>, Box<Val>),
    With(Expr, Box<Val>, Box<Val>),
}

/// A part of a JSON string.
#[derive(Debug)]
pub(crate) enum Part {
    /// As written in the template, and as read back from the output.
    Plain(&'static str, &'static str),
    Hole(Hole),
    Secret,
    If(Expr, Vec<Part>, Vec<Part>),
    Each(Expr, &'static str, Vec<Part>),
}

/// An element, or a member if it has a key.
#[derive(Debug)]
pub(crate) struct Item(Option<Vec<Part>>, Val);

#[derive(Debug)]
pub(crate) enum Items {
    /// Unconditional items, then items under a condition each.
    List(Vec<Item>, Vec<(Expr, Item)>),
    Loop {
        subject: Expr,
        style: Style,
        filter: Option<Expr>,
        body: Box<Item>,
        otherwise: Option<Box<Item>>,
    },
    /// One item, then a loop whose turns begin with a comma.
    After(Box<Item>, Expr, Box<Item>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    Join(&'static str),
    UnlessLast,
    UnlessFirst,
}

const PLAIN: [(&str, &str); 7] = [
    ("x", "x"),
    ("\\\"", "\""),
    ("\\u00e9\\n", "é\n"),
    ("a, ]}", "a, ]}"),
    (" ", " "),
    ("é😀", "é😀"),
    ("\\/", "/"),
];

fn parts(dice: &mut Dice, around: &Around, depth: usize) -> Vec<Part> {
    (0..dice.below(4)).map(|_| part(dice, around, depth)).collect()
}

fn part(dice: &mut Dice, around: &Around, depth: usize) -> Part {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0..=2 => Part::Hole(hole(dice, around, false)),
        3 if dice.one_in(4) => Part::Secret,
        6 => {
            let condition = condition(dice, around);
            Part::If(condition, parts(dice, around, depth - 1), parts(dice, around, depth - 1))
        }
        7 => {
            let subject = path(dice, around);
            let separator = dice.pick(&[", ", "", "; ", "/"]);
            Part::Each(subject, separator, parts(dice, &around.inside(true), depth - 1))
        }
        _ => {
            let (source, reads) = dice.pick(&PLAIN);
            Part::Plain(source, reads)
        }
    }
}

fn item(dice: &mut Dice, around: &Around, depth: usize, member: bool) -> Item {
    let key = member.then(|| {
        let mut key = vec![Part::Plain("k", "k")];
        key.extend(parts(dice, around, 0));
        key
    });
    Item(key, val(dice, around, depth))
}

pub(crate) fn val(dice: &mut Dice, around: &Around, depth: usize) -> Val {
    match dice.below(if depth == 0 { 8 } else { 20 }) {
        0..=2 => Val::Hole(hole(dice, around, true)),
        3 | 4 => Val::Text(vec![Part::Hole(hole(dice, around, false))]),
        5 => Val::Text(parts(dice, around, depth.min(2))),
        6 => Val::Number(dice.pick(&["1", "-0.5e3", "0"])),
        7 if dice.one_in(3) => Val::Secret,
        7 => Val::Hole(hole(dice, around, true)),
        8..=11 => Val::Array(items(dice, around, depth - 1, false)),
        12..=16 => Val::Object(items(dice, around, depth - 1, true)),
        17 => {
            let subject = path(dice, around);
            let inner = val(dice, &around.inside(false), depth - 1);
            Val::With(subject, Box::new(inner), Box::new(val(dice, around, depth - 1)))
        }
        _ => {
            let (condition, negated) = (condition(dice, around), dice.one_in(3));
            let then = Box::new(val(dice, around, depth - 1));
            Val::If(condition, negated, then, Box::new(val(dice, around, depth - 1)))
        }
    }
}

fn items(dice: &mut Dice, around: &Around, depth: usize, member: bool) -> Items {
    let inner = around.inside(true);
    match dice.below(5) {
        0 | 1 => {
            let style = dice.pick(&[
                Style::Join(","),
                Style::Join(",\\n  "),
                Style::Join(" , "),
                Style::UnlessLast,
                Style::UnlessFirst,
            ]);
            let filters = matches!(style, Style::Join(_)) && dice.one_in(2);
            let subject = path(dice, around);
            let filter = filters.then(|| condition(dice, &inner));
            let body = Box::new(item(dice, &inner, depth, member));
            let other = dice.one_in(3);
            let otherwise = other.then(|| Box::new(item(dice, around, depth, member)));
            Items::Loop { subject, style, filter, body, otherwise }
        }
        2 => {
            let one = Box::new(item(dice, around, depth, member));
            let subject = path(dice, around);
            Items::After(one, subject, Box::new(item(dice, &inner, depth, member)))
        }
        _ => {
            let surely: Vec<_> =
                (0..dice.below(4)).map(|_| item(dice, around, depth, member)).collect();
            let maybe = if surely.is_empty() { 0 } else { dice.below(3) };
            let maybe = (0..maybe)
                .map(|_| (condition(dice, around), item(dice, around, depth, member)))
                .collect();
            Items::List(surely, maybe)
        }
    }
}

pub(crate) fn print_parts(parts: &[Part], out: &mut String) {
    for part in parts {
        match part {
            Part::Plain(source, _) => out.push_str(source),
            Part::Hole(hole) => out.push_str(&hole.token),
            Part::Secret => out.push_str("{{antar.secret.s}}"),
            Part::If(condition, then, otherwise) => {
                out.push_str(&format!("{{{{#if {}}}}}", condition.argument()));
                print_parts(then, out);
                out.push_str("{{else}}");
                print_parts(otherwise, out);
                out.push_str("{{/if}}");
            }
            Part::Each(subject, separator, body) => {
                out.push_str(&format!("{{{{#each {} join=\"{separator}\"}}}}", subject.words()));
                print_parts(body, out);
                out.push_str("{{/each}}");
            }
        }
    }
}

impl Item {
    fn print(&self, dice: &mut Dice, out: &mut String) {
        if let Some(key) = &self.0 {
            out.push('"');
            print_parts(key, out);
            out.push_str(dice.pick(&["\":", "\": ", "\" :\n"]));
        }
        self.1.print(dice, out);
    }
}

impl Items {
    fn print(&self, dice: &mut Dice, out: &mut String) {
        match self {
            Items::List(surely, maybe) => {
                for (at, item) in surely.iter().enumerate() {
                    out.push_str(if at > 0 { dice.pick(&[",", ",\n ", " , "]) } else { "" });
                    item.print(dice, out);
                }
                for (condition, item) in maybe {
                    out.push_str(&format!("{{{{#if {}}}}},", condition.argument()));
                    item.print(dice, out);
                    out.push_str("{{/if}}");
                }
            }
            Items::After(one, subject, body) => {
                one.print(dice, out);
                out.push_str(&format!("{{{{#each {}}}}},", subject.words()));
                body.print(dice, out);
                out.push_str("{{/each}}");
            }
            Items::Loop { subject, style, filter, body, otherwise } => {
                let join = match style {
                    Style::Join(text) => format!(" join=\"{text}\""),
                    _ => String::new(),
                };
                out.push_str(&format!("{{{{#each {}{join}}}}}", subject.words()));
                if *style == Style::UnlessFirst {
                    out.push_str("{{#unless @first}}, {{/unless}}");
                }
                if let Some(filter) = filter {
                    out.push_str(&format!("{{{{#if {}}}}}", filter.argument()));
                }
                body.print(dice, out);
                out.push_str(if filter.is_some() { "{{/if}}" } else { "" });
                if *style == Style::UnlessLast {
                    out.push_str("{{#unless @last}},{{/unless}}");
                }
                if let Some(otherwise) = otherwise {
                    out.push_str("{{else}}");
                    otherwise.print(dice, out);
                }
                out.push_str("{{/each}}");
            }
        }
    }

    /// The keys and values that are sent.
    fn eval(&self, model: &mut Model) -> Vec<(Option<Text>, Tree)> {
        let mut sent = Vec::new();
        let mut add = |model: &mut Model, Item(key, value): &Item| {
            let key = key.as_ref().map(|parts| eval_parts(parts, model));
            sent.extend(value.eval(model).map(|value| (key, value)));
        };
        match self {
            Items::List(surely, maybe) => {
                surely.iter().for_each(|item| add(model, item));
                for (condition, item) in maybe {
                    if model.holds(condition) {
                        add(model, item);
                    }
                }
            }
            Items::After(one, subject, body) => {
                add(model, one);
                model.each(subject, |model| add(model, body));
            }
            Items::Loop { subject, filter, body, otherwise, .. } => {
                let ran = model.each(subject, |model| {
                    if filter.as_ref().is_none_or(|filter| model.holds(filter)) {
                        add(model, body);
                    }
                });
                if let (false, Some(otherwise)) = (ran, otherwise) {
                    add(model, otherwise);
                }
            }
        }
        sent
    }
}

impl Val {
    pub(crate) fn print(&self, dice: &mut Dice, out: &mut String) {
        match self {
            Val::Hole(hole) => out.push_str(&hole.token),
            Val::Secret => out.push_str("{{antar.secret.s}}"),
            Val::Number(text) => out.push_str(text),
            Val::Text(parts) => {
                out.push('"');
                print_parts(parts, out);
                out.push('"');
            }
            Val::Array(items) => {
                out.push('[');
                items.print(dice, out);
                out.push(']');
            }
            // Spaces, because three braces would be another tag.
            Val::Object(items) => {
                out.push_str("{ ");
                items.print(dice, out);
                out.push_str(" }");
            }
            Val::If(condition, negated, then, otherwise) => {
                let name = if *negated { "unless" } else { "if" };
                out.push_str(&format!("{{{{#{name} {}}}}}", condition.argument()));
                then.print(dice, out);
                out.push_str("{{else}}");
                otherwise.print(dice, out);
                out.push_str(&format!("{{{{/{name}}}}}"));
            }
            Val::With(subject, body, otherwise) => {
                out.push_str(&format!("{{{{#with {}}}}}", subject.words()));
                body.print(dice, out);
                out.push_str("{{else}}");
                otherwise.print(dice, out);
                out.push_str("{{/with}}");
            }
        }
    }

    /// `None` if it is left out.
    pub(crate) fn eval(&self, model: &mut Model) -> Option<Tree> {
        match self {
            Val::Hole(hole) => match model.hole(hole) {
                None if model.policy == Unresolved::Literal => {
                    Some(Tree::Text(Text::plain(&hole.token)))
                }
                None | Some(Tree::Null) => (model.policy != Unresolved::Omit).then_some(Tree::Null),
                value => value,
            },
            Val::Text(parts) => match (parts.as_slice(), model.policy) {
                ([Part::Hole(hole)], Unresolved::Omit) => match model.hole(hole) {
                    None | Some(Tree::Null) => None,
                    Some(_) => Some(Tree::Text(eval_parts(parts, model))),
                },
                _ => Some(Tree::Text(eval_parts(parts, model))),
            },
            Val::Number(text) => Some(Tree::Number((*text).to_owned())),
            Val::Secret => Some(Tree::Text(Text::plain(super::SECRET))),
            Val::Array(items) => {
                Some(Tree::Array(items.eval(model).into_iter().map(|(_, value)| value).collect()))
            }
            Val::Object(items) => Some(Tree::Object(
                items
                    .eval(model)
                    .into_iter()
                    .map(|(key, value)| (key.unwrap_or_default(), value))
                    .collect(),
            )),
            Val::If(condition, negated, then, otherwise) => {
                if model.holds(condition) != *negated { then } else { otherwise }.eval(model)
            }
            Val::With(subject, body, otherwise) => {
                let mut value = None;
                if model.with(subject, |model| value = body.eval(model)) {
                    return value;
                }
                otherwise.eval(model)
            }
        }
    }
}

pub(crate) fn eval_parts(parts: &[Part], model: &mut Model) -> Text {
    let mut units = Vec::new();
    for part in parts {
        match part {
            Part::Plain(_, reads) => units.extend(reads.encode_utf16()),
            Part::Secret => units.extend(super::SECRET.encode_utf16()),
            Part::Hole(hole) => units.extend(model.text(hole).units),
            Part::If(condition, then, otherwise) => {
                let parts = if model.holds(condition) { then } else { otherwise };
                units.extend(eval_parts(parts, model).units);
            }
            Part::Each(subject, separator, body) => {
                let mut turns = Vec::new();
                model.each(subject, |model| turns.push(eval_parts(body, model).units));
                turns.retain(|turn| !turn.is_empty());
                let separator: Vec<u16> = separator.encode_utf16().collect();
                units.extend(turns.join(separator.as_slice()));
            }
        }
    }
    Text::units(units)
}
