//! A compiled profile: its catalog with compiled schemas, and its default payload as a function.

use std::collections::HashMap;
use std::sync::Arc;

use antar_json::{Builder, Document, OutOfSteps, Steps, Value};
use antar_schema::{Limits, Miss, Schema, SchemaError};
use antar_template::Template;

use crate::config::IntakeConfig;
use crate::model::{
    DeliveryId, Event, EventId, EventKey, EventType, EventTypeSpec, JsonText, Millis, PayloadEntry,
    PayloadValue, ProfileSpec, Retry, TenantId,
};

/// Validation errors may quote the whole value: they are cut after this.
const DETAIL_BYTES_MAX: usize = 1_000;

/// A catalog entry with its compiled schema.
pub struct CatalogType {
    pub spec: EventTypeSpec,
    schema: Option<Result<Schema, SchemaError>>,
    /// Memory that it takes, estimated.
    pub bytes: usize,
}

/// Estimated memory of a type itself, and of a compiled schema for each of its values, in bytes.
const TYPE_BYTES: usize = 1_024;
const SCHEMA_VALUE_BYTES: usize = 512;

impl CatalogType {
    /// Compiles the schema. A schema that can't be used stays out of use: see [`CatalogType::refusal`].
    #[must_use]
    pub fn new(spec: EventTypeSpec, limits: &IntakeConfig) -> CatalogType {
        let limits = Limits {
            subschemas_max: limits.subschemas_max,
            steps_max: limits.schema_steps_max,
            pattern_bytes_max: limits.schema_pattern_bytes_max,
        };
        let schema = spec.schema.as_ref().map(JsonText::document);
        let values = schema.as_ref().map_or(0, |schema| schema.root().count());
        let compile = |schema: &Document| Schema::compile(&schema.root().to_serde(), limits);
        let schema = schema.as_ref().map(compile);
        let texts =
            [&spec.schema, &spec.example].into_iter().flatten().map(|json| json.text().len());
        let bytes = TYPE_BYTES
            + spec.description.len()
            + spec
                .example_attributes
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
            + texts.sum::<usize>()
            + values.saturating_mul(SCHEMA_VALUE_BYTES);
        CatalogType { spec, schema, bytes }
    }

    /// Why the schema is refused at save, as a sentence. A stored one is not used.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let error = self.schema.as_ref()?.as_ref().err()?;
        Some(format!("the schema of {} can't be used: {error}", self.spec.name))
    }

    /// The first violation of the schema in `data`; none without a schema that can be used.
    #[must_use]
    pub fn miss(&self, data: Value<'_>) -> Option<SchemaMiss> {
        self.miss_within(data, &Steps::unlimited()).ok().flatten()
    }

    /// Like [`CatalogType::miss`], with a budget beside that of the schema.
    ///
    /// # Errors
    /// [`OutOfSteps`]: the data was not validated.
    pub fn miss_within(
        &self,
        data: Value<'_>,
        steps: &Steps,
    ) -> Result<Option<SchemaMiss>, OutOfSteps> {
        let Some(Ok(schema)) = &self.schema else { return Ok(None) };
        steps.read(data.raw().len())?;
        let data = data.to_serde();
        let missed = match schema.cost(&data) {
            Ok(cost) => {
                steps.take(cost)?;
                schema.validate_affordable(&data).err()
            }
            Err(exceeded) => Some(exceeded),
        };
        Ok(missed.map(SchemaMiss::of))
    }

    /// The example as an event; its data is empty if there is no example.
    #[must_use]
    pub fn example_event(&self, tenant: &TenantId) -> Event {
        // Any constant time will do.
        const TIMESTAMP: Millis = Millis(1_773_144_000_000);
        let spec = &self.spec;
        let key = EventKey {
            tenant: tenant.clone(),
            source: spec.example_attributes.get("source").cloned().unwrap_or_default(),
            id: EventId::new(TIMESTAMP),
        };
        let attributes = spec.example_attributes.iter().map(|(k, v)| (k.clone(), v.clone()));
        let data = spec.example.as_ref().map_or_else(Document::empty_object, JsonText::document);
        Event::new(key, spec.name.clone(), TIMESTAMP, attributes.collect(), data.root())
    }
}

/// Where data violates its type's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMiss {
    /// `schema_mismatch` or `budget_exceeded`.
    pub code: &'static str,
    /// Below `data`.
    pub pointer: String,
    pub detail: String,
}

impl SchemaMiss {
    fn of(miss: Miss) -> SchemaMiss {
        match miss {
            Miss::Mismatch { pointer, mut detail } => {
                detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
                SchemaMiss { code: "schema_mismatch", pointer, detail }
            }
            Miss::TooDeep { .. } => {
                let (code, pointer) = ("budget_exceeded", String::new());
                SchemaMiss { code, pointer, detail: miss.to_string() }
            }
            Miss::BudgetExceeded { steps, max } => {
                let detail = format!(
                    "validating it may take {steps} steps, {max} are allowed (intake.schema_steps_max)"
                );
                SchemaMiss { code: "budget_exceeded", pointer: String::new(), detail }
            }
        }
    }
}

/// The conventions of one platform, compiled.
pub struct Profile {
    pub spec: ProfileSpec,
    pub types: HashMap<EventType, Arc<CatalogType>>,
    pub headers: Vec<(String, Template)>,
    pub test_headers: Vec<(String, Template)>,
    /// Complete: omitted settings are filled from the built-in profile.
    pub retry: Retry,
}

/// Inputs of a default payload.
#[derive(Clone, Copy)]
pub struct PayloadParts<'a> {
    pub event: &'a Event,
    /// After the transforms.
    pub data: Value<'a>,
    pub delivery_id: DeliveryId,
    /// The webhook's name.
    pub webhook: &'a str,
}

impl Profile {
    /// The entries of a type's default payload, in order.
    #[must_use]
    pub fn entries(&self, event_type: &EventType) -> &[PayloadEntry] {
        self.spec.payloads.get(event_type).unwrap_or(&self.spec.payload)
    }

    /// Builds the default payload, which is also the root of templates.
    #[must_use]
    pub fn payload(&self, parts: PayloadParts<'_>) -> Document {
        let entries = self.entries(&parts.event.event_type);
        let mut out = Builder::with_room_for(parts.data);
        let mut taken: Vec<&str> = Vec::with_capacity(entries.len());
        out.object();
        for entry in entries {
            match entry {
                PayloadEntry::Value { key, value } => {
                    if write_value(&mut out, key, value, parts) {
                        taken.push(key);
                        // The rest excludes `x` of `data.x` under its own name as well.
                        if let PayloadValue::DataPath(path) = value {
                            taken.push(path);
                        }
                    }
                }
                PayloadEntry::Const { key, constant } => {
                    out.key(key).copy(constant.root());
                    taken.push(key);
                }
                PayloadEntry::Rest { .. } => {
                    for (key, value) in parts.data.members() {
                        if !taken.iter().any(|name| key.str_eq(name)) {
                            out.copy_key(key).copy(value);
                        }
                    }
                }
            }
        }
        out.end();
        out.finish()
    }
}

/// Writes `key` with its value; returns false and writes nothing if the value does not resolve.
fn write_value(
    out: &mut Builder,
    key: &str,
    value: &PayloadValue,
    parts: PayloadParts<'_>,
) -> bool {
    let event = parts.event;
    let mut text = |value: &str| {
        out.key(key).string(value);
        true
    };
    match value {
        PayloadValue::Id => text(event.key.id.as_str()),
        PayloadValue::Type => text(event.event_type.as_str()),
        PayloadValue::Timestamp => text(&event.timestamp.to_string()),
        PayloadValue::Tenant => text(event.key.tenant.as_str()),
        PayloadValue::DeliveryId => text(&parts.delivery_id.to_string()),
        PayloadValue::Webhook => text(parts.webhook),
        PayloadValue::Attribute(name) => event.attribute(name).is_some_and(text),
        PayloadValue::Data => {
            out.key(key).copy(parts.data);
            true
        }
        PayloadValue::DataPath(path) => match parts.data.at(path) {
            Some(value) => {
                out.key(key).copy(value);
                true
            }
            None => false,
        },
    }
}
