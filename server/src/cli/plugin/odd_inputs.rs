//! Unusual events and configs that a plugin meets sooner or later.

use antar_json::{Builder, Document, Kind, Value};
use serde_json::{Value as Json, json};

/// Variants of a document at most.
const VARIANTS_MAX: usize = 120;
/// Depth to which members are replaced.
const LEVELS: usize = 3;
/// Depth of a generated sample config.
const SCHEMA_LEVELS: usize = 8;

/// Unusual data that a plugin must expect, since no schema rules it out.
pub(super) fn data() -> Vec<String> {
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(90), "]".repeat(90));
    let wide: Vec<String> = (0..500).map(|n| format!("\"key-{n}\":{n}")).collect();
    let digits = "7".repeat(300);
    let mut all: Vec<String> = [
        "{}",
        r#"{"":"","a":null}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a.b":{"c":1},"a":{"b.c":2}}"#,
        r#"{"numbers":[0,-0,1e400,1E+2,-1.5e-7,18446744073709551616,8202522731445525542]}"#,
        r#"{"text":"\ud83d\ude00 \u0000 \" \\ \/ \u2028"}"#,
        r#"{"conversation":[],"contact":"text","message":7,"labels":{"0":1}}"#,
        r#"{"conversation":null,"contact":null,"message":null}"#,
        r#"{"conversation":{"labels":"vip","inbox":[1],"userData":false}}"#,
    ]
    .map(str::to_owned)
    .into();
    all.push(deep);
    all.push(format!("{{{}}}", wide.join(",")));
    all.push(format!("{{\"digits\":{digits},\"text\":\"{}\"}}", "x".repeat(20_000)));
    all
}

/// Data of about this size.
pub(super) fn large_data(bytes: usize) -> String {
    let one = r#"{"id":8202522731445525542,"name":"Ayu Lestari","phone":"+6281234567890","labels":["vip","new"]}"#;
    let count = bytes / (one.len() + 1);
    format!("{{\"contacts\":[{}]}}", vec![one; count.max(1)].join(","))
}

/// Copies of an object, each with another value for one member.
pub(super) fn variants(document: &Document) -> Vec<String> {
    let mut found = Vec::new();
    let mut paths = vec![(document.root(), 0)];
    while let Some((value, level)) = paths.pop() {
        for (_, member) in value.members() {
            for other in ["null", "7", "\"text\"", "[]", "{}", "true", "-1"] {
                if found.len() < VARIANTS_MAX && member.raw() != other {
                    let mut out = Builder::new();
                    let other: Document = other.parse().unwrap_or_else(|_| document.clone());
                    copy_with(document.root(), member, other.root(), &mut out);
                    found.push(out.finish().text().to_owned());
                }
            }
            if level + 1 < LEVELS {
                paths.push((member, level + 1));
            }
        }
    }
    found
}

fn copy_with(value: Value<'_>, old: Value<'_>, new: Value<'_>, out: &mut Builder) {
    // No two values begin at the same byte.
    if std::ptr::eq(value.raw().as_ptr(), old.raw().as_ptr()) {
        out.copy(new);
    } else if value.kind() == Kind::Object {
        out.object();
        for (key, member) in value.members() {
            out.copy_key(key);
            copy_with(member, old, new, out);
        }
        out.end();
    } else {
        out.copy(value);
    }
}

/// The smallest config that a schema is likely to accept.
pub(super) fn sample_config(schema: &Json) -> Json {
    sample(schema, schema, SCHEMA_LEVELS)
}

fn sample(schema: &Json, whole: &Json, levels: usize) -> Json {
    if levels == 0 {
        return Json::Null;
    }
    let into = |schema: &Json| sample(schema, whole, levels - 1);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return whole.pointer(target).map_or(Json::Null, into);
    }
    for word in ["default", "const"] {
        if let Some(value) = schema.get(word) {
            return value.clone();
        }
    }
    for word in ["examples", "enum"] {
        if let Some(value) = schema[word].get(0) {
            return value.clone();
        }
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[word].get(0) {
            return into(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or(if schema.get("properties").is_some() { "object" } else { "" }) {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten();
            let names = required.filter_map(Json::as_str);
            names.map(|name| (name.to_owned(), into(&schema["properties"][name]))).collect()
        }
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(0).min(10);
            (0..count).map(|_| into(&schema["items"])).collect()
        }
        "string" => {
            let length = schema["minLength"].as_u64().unwrap_or(1).clamp(1, 1_000);
            "x".repeat(usize::try_from(length).unwrap_or(1)).into()
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(false),
        "null" => Json::Null,
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_data_is_json_nonetheless() {
        for text in data().into_iter().chain([large_data(1_000)]) {
            let document: Document = text.parse().unwrap();
            assert_eq!(document.root().kind(), Kind::Object, "{text}");
        }
    }

    #[test]
    fn variants_differ_in_one_member() {
        let document = r#"{"a":{"b":1},"c":"x"}"#.parse().unwrap();
        let all = variants(&document);
        assert!(all.contains(&r#"{"a":null,"c":"x"}"#.to_owned()));
        assert!(all.contains(&r#"{"a":{"b":"text"},"c":"x"}"#.to_owned()));
        assert!(all.iter().all(|text| text.parse::<Document>().is_ok()));
    }

    #[test]
    fn a_config_is_made_from_a_schema() {
        let schema = json!({
            "type": "object", "required": ["any", "mode", "inner", "least"],
            "properties": {
                "any": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                "mode": {"enum": ["fast", "slow"]},
                "inner": {"$ref": "#/$defs/Inner"},
                "least": {"type": "integer", "minimum": 3},
                "left_out": {"type": "string"},
            },
            "$defs": {"Inner": {"type": "object", "required": ["on"], "properties": {"on": {"type": "boolean"}}}},
        });
        let expected = json!({"any": ["x"], "mode": "fast", "inner": {"on": false}, "least": 3});
        assert_eq!(sample_config(&schema), expected);
        assert!(jsonschema::is_valid(&schema, &sample_config(&schema)));
    }
}
