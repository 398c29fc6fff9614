//! Answers that are a success.

use actix_web::HttpResponse;
use serde::Serialize;

use super::error::Problem;

/// What handlers return.
pub(super) type Answer = Result<HttpResponse, Problem>;

pub(super) fn ok(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Ok().json(view))
}

pub(super) fn created(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Created().json(view))
}

pub(super) fn accepted(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Accepted().json(view))
}

/// 201 for what is new, 200 for what was there.
pub(super) fn put(created: bool, view: &impl Serialize) -> Answer {
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(view))
}

pub(super) fn no_content() -> Answer {
    Ok(HttpResponse::NoContent().finish())
}
