//! `Expect: 100-continue`: the caller sends its body only when it is told to. It is told so if its key
//! exists, or its URL is that of a source with the right secret.

use std::rc::Rc;

use actix_http::{HttpMessage as _, Request};
use actix_web::body::BoxBody;
use actix_web::dev::Response;
use actix_web::http::header::AUTHORIZATION;

use super::incoming;
use crate::app::App;
use crate::http::edge::auth::known_key;
use crate::http::edge::connection::Connection;
use crate::http::edge::error::Problem;
use crate::http::edge::middleware;

/// Calls that need no key. They read no body.
const OPEN: &[&str] = &["/healthz", "/readyz"];

/// Returns the request if its body may be sent, or else the answer.
pub(crate) fn check(app: &App, req: Request) -> Result<Request, Response<BoxBody>> {
    let path = req.path();
    if OPEN.contains(&path) || incoming::find(app, path).is_some() {
        return Ok(req);
    }
    let problem = match known_key(app, req.headers()) {
        Ok(_) => return Ok(req),
        Err(_) if is_foreign(&req) => incoming::nothing_here(),
        Err(problem) => problem,
    };
    let Some(connection) = req.conn_data::<Rc<Connection>>() else {
        return Err(Problem::internal("the request has no connection").answer(None).into());
    };
    Err(middleware::refuse(connection, app, req.head(), &problem).into())
}

/// Whether a request without a key is none to the API.
fn is_foreign(req: &Request) -> bool {
    !req.path().starts_with("/v1/") && !req.headers().contains_key(AUTHORIZATION)
}
