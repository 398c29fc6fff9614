//! Requests that a target would refuse, or misread: its schema must see that, else it shows nothing.

use jsonschema::Validator;
use serde_json::{Value, json};

/// What a target can't do without: file and pointer.
const NEEDED: &[(&str, &str)] = &[
    ("google-sheets", "/headers/authorization"),
    ("google-sheets", "/body/values"),
    ("google-sheets", "/body/values/0/6"),
    ("hubspot", "/headers/authorization"),
    ("hubspot", "/body/inputs"),
    ("hubspot", "/body/inputs/0"),
    ("hubspot", "/body/inputs/0/id"),
    ("hubspot", "/body/inputs/0/idProperty"),
    ("hubspot", "/body/inputs/0/properties"),
    ("odoo", "/headers/authorization"),
    ("odoo", "/body/fields"),
    ("odoo", "/body/fields/0"),
    ("odoo", "/body/data"),
    ("odoo", "/body/data/0/0"),
    ("odoo", "/body/data/0/3"),
    ("salesforce", "/headers/authorization"),
    ("salesforce", "/body/LastName"),
    ("slack", "/body/text"),
    ("slack", "/body/blocks/0/text"),
    ("slack", "/body/blocks/1/fields"),
    ("slack", "/body/blocks/1/fields/0/type"),
    ("telegram", "/body/chat_id"),
    ("telegram", "/body/text"),
    ("zoho", "/headers/authorization"),
    ("zoho", "/body/data/0/Last_Name"),
    ("zoho", "/body/data/0/Email"),
    ("zoho", "/body/duplicate_check_fields"),
];

/// What a target refuses or does other than meant: file, pointer, value.
fn misread() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        (
            "google-sheets",
            "/url",
            json!("https://sheets.googleapis.com/v4/spreadsheets/ID/values/Contacts!A:G:append"),
        ),
        ("google-sheets", "/body/values/0/3", json!("x".repeat(50_001))),
        ("hubspot", "/body/inputs/0/id", json!("no address")),
        ("hubspot", "/headers/authorization", json!("pat-na1")),
        ("odoo", "/body/fields/1", json!("nmae")),
        ("odoo", "/body/data/0/0", json!("__import__.a b")),
        ("odoo", "/headers/x-odoo-database", json!("")),
        ("salesforce", "/method", json!("POST")),
        (
            "salesforce",
            "/url",
            json!(
                "https://a.my.salesforce.com/services/data/v64.0/sobjects/Contact/Chat_Contact_Id__c/"
            ),
        ),
        ("salesforce", "/body/LastName", json!("x".repeat(81))),
        ("salesforce", "/body/LastName", json!("  ")),
        ("salesforce", "/body/Chat_Contact_Id__c", json!("cnt_5512")),
        ("slack", "/body/text", json!("<!channel> & more")),
        ("slack", "/body/blocks/0/text/text", json!("x".repeat(151))),
        ("slack", "/body/blocks/1/fields/0/text", json!("x".repeat(2_001))),
        ("slack", "/body/blocks/1/fields/0/text", json!("")),
        ("slack", "/body/blocks/1/fields/0", json!({"type": "mrkdwn", "text": "<!here>"})),
        ("telegram", "/body/text", json!("x".repeat(4_097))),
        ("telegram", "/body/text", json!(" \n")),
        ("telegram", "/body/parse_mode", json!("MarkdownV2")),
        ("telegram", "/url", json!("https://api.telegram.org/sendMessage")),
        ("zoho", "/headers/authorization", json!("Bearer •••")),
        ("zoho", "/body/duplicate_check_fields", json!([])),
        ("zoho", "/body/data/0/Last_Name", json!("")),
    ]
}

/// `request` is right. Every wrong one made of it must be refused.
pub(super) fn is_refused(name: &str, schema: &Validator, request: &Value) {
    let refused = |what: &str, request: &Value| {
        assert!(!schema.is_valid(request), "{name}: the schema accepts {what}: {request:#}");
    };
    let needed: Vec<_> = NEEDED.iter().filter(|(target, _)| *target == name).collect();
    assert!(!needed.is_empty(), "{name}: say in NEEDED what it can't do without");
    let always = ["/method", "/url", "/headers", "/headers/content-type", "/body"];
    for pointer in always.into_iter().chain(needed.into_iter().map(|(_, pointer)| *pointer)) {
        refused(&format!("a request without {pointer}"), &without(request, pointer));
    }
    for (_, pointer, value) in misread().into_iter().filter(|(target, ..)| *target == name) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut wrong = request.clone();
        match wrong.pointer_mut(parent).unwrap() {
            Value::Array(elements) => elements[key.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[key] = value.clone(),
        }
        refused(&format!("{pointer} = {value}"), &wrong);
    }
    let mut pointers = Vec::new();
    pointers_below(request, String::new(), &mut pointers);
    for pointer in pointers {
        let mut wrong = request.clone();
        let at = wrong.pointer_mut(&pointer).unwrap();
        if at.is_object() && pointer != "/headers" {
            at["unknown_member"] = json!("x");
            refused(&format!("an unknown member in {pointer}"), &wrong);
        }
        let mut wrong = request.clone();
        *wrong.pointer_mut(&pointer).unwrap() = json!([{"wrong": 1}, [2]]);
        refused(&format!("a list of other things at {pointer}"), &wrong);
    }
}

fn without(request: &Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut request = request.clone();
    let found = request.pointer(pointer).is_some();
    assert!(found, "{pointer} is not in the request: {request:#}");
    match request.pointer_mut(parent).unwrap() {
        Value::Array(elements) => drop(elements.remove(key.parse().unwrap())),
        parent => drop(parent.as_object_mut().unwrap().remove(key)),
    }
    request
}

/// The pointers of all values, the whole included.
fn pointers_below(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointers_below(element, format!("{at}/{index}"), pointers);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                pointers_below(member, format!("{at}/{key}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(at);
}
