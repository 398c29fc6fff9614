//! Schemas that are written to be expensive, and those that only look so.

use antar_schema::{Limits, Miss, Schema, SchemaError};
use serde_json::{Value, json};

const LIMITS: Limits =
    Limits { subschemas_max: 10_000, steps_max: 2_000_000, pattern_bytes_max: 1 << 20 };

fn compile(schema: &Value) -> Result<Schema, SchemaError> {
    Schema::compile(schema, LIMITS)
}

/// Definitions `0` to `levels`, each made from references to the next one.
fn chain(levels: usize, link: impl Fn(Value) -> Value) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
        definitions.insert(level.to_string(), link(next));
    }
    definitions.insert(levels.to_string(), json!({"type": "object"}));
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

#[test]
fn references_that_double_are_refused_in_every_shape() {
    let shapes: [fn(Value) -> Value; 7] = [
        |next| json!({"allOf": [next, next]}),
        |next| json!({"anyOf": [next, next]}),
        |next| json!({"oneOf": [next, next]}),
        |next| json!({"not": next, "if": next}),
        |next| json!({"allOf": [{"not": next}, {"else": next, "if": true}]}),
        |next| json!({"dependentSchemas": {"a": next, "b": next}}),
        |next| json!({"unevaluatedProperties": false, "allOf": [next]}),
    ];
    for shape in shapes {
        let schema = chain(50, shape);
        let error = compile(&schema).err();
        assert!(matches!(error, Some(SchemaError::TooManySteps { .. })), "{schema} {error:?}");
        // The same one or two levels below the document.
        let mut nested = schema.clone();
        nested["properties"] = json!({"a": {"items": {"$ref": "#/$defs/0"}}});
        nested.as_object_mut().unwrap().remove("$ref");
        assert!(
            matches!(compile(&nested).err(), Some(SchemaError::TooManySteps { .. })),
            "{nested}"
        );
    }
}

#[test]
fn a_few_doublings_are_affordable() {
    let schema = compile(&chain(10, |next| json!({"allOf": [next, next]}))).unwrap();
    assert!(schema.validate(&json!({})).is_ok());
    assert!(matches!(schema.validate(&json!(1)), Err(Miss::Mismatch { .. })));
}

#[test]
fn a_tree_with_two_children_costs_the_same_at_each_level() {
    let tree = json!({"$defs": {"node": {"type": "object", "properties": {
        "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}, "value": {"type": "number"}
    }}}, "$ref": "#/$defs/node"});
    let schema = compile(&tree).unwrap();
    let mut document = json!({"value": 1});
    for _ in 0..60 {
        document = json!({"left": document, "value": 1});
    }
    assert!(schema.steps(&document) < 2_000);
    assert!(schema.validate(&document).is_ok());
}

#[test]
fn alternatives_that_both_recurse_cost_by_the_depth_of_the_document() {
    let branch =
        |name: &str| json!({"properties": {"next": {"$ref": "#"}, name: {}}, "required": [name]});
    let schema = compile(&json!({"anyOf": [branch("a"), branch("b")]})).unwrap();
    let mut document = json!({"a": 1});
    for _ in 0..5 {
        document = json!({"next": document, "a": 1});
    }
    assert!(schema.validate(&document).is_ok(), "as deep as people write them");
    for _ in 0..40 {
        document = json!({"next": document, "a": 1});
    }
    assert!(matches!(schema.validate(&document), Err(Miss::BudgetExceeded { .. })));
}

#[test]
fn large_documents_are_bounded_by_what_a_value_costs() {
    let words: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let schema = compile(&json!({"items": {"enum": words}})).unwrap();
    assert!(schema.validate(&json!(vec!["7"; 1_000])).is_ok());
    assert!(matches!(schema.validate(&json!(vec!["7"; 10_000])), Err(Miss::BudgetExceeded { .. })));
    let unique = compile(&json!({"uniqueItems": true})).unwrap();
    assert!(unique.validate(&json!((0..10_000).collect::<Vec<_>>())).is_ok());
    let many = json!((0..100_000).map(|n| [[n]]).collect::<Vec<_>>());
    assert!(matches!(unique.validate(&many), Err(Miss::BudgetExceeded { .. })));
}

#[test]
fn cycles_and_references_to_elsewhere_are_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#"}]}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}}),
    ] {
        assert!(matches!(compile(&schema).err(), Some(SchemaError::Cycle(_))), "{schema}");
    }
    for reference in ["https://example.com/schema.json", "#/$defs/none", "other", "#nowhere"] {
        let error = compile(&json!({ "$ref": reference })).err();
        assert_eq!(error, Some(SchemaError::UnknownReference(reference.to_owned())));
    }
    let error = compile(&json!({"$dynamicRef": "#x"})).err();
    assert_eq!(error, Some(SchemaError::Unsupported("$dynamicRef")));
}

#[test]
fn references_by_pointer_anchor_and_id_are_followed() {
    for schema in [
        json!({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "string"}}}),
        json!({"$ref": "#name", "$defs": {"x": {"$anchor": "name", "type": "string"}}}),
        json!({"$id": "https://example.com/root", "$ref": "https://example.com/root#/$defs/x",
            "$defs": {"x": {"type": "string"}}}),
        json!({"properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "string"}}, "$ref": "#/properties/b"}),
    ] {
        let compiled = compile(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
        assert!(compiled.validate(&json!("text")).is_ok(), "{schema}");
        assert!(compiled.validate(&json!(1)).is_err(), "{schema}");
    }
}

#[test]
fn a_schema_has_a_size() {
    let parts: Vec<Value> = (0..10_001).map(|n| json!({ "const": n })).collect();
    let error = compile(&json!({ "anyOf": parts })).err();
    assert_eq!(error, Some(SchemaError::TooManySubschemas(10_000)));
}

#[test]
fn patterns_are_linear_and_cost_by_length() {
    assert!(matches!(
        compile(&json!({"pattern": "(a)\\1"})).err(),
        Some(SchemaError::Invalid { .. })
    ));
    let schema = compile(&json!({"pattern": "^(a+)+$"})).unwrap();
    assert!(schema.validate(&json!("a".repeat(100_000))).is_ok());
    let wide = json!({"pattern": "a?".repeat(5_000)});
    let steps = compile(&wide).unwrap().steps(&json!("a".repeat(100_000)));
    assert!(steps > 60_000_000, "{steps}");
}

/// `count` definitions, each of which refers to the next one.
fn references(count: usize, last: &Value) -> Value {
    let mut defs = serde_json::Map::new();
    for number in 0..count {
        defs.insert(format!("d{number}"), json!({"$ref": format!("#/$defs/d{}", number + 1)}));
    }
    defs.insert(format!("d{count}"), last.clone());
    json!({"$defs": defs, "$ref": "#/$defs/d0"})
}

#[test]
fn chains_of_references_fit_on_the_stack_of_a_thread() {
    let allowed = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        let long = compile(&references(390, &json!({"type": "object"}))).unwrap();
        assert!(long.validate(&json!({})).is_ok());
        assert!(long.validate(&json!([])).is_err());
        assert_eq!(long.mismatches(&json!([])).unwrap().len(), 1);
    });
    allowed.unwrap().join().unwrap();
    for count in [500, 4_000, 9_000] {
        let error = compile(&references(count, &json!({}))).err();
        assert!(matches!(error, Some(SchemaError::TooDeep { .. })), "{count}: {error:?}");
    }
}

#[test]
fn a_chain_at_each_level_counts_with_the_depth_of_a_document() {
    // Thirty parts for each level of the document.
    let mut schema = references(30, &json!({"additionalProperties": {"$ref": "#"}}));
    let document = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
    let compiled = compile(&schema).unwrap();
    assert!(compiled.validate(&document(10)).is_ok());
    assert!(matches!(compiled.validate(&document(20)), Err(Miss::TooDeep { .. })));
    schema = references(100, &json!({"additionalProperties": {"$ref": "#"}}));
    assert!(matches!(compile(&schema).err(), Some(SchemaError::TooDeep { .. })));
}

#[test]
fn mismatches_are_few_and_short() {
    let parts: Vec<Value> = (0..4_000).map(|n| json!({ "minProperties": 1_000_000 + n })).collect();
    let schema = compile(&json!({ "allOf": parts })).unwrap();
    let document = json!({ "a": "x".repeat(1_000_000) });
    let Ok(all) = schema.mismatches(&document) else { panic!("it is affordable") };
    assert!(all.len() <= 20 && all.iter().all(|(_, detail)| detail.len() <= 1_003));
    let Err(Miss::Mismatch { detail, .. }) = schema.validate(&document) else { panic!("a miss") };
    assert!(detail.len() <= 1_003);
}

/// Definitions of which each refers twice to the next one.
fn doubling() -> Value {
    let mut defs = serde_json::Map::new();
    for number in 0..50 {
        let next = json!({"$ref": format!("#/$defs/{}", number + 1)});
        defs.insert(number.to_string(), json!({"allOf": [next, next]}));
    }
    defs.insert("50".to_owned(), json!({"type": "object"}));
    Value::Object(defs)
}

#[test]
fn no_part_gives_references_another_meaning() {
    let hidden = json!({"$id": "http://x/e", "$ref": "#/$defs/0", "$defs": doubling()});
    for schema in [
        json!({"$ref": "http://x/e", "$defs": {"0": true, "e": hidden}}),
        json!({"$ref": "#/other/part", "other": {"$id": "http://x/e", "part": {"$ref": "#/$defs/0"}, "$defs": doubling()}, "$defs": {"0": true}}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "$ref": "#/definitions/e",
            "definitions": {"e": {"id": "http://x/e", "$ref": "#/$defs/0", "$defs": doubling()}}}),
        json!({"$ref": "#/$defs/e", "$defs": {"e": {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}}}),
    ] {
        assert!(matches!(compile(&schema).err(), Some(SchemaError::Embedded(_))), "{schema}");
    }
    let cheap = json!({"$anchor": "n"});
    let schema = json!({"$ref": "#n", "examples": [cheap], "$defs": {"a": {"$anchor": "n", "$ref": "#/$defs/0"}}});
    assert!(matches!(compile(&schema).err(), Some(SchemaError::AmbiguousAnchor(_))));
    let example =
        json!({"properties": {"id": {"type": "string"}}, "examples": [{"id": "a", "name": "b"}]});
    assert!(compile(&example).is_ok());
}

#[test]
fn formats_cost_nothing() {
    let schema =
        compile(&json!({"$schema": "http://json-schema.org/draft-07/schema#", "format": "regex"}));
    let names: String = (0..20_000).map(|n| format!("(?<a{n}>)")).collect();
    assert!(schema.unwrap().validate(&json!(names)).is_ok());
}
