//! How much a document weighs at each depth.

use serde_json::Value;

/// Bytes of text that weigh as much as a value.
const TEXT_BYTES: usize = 16;

/// The values of a document by depth, from 0; long texts and names weigh more than one.
pub(crate) fn weight_by_depth(document: &Value) -> Vec<u64> {
    let mut weights = Vec::new();
    let mut level = vec![document];
    let mut names = 0;
    while !level.is_empty() {
        let mut next = Vec::new();
        let mut weight = names;
        names = 0;
        for value in level {
            weight += 1;
            match value {
                Value::String(text) => weight += of_text(text),
                Value::Array(elements) => next.extend(elements),
                Value::Object(members) => {
                    names += members.keys().map(|name| of_text(name)).sum::<u64>();
                    next.extend(members.values());
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        weights.push(weight);
        level = next;
    }
    weights
}

fn of_text(text: &str) -> u64 {
    (text.len() / TEXT_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_long_texts_count() {
        let long = "x".repeat(64);
        let document = json!({"a": [1, 2, "x"], "b": {"c": long}});
        assert_eq!(weight_by_depth(&document), [1, 2, 4 + 4]);
        assert_eq!(weight_by_depth(&json!({ long: 1 })), [1, 1 + 4]);
        assert_eq!(weight_by_depth(&json!(null)), [1]);
    }
}
