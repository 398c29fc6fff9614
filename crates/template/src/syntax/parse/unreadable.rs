//! Suggests what to write instead of a tag that Handlebars can't read: syntax of other template languages.

use crate::Cause;
use crate::syntax::scan::{self, Fault};

pub(super) fn fault(source: &str, start: usize, end: usize) -> Fault {
    let fault = Fault::new(Cause::Unreadable, start, end, "this tag can't be read");
    let inner = scan::inner(source.get(start..end).unwrap_or_default());
    match line_break(inner).or_else(|| filter(inner)).or_else(|| index(inner)).or_else(|| dots(inner)) {
        Some(suggestion) => fault.suggest(suggestion),
        None => fault.suggest(
            "a tag is a path, or a helper with its arguments: `{{user.name}}`, `{{upper user.name}}`",
        ),
    }
}

/// Whether a name is followed by brackets without a dot between.
pub(super) fn is_indexed(source: &str, start: usize, end: usize) -> bool {
    index(scan::inner(source.get(start..end).unwrap_or_default())).is_some()
}

/// Splits a tag into the pieces outside of quotes (true) and the texts in quotes (false).
fn pieces(inner: &str) -> Vec<(bool, &str)> {
    let (mut pieces, mut begun, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = inner[at..].find(['"', '\'']) {
        let start = at + found;
        let quote = if inner[start..].starts_with('"') { '"' } else { '\'' };
        let end = start + scan::quoted_length(&inner[start..], quote);
        // Quotes in brackets are a mistake of their own, and part of a path.
        at = end;
        if inner[..start].ends_with('[') {
            continue;
        }
        pieces.push((true, &inner[begun..start]));
        pieces.push((false, &inner[start..end]));
        begun = end;
    }
    pieces.push((true, &inner[begun..]));
    pieces
}

fn line_break(inner: &str) -> Option<String> {
    let broken = pieces(inner).into_iter().any(|(plain, text)| !plain && text.contains('\n'));
    broken.then(|| "for a line break in a text in quotes write `\\n`".to_owned())
}

/// `name | upper`
fn filter(inner: &str) -> Option<String> {
    if inner.starts_with(['#', '/', '^']) {
        return None;
    }
    let (mut bar, mut at, mut bars) = (None, 0, 0);
    for (plain, text) in pieces(inner) {
        bar = bar.or_else(|| text.find('|').filter(|_| plain).map(|found| at + found));
        at += text.len();
        bars += if plain { text.matches('|').count() } else { 0 };
    }
    let bar = bar?;
    let (value, rest) = (inner[..bar].trim(), inner[bar + 1..].trim());
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (helper, arguments) = rest.split_at(end);
    let arguments = arguments.trim_start_matches([':', ' ', '(']).trim_end_matches([')', ' ']);
    if helper.is_empty() || value.is_empty() || bars > 1 {
        return None;
    }
    let value = if value.contains(' ') { format!("({value})") } else { value.to_owned() };
    let call = format!("{helper} {value} {arguments}");
    Some(format!("a helper stands before its arguments: `{{{{{}}}}}`", call.trim_end()))
}

/// `items[0]`
fn index(inner: &str) -> Option<String> {
    let mut changed = false;
    let mut written = String::new();
    for (plain, text) in pieces(inner) {
        let mut rest = text;
        while let Some((before, (key, after))) = rest
            .split_once('[')
            .filter(|_| plain)
            .and_then(|(before, after)| Some((before, after.split_once(']')?)))
        {
            written.push_str(before);
            let joined = written.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ']'));
            changed |= joined;
            written.push_str(if joined { "." } else { "" });
            let key = key.trim_matches(['"', '\'']);
            let is_index = joined && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit());
            written.push_str(&if is_index { key.to_owned() } else { format!("[{key}]") });
            rest = after;
        }
        written.push_str(rest);
    }
    changed.then(|| format!("steps of a path have dots between: `{{{{{written}}}}}`"))
}

/// `user..name`
fn dots(inner: &str) -> Option<String> {
    let mut written = String::new();
    for (plain, text) in pieces(inner) {
        let mut text = text.to_owned();
        while plain && let Some(at) = double_dot(&text) {
            text.remove(at);
        }
        written.push_str(&text);
    }
    let written = written.trim_end_matches('.');
    (written != inner && !written.is_empty())
        .then(|| format!("a path has one dot between its steps: `{{{{{written}}}}}`"))
}

/// The byte of a dot that follows a name and precedes another dot.
fn double_dot(text: &str) -> Option<usize> {
    text.match_indices("..").map(|(at, _)| at).find(|at| {
        text[..*at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ']' | '.'))
    })
}
