//! Variables that templates can use in the events of a type: the paths of its default payload, derived
//! from the type's JSON Schema and its example.

use std::collections::HashSet;

use antar_json::Document;
use serde::Serialize;

use super::profile::{CatalogType, PayloadParts, Profile};
use super::shape::{Effort, OPEN, Shape, VariableKind};
use super::shape_reader::{Detail, Reader};
use crate::model::{DeliveryId, JsonText, PayloadEntry, TenantId};

/// A path for `{{…}}`.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Variable {
    pub path: String,
    pub kind: VariableKind,
    /// What the schema says of it; empty when it says nothing.
    pub description: String,
    /// What stands there in the example; null when nothing does, or more than 4 KiB.
    #[schema(value_type = Object)]
    pub example: Option<Document>,
}

/// The paths of the default payload that `profile` sends for events of a type.
#[must_use]
pub fn paths(profile: &Profile, known: &CatalogType, tenant: &TenantId, effort: &Effort) -> Shape {
    if !can_parse(known, effort) {
        return OPEN.clone();
    }
    payload_shape(profile, known, tenant, effort, Detail::Paths)
}

/// Spends the effort of parsing what a type says of its data. False: it is spent.
fn can_parse(known: &CatalogType, effort: &Effort) -> bool {
    const BYTES_PER_STEP: usize = 64;
    let texts = [&known.spec.schema, &known.spec.example].into_iter().flatten();
    let bytes: usize = texts.map(|json| json.text().len()).sum();
    effort.spend(bytes / BYTES_PER_STEP)
}

/// What templates can use in the default payload that `profile` sends for events of a type.
#[must_use]
pub fn variables(profile: &Profile, known: &CatalogType, tenant: &TenantId) -> Vec<Variable> {
    listed(&payload_shape(profile, known, tenant, &Effort::default(), Detail::All))
}

fn payload_shape(
    profile: &Profile,
    known: &CatalogType,
    tenant: &TenantId,
    effort: &Effort,
    detail: Detail,
) -> Shape {
    let spec = &known.spec;
    let schema = spec.schema.as_ref().map(JsonText::document);
    let event = known.example_event(tenant);
    let parts = PayloadParts {
        event: &event,
        data: event.data(),
        delivery_id: DeliveryId(uuid::Uuid::nil()),
        webhook: "NAME",
    };
    let root = schema.as_ref().map(Document::root);
    let example = spec.example.is_some().then_some(parts.data);
    let reader = Reader { root, effort, detail };
    let data = reader.read(root, example, 0);
    let payload = profile.payload(parts);
    let mut root = Shape { kind: Some(VariableKind::Object), ..Shape::default() };
    let mut names = HashSet::new();
    // A key that exists wins, as in the payload.
    let mut add = |key: &str, shape: Shape| {
        if names.insert(key.to_owned()) {
            root.members.push((key.to_owned(), shape));
        }
    };
    let mut open = false;
    for entry in profile.entries(&spec.name) {
        match entry {
            PayloadEntry::Value { key, value } => {
                let example = payload.root().get(key);
                add(key, reader.value_shape(value, &data, example));
            }
            PayloadEntry::Const { key, .. } => {
                add(key, reader.of_example(payload.root().get(key)));
            }
            PayloadEntry::Rest { .. } => {
                open |= data.open;
                for (key, shape) in &data.members {
                    add(key, shape.clone());
                }
            }
        }
    }
    root.open = open;
    root
}

/// The paths of `data` in the events of a type.
#[must_use]
pub fn data_paths(known: &CatalogType, effort: &Effort) -> Shape {
    if !can_parse(known, effort) {
        return OPEN.clone();
    }
    let schema = known.spec.schema.as_ref().map(JsonText::document);
    let example = known.spec.example.as_ref().map(JsonText::document);
    let root = schema.as_ref().map(Document::root);
    Reader { root, effort, detail: Detail::Paths }.read(
        root,
        example.as_ref().map(Document::root),
        0,
    )
}

/// The paths that templates can use, from the outside in. The insides of arrays are not among them;
/// `{{#each}}` iterates over arrays.
fn listed(shape: &Shape) -> Vec<Variable> {
    /// Limits the list to what people can read.
    const BYTES_MAX: usize = 1 << 20;
    let mut found = Vec::new();
    walk(shape, "", &mut found, &mut { BYTES_MAX });
    found
}

fn walk(shape: &Shape, path: &str, found: &mut Vec<Variable>, room: &mut usize) {
    const VARIABLES_MAX: usize = 1_000;
    let named = shape.members.iter().filter(|(name, _)| !name.is_empty() && !name.contains(']'));
    for (name, shape) in named {
        if found.len() == VARIABLES_MAX {
            return;
        }
        let example = shape.example.as_ref().map_or(0, |example| example.text().len());
        let bytes = path.len() + name.len() + shape.description.len() + example;
        let Some(rest) = room.checked_sub(bytes) else { return };
        *room = rest;
        let step = if can_be_named(name) { name.clone() } else { format!("[{name}]") };
        let path = if path.is_empty() { step } else { format!("{path}.{step}") };
        found.push(Variable {
            path: path.clone(),
            kind: shape.kind.unwrap_or(VariableKind::Scalar),
            description: shape.description.clone(),
            example: shape.example.clone(),
        });
        walk(shape, &path, found, room);
    }
}

/// Whether a key needs no brackets in a path.
fn can_be_named(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || "_-$@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::compiled::shape::Found;

    fn read(schema: &str, example: &str) -> Shape {
        let document = |text: &str| (!text.is_empty()).then(|| text.parse::<Document>().unwrap());
        let (schema, example) = (document(schema), document(example));
        let root = schema.as_ref().map(Document::root);
        let reader = Reader { root, effort: &Effort::default(), detail: Detail::All };
        reader.read(root, example.as_ref().map(Document::root), 0)
    }

    fn find<'s>(shape: &'s Shape, path: &str) -> Found<'s> {
        let steps: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
        shape.find(&steps, &Effort::default())
    }

    fn lines(shape: &Shape) -> Vec<String> {
        let text =
            |v: &Variable| v.example.as_ref().map_or("-".to_owned(), |e| e.text().to_owned());
        let line = |v: &Variable| format!("{} {:?} {} {}", v.path, v.kind, v.description, text(v));
        listed(shape).iter().map(line).collect()
    }

    #[test]
    fn learned_from_an_example() {
        let shape = read("", r#"{"a": {"b": 1.50, "c": [{"d": 1}]}, "e f": 1, "g": null}"#);
        assert_eq!(
            lines(&shape),
            [
                r#"a Object  {"b":1.50,"c":[{"d":1}]}"#,
                "a.b Scalar  1.50",
                r#"a.c Array  [{"d":1}]"#,
                "[e f] Scalar  1",
                "g Scalar  null",
            ]
        );
        assert_eq!(find(&shape, "a.c.[].d"), Found::There(Some(VariableKind::Scalar)));
        assert_eq!(find(&shape, "a.c.0.d"), Found::There(Some(VariableKind::Scalar)));
        assert_eq!(find(&shape, "a"), Found::There(Some(VariableKind::Object)));
        assert_eq!(find(&shape, "a.[]"), Found::There(None));
        let nowhere = Found::Nowhere { below: 1, known: vec!["b", "c"] };
        assert_eq!(find(&shape, "a.x.y"), nowhere);
        assert!(matches!(find(&shape, "a.b.x"), Found::Nowhere { .. }));
        let may_hold = |path: &str| shape.may_hold(path.split('.'), &Effort::default());
        assert_eq!(["a.c.d", "a.c.e", "a.x", "g"].map(may_hold), [true, false, false, true]);
    }

    #[test]
    fn a_schema_says_more_than_the_example() {
        let shape = read(
            r##"{"type": "object", "properties": {
                "user": {"$ref": "#/$defs/user"}, "tags": {"type": ["null", "array"]},
                "free": {"type": "object", "description": "Anything."}},
                "$defs": {"user": {"allOf": [{"properties": {"mail": {"type": "string", "title": "Mail"}}}]}}}"##,
            r#"{"user": {"mail": "a@b.c"}, "free": {"x": 1}, "more": 2}"#,
        );
        assert_eq!(
            lines(&shape),
            [
                r#"user Object  {"mail":"a@b.c"}"#,
                r#"user.mail Scalar Mail "a@b.c""#,
                "tags Array  -",
                r#"free Object Anything. {"x":1}"#,
                "free.x Scalar  1",
                "more Scalar  2",
            ]
        );
        assert!(matches!(find(&shape, "free.y"), Found::Open { .. }));
        assert!(matches!(find(&shape, "tags.[].y"), Found::Open { .. }));
        assert!(matches!(find(&shape, "user.phone"), Found::Nowhere { .. }));
    }

    #[test]
    fn schemas_may_go_round_in_circles() {
        let shape = read(r##"{"properties": {"child": {"$ref": "#"}}}"##, "");
        assert!(matches!(find(&shape, "child.child.child"), Found::There(_)));
        assert!(listed(&shape).len() < 20);
    }

    #[test]
    fn schemas_that_multiply_end_when_the_effort_is_spent() {
        let names = |count: usize| (0..count).map(|n| format!(r##""{n}": {{"$ref": "#"}}"##));
        let wide = names(40).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"properties": {{{wide}}}}}"#);
        let document: Document = text.parse().unwrap();
        let effort = Effort::default();
        let reader = Reader { root: Some(document.root()), effort: &effort, detail: Detail::Paths };
        let shape = reader.read(reader.root, None, 0);
        assert!(effort.is_spent());
        let far = ["0", "0", "0"].map(ToOwned::to_owned);
        assert!(!matches!(shape.find(&far, &Effort::default()), Found::Nowhere { .. }));
    }

    #[test]
    fn examples_of_many_levels_are_shown_once() {
        let deep = (0..15)
            .fold(format!("\"{}\"", "x".repeat(5_000)), |inner, _| format!(r#"{{"a":{inner}}}"#));
        let shape = read("", &deep);
        let shown = listed(&shape).iter().filter(|variable| variable.example.is_some()).count();
        assert_eq!((listed(&shape).len(), shown), (15, 0));
    }
}
