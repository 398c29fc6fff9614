use antar::model::{FacetFilter, FacetSpec, TypeFilter};
use antar::pipeline::compiled::subscription::Subscription;
use antar_json::{Document, Limits, Steps};
use antar_rules::{Index, Pattern};
use antar_schema::Schema;
use serde_json::{Value, json};

use super::{Part, repeated};

const LIMITS: Limits = Limits { bytes_max: 64 << 20, depth_max: 64 };

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "rules: one condition, many values",
        size: 200_000,
        input: |size| {
            matching(
                r#"{"data":{"l":[{"prefix":"x"}]}}"#,
                format!("[{}]", repeated(size, ",", |n| format!("\"{n}\""))),
            )
        },
    },
    Part {
        name: "rules: two conditions on the same element",
        size: 50_000,
        input: |size| matching(r#"{"data":{"l":{"x":[1],"y":[2]}}}"#, elements(size)),
    },
    Part {
        name: "rules: a field that is missing in every element",
        size: 50_000,
        input: |size| {
            matching(r#"{"data":{"l":{"x":[1],"z":[{"exists":false}],"y":[2]}}}"#, elements(size))
        },
    },
    Part {
        name: "rules: a wildcard over a long text",
        size: 500_000,
        input: |size| {
            matching(
                r#"{"data":{"l":[{"wildcard":"*ab*ba*x"}]}}"#,
                format!("\"{}\"", "ab".repeat(size / 2)),
            )
        },
    },
    Part {
        name: "rules: a pattern of many values",
        size: 4_000,
        input: |size| {
            let pattern = format!("{{\"a\":[{}]}}", repeated(size, ",", |n| format!("\"{n}\"")));
            Box::new(move || {
                drop(
                    Pattern::parse(document(&pattern).root())
                        .map(|pattern| pattern.paths().count()),
                )
            })
        },
    },
    Part {
        name: "facets: values of an event beside those of a filter",
        size: 50_000,
        input: facets,
    },
    Part {
        name: "schemas: unique items",
        size: 20_000,
        input: |size| {
            validating(json!({"uniqueItems": true}), (0..size).map(|n| json!([n])).collect())
        },
    },
    Part {
        name: "schemas: unique items that are objects",
        size: 10_000,
        input: |size| {
            validating(json!({"uniqueItems": true}), (0..size).map(|n| json!({"a": n})).collect())
        },
    },
    Part {
        name: "schemas: contains",
        size: 50_000,
        input: |size| {
            validating(json!({"contains": {"const": -1}}), (0..size).map(Value::from).collect())
        },
    },
    Part {
        name: "schemas: references that follow each other",
        size: 2_000,
        input: |size| {
            let link = |n: usize| {
                (n.to_string(), json!({"allOf": [{"$ref": format!("#/$defs/{}", n + 1)}]}))
            };
            let mut definitions: serde_json::Map<_, _> = (0..size).map(link).collect();
            definitions.insert(size.to_string(), json!({"type": "array"}));
            let schema = json!({"$ref": "#/$defs/0", "$defs": definitions});
            // A long one is refused, once all of it has been read.
            Box::new(move || drop(Schema::compile(&schema, SCHEMA_LIMITS)))
        },
    },
    Part {
        name: "schemas: many properties",
        size: 8_000,
        input: |size| {
            let properties: serde_json::Map<_, _> =
                (0..size).map(|n| (n.to_string(), json!({"type": "string"}))).collect();
            compiling(json!({"properties": properties}))
        },
    },
    Part {
        name: "schemas: many values of an enum",
        size: 100_000,
        input: |size| {
            compiling(json!({"enum": (0..size).map(|n| json!(n.to_string())).collect::<Value>()}))
        },
    },
];

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes(), LIMITS).unwrap_or_else(|_| Document::empty_object())
}

/// Elements that each have one of two values, and never both.
fn elements(size: usize) -> String {
    format!(
        "[{}]",
        repeated(size, ",", |n| if n.is_multiple_of(2) {
            r#"{"x":1,"y":1}"#
        } else {
            r#"{"x":2,"y":2}"#
        }
        .to_owned())
    )
}

fn matching(pattern: &str, value: String) -> Box<dyn Fn()> {
    let pattern = Pattern::parse(document(pattern).root()).unwrap_or_else(|_| Pattern::match_all());
    let event = document(&format!("{{\"type\":\"a.b\",\"data\":{{\"l\":{value}}}}}"));
    let mut index = Index::new();
    index.insert(1, pattern.clone());
    Box::new(move || {
        assert!(!pattern.matches(event.root()) && pattern.explain(event.root()).is_some());
        assert!(index.matches(event.root()).is_empty());
    })
}

fn facets(size: usize) -> Box<dyn Fn()> {
    let spec = FacetSpec {
        name: "inbox".into(),
        path: "inbox.name".into(),
        label: None,
        event_types: Vec::new(),
    };
    let filter = FacetFilter::All { all: (0..size).map(|n| format!("f{n}")).collect() };
    let subscription = Subscription::new(
        "*".parse::<TypeFilter>().into_iter().collect(),
        vec![(spec, filter)],
        Pattern::match_all(),
    );
    let found = repeated(size, ",", |n| format!("\"{n}\""));
    let event =
        document(&format!("{{\"type\":\"a.b\",\"data\":{{\"inbox\":{{\"name\":[{found}]}}}}}}"));
    Box::new(move || {
        assert_eq!(subscription.accept("a.b", event.root(), &Steps::unlimited()), Ok(false));
        assert!(
            subscription
                .why_not("a.b", event.root(), &Steps::unlimited())
                .is_ok_and(|why| why.is_some())
        );
    })
}

const SCHEMA_LIMITS: antar_schema::Limits = antar_schema::Limits {
    subschemas_max: 10_000,
    steps_max: 2_000_000,
    pattern_bytes_max: 1 << 20,
};

fn validating(schema: Value, document: Value) -> Box<dyn Fn()> {
    let schema = Schema::compile(&schema, SCHEMA_LIMITS).ok();
    assert!(
        schema.as_ref().is_some_and(|schema| schema.steps(&document) <= SCHEMA_LIMITS.steps_max)
    );
    Box::new(move || drop(schema.as_ref().map(|schema| schema.validate(&document))))
}

fn compiling(schema: Value) -> Box<dyn Fn()> {
    Box::new(move || assert!(Schema::compile(&schema, SCHEMA_LIMITS).is_ok()))
}
