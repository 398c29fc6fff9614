//! Evaluation takes counted steps and gives up when a budget is used up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use antar_json::{Document, OutOfSteps, Steps};
use antar_rules::{Index, Pattern};
use serde_json::{Value, json};

fn pattern(json: &Value) -> Pattern {
    Pattern::parse(Document::from(json).root()).unwrap()
}

/// A pattern, and an event of a size.
type Case = (Pattern, fn(usize) -> Value);

/// Steps of evaluating `pattern` on `event`.
fn steps(pattern: &Pattern, event: &Value) -> u64 {
    let steps = Steps::unlimited();
    pattern.matches_within(Document::from(event).root(), &steps).unwrap();
    steps.taken()
}

/// As many `anything-but` wildcards as a pattern may have.
fn wildcards() -> Pattern {
    let refused: Vec<String> = (0..90).map(|n| format!("*a*b*{n}*")).collect();
    pattern(&json!({"data": {"list": [{"anything-but": {"wildcard": refused}}]}}))
}

fn list(length: usize) -> Value {
    let list: Vec<String> = (0..length).map(|n| format!("aaabbb{}", n % 90)).collect();
    json!({"data": {"list": list}})
}

#[test]
fn steps_grow_with_the_event_and_not_faster() {
    let cases: [Case; 5] = [
        (wildcards(), list),
        (pattern(&json!({"a": ["x"]})), |n| {
            (0..n).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into()
        }),
        (pattern(&json!({"a": {"b": ["x"], "c": ["y"]}})), |n| {
            let element = |n| json!({"b": if n % 2 == 0 { "x" } else { "z" }, "c": "z"});
            json!({"a": (0..n).map(element).collect::<Vec<_>>()})
        }),
        (
            pattern(&json!({"a": {"b": [{"exists": false}], "c": ["y"]}})),
            |n| json!({"a": vec![json!({"b": 1, "c": "y"}); n]}),
        ),
        (pattern(&json!({"a": [{"wildcard": "*x*y*"}]})), |n| json!({"a": "x".repeat(8 * n)})),
    ];
    for (number, (pattern, event)) in cases.iter().enumerate() {
        let [one, four, sixteen] = [1, 4, 16].map(|n| steps(pattern, &event(n * 1_000)));
        assert!(
            one > 0 && four <= 5 * one && sixteen <= 5 * four,
            "{number}: {one} {four} {sixteen}"
        );
    }
}

#[test]
fn the_same_work_takes_the_same_steps_and_a_smaller_budget_is_not_enough() {
    let (pattern, event) = (wildcards(), Document::from(&list(100)));
    let needed = steps(&pattern, &list(100));
    assert_eq!(steps(&pattern, &list(100)), needed);
    assert_eq!(pattern.matches_within(event.root(), &Steps::new(needed)), Ok(false));
    assert_eq!(pattern.matches_within(event.root(), &Steps::new(needed - 1)), Err(OutOfSteps));
    assert!(pattern.explain_within(event.root(), &Steps::new(needed - 1)).is_err());
    assert!(pattern.explain_within(event.root(), &Steps::new(10 * needed)).unwrap().is_some());
}

/// A key that occurs many times leads one path into many independent arrays: the search for consistent elements
/// has to try their combinations.
#[test]
fn a_search_without_end_is_given_up_and_not_taken_for_a_mismatch() {
    let conditions: serde_json::Map<String, Value> =
        (0..20).map(|n| (format!("k{n}"), json!(["x", {"exists": false}]))).collect();
    let pattern = pattern(&json!({"a": conditions}));
    let arrays: Vec<String> = (0..40)
        .map(|array| {
            let element = |n: usize| format!(r#"{{"k{}":"x"}}"#, (array * 7 + n) % 20);
            format!(r#""a":[{},{}]"#, element(0), element(1))
        })
        .collect();
    let event: Document = format!("{{{}}}", arrays.join(",")).parse().unwrap();
    let (few, many) = (Steps::new(1_000), Steps::new(5_000_000));
    assert_eq!(pattern.matches_within(event.root(), &few), Err(OutOfSteps));
    // With a budget it ends in any case.
    let _ = pattern.matches_within(event.root(), &many);
}

#[test]
fn an_index_gives_up_rather_than_leave_a_pattern_out() {
    let mut index = Index::new();
    index.insert(1, pattern(&json!({"data": {"list": ["x"]}})));
    let event = Document::from(&list(1_000));
    assert_eq!(index.candidates(event.root(), &Steps::new(500)), Err(OutOfSteps));
    assert_eq!(index.candidates(event.root(), &Steps::new(5_000)), Ok(Vec::new()));
}
