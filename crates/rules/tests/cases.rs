//! Patterns that match, don't match or are refused, as in event-ruler: the tables next to this file were
//! checked against the Java library. Deviations have tests of their own here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use antar_json::{Document, Value};
use antar_rules::{Index, Limits, Pattern, PatternError};

fn document(text: &str) -> Document {
    text.parse().unwrap()
}

fn parse(text: &str) -> Result<Pattern, PatternError> {
    Pattern::parse(document(text).root())
}

/// Evaluates a pattern and checks that evaluator, explanation and index agree.
fn matches(pattern: &Pattern, event: Value<'_>) -> bool {
    let matched = pattern.matches(event);
    assert_eq!(pattern.explain(event).is_none(), matched, "{pattern:?} {event:?}");
    let mut index = Index::new();
    index.insert((), pattern.clone());
    assert_eq!(!index.matches(event).is_empty(), matched, "{pattern:?} {event:?}");
    matched
}

#[test]
fn table_of_matches() {
    let table = document(include_str!("cases.json"));
    for case in table.root().elements() {
        let field = |name| case.get(name).unwrap();
        let about = field("about");
        let pattern = Pattern::parse(field("pattern")).unwrap();
        for event in field("matches").elements() {
            assert!(matches(&pattern, event), "{about:?}: {event:?} must match");
        }
        for event in field("not").elements() {
            assert!(!matches(&pattern, event), "{about:?}: {event:?} must not match");
        }
    }
}

#[test]
fn table_of_refusals() {
    let table = document(include_str!("refused.json"));
    for case in table.root().elements() {
        let texts: Vec<_> = case.elements().map(|text| text.as_str().unwrap()).collect();
        let error = parse(&texts[0]).expect_err(&texts[0]);
        assert_eq!(error.pointer, texts[1], "{}: {error}", texts[0]);
        assert!(error.detail.contains(&*texts[2]), "{}: {error}", texts[0]);
    }
}

#[test]
fn no_rule_is_every_event() {
    for event in [r#"{"a": 1}"#, "{}", "[]"] {
        assert!(matches(&parse("{}").unwrap(), document(event).root()));
        assert!(matches(&Pattern::match_all(), document(event).root()));
        assert!(matches(&Pattern::all_of([]), document(event).root()));
    }
}

#[test]
fn repeated_keys_of_an_event_all_count() {
    let event = document(r#"{"a": "x", "a": {"b": 1}, "a.b": 2, "a": ["y"]}"#);
    for pattern in [r#"{"a": ["x"]}"#, r#"{"a": ["y"]}"#, r#"{"a.b": [1]}"#, r#"{"a": {"b": [2]}}"#]
    {
        assert!(matches(&parse(pattern).unwrap(), event.root()), "{pattern}");
    }
    assert!(!matches(&parse(r#"{"a": ["z"]}"#).unwrap(), event.root()));
}

/// event-ruler silently uses the later list.
#[test]
fn a_path_given_twice_is_refused_in_every_spelling() {
    for (pattern, pointer) in [
        (r#"{"a": ["x"], "a": ["y"]}"#, "/a"),
        (r#"{"a.b": ["x"], "a": {"b": ["y"]}}"#, "/a/b"),
        (r#"{"$or": [{"b": [1]}, {"a": {"b": [1]}, "a.b": [2]}]}"#, "/$or/1/a.b"),
    ] {
        let error = parse(pattern).expect_err(pattern);
        assert_eq!(error.pointer, pointer);
        assert!(error.detail.contains("twice"), "{error}");
    }
}

/// event-ruler uses the later list here as well.
#[test]
fn a_path_inside_and_beside_or_has_to_satisfy_both() {
    let pattern =
        parse(r#"{"a": [{"prefix": "x"}], "$or": [{"a": [{"suffix": "y"}]}, {"b": [1]}]}"#);
    let pattern = pattern.unwrap();
    for (event, expected) in [
        (r#"{"a": "xy"}"#, true),
        (r#"{"a": "x", "b": 1}"#, true),
        (r#"{"a": "y"}"#, false),
        (r#"{"a": "x"}"#, false),
        (r#"{"b": 1}"#, false),
    ] {
        assert_eq!(matches(&pattern, document(event).root()), expected, "{event}");
    }
}

#[test]
fn numbers_keep_every_digit() {
    let pattern = parse(r#"{"a": [{"numeric": [">", 9007199254740992, "<", 9007199254740994]}]}"#);
    let (pattern, huge) = (pattern.unwrap(), parse(r#"{"a": [1e999999999999]}"#).unwrap());
    assert!(matches(&pattern, document(r#"{"a": 9007199254740993}"#).root()));
    assert!(!matches(&pattern, document(r#"{"a": 9007199254740992}"#).root()));
    assert!(matches(&huge, document(r#"{"a": 10e999999999998}"#).root()));
    assert!(!matches(&huge, document(r#"{"a": 1e999999999998}"#).root()));
}

#[test]
fn parts_are_judged_each_on_its_own() {
    let together = parse(r#"{"labels": {"name": ["a"], "color": ["red"]}}"#).unwrap();
    let apart = Pattern::all_of(
        [r#"{"labels.name": ["a"]}"#, r#"{"labels.color": ["red"]}"#].map(|p| parse(p).unwrap()),
    );
    let event = document(r#"{"labels": [{"name": "a"}, {"color": "red"}]}"#);
    assert!(!matches(&together, event.root()) && matches(&apart, event.root()));
    assert_eq!(apart.paths().collect::<Vec<_>>(), ["labels.name", "labels.color"]);
}

#[test]
fn explanations_name_field_wish_and_value() {
    let said = |pattern: &str, event: &str| {
        parse(pattern).unwrap().explain(document(event).root()).unwrap().to_string()
    };
    let inbox = r#"{"type": ["message.created"], "data": {"conversation": {"inbox": {"name": ["Sales"]}}}}"#;
    assert_eq!(
        said(
            inbox,
            r#"{"type":"message.created","data":{"conversation":{"inbox":{"name":"Support"}}}}"#
        ),
        r#"the rule wants `data.conversation.inbox.name` to be ["Sales"]; it was "Support""#
    );
    assert_eq!(
        said(inbox, r#"{"type": "message.created", "data": {}}"#),
        r#"the rule wants `data.conversation.inbox.name` to be ["Sales"]; it was missing"#
    );
    assert_eq!(
        said(r#"{"labels": ["vip"], "other": [1]}"#, r#"{"labels": ["a", {"b": 1}]}"#),
        r#"the rule wants `labels` to be ["vip"]; it was ["a",{"b":1}]"#
    );
    assert_eq!(
        said(
            r#"{"items": {"sku": ["a"], "count": [2]}}"#,
            r#"{"items": [{"sku": "a", "count": 1}, {"count": 2}]}"#
        ),
        "the rule wants `items.sku` to be [\"a\"] in the same array element as its other \
         conditions; it was \"a\""
    );
    assert_eq!(
        said(r#"{"$or": [{"a": [1], "b": [1]}, {"c": [1], "d": [1]}]}"#, r#"{"c": 2, "d": 1}"#),
        "the rule wants `c` to be [1]; it was 2 (the nearest of 2 alternatives)"
    );
    let long = format!(r#"{{"a": "{}"}}"#, "é".repeat(500));
    let mismatch = parse(r#"{"a": ["x"]}"#).unwrap().explain(document(&long).root()).unwrap();
    assert!(mismatch.found.unwrap().len() < 210);
}

#[test]
fn limits_are_named_and_hold() {
    let tight = Limits {
        depth_max: 2,
        fields_max: 3,
        values_max: 5,
        alternatives_max: 4,
        wildcards_max: 1,
        stars_max: 2,
        value_bytes_max: 10,
    };
    for (pattern, says) in [
        (r#"{"a": {"b": {"c": [1]}}}"#, "deeper than 2"),
        (r#"{"a": [1], "b": [1], "c": [1], "d": [1]}"#, "more than 3 fields"),
        (r#"{"a": [{"anything-but": [1, 2, 3]}, 4, 5]}"#, "more than 5 values"),
        (r#"{"$or": [{"a": [1]}, {"a": [2]}, {"a": [3]}, {"a": [4]}, {"a": [5]}]}"#, "3 fields"),
        (r#"{"a": [{"wildcard": "x*"}, {"anything-but": {"wildcard": "y*"}}]}"#, "1 wildcards"),
        (r#"{"a": [{"wildcard": "*x*y*"}]}"#, "at most 2 stars"),
        (r#"{"a": ["0123456789"]}"#, "longer than 10"),
    ] {
        let error = Pattern::parse_within(document(pattern).root(), &tight).expect_err(pattern);
        assert!(error.detail.contains(says), "{pattern}: {error}");
    }
    let ors =
        r#"{"$or": [{"a": [1]}, {"b": [1]}], "x": {"$or": [{"a": [1]}, {"b": [1]}, {"c": [1]}]}}"#;
    let few = Limits { alternatives_max: 5, ..Limits::default() };
    let error = Pattern::parse_within(document(ors).root(), &few).unwrap_err();
    assert_eq!(error.pointer, "/x/$or");
    assert!(error.detail.contains("more than 5 combinations"), "{error}");
}

/// Each condition on its own is satisfied many times, but never all of them together; a naive search
/// tries every combination of a thousand elements.
#[test]
fn hostile_arrays_do_not_multiply() {
    let fields: Vec<String> = (0..8).map(|i| format!(r#""a{i}": {{"x": ["y"]}}"#)).collect();
    let pattern =
        parse(&format!(r#"{{{}, "z": {{"p": [1], "q": [1]}}}}"#, fields.join(","))).unwrap();
    let thousand = vec![r#"{"x": "y"}"#; 1_000].join(",");
    let arrays: Vec<String> = (0..8).map(|i| format!(r#""a{i}": [{thousand}]"#)).collect();
    let halves = vec![r#"{"p": 1}, {"q": 1}"#; 1_000].join(",");
    let event = document(&format!(r#"{{{}, "z": [{halves}]}}"#, arrays.join(",")));
    assert!(!pattern.matches(event.root()));
    let mismatch = pattern.explain(event.root()).unwrap();
    assert!(mismatch.apart && mismatch.path.starts_with("z."), "{mismatch}");
}
