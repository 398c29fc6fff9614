//! Derives the shape of a payload from the JSON Schema and the example of its type.

use std::collections::HashSet;

use antar_json::{Document, Kind, Value};

use super::shape::{Effort, OPEN, PLACE_STEPS, Shape, VariableKind};
use crate::model::PayloadValue;

/// How much a shape tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Which paths there are, for checks.
    Paths,
    /// Descriptions and examples as well, for people.
    All,
}

fn kind_of(value: Value<'_>) -> VariableKind {
    match value.kind() {
        Kind::Object => VariableKind::Object,
        Kind::Array => VariableKind::Array,
        _ => VariableKind::Scalar,
    }
}

/// Derives a shape from schema and example together.
pub(super) struct Reader<'a, 'e> {
    /// The whole schema, for `$ref`.
    pub(super) root: Option<Value<'a>>,
    pub(super) effort: &'e Effort,
    pub(super) detail: Detail,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn read(
        &self,
        schema: Option<Value<'a>>,
        example: Option<Value<'_>>,
        depth: usize,
    ) -> Shape {
        /// Bounds the recursion, because schemas may refer to themselves.
        const DEPTH_MAX: usize = 16;
        if depth == DEPTH_MAX || !self.effort.spend(PLACE_STEPS) {
            return OPEN.clone();
        }
        let parts = schema.map(|schema| self.parts(schema, depth)).unwrap_or_default();
        let said = |name: &str| parts.iter().find_map(|part| self.member(*part, name));
        // If alternatives differ in type, the kind is unknown.
        let mut kinds =
            parts.iter().filter_map(|part| self.kind_named(self.member(*part, "type")?));
        let first = kinds.next();
        let mixed = first.is_some_and(|first| kinds.any(|other| other != first));
        let kind = first.filter(|_| !mixed);
        let kind = kind.or_else(|| said("properties").map(|_| VariableKind::Object));
        let kind = kind.or_else(|| said("items").map(|_| VariableKind::Array));
        let mut shape = Shape {
            kind: kind.or_else(|| example.filter(|_| !mixed).map(kind_of)),
            ..Shape::default()
        };
        if self.detail == Detail::All {
            let text = said("description").or_else(|| said("title"));
            let text = text.filter(|text| self.effort.spend(text.raw().len()));
            shape.description = text.and_then(|v| v.as_str()).unwrap_or_default().into_owned();
            shape.example = short(example);
        }
        let mut names = HashSet::new();
        let properties = parts.iter().filter_map(|part| self.member(*part, "properties"));
        for (key, property) in properties.flat_map(|properties| properties.members()) {
            if !self.effort.spend(key.raw().len()) {
                return OPEN.clone();
            }
            let key = key.as_str().unwrap_or_default().into_owned();
            if names.insert(key.clone()) {
                let example = example.and_then(|example| self.member(example, &key));
                shape.members.push((key, self.read(Some(property), example, depth + 1)));
            }
        }
        let described = !shape.members.is_empty();
        for (key, value) in example.into_iter().flat_map(|example| example.members()) {
            if !self.effort.spend(key.raw().len()) {
                return OPEN.clone();
            }
            let key = key.as_str().unwrap_or_default().into_owned();
            if names.insert(key.clone()) {
                shape.members.push((key, self.read(None, Some(value), depth + 1)));
            }
        }
        let more = said("additionalProperties").is_some_and(|more| more.as_bool() != Some(false));
        let object = shape.kind == Some(VariableKind::Object);
        // If a schema names no members of an object, any may occur; an example alone is taken as
        // complete, unless it is empty.
        let vague = !described && (schema.is_some() || shape.members.is_empty());
        shape.open = object && (more || vague || said("patternProperties").is_some());
        if shape.kind == Some(VariableKind::Array) {
            let element = example.and_then(|example| example.elements().next());
            let items = said("items").filter(|items| items.kind() == Kind::Object);
            if items.is_some() || element.is_some() {
                shape.element = Some(Box::new(self.read(items, element, depth + 1)));
            }
        }
        shape
    }

    pub(super) fn of_example(&self, example: Option<Value<'_>>) -> Shape {
        Reader { root: None, effort: self.effort, detail: self.detail }.read(None, example, 0)
    }

    /// The shape of the value under a key of the payload.
    pub(super) fn value_shape(
        &self,
        value: &PayloadValue,
        data: &Shape,
        example: Option<Value<'_>>,
    ) -> Shape {
        let described = |text: &str| Shape {
            description: text.to_owned(),
            kind: Some(VariableKind::Scalar),
            ..self.of_example(example)
        };
        match value {
            PayloadValue::Id => described("Id of the event."),
            PayloadValue::Type => described("Type of the event."),
            PayloadValue::Timestamp => described("When it happened: RFC 3339, UTC, milliseconds."),
            PayloadValue::Tenant => described("The tenant."),
            PayloadValue::DeliveryId => described("Id of the delivery, the same in every retry."),
            PayloadValue::Webhook => described("The webhook's name."),
            PayloadValue::Attribute(name) => described(&format!("The event's attribute `{name}`.")),
            PayloadValue::Data => data.clone(),
            PayloadValue::DataPath(path) => match data.at(path.split('.'), self.effort) {
                Ok(shape) => shape.clone(),
                Err(_) => Shape { open: true, ..self.of_example(example) },
            },
        }
    }

    /// [`Value::get`], at the cost of the members that are looked at. Nothing is found when no steps are left.
    fn member<'v>(&self, value: Value<'v>, name: &str) -> Option<Value<'v>> {
        let mut found = None;
        for (key, member) in value.members() {
            if !self.effort.spend(1) {
                return None;
            }
            if key.str_eq(name) {
                found = Some(member);
            }
        }
        found
    }

    /// A schema with its `$ref` target and the parts of its `allOf`, `anyOf` and `oneOf`, recursively.
    fn parts(&self, schema: Value<'a>, depth: usize) -> Vec<Value<'a>> {
        const PARTS_MAX: usize = 64;
        let (mut parts, mut next) = (Vec::new(), vec![schema]);
        while let Some(schema) = next.pop() {
            if parts.len() + depth >= PARTS_MAX {
                break;
            }
            parts.push(schema);
            next.extend(self.referred(schema));
            for name in ["allOf", "anyOf", "oneOf"] {
                let listed = self.member(schema, name).into_iter();
                next.extend(listed.flat_map(|list| list.elements().take(PARTS_MAX)));
            }
        }
        parts
    }

    /// The first of a schema's `type`s that is not null.
    fn kind_named(&self, types: Value<'_>) -> Option<VariableKind> {
        let types = self.effort.spend(types.raw().len()).then_some(types)?;
        let names =
            types.as_str().into_iter().chain(types.elements().filter_map(|one| one.as_str()));
        names.map(|name| name.into_owned()).find(|name| name != "null").map(|name| {
            match name.as_str() {
                "object" => VariableKind::Object,
                "array" => VariableKind::Array,
                _ => VariableKind::Scalar,
            }
        })
    }

    /// The target of a `$ref` inside the same document.
    fn referred(&self, schema: Value<'a>) -> Option<Value<'a>> {
        let reference = self.member(schema, "$ref")?;
        let reference = self.effort.spend(reference.raw().len()).then_some(reference)?.as_str()?;
        let mut steps = reference.strip_prefix('#')?.split('/').skip(1);
        steps.try_fold(self.root?, |value, step| {
            self.member(value, &step.replace("~1", "/").replace("~0", "~"))
        })
    }
}

/// An example to show, unless it is too long to be one.
fn short(example: Option<Value<'_>>) -> Option<Document> {
    const EXAMPLE_BYTES_MAX: usize = 4 << 10;
    example.filter(|value| value.raw().len() <= EXAMPLE_BYTES_MAX).map(|value| value.to_document())
}
