//! Render stage: builds a request from an event and a webhook's plan, with markers in place of secrets.
//! No clock, no database, no network: the same input yields the same bytes.

use antar_json::{Builder, Document, OutOfSteps, Steps};
use antar_template::{Piece, RenderError, Scope, Template, Unresolved};

use super::header_list::HeaderList;
use super::secrets::mark;
use super::transform::Transformed;
use crate::model::{
    DeliveryId, Event, Frozen, FrozenHeader, Method, TenantId, is_hops_header, is_of_connection,
};
use crate::pipeline::compiled::profile::PayloadParts;
use crate::pipeline::compiled::webhook::Webhook;

/// Inputs of one rendering.
#[derive(Clone, Copy)]
pub struct RenderInput<'a> {
    pub webhook: &'a Webhook,
    pub event: &'a Event,
    pub delivery_id: DeliveryId,
    /// Adds the profile's test headers.
    pub test: bool,
}

/// What could not be rendered, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {error}")]
pub struct CannotRender {
    /// `url`, `body` or `headers.NAME`.
    pub place: String,
    pub error: String,
    /// All tokens without a value, if that is the reason.
    pub unresolved: Vec<String>,
}

impl CannotRender {
    fn new(place: impl Into<String>, error: &RenderError) -> CannotRender {
        CannotRender { place: place.into(), error: error.to_string(), unresolved: Vec::new() }
    }
}

/// Why there is no request.
enum Stop {
    OutOfSteps,
    Cannot(CannotRender),
}

/// Renders the request that every attempt of the delivery sends. All of its templates share `steps`.
///
/// # Errors
/// [`OutOfSteps`]: what the request is like is not known.
pub fn render_within(
    input: RenderInput<'_>,
    transformed: &Transformed,
    steps: &Steps,
) -> Result<Result<Frozen, CannotRender>, OutOfSteps> {
    let unresolved = input.webhook.plan.unresolved;
    let mut error = match render_with(input, transformed, unresolved, steps) {
        Ok(frozen) => return Ok(Ok(frozen)),
        Err(Stop::OutOfSteps) => return Err(OutOfSteps),
        Err(Stop::Cannot(error)) => error,
    };
    // Report all unresolved tokens, not only the first one.
    if unresolved == Unresolved::Fail
        && let Ok(otherwise) = render_with(input, transformed, Unresolved::Empty, steps)
    {
        error.unresolved = otherwise.unresolved;
    }
    Ok(Err(error))
}

/// Renders the request within `steps_max` steps (`templates.work_max`).
///
/// # Errors
/// [`CannotRender`]
pub fn render(
    input: RenderInput<'_>,
    transformed: &Transformed,
    steps_max: usize,
) -> Result<Frozen, CannotRender> {
    let rendered = render_within(input, transformed, &Steps::new(steps_max as u64));
    rendered.unwrap_or_else(|OutOfSteps| {
        let error = format!(
            "rendering takes more than {steps_max} steps (templates.work_max); use fewer loops and helpers"
        );
        Err(CannotRender { place: "the request".to_owned(), error, unresolved: Vec::new() })
    })
}

fn render_with(
    input: RenderInput<'_>,
    transformed: &Transformed,
    treatment: Unresolved,
    steps: &Steps,
) -> Result<Frozen, Stop> {
    let RenderInput { webhook, event, delivery_id, .. } = input;
    let plan = &webhook.plan;
    let data = transformed.data.as_ref().map_or_else(|| event.data(), Document::root);
    let name = webhook.spec.name.as_str();
    let root = webhook.profile.payload(PayloadParts { event, data, delivery_id, webhook: name });
    let profile = webhook.profile.as_ref();
    let test_headers = profile.test_headers.iter().filter(|_| input.test);
    let headers_of_profile = profile.headers.iter().chain(test_headers);
    let of_headers = headers_of_profile.clone().chain(&plan.headers).map(|(_, template)| template);
    let mut templates = of_headers.chain([&plan.url]).chain(&plan.body);
    let meta = match templates.any(Template::uses_meta) {
        true => meta(event, delivery_id, name),
        false => Builder::new().finish(),
    };
    let scope = Scope { root: root.root(), antar: meta.root(), attempt: None };
    let mut unresolved = Vec::new();
    let secrets = transformed.secrets.as_slice();
    let mut place = |place: [&str; 2], template: &Template| {
        let rendered = template.render_within(&scope, treatment, steps);
        let rendered = rendered.map_err(|e| match e {
            RenderError::OutOfSteps => Stop::OutOfSteps,
            e => Stop::Cannot(CannotRender::new(place.concat(), &e)),
        })?;
        unresolved.extend(rendered.unresolved);
        Ok((!rendered.omitted).then(|| mark(rendered.pieces, secrets)))
    };

    let url = place(["url", ""], &plan.url)?.unwrap_or_default();
    let body = match &plan.body {
        Some(template) => Some(place(["body", ""], template)?.unwrap_or_default()),
        None if has_default_body(plan.method) => {
            Some(mark(vec![Piece::Text(root.text().to_owned())], secrets))
        }
        None => None,
    };
    let mut headers = HeaderList::with_capacity(plan.headers.len() + 4);
    headers.put("user-agent", vec![Piece::Text(USER_AGENT.to_owned())]);
    if body.is_some() {
        headers.put("content-type", vec![Piece::Text(plan.content_type.to_owned())]);
    }
    for (name, template) in headers_of_profile {
        put_rendered(&mut headers, name, template, &mut place)?;
    }
    for (name, value) in &transformed.headers {
        if !is_of_connection(name) && !is_hops_header(name) {
            headers.put(name, mark(vec![Piece::Text(value.clone())], secrets));
        }
    }
    for (name, template) in &plan.headers {
        put_rendered(&mut headers, name, template, &mut place)?;
    }
    unresolved.dedup();
    let revision = webhook.revision;
    let headers = headers.into_iter().map(|(name, value)| FrozenHeader { name, value }).collect();
    Ok(Frozen { revision, method: plan.method, url, headers, body, unresolved })
}

/// Renders a template on the event as posted; none if it fails or a token has no value.
///
/// # Errors
/// [`OutOfSteps`]: the text is not known.
pub(crate) fn text_of(
    template: &Template,
    webhook: &Webhook,
    event: &Event,
    steps: &Steps,
) -> Result<Option<String>, OutOfSteps> {
    steps.read(event.data().raw().len())?;
    // The text belongs to the event: all deliveries of it get the same one.
    let delivery_id = DeliveryId(uuid::Uuid::nil());
    let name = webhook.spec.name.as_str();
    let parts = PayloadParts { event, data: event.data(), delivery_id, webhook: name };
    let root = webhook.profile.payload(parts);
    let meta = meta(event, delivery_id, name);
    let scope = Scope { root: root.root(), antar: meta.root(), attempt: None };
    match template.render_within(&scope, Unresolved::Empty, steps) {
        Ok(rendered) => Ok(rendered.unresolved.is_empty().then(|| rendered.masked())),
        Err(RenderError::OutOfSteps) => Err(OutOfSteps),
        Err(_) => Ok(None),
    }
}

/// `Antar/VERSION`.
const USER_AGENT: &str = concat!("Antar/", env!("CARGO_PKG_VERSION"));

/// GET and DELETE carry a body only if the webhook configures one.
fn has_default_body(method: Method) -> bool {
    !matches!(method, Method::Get | Method::Delete)
}

/// Renders the headers that use `antar.attempt`, anew for each attempt and never frozen. A save rejects
/// such headers if they use anything else of the event. All of them share `steps`.
pub fn attempt_headers(
    input: RenderInput<'_>,
    attempt: u32,
    steps: &Steps,
) -> Result<Vec<FrozenHeader>, CannotRender> {
    let RenderInput { webhook, event, delivery_id, .. } = input;
    let templates = webhook.profile.headers.iter().chain(&webhook.plan.headers);
    let mut templates = templates.filter(|(_, template)| template.uses_attempt()).peekable();
    if templates.peek().is_none() {
        return Ok(Vec::new());
    }
    let root = Builder::new().finish();
    let meta = meta(event, delivery_id, &webhook.spec.name);
    let scope = Scope { root: root.root(), antar: meta.root(), attempt: Some(attempt) };
    templates
        .map(|(name, template)| {
            let rendered = template.render_within(&scope, Unresolved::Empty, steps);
            let rendered =
                rendered.map_err(|e| CannotRender::new(format!("headers.{name}"), &e))?;
            Ok(FrozenHeader { name: name.clone(), value: rendered.pieces })
        })
        .collect()
}

/// The `antar` object of templates, without secrets and attempt.
fn meta(event: &Event, delivery_id: DeliveryId, webhook: &str) -> Document {
    let mut out = Builder::new();
    out.object().key("delivery_id").string(&delivery_id.to_string());
    out.key("event_id").string(event.key.id.as_str());
    out.key("event_type").string(event.event_type.as_str());
    out.key("timestamp").string(&event.timestamp.to_string());
    out.key("tenant").string(event.key.tenant.as_str());
    out.key("webhook").string(webhook);
    out.key("attributes").object();
    for (name, value) in &event.attributes {
        out.key(name).string(value);
    }
    out.end().end();
    out.finish()
}

/// The `antar` object of a source's templates.
pub(crate) fn meta_of_source(tenant: &TenantId) -> Document {
    let mut out = Builder::new();
    out.object().key("tenant").string(tenant.as_str()).end();
    out.finish()
}

/// Adds the header that a template renders; skips one that uses the attempt (`attempt_headers` adds it).
fn put_rendered(
    headers: &mut HeaderList<Vec<Piece>>,
    name: &str,
    template: &Template,
    place: &mut impl FnMut([&str; 2], &Template) -> Result<Option<Vec<Piece>>, Stop>,
) -> Result<(), Stop> {
    if template.uses_attempt() {
        return Ok(());
    }
    if let Some(value) = place(["headers.", name], template)? {
        headers.put(name, value);
    }
    Ok(())
}
