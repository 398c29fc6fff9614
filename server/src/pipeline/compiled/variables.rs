//! Variables that templates can use in the events of a type: the paths of its default payload, derived
//! from the type's JSON Schema and its example.

use antar_json::{Document, Kind, Value};
use serde::Serialize;

use super::profile::{CatalogType, PayloadParts, Profile};
use crate::model::{DeliveryId, PayloadEntry, PayloadValue, TenantId};

/// A path for `{{…}}`.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Variable {
    pub path: String,
    pub kind: VariableKind,
    /// What the schema says of it; empty when it says nothing.
    pub description: String,
    /// What stands there in the example; null when nothing does.
    #[schema(value_type = Object)]
    pub example: Option<Document>,
}

/// What stands at a path. URLs and headers take scalars only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VariableKind {
    /// A string, number, boolean or null.
    Scalar,
    Object,
    Array,
}

/// The structure of a payload, as far as the catalog describes it.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// None if neither schema nor example determine it.
    kind: Option<VariableKind>,
    description: String,
    example: Option<Document>,
    members: Vec<(String, Shape)>,
    element: Option<Box<Shape>>,
    /// The object may have members that are not among `members`.
    open: bool,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A value, with its kind if known.
    There(Option<VariableKind>),
    /// Unknown: not all members of the object there are known.
    Open { below: usize, known: Vec<&'a str> },
    /// No value can be there. The first `below` steps of the path exist; `known` are the members there.
    Nowhere { below: usize, known: Vec<&'a str> },
}

/// The shape of the default payload that `profile` sends for events of a type.
#[must_use]
pub fn shape(profile: &Profile, known: &CatalogType, tenant: &TenantId) -> Shape {
    let spec = &known.spec;
    let data = data_shape(known);
    let event = known.example_event(tenant);
    let parts = PayloadParts {
        event: &event,
        data: event.data(),
        delivery_id: DeliveryId(uuid::Uuid::nil()),
        webhook: "NAME",
    };
    let payload = profile.payload(parts);
    let mut root = Shape { kind: Some(VariableKind::Object), ..Shape::default() };
    for entry in profile.entries(&spec.name) {
        match entry {
            PayloadEntry::Value { key, value } => {
                let example = payload.root().get(key);
                root.add(key.clone(), value_shape(value, &data, example));
            }
            PayloadEntry::Const { key, .. } => {
                root.add(key.clone(), Shape::of_example(payload.root().get(key)));
            }
            PayloadEntry::Rest { .. } => {
                root.open |= data.open;
                for (key, shape) in &data.members {
                    root.add(key.clone(), shape.clone());
                }
            }
        }
    }
    root
}

/// The shape of `data` in the events of a type.
#[must_use]
pub fn data_shape(known: &CatalogType) -> Shape {
    let schema = known.spec.schema.as_ref().map(Document::root);
    let example = known.spec.example.as_ref().map(Document::root);
    Reader { root: schema }.read(schema, example, 0)
}

/// The shape of the value under a key of the payload.
fn value_shape(value: &PayloadValue, data: &Shape, example: Option<Value<'_>>) -> Shape {
    let described = |text: &str| Shape {
        description: text.to_owned(),
        kind: Some(VariableKind::Scalar),
        ..Shape::of_example(example)
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
        PayloadValue::DataPath(path) => match data.at(path.split('.')) {
            Ok(shape) => shape.clone(),
            Err(_) => Shape { open: true, ..Shape::of_example(example) },
        },
    }
}

/// The shape of a value about which nothing is known.
static OPEN: Shape = Shape {
    kind: None,
    description: String::new(),
    example: None,
    members: Vec::new(),
    element: None,
    open: true,
};

impl Shape {
    fn of_example(example: Option<Value<'_>>) -> Shape {
        Reader { root: None }.read(None, example, 0)
    }

    /// Adds a member; a key that exists wins, as in the payload.
    fn add(&mut self, key: String, shape: Shape) {
        if !self.members.iter().any(|(known, _)| *known == key) {
            self.members.push((key, shape));
        }
    }

    /// The shape below `steps`, or the last shape on the way and the number of steps to it.
    fn at<'p>(&self, steps: impl Iterator<Item = &'p str>) -> Result<&Shape, (&Shape, usize)> {
        let mut shape = self;
        for (count, step) in steps.enumerate() {
            let next = match step {
                "[]" => {
                    // `each` iterates over objects as well; their members are treated as unknown.
                    let inner = shape.kind != Some(VariableKind::Scalar);
                    shape.element.as_deref().or(inner.then_some(&OPEN))
                }
                name => {
                    let member = shape.members.iter().find(|(key, _)| key == name).map(|(_, s)| s);
                    let element =
                        shape.element.as_deref().filter(|_| name.parse::<usize>().is_ok());
                    member.or(element)
                }
            };
            shape = next.ok_or((shape, count))?;
        }
        Ok(shape)
    }

    /// Finds what a path from the root leads to. The step `[]` is any element of an array.
    #[must_use]
    pub fn find(&self, steps: &[String]) -> Found<'_> {
        let (shape, below) = match self.at(steps.iter().map(String::as_str)) {
            Ok(shape) => return Found::There(shape.kind),
            Err(last) => last,
        };
        let known = shape.members.iter().map(|(key, _)| key.as_str()).collect();
        let says_nothing = shape.kind.is_none()
            || (shape.kind == Some(VariableKind::Array) && shape.element.is_none());
        if shape.open || says_nothing {
            Found::Open { below, known }
        } else {
            Found::Nowhere { below, known }
        }
    }

    /// Whether a rule's path may lead to a value. Rules search every element of an array.
    #[must_use]
    pub fn may_hold<'p>(&self, mut steps: impl Iterator<Item = &'p str>) -> bool {
        let mut shape = self;
        while let (VariableKind::Array, Some(element)) =
            (shape.kind.unwrap_or(VariableKind::Scalar), &shape.element)
        {
            shape = element;
        }
        let Some(step) = steps.next() else { return true };
        match shape.members.iter().find(|(key, _)| key == step) {
            Some((_, member)) => member.may_hold(steps),
            None => shape.open || shape.kind != Some(VariableKind::Object),
        }
    }

    /// The paths that templates can use, from the outside in. The insides of arrays are not among them;
    /// `{{#each}}` iterates over arrays.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        let mut found = Vec::new();
        self.walk("", &mut found);
        found
    }

    fn walk(&self, path: &str, found: &mut Vec<Variable>) {
        /// Limits the list to what people can read.
        const VARIABLES_MAX: usize = 1_000;
        let named = self.members.iter().filter(|(name, _)| !name.is_empty() && !name.contains(']'));
        for (name, shape) in named {
            if found.len() == VARIABLES_MAX {
                return;
            }
            let step = if can_be_named(name) { name.clone() } else { format!("[{name}]") };
            let path = if path.is_empty() { step } else { format!("{path}.{step}") };
            found.push(Variable {
                path: path.clone(),
                kind: shape.kind.unwrap_or(VariableKind::Scalar),
                description: shape.description.clone(),
                example: shape.example.clone(),
            });
            shape.walk(&path, found);
        }
    }
}

/// Whether a key needs no brackets in a path.
fn can_be_named(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || "_-$@".contains(c))
}

fn kind_of(value: Value<'_>) -> VariableKind {
    match value.kind() {
        Kind::Object => VariableKind::Object,
        Kind::Array => VariableKind::Array,
        _ => VariableKind::Scalar,
    }
}

/// Derives a shape from schema and example together.
struct Reader<'a> {
    /// The whole schema, for `$ref`.
    root: Option<Value<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&self, schema: Option<Value<'a>>, example: Option<Value<'_>>, depth: usize) -> Shape {
        /// Bounds the recursion, because schemas may refer to themselves.
        const DEPTH_MAX: usize = 16;
        if depth == DEPTH_MAX {
            return OPEN.clone();
        }
        let parts = schema.map(|schema| self.parts(schema, depth)).unwrap_or_default();
        let said = |name: &str| parts.iter().find_map(|part| part.get(name));
        // If alternatives differ in type, the kind is unknown.
        let mut kinds = parts.iter().filter_map(|part| part.get("type").and_then(kind_named));
        let first = kinds.next();
        let mixed = first.is_some_and(|first| kinds.any(|other| other != first));
        let kind = first.filter(|_| !mixed);
        let kind = kind.or_else(|| said("properties").map(|_| VariableKind::Object));
        let kind = kind.or_else(|| said("items").map(|_| VariableKind::Array));
        let description = said("description").or_else(|| said("title")).and_then(|v| v.as_str());
        let mut shape = Shape {
            kind: kind.or_else(|| example.filter(|_| !mixed).map(kind_of)),
            description: description.unwrap_or_default().into_owned(),
            example: example.map(|value| value.to_document()),
            ..Shape::default()
        };
        let properties = parts.iter().filter_map(|part| part.get("properties"));
        for (key, property) in properties.flat_map(|properties| properties.members()) {
            let key = key.as_str().unwrap_or_default().into_owned();
            let example = example.and_then(|example| example.get(&key));
            shape.add(key, self.read(Some(property), example, depth + 1));
        }
        let described = !shape.members.is_empty();
        for (key, value) in example.into_iter().flat_map(|example| example.members()) {
            let key = key.as_str().unwrap_or_default().into_owned();
            shape.add(key, self.read(None, Some(value), depth + 1));
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
                next.extend(schema.get(name).into_iter().flat_map(|list| list.elements()));
            }
        }
        parts
    }

    /// The target of a `$ref` inside the same document.
    fn referred(&self, schema: Value<'a>) -> Option<Value<'a>> {
        let reference = schema.get("$ref")?.as_str()?;
        let mut steps = reference.strip_prefix('#')?.split('/').skip(1);
        steps.try_fold(self.root?, |value, step| {
            value.get(&step.replace("~1", "/").replace("~0", "~"))
        })
    }
}

/// The first of a schema's `type`s that is not null.
fn kind_named(types: Value<'_>) -> Option<VariableKind> {
    let names = types.as_str().into_iter().chain(types.elements().filter_map(|one| one.as_str()));
    names.map(|name| name.into_owned()).find(|name| name != "null").map(|name| {
        match name.as_str() {
            "object" => VariableKind::Object,
            "array" => VariableKind::Array,
            _ => VariableKind::Scalar,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(schema: &str, example: &str) -> Shape {
        let document = |text: &str| (!text.is_empty()).then(|| text.parse::<Document>().unwrap());
        let (schema, example) = (document(schema), document(example));
        let root = schema.as_ref().map(Document::root);
        Reader { root }.read(root, example.as_ref().map(Document::root), 0)
    }

    fn find<'s>(shape: &'s Shape, path: &str) -> Found<'s> {
        let steps: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
        shape.find(&steps)
    }

    fn lines(shape: &Shape) -> Vec<String> {
        let text =
            |v: &Variable| v.example.as_ref().map_or("-".to_owned(), |e| e.text().to_owned());
        let line = |v: &Variable| format!("{} {:?} {} {}", v.path, v.kind, v.description, text(v));
        shape.variables().iter().map(line).collect()
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
        let may_hold = |path: &str| shape.may_hold(path.split('.'));
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
        assert!(shape.variables().len() < 20);
    }
}
