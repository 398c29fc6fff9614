//! The declared mapping.

use std::borrow::Cow;

use antar_sdk::{
    Json, Problem,
    json_text::{Builder, Kind, Value},
    schemars::{JsonSchema, Schema, SchemaGenerator, json_schema},
    serde::{Deserialize, Deserializer},
};

/// An object whose members are parts: paths, constants, objects and arrays of parts. Kept as text,
/// because the order of keys is the order of the new document.
pub(crate) struct Shape(Json);

/// One value of the new document.
enum Part<'a> {
    Path { path: Cow<'a, str>, default: Option<Value<'a>> },
    Const(Value<'a>),
    Object(Value<'a>),
    Array(Value<'a>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        Json::deserialize(deserializer).map(Shape)
    }
}

impl Shape {
    /// Writes the members into the object that is open, and adds to `taken` the keys of `data`
    /// that were read whole or written.
    pub(crate) fn write_members(
        &self,
        data: &Json,
        out: &mut Builder,
        taken: &mut Vec<String>,
    ) -> Result<(), Problem> {
        if self.0.root().kind() != Kind::Object {
            return Err(wrong(self.0.root()));
        }
        for (key, _) in self.0.root().members() {
            taken.extend(key.as_str().map(Cow::into_owned));
        }
        write_members(self.0.root(), data, out, taken)
    }
}

fn wrong(value: Value<'_>) -> Problem {
    let text: String = value.raw().chars().take(60).collect();
    Problem::retry(format!(
        "config: {text} is neither a path nor an object with one of path, const, object, array"
    ))
}

impl<'a> Part<'a> {
    fn read(part: Value<'a>) -> Result<Part<'a>, Problem> {
        if let Some(path) = part.as_str() {
            return Ok(Part::Path { path, default: None });
        }
        let path = || part.get("path").and_then(Value::as_str);
        let only = |name| part.get(name).filter(|_| part.members().count() == 1);
        let of = |name, kind| only(name).filter(|value| value.kind() == kind);
        if let Some(value) = only("const") {
            Ok(Part::Const(value))
        } else if let Some(members) = of("object", Kind::Object) {
            Ok(Part::Object(members))
        } else if let Some(elements) = of("array", Kind::Array) {
            Ok(Part::Array(elements))
        } else if let Some(path) = path() {
            let default = part.get("default");
            match part.members().count() {
                1 => Ok(Part::Path { path, default: None }),
                2 if default.is_some() => Ok(Part::Path { path, default }),
                _ => Err(wrong(part)),
            }
        } else {
            Err(wrong(part))
        }
    }

    /// The value to copy, of a part that has no parts.
    fn value<'v>(&self, data: &'v Json, taken: &mut Vec<String>) -> Option<Value<'v>>
    where
        'a: 'v,
    {
        match self {
            Part::Path { path, default } => {
                taken.push(path.to_string());
                data.at(path).or(*default)
            }
            Part::Const(value) => Some(*value),
            Part::Object(_) | Part::Array(_) => None,
        }
    }

    /// Writes it, with `key` before it. Nothing when it leads nowhere.
    fn write(
        &self,
        key: Option<Value<'_>>,
        data: &Json,
        out: &mut Builder,
        taken: &mut Vec<String>,
    ) -> Result<(), Problem> {
        let value = self.value(data, taken);
        let is_leaf = !matches!(self, Part::Object(_) | Part::Array(_));
        if is_leaf && value.is_none() {
            return Ok(());
        }
        if let Some(key) = key {
            out.copy_key(key);
        }
        match (self, value) {
            (Part::Object(members), _) => {
                out.object();
                write_members(*members, data, out, taken)?;
                out.end();
            }
            (Part::Array(elements), _) => {
                out.array();
                for element in elements.elements() {
                    Part::read(element)?.write(None, data, out, taken)?;
                }
                out.end();
            }
            (_, Some(value)) => {
                out.copy(value);
            }
            (_, None) => {}
        }
        Ok(())
    }
}

fn write_members(
    members: Value<'_>,
    data: &Json,
    out: &mut Builder,
    taken: &mut Vec<String>,
) -> Result<(), Problem> {
    for (key, part) in members.members() {
        Part::read(part)?.write(Some(key), data, out, taken)?;
    }
    Ok(())
}

impl JsonSchema for Shape {
    fn schema_name() -> Cow<'static, str> {
        "Shape".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let part = generator.subschema_for::<AnyPart>();
        json_schema!({ "type": "object", "additionalProperties": part })
    }
}

/// The schema of a part.
struct AnyPart;

impl JsonSchema for AnyPart {
    fn schema_name() -> Cow<'static, str> {
        "Part".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let part = generator.subschema_for::<AnyPart>();
        json_schema!({
            "anyOf": [
                {"type": "string", "description": "A dotted path that begins at `data`."},
                {"type": "object", "additionalProperties": false, "required": ["path"],
                 "properties": {"path": {"type": "string"}, "default": true}},
                {"type": "object", "additionalProperties": false, "required": ["const"],
                 "properties": {"const": true}},
                {"type": "object", "additionalProperties": false, "required": ["object"],
                 "properties": {"object": {"type": "object", "additionalProperties": part}}},
                {"type": "object", "additionalProperties": false, "required": ["array"],
                 "properties": {"array": {"type": "array", "items": part}}}
            ]
        })
    }
}
