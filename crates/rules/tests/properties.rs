//! Compares evaluator, explanation and index with each other on random rules and events. The alphabet is
//! small, so that rules often match.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use antar_json::{Document, Value};
use antar_rules::{Index, Pattern};
use proptest::prelude::*;
use proptest::sample::select;

fn text() -> impl Strategy<Value = &'static str> {
    select(vec![
        "x",
        "xy",
        "X",
        "y",
        "yx",
        "xyxyx",
        "",
        "straße",
        "STRASSE",
        "10.0.0.1",
        "10.1.0.1",
        "2001:db8::1",
        "2001:DB8:0::1",
        "conversation.created",
        "conversation.closed",
    ])
}

fn number() -> impl Strategy<Value = &'static str> {
    select(vec![
        "0",
        "-0.0",
        "5",
        "5.0",
        "50e-1",
        "-1",
        "3.5",
        "1e1",
        "9007199254740993",
        "9007199254740992",
        "1e400",
        "0.1",
        "1e-400",
    ])
}

fn scalar() -> BoxedStrategy<String> {
    prop_oneof![
        4 => text().prop_map(|t| format!("{t:?}")),
        2 => number().prop_map(str::to_owned),
        1 => select(vec!["null", "true", "false"]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn key() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "c", "a.b", "b.c"])
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (key(), value).prop_map(|(key, value)| format!("{key:?}:{value}"));
    prop::collection::vec(member, 1..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn event() -> impl Strategy<Value = String> {
    let value = scalar().prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(","))),
            object(inner),
        ]
    });
    object(value)
}

fn operator() -> BoxedStrategy<String> {
    let quoted = || text().prop_map(|t| format!("{t:?}"));
    let name = select(vec!["prefix", "suffix", "equals-ignore-case", "wildcard"]);
    let plain = (name, quoted()).prop_map(|(name, t)| format!("{{{name:?}:{t}}}")).boxed();
    let wild =
        select(vec!["*", "x*", "*x", "x*y", "*y*", "*yx*x*", "conv*.cre*ed", "*ated", "*RASS*"]);
    prop_oneof![
        plain.clone(),
        (select(vec!["prefix", "suffix"]), quoted())
            .prop_map(|(name, t)| format!(r#"{{{name:?}:{{"equals-ignore-case":{t}}}}}"#)),
        wild.prop_map(|w| format!(r#"{{"wildcard":{w:?}}}"#)),
        (number(), number()).prop_map(|(a, b)| format!(r#"{{"numeric":[">=",{a},"<",{b}]}}"#)),
        (select(vec!["=", "<", "<=", ">", ">="]), number())
            .prop_map(|(op, a)| format!(r#"{{"numeric":[{op:?},{a}]}}"#)),
        plain.prop_map(|inner| format!(r#"{{"anything-but":{inner}}}"#)),
        quoted().prop_map(|t| format!(r#"{{"anything-but":[{t},"x"]}}"#)),
        number().prop_map(|n| format!(r#"{{"anything-but":{n}}}"#)),
        select(vec!["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/0"])
            .prop_map(|net| format!(r#"{{"cidr":{net:?}}}"#)),
        any::<bool>().prop_map(|b| format!(r#"{{"exists":{b}}}"#)),
    ]
    .boxed()
}

fn list() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![scalar(), operator()], 1..4)
        .prop_map(|values| format!("[{}]", values.join(",")))
}

fn pattern() -> impl Strategy<Value = String> {
    object(list()).prop_recursive(3, 12, 3, |inner| {
        let or =
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!(r#"{{"$or":[{a},{b}]}}"#));
        let beside = (key(), list(), inner.clone(), inner.clone())
            .prop_map(|(key, list, a, b)| format!(r#"{{{key:?}:{list},"$or":[{a},{b}]}}"#));
        prop_oneof![object(inner), or, beside]
    })
}

fn document(text: &str) -> Document {
    text.parse().unwrap()
}

/// The parsed pattern; `None` if the generator made one that is refused.
fn parsed(text: &str) -> Option<Pattern> {
    Pattern::parse(document(text).root()).ok()
}

/// Whether a pointer has a target, following all duplicates of a key. The keys here need no escapes.
fn leads_somewhere(value: Value<'_>, tokens: &[&str]) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return true };
    let mut members = value.members().filter(|(key, _)| key.str_eq(token));
    members.any(|(_, member)| leads_somewhere(member, rest))
        || token.parse().is_ok_and(|i| {
            value.elements().nth(i).is_some_and(|element| leads_somewhere(element, rest))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn index_and_evaluator_agree(
        patterns in prop::collection::vec(pattern(), 1..40),
        events in prop::collection::vec(event(), 1..6),
        copies in 1usize..4,
    ) {
        let rules: Vec<Pattern> = patterns.iter().filter_map(|p| parsed(p)).collect();
        // Patterns of several parts can be filed under several facts; copies fill the drawers.
        let pairs = rules.windows(2).map(|pair| Pattern::all_of(pair.to_vec()));
        let rules: Vec<Pattern> = rules.iter().cloned().chain(pairs).collect();
        let rules = vec![rules; copies].concat();
        let mut index = Index::new();
        for (key, rule) in rules.iter().enumerate() {
            index.insert(key, rule.clone());
        }
        for event in events.iter().map(|e| document(e)) {
            let expected: Vec<usize> =
                (0..rules.len()).filter(|key| rules[*key].matches(event.root())).collect();
            prop_assert_eq!(index.matches(event.root()), expected, "{:?}", event);
        }
    }

    #[test]
    fn what_matches_needs_no_explanation(pattern in pattern(), event in event()) {
        if let Some(rule) = parsed(&pattern) {
            let event = document(&event);
            let mismatch = rule.explain(event.root());
            prop_assert_eq!(mismatch.is_none(), rule.matches(event.root()), "{:?}", mismatch);
        }
    }

    #[test]
    fn removing_leaves_nothing_behind(
        patterns in prop::collection::vec(pattern(), 1..80),
        order in prop::collection::vec(any::<prop::sample::Index>(), 80),
        event in event(),
    ) {
        let rules: Vec<Pattern> = patterns.iter().filter_map(|p| parsed(p)).collect();
        let event = document(&event);
        let mut index = Index::new();
        let mut kept: std::collections::BTreeMap<usize, &Pattern> = Default::default();
        for (key, rule) in rules.iter().enumerate() {
            index.insert(key, rule.clone());
            kept.insert(key, rule);
            // Now and then remove one pattern, and replace another.
            let other = order[key % order.len()].index(rules.len());
            if key % 3 == 0 {
                prop_assert_eq!(index.remove(&other), kept.remove(&other).is_some());
            } else if key % 3 == 1 {
                index.insert(other, rule.clone());
                kept.insert(other, rule);
            }
            let expected: Vec<usize> =
                kept.iter().filter(|(_, r)| r.matches(event.root())).map(|(k, _)| *k).collect();
            prop_assert_eq!(index.matches(event.root()), expected);
            prop_assert_eq!(index.len(), kept.len());
        }
        for key in kept.keys() {
            prop_assert!(index.remove(key));
        }
        prop_assert!(index.is_blank());
    }

    #[test]
    fn no_json_makes_the_parser_panic(text in "[\\[\\]{}:,\"a.*\\\\$0-9e<=>-]{0,30}", event in event()) {
        for text in [text.clone(), format!(r#"{{"a":[{text}]}}"#), event.clone()] {
            if let Ok(pattern) = text.parse::<Document>()
                && let Ok(rule) = Pattern::parse(pattern.root())
            {
                let event = document(&event);
                prop_assert_eq!(rule.explain(event.root()).is_none(), rule.matches(event.root()));
            }
        }
    }

    #[test]
    fn refusals_point_into_the_pattern(pattern in pattern(), event in event()) {
        for text in [pattern, event] {
            let pattern = document(&text);
            if let Err(error) = Pattern::parse(pattern.root()) {
                let tokens: Vec<_> = error.pointer.split('/').skip(1).collect();
                prop_assert!(leads_somewhere(pattern.root(), &tokens), "{} in {}", error, text);
            }
        }
    }
}

/// Many rules require the same few values, so that they have to be filed under several of them.
#[test]
fn a_crowd_with_few_values_is_found_and_removed() {
    let rules: Vec<Pattern> = (0..3_000)
        .map(|i| {
            let (kind, inbox, label) = (i % 2, i % 3, i / 6 % 4);
            let third = match i % 5 {
                0 => format!(r#""total":[{{"numeric":[">",{}]}}]"#, i % 7),
                1 => r#""$or":[{"x":["1"]},{"labels":["l0","l1"]}]"#.to_owned(),
                2 => format!(r#""labels":["l{label}","l3"]"#),
                3 => r#""gone":[{"exists":false}]"#.to_owned(),
                _ => format!(r#""labels":[{{"prefix":"l{label}"}}]"#),
            };
            parsed(&format!(r#"{{"type":["t{kind}"],"inbox":["i{inbox}"],{third}}}"#)).unwrap()
        })
        .collect();
    let events: Vec<Document> = (0..24)
        .map(|i| {
            let (kind, inbox, label) = (i % 2, i % 3, i / 6);
            document(&format!(
                r#"{{"type":"t{kind}","inbox":"i{inbox}","labels":["l{label}"],"total":{i}}}"#
            ))
        })
        .collect();
    let mut index = Index::new();
    for (key, rule) in rules.iter().enumerate() {
        index.insert(key, rule.clone());
    }
    let mut left: Vec<usize> = (0..rules.len()).collect();
    while !left.is_empty() {
        for event in &events {
            let matching = left.iter().copied().filter(|key| rules[*key].matches(event.root()));
            assert_eq!(index.matches(event.root()), matching.collect::<Vec<_>>());
        }
        let (gone, kept) = left.into_iter().partition::<Vec<_>, _>(|key| key * 7 % 11 < 6);
        let gone = if gone.is_empty() { kept.clone() } else { gone };
        gone.iter().for_each(|key| assert!(index.remove(key)));
        left = kept.into_iter().filter(|key| !gone.contains(key)).collect();
    }
    assert!(index.is_blank());
}
