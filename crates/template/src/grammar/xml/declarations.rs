//! The XML declaration, processing instructions and DOCTYPE.

use super::{At, State, continues_name, is_space, starts_name, syntax};
use crate::prove::Stuck;

/// `read`: the text after `<?`. `fresh`: whether nothing precedes it.
pub(super) fn instruction(
    state: &State,
    mut read: String,
    fresh: bool,
    c: char,
) -> Result<At, Stuck> {
    let Some(text) = read.strip_suffix('?').filter(|_| c == '>') else {
        read.push(c);
        return Ok(At::Instruction(read));
    };
    let target_end = text.find(|c| !continues_name(c)).unwrap_or(text.len());
    let (target, rest) = text.split_at(target_end);
    if !target.starts_with(starts_name) || !(rest.is_empty() || rest.starts_with(is_space)) {
        return Err(syntax("a processing instruction begins with a name: `<?name …?>`"));
    }
    if !target.eq_ignore_ascii_case("xml") {
        return Ok(At::Text(0));
    }
    if !fresh || state.rooted {
        return Err(syntax("`<?xml …?>` stands at the very beginning, or nowhere")
            .suggest("take away what stands before it, line breaks too"));
    }
    match target == "xml" && declares(rest) {
        true => Ok(At::Text(0)),
        false => Err(syntax("this is no XML declaration for UTF-8, which Antar sends")
            .suggest("write `<?xml version=\"1.0\" encoding=\"UTF-8\"?>`")),
    }
}

/// Whether the text is `version`, then optionally `encoding`, then optionally `standalone` (§2.8).
fn declares(text: &str) -> bool {
    let mut rest = text;
    let mut named = Vec::new();
    while !rest.trim_matches(is_space).is_empty() {
        let Some((name, value, after)) = pseudo_attribute(rest) else { return false };
        named.push((name, value));
        rest = after;
    }
    let version = |text: &str| text == "1.0";
    let encoding = |text: &str| text.eq_ignore_ascii_case("utf-8");
    let standalone = |text: &str| matches!(text, "yes" | "no");
    match named.as_slice() {
        [("version", a)] => version(a),
        [("version", a), ("encoding", b)] => version(a) && encoding(b),
        [("version", a), ("standalone", b)] => version(a) && standalone(b),
        [("version", a), ("encoding", b), ("standalone", c)] => {
            version(a) && encoding(b) && standalone(c)
        }
        _ => false,
    }
}

fn pseudo_attribute(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix(is_space)?.split_once('=')?;
    let rest = rest.trim_start_matches(is_space);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, after) = rest[1..].split_once(quote)?;
    Some((name.trim_matches(is_space), value, after))
}

/// `read`: the text after `<!DOCTYPE`. An internal subset (`[…]`) is refused: nothing could be proved
/// about what it changes.
pub(super) fn doctype(mut read: String, c: char) -> Result<At, Stuck> {
    let quoted = open_quote(&read).is_some();
    if quoted || c != '>' {
        if !quoted && c == '[' {
            return Err(syntax("a DOCTYPE can't hold declarations of its own here")
                .suggest("leave `[…]` out"));
        }
        read.push(c);
        return Ok(At::Doctype(read));
    }
    match is_doctype(&read) {
        true => Ok(At::Text(0)),
        false => Err(syntax("this is no DOCTYPE")
            .suggest("write `<!DOCTYPE name SYSTEM \"https://…\">`, or leave it out")),
    }
}

fn open_quote(text: &str) -> Option<char> {
    text.chars().fold(None, |quote, c| match (quote, c) {
        (None, '"' | '\'') => Some(c),
        (Some(open), c) if c == open => None,
        (quote, _) => quote,
    })
}

fn is_doctype(text: &str) -> bool {
    let Some(text) = text.strip_prefix(is_space) else { return false };
    let text = text.trim_matches(is_space);
    let end = text.find(|c| !continues_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if !name.starts_with(starts_name) {
        return false;
    }
    let literals = match rest.trim_start_matches(is_space) {
        "" => return true,
        // §2.8 requires white space before the keyword.
        _ if !rest.starts_with(is_space) => return false,
        rest => match (rest.strip_prefix("SYSTEM"), rest.strip_prefix("PUBLIC")) {
            (Some(rest), _) => literal(rest).map(|(_, rest)| rest),
            (_, Some(rest)) => literal(rest)
                .filter(|(id, _)| id.chars().all(is_public_id))
                .and_then(|(_, rest)| literal(rest))
                .map(|(_, rest)| rest),
            _ => None,
        },
    };
    literals.is_some_and(|rest| rest.trim_matches(is_space).is_empty())
}

/// `PubidChar`, §2.3
fn is_public_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || " \r\n-'()+,./:=?;!*#@$_%".contains(c)
}

/// Reads white space and a text in quotes; returns the text and the rest.
fn literal(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix(is_space)?.trim_start_matches(is_space);
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].split_once(quote)
}
