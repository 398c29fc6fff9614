//! Success responses.

use actix_web::HttpResponse;
use serde::Serialize;

use super::error::Problem;

/// Return type of handlers.
pub(crate) type Answer = Result<HttpResponse, Problem>;

pub(crate) fn ok(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Ok().json(view))
}

pub(crate) fn created(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Created().json(view))
}

pub(crate) fn accepted(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Accepted().json(view))
}

/// 201 for a new resource, 200 for an existing one.
pub(crate) fn put(created: bool, view: &impl Serialize) -> Answer {
    let mut answer = if created { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(view))
}

pub(crate) fn no_content() -> Answer {
    Ok(HttpResponse::NoContent().finish())
}

/// A stored JSON text, written into an answer as it is.
pub(crate) struct StoredJson(pub(crate) String);

impl Serialize for StoredJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &serde_json::value::RawValue =
            serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}
