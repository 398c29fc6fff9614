//! Checks the rules, operators and errors shown on the page for integrators, `docs/rules.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use antar_json::{Document, Value};
use antar_rules::Pattern;

const PAGE: &str = include_str!("../../../docs/rules.md");

fn parse(text: &str) -> Pattern {
    let document: Document = text.parse().unwrap();
    Pattern::parse(document.root()).unwrap()
}

/// The JSON blocks of the page: the event, and the rules.
fn blocks() -> (Document, Vec<String>) {
    let blocks = PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (events, rules): (Vec<_>, Vec<_>) =
        blocks.map(str::to_owned).partition(|block| block.contains("\"timestamp\""));
    (events[0].parse().unwrap(), rules)
}

/// The dotted path of the first member called `name`.
fn path_of(value: Value<'_>, name: &str) -> Option<String> {
    value.members().find_map(|(key, member)| {
        let key = key.as_str()?;
        if key == name {
            return Some(name.to_owned());
        }
        path_of(member, name).map(|rest| format!("{key}.{rest}"))
    })
}

#[test]
fn every_block_is_a_rule_and_those_said_to_match_do() {
    let (event, rules) = blocks();
    let matching: Vec<bool> = rules.iter().map(|r| parse(r).matches(event.root())).collect();
    // Inbox and label; dotted paths; `$or`; conditions that only two different items satisfy.
    assert_eq!(matching, [true, true, true, false], "{rules:#?}");
}

#[test]
fn every_row_of_the_table_of_operators_matches_the_event() {
    let (event, _) = blocks();
    let codes: Vec<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("| `\"")?.split("` |").next()).collect();
    assert_eq!(codes.len(), 14, "{codes:#?}");
    for code in codes {
        let (name, list) = code.split_once("\": ").unwrap();
        let path = path_of(event.root(), name).unwrap_or_else(|| format!("data.{name}"));
        let pattern = parse(&format!(r#"{{"{path}": {list}}}"#));
        assert_eq!(pattern.explain(event.root()), None, "{code}");
    }
}

#[test]
fn every_row_of_the_table_of_errors_is_what_is_answered() {
    let section = PAGE.split("## When a rule is wrong").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut count = 0;
    for row in rows {
        let (rule, rest) = row[3..].split_once("` | `").unwrap();
        let (pointer, detail) = rest.split_once("` | ").unwrap();
        let document: Document = rule.parse().unwrap();
        let error = Pattern::parse(document.root()).unwrap_err();
        assert_eq!(error.pointer, pointer);
        let said = detail.trim_end_matches([' ', '|', '…']);
        assert!(error.detail.starts_with(said), "{} / {said}", error.detail);
        count += 1;
    }
    assert_eq!(count, 5);
}
