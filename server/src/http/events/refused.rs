//! Keeps calls and events that were refused.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use antar_rules::cut;
use antar_template::MASK;

use crate::app::App;
use crate::http::edge::error::{Code, Problem};
use crate::model::{RejectionId, TenantId};
use crate::pipeline::accept::call::Call;
use crate::pipeline::accept::source::Source;
use crate::store::RejectionRow;

/// What was refused.
pub(super) struct Refused<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) source: Option<&'a Source>,
    pub(super) call: &'a Call,
}

/// What is kept of a call besides its body, in bytes.
const REASON_BYTES_MAX: usize = 1_000;
const ERROR_BYTES_MAX: usize = 16 << 10;
const HEADER_BYTES_MAX: usize = 16 << 10;
const TARGET_BYTES_MAX: usize = 4 << 10;

/// Headers with credentials.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Keeps a call that its sender can mend.
pub(super) fn keep(app: &App, refused: &Refused<'_>, problem: &Problem) {
    let Refused { tenant, source, call } = *refused;
    let is_mendable =
        matches!(problem.code.entry().status, 400 | 401 | 405 | 409 | 413 | 415 | 422);
    let now = app.clock.now();
    let is_stranger = problem.code == Code::SignatureInvalid;
    if !is_mendable || !app.rejections.takes(tenant, now, is_stranger) {
        return;
    }
    let reading = source.map(|source| &source.reading);
    let secret_headers = reading.map_or(&[][..], |reading| &reading.secret_headers);
    let secret_parameters = reading.map_or(&[][..], |reading| &reading.secret_parameters);
    let mut room = HEADER_BYTES_MAX;
    let headers = call.headers.iter().filter_map(|(name, value)| {
        let is_secret = SECRET_HEADERS.contains(&name.as_str()) || secret_headers.contains(name);
        let value = if is_secret { MASK } else { value.as_str() };
        room = room.checked_sub(name.len() + value.len())?;
        Some((name.as_str(), value))
    });
    let headers: BTreeMap<&str, &str> = headers.collect();
    let query = if secret_parameters.is_empty() {
        call.query.clone()
    } else {
        let fields = url::form_urlencoded::parse(call.query.as_bytes());
        let shown = fields.map(|(name, value)| {
            let is_secret = secret_parameters.iter().any(|secret| *secret == name);
            let value = if is_secret { MASK.into() } else { value };
            (name, value)
        });
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(shown).finish()
    };
    let mut room = ERROR_BYTES_MAX;
    let errors = problem.errors.iter().take_while(|error| {
        let bytes = error.pointer.len() + error.detail.len();
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    let errors: Vec<_> = errors.collect();
    let body = (call.body.len() <= app.rejections.body_bytes_max()).then(|| call.body.to_vec());
    app.rejections.keep(RejectionRow {
        id: RejectionId::new(now),
        tenant: tenant.clone(),
        source_id: source.map(|source| source.id),
        rejected_at: now,
        code: problem.code.entry().code.to_owned(),
        reason: cut(&problem.detail, REASON_BYTES_MAX),
        errors: serde_json::to_string(&errors).unwrap_or_else(|_| "[]".to_owned()),
        method: call.method.clone(),
        path: cut(&call.path, TARGET_BYTES_MAX),
        query: cut(&query, TARGET_BYTES_MAX),
        headers: serde_json::to_string(&headers).unwrap_or_else(|_| "{}".to_owned()),
        body,
        body_bytes: i64::try_from(call.body.len()).unwrap_or(i64::MAX),
    });
}

/// The answer to a call, or the problem that it is kept with.
pub(super) fn kept_if_refused(
    app: &App,
    refused: &Refused<'_>,
    answer: Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    if let Err(problem) = &answer {
        keep(app, refused, problem);
    }
    answer
}
