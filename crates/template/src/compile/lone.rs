//! Finds the holes that are the entire value of a member, element, parameter or header, which `omit` can
//! remove.

use crate::plan::{Event, Node, Slot, Text};
use crate::{ContentType, Place};

pub(super) fn find(nodes: &mut [Node], place: &Place) {
    match place {
        Place::Body(ContentType::Json) => json(nodes),
        Place::Body(ContentType::Form) => parameters(nodes, true, true, &['&']),
        Place::Url { .. } => parameters(nodes, true, false, &['&', '#']),
        Place::Header => {
            if let [Node::Hole(hole)] = nodes {
                hole.lone = true;
            }
        }
        Place::Body(_) => {}
    }
}

/// A hole in value position is the entire value. So is a hole in a string if quotes directly surround it;
/// such a hole then writes the quotes itself.
fn json(nodes: &mut [Node]) {
    for at in 0..nodes.len() {
        match &mut nodes[at] {
            Node::Text(_) => {}
            Node::Hole(hole) => match hole.slot {
                Some(Slot::JsonValue) => hole.lone = true,
                Some(Slot::JsonText) => quoted(nodes, at),
                _ => {}
            },
            Node::If(block) => {
                json(&mut block.then);
                json(&mut block.otherwise);
            }
            Node::Each(block) | Node::With(block) => {
                json(&mut block.body);
                json(&mut block.otherwise);
            }
        }
    }
}

fn quoted(nodes: &mut [Node], at: usize) {
    let Some([Node::Text(before), Node::Hole(hole), Node::Text(after)]) =
        at.checked_sub(1).and_then(|first| nodes.get_mut(first..at + 2))
    else {
        return;
    };
    // Inside a string, a final quote is the opening one, unless a backslash escapes it.
    let opens = before.text.ends_with('"') && !before.text.ends_with("\\\"");
    if opens && after.text.starts_with('"') {
        before.text.pop();
        after.text.remove(0);
        for (place, _) in after.events.iter_mut().flatten() {
            *place -= 1;
        }
        hole.slot = Some(Slot::JsonString);
        hole.lone = true;
    }
}

/// `ends`: whether a parameter ends where these nodes end. `starts`: whether one begins before the first
/// of them, as in a form. `marks`: the characters that end a parameter.
fn parameters(nodes: &mut [Node], ends: bool, starts: bool, marks: &[char]) {
    for at in 0..nodes.len() {
        let ends_here = ends_at(&nodes[at + 1..], ends, marks);
        let (before, rest) = nodes.split_at_mut(at);
        match &mut rest[0] {
            Node::Text(_) => {}
            Node::Hole(hole) => {
                let named = match before.last() {
                    Some(Node::Text(text)) => {
                        is_name(&text.text, text.events.as_deref(), starts && at == 1)
                    }
                    _ => false,
                };
                hole.lone = named && ends_here && matches!(hole.slot, Some(Slot::Url | Slot::Form));
            }
            Node::If(block) => {
                parameters(&mut block.then, ends_here, false, marks);
                parameters(&mut block.otherwise, ends_here, false, marks);
            }
            Node::With(block) => {
                parameters(&mut block.body, ends_here, false, marks);
                parameters(&mut block.otherwise, ends_here, false, marks);
            }
            Node::Each(block) => {
                let separator = block.separator.as_ref().filter(|text| !text.text.is_empty());
                let next_turn = match separator {
                    Some(separator) => separator.text.starts_with(marks),
                    None => ends_at(&block.body, false, marks),
                };
                let begins = match before.last() {
                    Some(Node::Text(text)) => begins_after(text),
                    Some(_) => false,
                    None => starts,
                } && separator.is_some_and(begins_after);
                parameters(&mut block.body, ends_here && next_turn, begins, marks);
                parameters(&mut block.otherwise, ends_here, false, marks);
            }
        }
    }
}

/// Whether the text ends with a parameter's name and its `=`, and the name begins in the same text.
fn is_name(text: &str, events: Option<&[(usize, Event)]>, starts: bool) -> bool {
    let Some(name) = text.strip_suffix('=') else { return false };
    let begins = events
        .and_then(|events| events.iter().rev().find(|(_, event)| *event != Event::Fragment))
        .map(|(at, _)| at + 1);
    match begins.or(starts.then_some(0)) {
        Some(begins) => name.get(begins..).is_some_and(|name| !name.contains(['=', '#'])),
        None => false,
    }
}

/// Whether a parameter begins right after this text.
fn begins_after(text: &Text) -> bool {
    let last = text.events.iter().flatten().next_back();
    last.is_some_and(|(at, event)| *event != Event::Fragment && at + 1 == text.text.len())
}

/// Whether a parameter always ends before the first of `nodes`.
fn ends_at(nodes: &[Node], after: bool, marks: &[char]) -> bool {
    let Some((first, rest)) = nodes.split_first() else { return after };
    match first {
        Node::Text(text) => text.text.starts_with(marks),
        Node::Hole(_) => false,
        Node::If(block) => {
            let after = ends_at(rest, after, marks);
            ends_at(&block.then, after, marks) && ends_at(&block.otherwise, after, marks)
        }
        Node::Each(block) | Node::With(block) => {
            let after = ends_at(rest, after, marks);
            ends_at(&block.body, after, marks) && ends_at(&block.otherwise, after, marks)
        }
    }
}
