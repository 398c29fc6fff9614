//! Keeps calls and events that were refused.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use antar_template::MASK;

use crate::app::App;
use crate::http::edge::error::Problem;
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

/// Headers with credentials.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// Keeps a call that its sender can mend.
fn keep(app: &App, refused: &Refused<'_>, problem: &Problem) {
    let Refused { tenant, source, call } = *refused;
    let is_mendable =
        matches!(problem.code.entry().status, 400 | 401 | 405 | 409 | 413 | 415 | 422);
    let now = app.clock.now();
    if !is_mendable || !app.rejections.takes(tenant, now) {
        return;
    }
    let reading = source.map(|source| &source.reading);
    let secret_header = reading.and_then(|reading| reading.secret_header.as_deref());
    let secret_parameter = reading.and_then(|reading| reading.secret_parameter.as_deref());
    let headers: BTreeMap<&str, &str> = call
        .headers
        .iter()
        .map(|(name, value)| {
            let is_secret = SECRET_HEADERS.contains(&name.as_str()) || secret_header == Some(name);
            (name.as_str(), if is_secret { MASK } else { value.as_str() })
        })
        .collect();
    let query = match secret_parameter {
        None => call.query.clone(),
        Some(secret) => {
            let fields = url::form_urlencoded::parse(call.query.as_bytes());
            let shown = fields.map(|(name, value)| {
                let value = if name == secret { MASK.into() } else { value };
                (name, value)
            });
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(shown).finish()
        }
    };
    let body = (call.body.len() <= app.rejections.body_bytes_max()).then(|| call.body.to_vec());
    app.rejections.keep(RejectionRow {
        id: RejectionId::new(now),
        tenant: tenant.clone(),
        source_id: source.map(|source| source.id),
        rejected_at: now,
        code: problem.code.entry().code.to_owned(),
        reason: problem.detail.clone(),
        errors: serde_json::to_string(&problem.errors).unwrap_or_else(|_| "[]".to_owned()),
        method: call.method.clone(),
        path: call.path.clone(),
        query,
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
