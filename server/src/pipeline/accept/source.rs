//! Sources: turn an inbound HTTP call into one or more events.

use std::borrow::Cow;
use std::sync::Arc;

use antar_json::{Builder, Document, Kind, OutOfSteps, Steps, Value};
use antar_template::{RenderError, Scope, Template, Unresolved};

use super::call::{Call, CallDocument, Reading};
use super::call_answer::{CallAnswer, CallHandshake, RenderedAnswer, signature_invalid, takes};
use super::call_text::Unmet;
use super::intake::Draft;
use super::verify::{Context, Verifier};
use crate::config::IntakeConfig;
use crate::model::{
    Attributes, EventId, EventType, Hops, Invalid, Millis, Secret, SourceId, SourceSpec, TenantId,
    pointer_token,
};
use crate::pipeline::compiled::profile::Profile;

/// What a call is.
pub enum Meaning {
    /// Answered, and no event.
    Handshake(RenderedAnswer),
    Events {
        drafts: Vec<Result<Draft, Invalid>>,
        /// Once they are durable; none: as the profile says.
        answer: Option<RenderedAnswer>,
    },
}

/// A compiled source.
#[derive(Clone)]
pub struct Source {
    pub id: SourceId,
    pub tenant: TenantId,
    pub spec: SourceSpec,
    pub event_type: Arc<Template>,
    pub event_id: Option<Arc<Template>>,
    /// `data` and `split` of the settings, with names of headers as a call has them.
    pub data: Option<String>,
    pub split: Option<String>,
    /// `event_type` or `event_id` names a part of the split element.
    pub names_element: bool,
    pub reading: Arc<Reading>,
    pub verifier: Option<Arc<Verifier>>,
    pub handshakes: Arc<[CallHandshake]>,
    pub answer: Option<Arc<CallAnswer>>,
    pub secret: Secret,
    pub profile: Arc<Profile>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

impl Source {
    #[must_use]
    pub fn with_profile(&self, profile: Arc<Profile>) -> Source {
        Source { profile, ..self.clone() }
    }

    /// Methods whose calls become events: its own, otherwise its profile's.
    #[must_use]
    pub fn methods(&self) -> Cow<'_, [String]> {
        let of_profile = || self.profile.spec.incoming.as_ref()?.methods.as_deref();
        match self.spec.methods.as_deref().or_else(of_profile) {
            Some(methods) => Cow::Borrowed(methods),
            None => ["POST", "PUT", "PATCH"].map(ToOwned::to_owned).to_vec().into(),
        }
    }

    /// What a call is to this source.
    ///
    /// # Errors
    /// [`OutOfSteps`]: the templates, patterns and paths of the source take more steps on this call.
    pub fn called(
        &self,
        call: &Call,
        context: Context<'_>,
        limits: &IntakeConfig,
    ) -> Result<Result<Meaning, Invalid>, OutOfSteps> {
        match self.look_at(call, context, limits) {
            Ok(called) => Ok(Ok(called)),
            Err(Stop::OutOfSteps) => Err(OutOfSteps),
            Err(Stop::Invalid(invalid)) => Ok(Err(invalid)),
        }
    }

    fn look_at(
        &self,
        call: &Call,
        context: Context<'_>,
        limits: &IntakeConfig,
    ) -> Result<Meaning, Stop> {
        let steps = context.steps;
        let document = call.document(&self.reading, limits)?;
        let verify = || match &self.verifier {
            _ if context.caller.is_vouched_for => Ok(()),
            None => Ok(()),
            Some(verifier) => verifier.verify(call, &document, context).map_err(Stop::from),
        };
        for handshake in &*self.handshakes {
            if handshake.fits(call, &document, steps)? {
                if handshake.verified {
                    verify()?;
                }
                return Ok(Meaning::Handshake(handshake.answer(call, &document, context)??));
            }
        }
        if !takes(&self.methods(), &call.method) {
            let methods = self.methods().join(", ");
            let detail = format!("the source takes {methods}, and this is {}", call.method);
            return Err(Invalid { code: "method_not_allowed", ..Invalid::at("", detail) }.into());
        }
        verify()?;
        let drafts = self.drafts(&document, limits, steps)?;
        let answer = self.answer.as_ref();
        let answer = answer.map(|answer| answer.render(&document.document, steps)).transpose()?;
        Ok(Meaning::Events { drafts, answer: answer.transpose()? })
    }

    /// The events of one call, in order. An element that can't become one does not spoil the others.
    fn drafts(
        &self,
        call: &CallDocument,
        limits: &IntakeConfig,
        steps: &Steps,
    ) -> Result<Vec<Result<Draft, Invalid>>, Stop> {
        self.check_attributes(limits)?;
        let root = call.document.root();
        let Some(path) = &self.split else {
            let head = self.head(&call.document, steps)?;
            let data = match &self.data {
                None => root.to_document(),
                Some(path) => data_at(path, root.at_within(path, steps)?, call)?,
            };
            return Ok(vec![Ok(self.draft(&head, data, None)?)]);
        };
        let array = root.at_within(path, steps)?;
        let array = array.filter(|value| value.kind() == Kind::Array);
        let array = array.ok_or_else(|| {
            let detail = "the source splits this array, and it is none";
            no_json(path, call).unwrap_or_else(|| Invalid::at(pointer(path), detail))
        })?;
        let count = array.elements().count();
        if count > limits.events_max {
            let max = limits.events_max;
            let detail = format!("has {count} elements, {max} are allowed (intake.events_max)");
            return Err(Invalid::at(pointer(path), detail).into());
        }
        let of_all = match self.names_element {
            true => None,
            false => Some(self.head(&call.document, steps)?),
        };
        let mut drafts = Vec::with_capacity(count);
        for (number, element) in array.elements().enumerate() {
            let draft = match &of_all {
                _ if element.kind() != Kind::Object => {
                    Err(Invalid::at(format!("{}/{number}", pointer(path)), NO_OBJECT))
                }
                Some(head) => self.draft(head, element.to_document(), Some(number)),
                None => match self.head(&with_element(root, element, steps)?, steps) {
                    Ok(head) => self.draft(&head, element.to_document(), None),
                    Err(Stop::Invalid(invalid)) => Err(invalid),
                    Err(Stop::OutOfSteps) => return Err(Stop::OutOfSteps),
                },
            };
            drafts.push(draft);
        }
        Ok(drafts)
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

    fn draft(&self, head: &Head, data: Document, number: Option<usize>) -> Result<Draft, Invalid> {
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
            data,
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

/// The call as templates see it for one element of a split: without its body, which holds all of them.
fn with_element(
    call: Value<'_>,
    element: Value<'_>,
    steps: &Steps,
) -> Result<Document, OutOfSteps> {
    let mut out = Builder::new();
    out.object().key("element").copy(element);
    for (key, value) in call.members().filter(|(key, _)| !key.str_eq(BODY)) {
        steps.read(value.raw().len())?;
        out.copy_key(key).copy(value);
    }
    out.end();
    Ok(out.finish())
}

const NO_OBJECT: &str = "an event's data is a JSON object";

/// The data at a path of a call.
fn data_at(path: &str, found: Option<Value<'_>>, call: &CallDocument) -> Result<Document, Invalid> {
    let is_body = path == BODY;
    match found {
        Some(data) if data.kind() == Kind::Object => Ok(data.to_document()),
        Some(_) | None if is_body && call.is_empty => Ok(Document::empty_object()),
        found => Err(no_json(path, call).unwrap_or_else(|| {
            let nothing = "the source takes its data from here, and the call has none";
            Invalid::at(pointer(path), if found.is_some() { NO_OBJECT } else { nothing })
        })),
    }
}

/// The member of a call that holds its body.
const BODY: &str = "body";

/// The error of a path into a body that is no JSON, although its type says so.
fn no_json(path: &str, call: &CallDocument) -> Option<Invalid> {
    let error = call.no_json.as_ref()?;
    let is_in_body = path.split('.').next() == Some(BODY);
    is_in_body.then(|| Invalid::at("/body", format!("the body is no JSON: {error}")))
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

impl From<Unmet> for Stop {
    fn from(unmet: Unmet) -> Stop {
        match unmet {
            Unmet::OutOfSteps => Stop::OutOfSteps,
            Unmet::Because(why) => signature_invalid(why).into(),
        }
    }
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
