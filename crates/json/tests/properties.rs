//! Compares parser, scanner and builder with `serde_json` on random texts.

use antar_json::{Builder, Document, Kind, Limits, Scan, Value};
use proptest::prelude::*;

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
        "[\\\\\"\u{0}-\u{1f}\u{1F600}é]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec(("[a-z.\"é]{0,3}", inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Checks that every view equals a fresh parse of its own text.
fn check_views(value: Value<'_>) {
    assert_eq!(value.raw().parse::<Document>(), Ok(value.to_document()));
    value.elements().for_each(check_views);
    value.members().for_each(|(_, member)| check_views(member));
}

/// Checks that a scan finds the same values as the document, wherever the whitespace is.
fn check_scan(scan: Scan<'_>, value: Value<'_>) {
    assert_eq!(scan.kind(), value.kind());
    assert_eq!(scan.as_str(), value.as_str());
    assert_eq!(scan.raw().parse::<Document>(), Ok(value.to_document()));
    let (scans, values) = (scan.elements().collect::<Vec<_>>(), value.elements());
    assert_eq!(scans.len(), values.clone().count());
    scans.into_iter().zip(values).for_each(|(scan, value)| check_scan(scan, value));
    let (scans, values) = (scan.members().collect::<Vec<_>>(), value.members());
    assert_eq!(scans.len(), values.clone().count());
    for ((scan_key, scan_member), (key, member)) in scans.into_iter().zip(values) {
        assert_eq!((scan_key.raw(), scan_key.as_str()), (key.raw(), key.as_str()));
        check_scan(scan_member, member);
        let path = format!("{}.more", key.as_str().unwrap_or_default());
        let scans = scan.members_along(&path).map(|(one, rest)| (one.raw().parse(), rest));
        let values = value.members_along(&path).map(|(one, rest)| (Ok(one.to_document()), rest));
        assert_eq!(scans.collect::<Vec<_>>(), values.collect::<Vec<_>>());
    }
}

proptest! {
    #[test]
    fn a_scan_finds_what_the_document_has(value in json()) {
        for text in [serde_json::to_string(&value), serde_json::to_string_pretty(&value)] {
            let text = text.unwrap();
            let document: Document = text.parse().unwrap();
            check_scan(Scan::new(&text), document.root());
        }
    }

    #[test]
    fn a_scan_of_what_is_no_json_ends(text in r#"[\[\]{},:"\\0-9ea é]{0,60}"#) {
        fn count(scan: Scan<'_>) -> usize {
            let members = scan.members().map(|(key, value)| count(key) + count(value));
            1 + members.sum::<usize>() + scan.elements().map(count).sum::<usize>()
        }
        prop_assert!(count(Scan::new(&text)) <= 2 * text.len() + 1);
    }

    #[test]
    fn reads_what_serde_json_writes(value in json()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let document: Document = pretty.parse().unwrap();
        prop_assert_eq!(document.text(), serde_json::to_string(&value).unwrap());
        prop_assert_eq!(document.root().to_serde(), value.clone());
        check_views(document.root());
        prop_assert_eq!(Document::from(&value), document);
    }

    #[test]
    fn accepts_exactly_what_serde_json_accepts(text in r#"[\[\]{},:"\\0-9eE.+\-truefalsn u]{0,12}"#) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(text.parse::<Document>().is_ok(), theirs, "{}", text);
    }

    #[test]
    fn never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Document::parse(&bytes, Limits::default());
    }

    #[test]
    fn copies_keep_their_text(a in json(), b in json()) {
        let (a, b) = (Document::from(&a), Document::from(&b));
        let mut builder = Builder::new();
        builder.object().key("a").copy(a.root()).key("b\n").copy(b.root()).end();
        let both = builder.finish();
        let parsed: Document = both.text().parse().unwrap();
        prop_assert_eq!(&parsed, &both);
        prop_assert_eq!(both.root().get("b\n").unwrap().raw(), b.text());
    }

    #[test]
    fn a_path_leads_where_its_definition_says(
        keys in prop::collection::vec("[a.]{0,4}", 1..12),
        nested in prop::collection::vec("[a.]{0,3}", 1..6),
        path in "[a.0]{0,7}",
    ) {
        let inner: Vec<_> = nested.iter().enumerate().map(|(n, key)| format!("{key:?}:[{n},{{\"a\":0}}]")).collect();
        let outer: Vec<_> = keys.iter().map(|key| format!("{key:?}:{{{}}}", inner.join(","))).collect();
        let document: Document = format!("{{{}}}", outer.join(",")).parse().unwrap();
        let (found, expected) = (document.root().at(&path), at_by_definition(document.root(), &path));
        // Equal texts stand in many places: the places are compared.
        prop_assert_eq!(found.map(|v| v.raw().as_ptr()), expected.map(|v| v.raw().as_ptr()));
    }
}

#[test]
fn what_was_posted_stays_as_posted() {
    let text = r#"{ "n": 8202522731445525542.00, "e" : "\u00e9\/", "n": 1e400 }"#;
    let document: Document = text.parse().unwrap();
    assert_eq!(document.text(), r#"{"n":8202522731445525542.00,"e":"\u00e9\/","n":1e400}"#);
    assert_eq!(document.root().get("n").unwrap().as_number(), Some("1e400"));
    assert_eq!(document.root().get("e").unwrap().as_str().unwrap(), "é/");
    assert_eq!(document.root().members().count(), 3);
}

#[test]
fn surrogates() {
    let document: Document =
        r#"["\ud83d\ude00","\ud83d","\ud83dx","\u0041\u0042"]"#.parse().unwrap();
    let strings: Vec<_> = document.root().elements().filter_map(Value::as_str).collect();
    assert_eq!(strings, ["😀", "\u{fffd}", "\u{fffd}x", "AB"]);
}

#[test]
fn paths_step_into_arrays_and_dotted_keys() {
    let document: Document = r#"{"a":{"b":[{"c":1}]},"x.y":{"z":2}}"#.parse().unwrap();
    assert_eq!(document.root().at("a.b.0.c").unwrap().raw(), "1");
    assert_eq!(document.root().at("x.y.z").unwrap().raw(), "2");
    assert!(document.root().at("a.b.1").is_none());
    assert_eq!(document.root().at("").unwrap().raw(), document.text());
}

/// [`Value::at`] as its documentation says: the shortest key that leads to a value, the last one of equal keys.
fn at_by_definition<'a>(value: Value<'a>, path: &str) -> Option<Value<'a>> {
    if path.is_empty() {
        return Some(value);
    }
    let splits = path.match_indices('.').map(|(i, _)| i).chain([path.len()]);
    splits.map(|end| (&path[..end], path.get(end + 1..).unwrap_or_default())).find_map(
        |(head, rest)| {
            let found = match value.kind() {
                Kind::Object => value.get(head),
                Kind::Array => head.parse().ok().and_then(|i| value.elements().nth(i)),
                _ => None,
            };
            at_by_definition(found?, rest)
        },
    )
}

#[test]
fn one_of_several_keys_that_begin_a_path_leads_on() {
    let document: Document =
        r#"{"a":{"x":1},"a.b":{"c":2,"c":3},"a.b.c":4,"a":{"b":{"x":5}},"":{"":6},"a.":7}"#
            .parse()
            .unwrap();
    let root = document.root();
    let found = |path: &str| root.at(path).map(Value::raw);
    assert_eq!(found("a.b.c"), Some("3"));
    assert_eq!(found("a.b.x"), Some("5"));
    assert_eq!(found("a.x"), None, "the last `a` counts");
    assert_eq!(found("."), Some(r#"{"":6}"#), "the rest after the dot is the empty path");
    for path in ["a.b.c", "a.b.x", "a.b", "a.", "a", ".", "..", "", "a.b.c.d", ".a"] {
        assert_eq!(found(path), at_by_definition(root, path).map(Value::raw), "{path}");
    }
}

#[test]
fn errors_say_where() {
    let error = "{\n  \"a\": 1,\n  é}".parse::<Document>().unwrap_err();
    assert_eq!((error.line, error.column, error.what), (3, 3, "expected a key in double quotes"));
    let deep = "[".repeat(200);
    let error = deep.parse::<Document>().unwrap_err();
    assert_eq!((error.offset, error.what), (128, "too many levels of nesting"));
}
