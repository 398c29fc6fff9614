use antar_schema::{Limits, Miss, Schema};
use serde_json::Value;

use super::{halves, joined};
use crate::dice::Dice;
use crate::grow;

/// A tenth of the server's default, so that a case takes milliseconds.
const LIMITS: Limits =
    Limits { subschemas_max: 10_000, steps_max: 200_000, pattern_bytes_max: 1 << 20 };

pub(super) fn corpus() -> Vec<Vec<u8>> {
    let document = r#"{"left":{"value":1},"value":2,"tags":["a","b"],"name":"Siti"}"#;
    [
        r##"{"$defs":{"node":{"type":"object","properties":{"left":{"$ref":"#/$defs/node"},"value":{"type":"number"}}}},"$ref":"#/$defs/node"}"##,
        r#"{"properties":{"tags":{"uniqueItems":true,"contains":{"const":"a"}},"name":{"pattern":"^[A-Z]"}},"required":["name"]}"#,
        r#"{"anyOf":[{"required":["a"]},{"not":{"enum":[1,2]}}],"unevaluatedProperties":false}"#,
    ]
    .map(|schema| joined(schema, document))
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    joined(&grow::schemas::schema(dice), &grow::json::document(dice))
}

/// A schema that is taken validates every document in bounded steps, and always in the same way.
pub(super) fn read(input: &[u8]) {
    let (schema, document) = halves(input);
    let (Ok(schema), Ok(document)) =
        (serde_json::from_slice::<Value>(schema), serde_json::from_slice::<Value>(document))
    else {
        return;
    };
    let Ok(schema) = Schema::compile(&schema, LIMITS) else { return };
    let steps = schema.steps(&document);
    let outcome = schema.validate(&document);
    let is_too_deep = matches!(outcome, Err(Miss::TooDeep { .. }));
    let is_too_long = matches!(outcome, Err(Miss::BudgetExceeded { .. }));
    assert!(is_too_deep || is_too_long == (steps > LIMITS.steps_max), "{outcome:?}: {steps}");
    assert_eq!(schema.validate(&document), outcome);
    if let Ok(all) = schema.mismatches(&document) {
        assert_eq!(all.is_empty(), outcome.is_ok(), "{outcome:?}");
    }
}
