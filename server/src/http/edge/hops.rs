//! The hops of a call: headers that each delivery of Antar sends, and that callers may pass on.

use actix_web::HttpRequest;

use crate::model::{HOPS_HEADER, Hops, ROOT_HEADER};

pub(crate) fn hops(req: &HttpRequest) -> Hops {
    let counts = req.headers().get_all(HOPS_HEADER).map(|value| value.as_bytes());
    Hops::of_call(counts, req.headers().get(ROOT_HEADER).map(|value| value.as_bytes()))
}
