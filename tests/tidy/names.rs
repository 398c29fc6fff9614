//! Names that a stranger can't guess the meaning of, as files, modules or functions.

use crate::assert_none;
use crate::sources::{Source, rust_below};

/// A name that is refused, and the term of the field that stands in its place.
const REFUSED: &[(&str, &str)] = &[
    ("asks", "receiver_hints"),
    ("everything", "snapshot"),
    ("figures", "call_metrics"),
    ("gather", "batch_window"),
    ("judge", "success"),
    ("kept", "frozen_request"),
    ("news", "changes"),
    ("notice", "operator_event"),
    ("remake", "recompile"),
    ("spared", "excluded"),
    ("survey", "inspection"),
    ("tell", "completion"),
    ("tempo", "backoff"),
    ("trial", "test_hook"),
    ("unsure", "unknown_outcome"),
    ("wants", "subscription"),
    ("watch", "timing"),
];

/// The function or module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let mut words = code.split_whitespace();
    words.find(|word| ["fn", "mod"].contains(word))?;
    let name = words.next()?;
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(&name[..end])
}

fn refused(sources: &[Source]) -> Vec<String> {
    let better = |name: &str| REFUSED.iter().find(|(refused, _)| *refused == name);
    let mut findings = Vec::new();
    for source in sources {
        for part in source.path.trim_end_matches(".rs").split('/') {
            if let Some((name, better)) = better(part) {
                findings.push(source.at(1, &format!("a file or folder `{name}`: `{better}`")));
            }
        }
        for (line, text) in source.lines() {
            if let Some((name, better)) = declared(text).and_then(better) {
                findings.push(source.at(line, &format!("`{name}`: `{better}`, or what it does")));
            }
        }
    }
    findings
}

#[test]
fn names_are_terms_of_the_field() {
    let rule = "the table REFUSED in tests/tidy/names.rs has a better name";
    assert_none(rule, &refused(&rust_below(&[""])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_is_found_as_file_module_and_function() {
        let source =
            |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let found = |path, text| refused(&[source(path, text)]);
        assert_eq!(found("a/tell.rs", ""), ["a/tell.rs:1: a file or folder `tell`: `completion`"]);
        assert_eq!(found("news/a.rs", ""), ["news/a.rs:1: a file or folder `news`: `changes`"]);
        // Put together here, so that this file does not declare it.
        let text =
            ["\npub(super) mod ", "kept;\nasync fn judge<T>() {}\nlet tell = x; // fn tell()"]
                .concat();
        assert_eq!(
            found("a/b.rs", &text),
            [
                "a/b.rs:2: `kept`: `frozen_request`, or what it does",
                "a/b.rs:3: `judge`: `success`, or what it does",
            ]
        );
    }
}
