//! Events: publish, list and get.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::incoming::headers;
use super::refused::{Refused as RefusedCall, kept_if_refused};
use crate::app::{App, Posted};
use crate::config::IntakeConfig;
use crate::http::edge::answer::{self, Answer, StoredJson};
use crate::http::edge::auth::{Access, Publish, Read};
use crate::http::edge::body::Body;
use crate::http::edge::error::{Code, PROBLEM_JSON, Problem, ProblemBody};
use crate::http::edge::hops::hops;
use crate::http::edge::page::{self, List};
use crate::http::edge::path::{Id, Query};
use crate::media_type::MediaType;
use crate::model::{EventId, EventType, FieldError, Hops, Millis};
use crate::pipeline::accept::call::Call;
use crate::pipeline::accept::cloudevents;
use crate::pipeline::accept::intake::{self, Batch, Refused};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::{self, OnceRequest};
use crate::store::{EventFilter, ListedEvent};

/// An event as it is posted.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "shown in the API's description; bodies are read in place")]
pub(crate) struct PostedEvent {
    /// Unique in the tenant; left out: a new UUIDv7.
    id: Option<String>,
    /// Such as `conversation.created`.
    r#type: String,
    /// RFC 3339; left out: the time of acceptance.
    timestamp: Option<String>,
    /// Short strings beside the data.
    attributes: Option<BTreeMap<String, String>>,
    #[schema(value_type = Object)]
    data: (),
}

/// What became of one posted event.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum EventResult {
    Accepted {
        #[schema(value_type = String)]
        id: EventId,
        /// True when the id was there before; the figures are the first one's.
        duplicate: bool,
        deliveries: u32,
    },
    Refused {
        problem: ProblemBody,
    },
}

impl EventResult {
    fn of(answer: &pipeline::Answer) -> EventResult {
        match answer {
            pipeline::Answer::Accepted { id, duplicate, deliveries } => EventResult::Accepted {
                id: id.clone(),
                duplicate: *duplicate,
                deliveries: *deliveries,
            },
            pipeline::Answer::Refused(invalid) => {
                EventResult::Refused { problem: Problem::from(invalid.clone()).body(None) }
            }
        }
    }
}

/// An event as it was accepted.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EventView {
    #[schema(value_type = String)]
    id: EventId,
    #[schema(value_type = String)]
    r#type: EventType,
    timestamp: Millis,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    attributes: StoredJson,
    /// As posted. Empty when it is not kept. In a list only with `include=data`.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<StoredJson>,
    /// False when the data does not follow the type's schema.
    schema_ok: bool,
    accepted_at: Millis,
    /// Deliveries made when it was accepted.
    deliveries: u32,
    /// Deliveries of Antar that it had passed through before.
    hops: u32,
    /// Why an intake plugin dropped it, or that it came back too often (`loop: …`).
    dropped_reason: Option<String>,
    /// False when the event was dropped, or its data has had its time.
    data_kept: bool,
}

impl EventView {
    /// `with_data`: an event without data has an empty object.
    fn of(event: ListedEvent, with_data: bool) -> EventView {
        EventView {
            id: event.id,
            r#type: event.event_type,
            timestamp: event.timestamp,
            attributes: StoredJson(event.attributes),
            data: with_data.then(|| StoredJson(event.data.unwrap_or_else(|| "{}".to_owned()))),
            schema_ok: event.schema_ok,
            accepted_at: event.accepted_at,
            deliveries: event.deliveries,
            hops: event.hops,
            dropped_reason: event.dropped_reason,
            data_kept: event.data_kept,
        }
    }
}

/// Post one event, or an array
///
/// Durable once it is answered. CloudEvents 1.0 are taken too: structured
/// (`application/cloudevents+json`), batched (`application/cloudevents-batch+json`) and binary
/// (`ce-` headers). The answer to an array has the results in posted order; 422 when all are
/// refused. With an `Idempotency-Key` the same request is answered the same again.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/events", tag = "events",
    params(("Idempotency-Key" = Option<String>, Header, description = "Covers the whole request")),
    request_body(description = "One event, or an array of them", content(
        (PostedEvent = "application/json"), (Object = "application/cloudevents+json"), (Vec<Object> = "application/cloudevents-batch+json"))),
    responses((status = 202, description = "Durable. For an array, an array of the same length", body = EventResult))
)]
pub(crate) async fn publish(access: Access<Publish>, req: HttpRequest, body: Body) -> Answer {
    let (app, tenant) = (&access.app, &access.tenant);
    let given = req.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let posted = PostedBody::new(&given.collect::<Vec<_>>(), body.bytes.clone());
    let once = |many| once(&req, &body, many);
    let answer = take_posted(app, tenant, posted, hops(&req), once).await;
    if answer.is_ok() {
        return answer;
    }
    let call = Call {
        method: req.method().as_str().to_owned(),
        path: req.path().to_owned(),
        query: req.query_string().to_owned(),
        url: String::new(),
        headers: headers(&req),
        body: body.bytes.clone(),
    };
    kept_if_refused(app, &RefusedCall { tenant: &tenant.id, source: None, call: &call }, answer)
}

/// Accepts posted events. `once` reads the request's idempotency key, for one event or for many.
pub(super) async fn take_posted(
    app: &App,
    tenant: &Arc<Tenant>,
    posted: PostedBody,
    hops: Hops,
    once: impl FnOnce(bool) -> Result<Option<OnceRequest>, Problem>,
) -> Result<HttpResponse, Problem> {
    let (config, bytes) = (app.config.clone(), posted.bytes.len());
    let read = move || posted.read(&config.intake);
    let batch = app.pipeline.work.run_sized(&tenant.id, bytes, read).await??;
    let many = matches!(batch, Batch::Many(_));
    let mut drafts = match batch {
        Batch::One(draft) => vec![draft],
        Batch::Many(drafts) => drafts,
    };
    drafts.iter_mut().flatten().for_each(|draft| draft.hops = hops);
    match app.post_events(tenant, drafts, once(many)?).await? {
        Posted::New(answers) => match all_refused(many, &answers) {
            Some(problem) => Err(problem),
            None => Ok(sent(answered(many, &answers))),
        },
        Posted::Before { same: true, status, body } => Ok(sent((status, body))),
        Posted::Before { same: false, .. } => {
            Err(Problem::new(Code::IdempotencyKeyReused, "the key was used with another body"))
        }
    }
}

/// A body, and what the headers say about its format.
pub(super) struct PostedBody {
    bytes: Bytes,
    format: Format,
}

enum Format {
    Own,
    /// CloudEvents, structured or batched.
    Structured,
    /// CloudEvents with their attributes in these headers.
    Binary(Vec<(String, Vec<u8>)>),
}

impl PostedBody {
    /// `headers`: names in lower case.
    pub(super) fn new(headers: &[(&str, &[u8])], bytes: Bytes) -> PostedBody {
        let value = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, v)| *v);
        let content_type = value("content-type").and_then(|value| std::str::from_utf8(value).ok());
        let media_type = content_type.and_then(MediaType::parse);
        let is_structured = media_type.is_some_and(|it| it.begins_with("application/cloudevents"));
        let format = if is_structured {
            Format::Structured
        } else if value("ce-specversion").is_some() {
            let owned = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
            Format::Binary(owned.collect())
        } else {
            Format::Own
        };
        PostedBody { bytes, format }
    }

    fn read(&self, limits: &IntakeConfig) -> Result<Batch, Refused> {
        match &self.format {
            Format::Own => intake::parse(&self.bytes, limits, intake::draft),
            Format::Structured => intake::parse(&self.bytes, limits, cloudevents::structured),
            Format::Binary(headers) => {
                let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
                Ok(Batch::One(cloudevents::binary(headers, &self.bytes, limits)))
            }
        }
    }
}

/// The idempotency key of a request, if it has one, with a digest of the request.
fn once(req: &HttpRequest, body: &Body, many: bool) -> Result<Option<OnceRequest>, Problem> {
    const KEY_BYTES_MAX: usize = 255;
    let Some(key) = req.headers().get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| {
        Problem::parameter("Idempotency-Key", "has 1 to 255 visible ASCII characters")
    })?;
    let mut digest = Sha256::new();
    for (name, value) in req.headers() {
        // In binary content mode, these headers are part of the event.
        if name == CONTENT_TYPE || name.as_str().starts_with("ce-") {
            digest.update(name.as_str());
            digest.update([0]);
            digest.update(value.as_bytes());
            digest.update([0]);
        }
    }
    digest.update(&body.bytes);
    let answer = move |answers: &[pipeline::Answer]| answered(many, answers);
    Ok(Some(OnceRequest {
        key: key.to_owned(),
        request_hash: digest.finalize().to_vec(),
        answer: Arc::new(answer),
    }))
}

/// Status and text of the response.
fn answered(many: bool, answers: &[pipeline::Answer]) -> (u16, String) {
    if let Some(problem) = all_refused(many, answers) {
        let text = serde_json::to_string(&problem.body(None)).unwrap_or_default();
        return (problem.status_code().as_u16(), text);
    }
    let text = match answers {
        [one] if !many => serde_json::to_string(&EventResult::of(one)),
        all => serde_json::to_string(&all.iter().map(EventResult::of).collect::<Vec<_>>()),
    };
    (202, text.unwrap_or_default())
}

/// Errors of one request that are reported.
const ERRORS_MAX: usize = 1_000;

/// The problem of a request whose events were all refused.
fn all_refused(many: bool, answers: &[pipeline::Answer]) -> Option<Problem> {
    let mut refused = Vec::new();
    for answer in answers {
        match answer {
            pipeline::Answer::Accepted { .. } => return None,
            pipeline::Answer::Refused(invalid) => refused.push(invalid),
        }
    }
    if !many {
        return refused.first().map(|invalid| Problem::from((*invalid).clone()));
    }
    let errors = refused.iter().enumerate().flat_map(|(number, invalid)| {
        invalid.errors.iter().map(move |error| FieldError {
            pointer: format!("/{number}{}", error.pointer),
            ..error.clone()
        })
    });
    let errors = errors.take(ERRORS_MAX).collect();
    Some(Problem { code: Code::EventInvalid, detail: "all events are refused".to_owned(), errors })
}

fn sent((status, text): (u16, String)) -> HttpResponse {
    let content_type = if status < 400 { "application/json" } else { PROBLEM_JSON };
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponseBuilder::new(status).insert_header((CONTENT_TYPE, content_type)).body(text)
}

/// Which events.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Items at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// With this id; several where sources share it. Also finds ids that no path can hold.
    #[param(value_type = Option<String>)]
    id: Option<EventId>,
    /// Of this type.
    #[param(value_type = Option<String>)]
    r#type: Option<EventType>,
    /// With this `attributes.subject`.
    subject: Option<String>,
    /// Accepted at or after, RFC 3339.
    #[param(value_type = Option<String>)]
    since: Option<Millis>,
    /// Accepted before, RFC 3339.
    #[param(value_type = Option<String>)]
    until: Option<Millis>,
    /// What else each event shows.
    #[param(inline)]
    include: Option<Include>,
}

/// What a list of events shows on request.
#[derive(Clone, Copy, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    /// The data of each event.
    Data,
}

/// List events, newest first
///
/// Without their data, unless `include=data` asks for it. A page of large events has fewer of them:
/// `tenant.page_bytes_max`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events", tag = "events", params(EventQuery),
    responses((status = 200, body = List<EventView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(query): Query<EventQuery>) -> Answer {
    let size = page::size(query.limit, &access.app.config)?;
    let with_data = query.include == Some(Include::Data);
    let filter = EventFilter {
        id: query.id,
        event_type: query.r#type,
        subject: query.subject,
        since: query.since,
        until: query.until,
    };
    let store = &access.app.store;
    let page = store
        .history
        .list_events(&access.tenant.id, &filter, with_data, size, query.cursor.as_deref())
        .await?;
    page::stored(page, |event| EventView::of(event, with_data))
}

/// Which of several events with the same id.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SourceQuery {
    /// `attributes.source` of the event; left out: the newest with this id.
    source: Option<String>,
}

/// Get an event
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{id}", tag = "events", params(SourceQuery),
    responses((status = 200, body = EventView))
)]
pub(crate) async fn get(
    access: Access<Read>,
    Id(id): Id<EventId>,
    Query(query): Query<SourceQuery>,
) -> Answer {
    let history = &access.app.store.history;
    let event = history.show_event(&access.tenant.id, &id, query.source.as_deref()).await?;
    answer::ok(&EventView::of(event, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Invalid;

    fn accepted() -> pipeline::Answer {
        pipeline::Answer::Accepted { id: "a".parse().unwrap(), duplicate: false, deliveries: 2 }
    }

    fn refused() -> pipeline::Answer {
        pipeline::Answer::Refused(Invalid {
            code: "event_invalid",
            errors: vec![FieldError::new("/data", "is missing")],
        })
    }

    #[test]
    fn one_event_is_answered_by_one_object() {
        let (status, text) = answered(false, &[accepted()]);
        assert_eq!(
            (status, text.as_str()),
            (202, r#"{"id":"a","duplicate":false,"deliveries":2}"#)
        );
        let (status, text) = answered(false, &[refused()]);
        assert_eq!(status, 422);
        assert!(
            text.contains(r#""code":"event_invalid""#) && text.contains(r#""pointer":"/data""#),
            "{text}"
        );
    }

    #[test]
    fn an_array_is_answered_in_its_order() {
        let (status, text) = answered(true, &[refused(), accepted()]);
        assert_eq!(status, 202);
        let results: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(results[0]["problem"]["status"], 422);
        assert_eq!(results[1]["id"], "a");
        let (_, text) = answered(true, &[accepted()]);
        assert!(text.starts_with('['), "{text}");
    }

    #[test]
    fn an_array_of_bad_events_names_each_place() {
        let problem = all_refused(true, &[refused(), refused()]).unwrap();
        let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/0/data", "/1/data"]);
        assert_eq!(all_refused(true, &[refused(), accepted()]), None);
    }
}
