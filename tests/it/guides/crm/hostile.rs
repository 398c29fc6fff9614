//! Events that a platform may send one day: an example with one of its values changed.

use serde_json::{Value, json};

/// An event's data with one value changed.
pub(super) struct Hostile {
    /// Of the value, from the data on: `contact.name`.
    pub(super) path: String,
    /// What stands there now; null too where it was taken out.
    pub(super) value: Value,
    pub(super) data: Value,
    /// A text that the request must carry somewhere.
    pub(super) arrives: Option<String>,
}

/// Texts that arrive as they are.
const TEXTS: &[&str] = &[
    r#"He said "hi" \ 'there'"#,
    "two\nlines\r\n\tand a tab",
    "😀 emoji 👩‍👩‍👧 \u{2028}é\u{301}\u{0}",
    "<script>alert(1)</script> & <!channel>",
    r#"", "admin": true, "x": ""#,
    "{{data.contact.id}} }} {{{x}}}",
    "=IMPORTXML(\"http://a.example\")",
    "_*`~[a](b) \\_ #",
];
const ADDRESSES: &[&str] =
    &["o'neil+tag&x=1@example.com", "\"q\\\"<b>\"@example.com", "ü@exämple.example", "A@B.C"];
const IDS: &[&str] = &["a b/c?d#e%2F&\"<>😀", "cnt.inc", "../x", "-"];
/// Written, and as it arrives where it is a number.
const PHONES: &[(&str, Option<&str>)] = &[
    ("0812-3456-789", Some("+628123456789")),
    ("(+62) 812 3456 789", Some("+628123456789")),
    ("0062 8123456789", Some("+628123456789")),
    ("ask \"reception\"", None),
    ("123", None),
    ("1234567890123456789012345678901234567890", None),
];

/// Each value of `example` that `uses` says is used, changed in many ways, one at a time.
pub(super) fn events(example: &Value, uses: impl Fn(&str) -> bool) -> Vec<Hostile> {
    let mut leaves = Vec::new();
    leaves_below(example, "", &mut leaves);
    let mut events = Vec::new();
    for (path, now) in leaves.iter().filter(|(path, _)| uses(path)) {
        let mut push = |value: Option<Value>, arrives: Option<&str>| {
            let mut data = example.clone();
            put(&mut data, path, value.clone());
            let value = value.unwrap_or_default();
            events.push(Hostile {
                path: path.clone(),
                value,
                data,
                arrives: arrives.map(str::to_owned),
            });
        };
        push(None, None);
        push(Some(Value::Null), None);
        push(Some(json!("")), None);
        for (value, arrives) in values(path, now) {
            push(Some(value), arrives);
        }
    }
    events
}

/// What may stand in the place of a value of this kind.
fn values(path: &str, now: &str) -> Vec<(Value, Option<&'static str>)> {
    let as_they_are = |texts: &[&'static str]| -> Vec<_> {
        texts.iter().map(|text| (json!(text), Some(*text))).collect()
    };
    if now.contains('@') {
        return as_they_are(ADDRESSES);
    }
    if path.ends_with("id") {
        let ids = IDS.iter().map(|id| (json!(id), None));
        return ids.chain([(json!(4711), None)]).collect();
    }
    if path.ends_with("phone") {
        let phones = PHONES.iter().map(|(written, arrives)| (json!(written), *arrives));
        return phones.chain([(json!(8123456789_u64), Some("+628123456789"))]).collect();
    }
    let mut values = as_they_are(TEXTS);
    values.push((json!("x".repeat(5_000)), Some("xxxxxxxxxx")));
    values.push((json!("😀".repeat(5_000)), Some("😀😀😀")));
    values.push((json!("  \n "), None));
    values.push((json!(12345678901234567890_u64), Some("12345678901234567890")));
    values
        .extend([json!(true), json!({"first": "a \"b\""}), json!(["a", null])].map(|v| (v, None)));
    values
}

/// Texts with their paths. What is in arrays stays as it is.
fn leaves_below(value: &Value, path: &str, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => leaves.push((path.to_owned(), text.clone())),
        Value::Object(members) => {
            for (key, member) in members {
                let joint = if path.is_empty() { "" } else { "." };
                leaves_below(member, &format!("{path}{joint}{key}"), leaves);
            }
        }
        _ => {}
    }
}

/// Puts a value at a path that is there, or takes away what is there.
fn put(data: &mut Value, path: &str, value: Option<Value>) {
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let parent =
        parents.split('.').filter(|part| !part.is_empty()).fold(data, |at, part| &mut at[part]);
    match value {
        Some(value) => parent[key] = value,
        None => drop(parent.as_object_mut().unwrap().remove(key)),
    }
}
