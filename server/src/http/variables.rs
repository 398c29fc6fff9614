//! What templates can name in an event: the paths of its default payload.

use antar_json::{Document, Kind, Value};
use serde::Serialize;

use crate::model::{DeliveryId, Event};
use crate::pipeline::profile::{PayloadParts, Profile};

/// A path for `{{…}}`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Variable {
    path: String,
    kind: VariableKind,
    /// What stands there in the example.
    #[schema(value_type = Object)]
    example: Document,
}

/// What stands at a path. URLs and headers take scalars only.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum VariableKind {
    /// A string, number, boolean or null.
    Scalar,
    Object,
    Array,
}

/// The variables of `event` as `profile` sends it, from the outside in. Members of arrays are not
/// among them; `{{#each}}` goes through these.
pub(super) fn variables(profile: &Profile, event: &Event) -> Vec<Variable> {
    let delivery_id = DeliveryId(uuid::Uuid::nil());
    let parts = PayloadParts { event, data: event.data(), delivery_id, webhook: "NAME" };
    let payload = profile.payload(parts);
    let mut found = Vec::new();
    walk(payload.root(), "", &mut found);
    found
}

fn walk(value: Value<'_>, path: &str, found: &mut Vec<Variable>) {
    /// An example is a page for people.
    const VARIABLES_MAX: usize = 1_000;
    for (key, value) in value.members() {
        let Some(name) = key.as_str().filter(|name| can_be_named(name)) else { continue };
        if found.len() == VARIABLES_MAX {
            return;
        }
        let path = if path.is_empty() { name.into_owned() } else { format!("{path}.{name}") };
        let kind = match value.kind() {
            Kind::Object => VariableKind::Object,
            Kind::Array => VariableKind::Array,
            _ => VariableKind::Scalar,
        };
        found.push(Variable { path: path.clone(), kind, example: value.to_document() });
        walk(value, &path, found);
    }
}

/// Keys with dots, spaces or braces are no part of a path.
fn can_be_named(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-$@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_the_outside_in() {
        let payload: Document =
            r#"{"a": {"b": 1.50, "c": [{"d": 1}]}, "e f": 1, "g": null}"#.parse().unwrap();
        let mut found = Vec::new();
        walk(payload.root(), "", &mut found);
        let lines: Vec<_> =
            found.iter().map(|v| format!("{} {:?} {}", v.path, v.kind, v.example.text())).collect();
        assert_eq!(
            lines,
            [
                r#"a Object {"b":1.50,"c":[{"d":1}]}"#,
                "a.b Scalar 1.50",
                r#"a.c Array [{"d":1}]"#,
                "g Scalar null",
            ]
        );
    }
}
