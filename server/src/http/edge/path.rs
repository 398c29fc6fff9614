//! Extractors that parse ids in paths and parameters in queries into their types.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use super::error::{Code, Problem};

/// The last parameter in the path of a route. A value that does not parse can't exist: 404.
pub(crate) struct Id<T>(pub(crate) T);

/// The query, parsed into `T`. A parameter unknown to `T` is an error, not a filter that is
/// silently ignored.
pub(crate) struct Query<T>(pub(crate) T);

/// Percent-decodes a path segment.
pub(crate) fn decoded(segment: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy()
}

impl<T: FromStr + 'static> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let last = req.match_info().iter().last();
        let id = last.and_then(|(_, segment)| decoded(segment).parse().ok());
        ready(id.map(Id).ok_or_else(|| Problem::not_found("id")))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = web::Query::<T>::from_query(req.query_string());
        ready(query.map(|query| Query(query.into_inner())).map_err(|error| {
            let text = error.to_string();
            let detail = text.trim_start_matches("Query deserialize error: ");
            Problem::new(Code::BadParameter, format!("in the query: {detail}"))
        }))
    }
}
