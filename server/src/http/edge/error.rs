//! The catalogue of API problems, and the mapping of the lower layers' errors to it.
//!
//! Responses follow RFC 9457. Internal errors are logged with the request's id and not shown.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde::Serialize;

use crate::model::{FieldError, Invalid};
use crate::pipeline::AcceptError;
use crate::pipeline::accept::intake::Refused;
use crate::plugin::{CallError, UploadError};
use crate::registry::ChangeError;
use crate::seal::NoRandomness;
use crate::store::StoreError;
use crate::work_pool::NotDone;

/// One kind of problem, for responses and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Stable, since scripts compare it.
    pub code: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// What the caller can do about it.
    pub advice: &'static str,
}

/// Declares the kinds: variant, code, status, title, advice.
macro_rules! catalogue {
    ($($variant:ident $code:literal $status:literal $title:literal $advice:literal)+) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($variant,)+ }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            #[must_use]
            pub fn entry(self) -> Entry {
                match self {
                    $(Code::$variant => Entry { code: $code, status: $status, title: $title, advice: $advice },)+
                }
            }
        }
    };
}

catalogue! {
    MalformedJson "malformed_json" 400 "The body is no JSON"
        "Send JSON (RFC 8259) in UTF-8; `detail` names line and column."
    BadParameter "bad_parameter" 400 "A query parameter or header can't be used"
        "See `detail` for its name and what it takes. A `cursor` is good for the list that gave it out only."
    Unauthorized "unauthorized" 401 "No valid key"
        "Send `Authorization: Bearer antar_…` with a key that exists."
    SignatureInvalid "signature_invalid" 401 "The call is not from whom the source expects"
        "`detail` says what is missing or wrong. Compare the source's `verify` and its secrets with the settings of the sender."
    ScopeMissing "scope_missing" 403 "The key may not do this"
        "Use a key with the scope that `detail` names; `manage` includes `read` and `publish`."
    OperatorOnly "operator_only" 403 "Only the operator may do this"
        "Use the operator's key; keys of a tenant reach their own tenant only."
    NotFound "not_found" 404 "There is nothing here"
        "Check the path and the ids in it. What belongs to another tenant is not there either."
    MethodNotAllowed "method_not_allowed" 405 "This path does not take this method"
        "The header `Allow` lists what it takes; `/docs` lists all calls."
    RequestTimeout "request_timeout" 408 "The body did not arrive in time"
        "Send the request again, and its body without long pauses."
    NameTaken "name_taken" 409 "The name is taken"
        "Choose another name, or change the one that is there."
    Conflict "conflict" 409 "It stands differently than the call expects"
        "`detail` says how it stands. Read it again and decide anew."
    IdempotencyKeyReused "idempotency_key_reused" 409 "The Idempotency-Key belongs to another request"
        "Make a new key for each request; repeat a key with exactly the same body only."
    BodyTooLarge "body_too_large" 413 "The body is too large"
        "Send less at once; `detail` names the limit and its setting."
    TooManyEvents "too_many_events" 413 "Too many events in one request"
        "Split the array; `detail` names the limit and its setting."
    UnsupportedMediaType "unsupported_media_type" 415 "The body has another type than the call takes"
        "Set `Content-Type` to what `detail` names."
    Invalid "invalid" 422 "Something in the document is wrong"
        "`errors` lists every place as a JSON pointer with what is wrong there."
    EventInvalid "event_invalid" 422 "The event is refused"
        "`errors` lists every place. Of an array, only the events without a problem are taken."
    FanoutTooLarge "fanout_too_large" 422 "The event is too large for as many deliveries as it would make"
        "`detail` names the limit and its setting. Send less data, or a reference to it, or let fewer webhooks want it."
    SchemaMismatch "schema_mismatch" 422 "The data does not follow the schema of its type"
        "Change the data, or the schema, or set the type's `schema_mode` to `mark`."
    BudgetExceeded "budget_exceeded" 422 "Checking this would take too long"
        "`detail` names the limit and its setting. Send less at once, or make the schema simpler."
    RuleInvalid "rule_invalid" 422 "The event pattern is wrong"
        "`errors` points to the condition; docs/rules.md has the language."
    TemplateInvalid "template_invalid" 422 "The template is wrong"
        "`errors` has line, column, cause and often a suggestion; docs/templates.md has the language."
    AddressRefused "address_refused" 422 "Deliveries may not go to this address"
        "Use a public address, allow the network in `delivery.allowed_networks`, or develop with `--dev`."
    RefusedByPlugin "refused_by_plugin" 422 "An intake plugin's result can't be taken"
        "See `errors`; the plugin or its config must change."
    PluginInvalid "plugin_invalid" 422 "The upload is no plugin that can run"
        "`detail` says what is missing or too much; build it with an Antar SDK."
    AnswersUnread "answers_unread" 429 "Large answers wait to be read"
        "Read the answers that are under way, or ask for smaller pages; `detail` names the limit and its setting."
    TooManyRequests "too_many_requests" 429 "Too much at once from one caller"
        "Send the request again after `Retry-After` seconds, and less at once; `detail` names the limit and its setting."
    Internal "internal" 500 "Something went wrong inside"
        "It is no fault of the request. The server's log has the cause under the same request id."
    IntakePluginFailed "intake_plugin_failed" 503 "An intake plugin could not be run"
        "Send the request again after `Retry-After` seconds; nothing of it was accepted."
    Busy "busy" 503 "The server has too much to do"
        "Send the request again after `Retry-After` seconds; nothing of it was accepted."
    Unavailable "unavailable" 503 "The database is not available"
        "Send the request again after `Retry-After` seconds, with the same ids: events that are there already count once."
    NotReady "not_ready" 503 "The server is starting or stopping"
        "Wait, or ask another node."
}

impl Code {
    /// Finds the kind by the code that [`Invalid`] carries.
    fn of_invalid(code: &str) -> Code {
        let found = Code::ALL.iter().find(|known| known.entry().code == code);
        found.copied().unwrap_or(Code::Invalid)
    }

    fn retry_after_s(self) -> Option<u32> {
        match self {
            Code::IntakePluginFailed => Some(5),
            Code::AnswersUnread
            | Code::Busy
            | Code::Unavailable
            | Code::NotReady
            | Code::TooManyRequests => Some(1),
            _ => None,
        }
    }
}

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .code.entry().code)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
}

/// A problem as it is sent: `application/problem+json`.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProblemBody {
    /// Where the kind of problem is explained.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// Stable name of the kind.
    code: &'static str,
    /// What is wrong this time.
    detail: String,
    /// As in the answer's header `x-request-id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), errors: Vec::new() }
    }

    #[must_use]
    pub(crate) fn not_found(what: &str) -> Problem {
        Problem::new(Code::NotFound, format!("there is no such {what}"))
    }

    pub(crate) fn parameter(name: &str, detail: impl std::fmt::Display) -> Problem {
        Problem::new(Code::BadParameter, format!("`{name}`: {detail}"))
    }

    /// Turns the problem of a part of a document into one of the whole: prefixes pointers with
    /// `part`, the JSON pointer of the part.
    #[must_use]
    pub(crate) fn below(mut self, part: &str) -> Problem {
        for error in &mut self.errors {
            error.pointer.insert_str(0, part);
        }
        self
    }

    /// An internal error. The cause goes to the log and is not shown to the caller.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Problem {
        tracing::error!(%cause, "internal error");
        Problem::new(Code::Internal, "the cause is in the server's log under this request's id")
    }

    fn unavailable(cause: impl std::fmt::Display) -> Problem {
        tracing::error!(%cause, "unavailable");
        Problem::new(Code::Unavailable, "the database did not answer as it should; try again")
    }

    #[must_use]
    pub(crate) fn body(&self, request_id: Option<&str>) -> ProblemBody {
        let Entry { code, status, title, .. } = self.code.entry();
        ProblemBody {
            kind: format!("/docs#{code}"),
            title,
            status,
            code,
            detail: self.detail.clone(),
            request_id: request_id.map(ToOwned::to_owned),
            errors: self.errors.clone(),
        }
    }

    #[must_use]
    pub(crate) fn answer(&self, request_id: Option<&str>) -> HttpResponse {
        let mut answer = HttpResponseBuilder::new(self.status_code());
        answer.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = self.code.retry_after_s() {
            answer.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if self.code == Code::Unauthorized {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"antar\""));
        }
        answer.body(serde_json::to_string(&self.body(request_id)).unwrap_or_default())
    }
}

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.answer(None)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        let detail = match invalid.errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("`{}` {}", one.pointer, one.detail),
            more => format!("{} things are wrong; `errors` lists them", more.len()),
        };
        Problem { code: Code::of_invalid(invalid.code), detail, errors: invalid.errors }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        match error {
            ChangeError::Invalid(invalid) => invalid.into(),
            ChangeError::NameTaken(_) => Problem::new(Code::NameTaken, error.to_string()),
            ChangeError::NotFound(what) => Problem::not_found(what),
            ChangeError::Conflict(detail) => Problem::new(Code::Conflict, detail),
            ChangeError::OperatorOnly(detail) => Problem::new(Code::OperatorOnly, detail),
            ChangeError::Busy(detail) => Problem::new(Code::Busy, detail),
            ChangeError::Broke(cause) => Problem::internal(cause),
            ChangeError::Upload(error) => error.into(),
            ChangeError::Store(error) => error.into(),
            ChangeError::Randomness(error) => error.into(),
        }
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Problem {
        Problem::internal(error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::NameTaken => Problem::new(Code::NameTaken, "another one has this name"),
            StoreError::NotFound => Problem::not_found("thing"),
            StoreError::Conflict(detail) => Problem::new(Code::Conflict, detail),
            StoreError::BadCursor => {
                Problem::parameter("cursor", "is none that this list gave out")
            }
            StoreError::Busy => Problem::new(Code::Busy, error.to_string()),
            StoreError::Unavailable(cause) => Problem::unavailable(cause),
            StoreError::Corrupt(_) | StoreError::Setup(_) => Problem::internal(error),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        match error {
            UploadError::TooLarge { .. } => Problem::new(Code::BodyTooLarge, error.to_string()),
            UploadError::Busy { .. } | UploadError::Describe(CallError::Busy { .. }) => {
                Problem::new(Code::Busy, error.to_string())
            }
            UploadError::Internal(cause) => Problem::internal(cause),
            error => Problem::new(Code::PluginInvalid, error.to_string()),
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Problem {
        match error {
            AcceptError::Store(error) => error.into(),
            AcceptError::Work(error) => error.into(),
            AcceptError::Plugin(_) => Problem::new(Code::IntakePluginFailed, error.to_string()),
        }
    }
}

impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Problem {
        match error {
            NotDone::TenantFull { .. } | NotDone::Full { .. } => {
                Problem::new(Code::Busy, error.to_string())
            }
            NotDone::Panicked => Problem::internal(error),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let code = match refused {
            Refused::NoJson(_) => Code::MalformedJson,
            Refused::NoEvents => Code::EventInvalid,
            Refused::TooMany { .. } => Code::TooManyEvents,
        };
        Problem::new(code, refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generates the page `docs/errors.md` from the catalogue.
    fn page() -> String {
        let mut page = String::from(
            "# Problems: what the API answers when it does not do what was asked\n\n\
             Every answer that is no success is `application/problem+json` (RFC 9457). `code` is stable: compare it, not the\n\
             text. `detail` says what is wrong this time; `errors` has one entry for each place, with a JSON pointer into what\n\
             was posted and, inside templates, line and column. `request_id` is also in the header `x-request-id` and in the\n\
             server's log. A 429 or 503 carries `Retry-After` in seconds.\n\n\
             ```json\n\
             {\n  \"type\": \"/docs#template_invalid\",\n  \"title\": \"The template is wrong\",\n  \"status\": 422,\n  \
             \"code\": \"template_invalid\",\n  \"detail\": \"`/body` this helper does not exist\",\n  \
             \"request_id\": \"019cd7a4-5d2e-7c30-9d3c-6f8f5f0f3a11\",\n  \"errors\": [\n    {\"pointer\": \"/body\", \
             \"detail\": \"this helper does not exist\", \"line\": 1, \"column\": 12, \"suggestion\": \"lower\"}\n  ]\n}\n\
             ```\n\n\
             In the answer to an array of events the same document stands under `problem`, in the place of the event that was\n\
             refused. This page is written from the catalogue in the code; a test holds the two equal.\n\n\
             | status | code | what it means | what to do |\n|---|---|---|---|\n",
        );
        for Entry { code, status, title, advice } in Code::ALL.iter().map(|code| code.entry()) {
            page.push_str(&format!("| {status} | `{code}` | {title} | {advice} |\n"));
        }
        page
    }

    #[test]
    fn docs_errors_md_is_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        if std::env::var_os("ANTAR_WRITE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == page(), "run the test with ANTAR_WRITE_DOCS=1 to write docs/errors.md");
    }

    #[test]
    fn codes_are_unique_and_sorted_by_status() {
        let entries: Vec<_> = Code::ALL.iter().map(|code| code.entry()).collect();
        assert!(entries.is_sorted_by_key(|entry| entry.status));
        for (number, entry) in entries.iter().enumerate() {
            assert!(
                entries[..number].iter().all(|other| other.code != entry.code),
                "{}",
                entry.code
            );
            assert!(StatusCode::from_u16(entry.status).is_ok());
            assert!(entry.advice.ends_with('.'), "{}", entry.code);
        }
    }

    #[test]
    fn codes_of_the_layers_below_are_known() {
        for code in [
            "invalid",
            "event_invalid",
            "schema_mismatch",
            "budget_exceeded",
            "rule_invalid",
            "template_invalid",
            "address_refused",
            "refused_by_plugin",
        ] {
            let problem =
                Problem::from(Invalid { code, errors: vec![FieldError::new("/a", "is b")] });
            assert_eq!(problem.body(None).code, code);
            assert_eq!(problem.detail, "`/a` is b");
        }
    }

    #[test]
    fn what_is_internal_is_not_shown() {
        let problem = Problem::from(StoreError::Corrupt("row 7 of secrets".to_owned()));
        let text = serde_json::to_string(&problem.body(Some("r-1"))).unwrap();
        assert!(!text.contains("row 7") && text.contains("\"request_id\":\"r-1\""), "{text}");
        assert_eq!(problem.status_code(), 500);
    }

    #[test]
    fn headers_that_belong_to_a_status() {
        let unauthorized = Problem::new(Code::Unauthorized, "").answer(None);
        assert_eq!(unauthorized.headers().get(WWW_AUTHENTICATE).unwrap(), "Bearer realm=\"antar\"");
        assert_eq!(unauthorized.headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        let upload =
            UploadError::Busy { uploads: 2, limit: 2, name: "plugins.uploads_waiting_max" };
        for busy in [Problem::from(StoreError::Busy), Problem::from(upload)] {
            let busy = busy.answer(None);
            assert_eq!(busy.status(), 503);
            assert!(busy.headers().contains_key(RETRY_AFTER));
        }
    }
}
