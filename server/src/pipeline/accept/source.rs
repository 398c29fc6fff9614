//! Sources: turn an inbound HTTP call into one or more events.

use std::collections::HashMap;
use std::sync::Arc;

use antar_json::{Builder, Document, Kind, OutOfSteps, Steps, Value};
use antar_template::{RenderError, Scope, Template, Unresolved};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::intake::{Draft, parse_document, pointer_token};
use crate::config::IntakeConfig;
use crate::model::{
    Attributes, EventId, EventType, Hops, Invalid, Millis, Secret, SourceId, SourceSpec, TenantId,
};
use crate::pipeline::compiled::profile::Profile;

/// A compiled source.
#[derive(Clone)]
pub struct Source {
    pub id: SourceId,
    pub tenant: TenantId,
    pub spec: SourceSpec,
    pub event_type: Arc<Template>,
    pub event_id: Option<Arc<Template>>,
    pub secret: Secret,
    pub profile: Arc<Profile>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// One inbound HTTP call.
#[derive(Clone)]
pub struct Call {
    pub method: String,
    /// The path without the secret segment; segments after it remain.
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Headers that carry the caller's credentials; events do not contain them.
const LEFT_OUT: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];

impl Call {
    /// `{"method", "path", "query", "headers", "body"}`; a body that is not text becomes `body_base64`.
    #[must_use]
    pub fn document(&self, limits: &IntakeConfig) -> Document {
        let mut out = Builder::new();
        out.object().key("method").string(&self.method).key("path").string(&self.path);
        out.key("query");
        write_form(&mut out, self.query.as_bytes());
        out.key("headers").object();
        for (name, value) in &self.headers {
            if !LEFT_OUT.contains(&name.as_str()) {
                out.key(name).string(value);
            }
        }
        out.end();
        self.write_body(&mut out, limits);
        out.end();
        out.finish()
    }

    fn write_body(&self, out: &mut Builder, limits: &IntakeConfig) {
        if self.body.is_empty() {
            out.key("body").null();
            return;
        }
        let content_type = self.headers.iter().find(|(name, _)| name == "content-type");
        let content_type = content_type.map_or("", |(_, value)| value.as_str());
        if content_type.starts_with("application/x-www-form-urlencoded") {
            out.key("body");
            write_form(out, &self.body);
            return;
        }
        let text = std::str::from_utf8(&self.body);
        let json = content_type.contains("json") || content_type.is_empty();
        match (parse_document(&self.body, limits), text) {
            (Ok(document), _) if json => out.key("body").copy(document.root()),
            (_, Ok(text)) => out.key("body").string(text),
            (_, Err(_)) => out.key("body_base64").string(&BASE64_STANDARD.encode(&self.body)),
        };
    }
}

/// Writes a query or form as an object; a repeated name becomes an array.
fn write_form(out: &mut Builder, form: &[u8]) {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(form) {
        let place = *places.entry(name.clone().into_owned()).or_insert(fields.len());
        match fields.get_mut(place) {
            Some((_, values)) => values.push(value.into_owned()),
            None => fields.push((name.into_owned(), vec![value.into_owned()])),
        }
    }
    out.object();
    for (name, values) in fields {
        out.key(&name);
        if let [one] = values.as_slice() {
            out.string(one);
        } else {
            out.array();
            for value in &values {
                out.string(value);
            }
            out.end();
        }
    }
    out.end();
}

impl Source {
    #[must_use]
    pub fn with_profile(&self, profile: Arc<Profile>) -> Source {
        Source { profile, ..self.clone() }
    }

    /// The events of one call, in order.
    ///
    /// # Errors
    /// [`OutOfSteps`]: the templates and paths of the source take more steps on this call.
    pub fn drafts(
        &self,
        call: &Document,
        limits: &IntakeConfig,
        steps: &Steps,
    ) -> Result<Result<Vec<Draft>, Invalid>, OutOfSteps> {
        match self.drafts_of(call, limits, steps) {
            Ok(drafts) => Ok(Ok(drafts)),
            Err(Stop::OutOfSteps) => Err(OutOfSteps),
            Err(Stop::Invalid(invalid)) => Ok(Err(invalid)),
        }
    }

    fn drafts_of(
        &self,
        call: &Document,
        limits: &IntakeConfig,
        steps: &Steps,
    ) -> Result<Vec<Draft>, Stop> {
        self.check_attributes(limits)?;
        let head = self.head(call, steps)?;
        let Some(path) = &self.spec.split else {
            let data = match &self.spec.data {
                None => call.root(),
                Some(path) => call.root().at_within(path, steps)?.ok_or_else(|| {
                    let detail = "the source takes its data from here, and the call has none";
                    Invalid::at(pointer(path), detail)
                })?,
            };
            return Ok(vec![self.draft(&head, data, None)?]);
        };
        let array = call.root().at_within(path, steps)?;
        let array = array.filter(|value| value.kind() == Kind::Array);
        let array = array.ok_or_else(|| {
            Invalid::at(pointer(path), "the source splits this array, and it is none")
        })?;
        let count = array.elements().count();
        if count > limits.events_max {
            let max = limits.events_max;
            let detail = format!("has {count} elements, {max} are allowed (intake.events_max)");
            return Err(Invalid::at(pointer(path), detail).into());
        }
        let elements = array.elements().enumerate();
        elements.map(|(number, data)| Ok(self.draft(&head, data, Some(number))?)).collect()
    }

    /// The source's attributes are written for each element, so they keep to the limits of one event.
    fn check_attributes(&self, limits: &IntakeConfig) -> Result<(), Invalid> {
        let (max, bytes_max) = (limits.attributes_max, limits.attribute_bytes_max);
        let attributes = &self.spec.attributes;
        let count = attributes.len();
        let detail = if count > max {
            format!("the source has {count} attributes, {max} are allowed (intake.attributes_max)")
        } else if attributes.iter().any(|(name, value)| name.len().max(value.len()) > bytes_max) {
            format!(
                "the source has an attribute of more than {bytes_max} bytes (intake.attribute_bytes_max)"
            )
        } else {
            return Ok(());
        };
        Err(Invalid::at("/attributes", detail))
    }

    /// Renders what all events of a call have in common.
    fn head(&self, call: &Document, steps: &Steps) -> Result<Head, Stop> {
        let event_type = self.text("event_type", &self.event_type, call, steps)?;
        if event_type.starts_with(crate::model::OWN_TYPES) {
            let detail = "begins with `antar.`, which is for Antar's own events";
            return Err(Invalid::at("/event_type", detail).into());
        }
        let event_type =
            event_type.parse().map_err(|detail: String| Invalid::at("/event_type", detail))?;
        let id = self.event_id.as_ref();
        let id = id.map(|template| self.text("event_id", template, call, steps)).transpose()?;
        let attributes = self.spec.attributes.iter().map(|(k, v)| (k.clone(), v.clone()));
        let mut attributes: Vec<_> = attributes.collect();
        if !self.spec.attributes.contains_key("source") {
            attributes.push(("source".to_owned(), self.spec.name.clone()));
        }
        Ok(Head { event_type, id, attributes })
    }

    fn draft(&self, head: &Head, data: Value<'_>, number: Option<usize>) -> Result<Draft, Invalid> {
        if data.kind() != Kind::Object {
            let path = self.spec.split.as_ref().or(self.spec.data.as_ref());
            return Err(Invalid::at(
                pointer(path.map_or("", |p| p)),
                "an event's data is a JSON object",
            ));
        }
        let id = match (&head.id, number) {
            (Some(id), Some(number)) => Some(format!("{id}:{number}")),
            (id, _) => id.clone(),
        };
        let id = id.map(|id| id.parse::<EventId>()).transpose();
        Ok(Draft {
            id: id.map_err(|detail| Invalid::at("/event_id", detail))?,
            event_type: head.event_type.clone(),
            timestamp: None,
            attributes: head.attributes.clone(),
            data: data.to_document(),
            hops: Hops::default(),
        })
    }

    fn text(
        &self,
        field: &str,
        template: &Template,
        call: &Document,
        steps: &Steps,
    ) -> Result<String, Stop> {
        let antar = crate::pipeline::attempt::render::meta_of_source(&self.tenant);
        let scope = Scope { root: call.root(), antar: antar.root(), attempt: None };
        let rendered = template.render_within(&scope, Unresolved::Fail, steps);
        let rendered = rendered.map_err(|e| match e {
            RenderError::OutOfSteps => Stop::OutOfSteps,
            e => Invalid::at(format!("/{field}"), e.to_string()).into(),
        })?;
        Ok(antar_template::resolve(&rendered.pieces, |_| None)
            .map_err(|e| Invalid::at(format!("/{field}"), e.to_string()))?)
    }
}

/// What all events of one call have in common.
struct Head {
    event_type: EventType,
    /// As rendered; a split adds the number of the element.
    id: Option<String>,
    attributes: Attributes,
}

/// Why a call gives no events.
enum Stop {
    OutOfSteps,
    Invalid(Invalid),
}

impl From<OutOfSteps> for Stop {
    fn from(OutOfSteps: OutOfSteps) -> Stop {
        Stop::OutOfSteps
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Stop {
        Stop::Invalid(invalid)
    }
}

fn pointer(path: &str) -> String {
    path.split('.').map(|segment| format!("/{}", pointer_token(segment))).collect()
}
