//! The HTTP API. Handlers extract, parse into model types, make one call, and render the result;
//! they take no decisions.

mod configuration;
mod deliveries;
mod edge;
mod events;
mod openapi;
mod operations;
mod webhooks;

use std::future::ready;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Request};
use actix_service::{IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, Server, fn_service};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App as Routes, web};

use self::configuration::{
    event_types, facets, keys, plugins, profiles, secrets, sources, tenants,
};
use self::deliveries::{listen, replays};
use self::edge::connection::{self, Socket};
pub use self::edge::error::Code;
#[doc(hidden)]
pub use self::edge::patch::merge;
use self::edge::unread::Unread;
use self::edge::{Edge, middleware, refusals};
use self::events::{expect, incoming, rejections};
pub use self::operations::keep_metrics;
use self::webhooks::{actions, bulk, explain, preview};
use crate::app::App;

/// Generates the routes, their description and a list for tests from one table.
macro_rules! routes {
    ($($path:literal { $($method:ident $module:ident $(:: $part:ident)+),+ })+) => {
        fn routes(config: &mut web::ServiceConfig) {
            $(config.service(web::resource($path)$(.route(web::$method().to($module $(:: $part)+)))+);)+
        }

        fn description() -> utoipa::openapi::OpenApi {
            #[derive(utoipa::OpenApi)]
            #[openapi(paths(incoming::own_path, $($($module $(:: $part)+),+),+))]
            struct Described;
            <Described as utoipa::OpenApi>::openapi()
        }

        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),+];
    };
}

routes! {
    "/v1/tenants/{tenant}/events" { post events::resource::publish, get events::resource::list }
    "/v1/tenants/{tenant}/events/{id}" { get events::resource::get }
    "/v1/tenants/{tenant}/events/{id}/explain" { get explain::event }
    "/v1/tenants/{tenant}/webhooks" { post webhooks::resource::create, get webhooks::resource::list }
    "/v1/tenants/{tenant}/webhooks/{id}" { get webhooks::resource::get, patch webhooks::resource::patch, put webhooks::resource::put, delete webhooks::resource::delete }
    "/v1/tenants/{tenant}/webhooks/{id}/test" { post actions::test }
    "/v1/tenants/{tenant}/webhooks/{id}/secret/rotate" { post actions::rotate }
    "/v1/tenants/{tenant}/webhooks/{id}/enable" { post actions::enable }
    "/v1/tenants/{tenant}/webhooks/{id}/disable" { post actions::disable }
    "/v1/tenants/{tenant}/webhooks/{id}/pause" { post actions::pause }
    "/v1/tenants/{tenant}/webhooks/{id}/resume" { post actions::resume }
    "/v1/tenants/{tenant}/webhooks/{id}/cancel" { post bulk::cancel }
    "/v1/tenants/{tenant}/webhooks/{id}/retry" { post bulk::retry }
    "/v1/tenants/{tenant}/webhooks/{id}/drain" { post bulk::drain }
    "/v1/tenants/{tenant}/webhooks/{id}/replay" { post replays::start }
    "/v1/tenants/{tenant}/webhooks/{id}/revisions" { get actions::revisions }
    "/v1/tenants/{tenant}/webhooks/{id}/revert" { post actions::revert }
    "/v1/tenants/{tenant}/webhooks/{id}/explain" { get explain::webhook }
    "/v1/tenants/{tenant}/preview" { post preview::preview }
    "/v1/tenants/{tenant}/rejections" { get rejections::list }
    "/v1/tenants/{tenant}/rejections/{id}" { get rejections::get, delete rejections::delete }
    "/v1/tenants/{tenant}/rejections/{id}/retry" { post rejections::retry }
    "/v1/tenants/{tenant}/replays" { get replays::list }
    "/v1/tenants/{tenant}/replays/{id}" { get replays::get }
    "/v1/tenants/{tenant}/replays/{id}/stop" { post replays::stop }
    "/v1/tenants/{tenant}/deliveries" { get deliveries::resource::list }
    "/v1/tenants/{tenant}/deliveries/stream" { get listen::stream }
    "/v1/tenants/{tenant}/deliveries/{id}" { get deliveries::resource::get }
    "/v1/tenants/{tenant}/deliveries/{id}/attempts" { get deliveries::resource::attempts }
    "/v1/tenants/{tenant}/deliveries/{id}/retry" { post deliveries::resource::retry }
    "/v1/tenants/{tenant}/deliveries/{id}/cancel" { post deliveries::resource::cancel }
    "/v1/tenants/{tenant}/sources" { post sources::create, get sources::list }
    "/v1/tenants/{tenant}/sources/{id}" { get sources::get, patch sources::patch, delete sources::delete }
    "/v1/tenants/{tenant}/sources/{id}/secret/rotate" { post sources::rotate }
    "/v1/tenants/{tenant}/secrets" { get secrets::list }
    "/v1/tenants/{tenant}/secrets/{name}" { put secrets::put, delete secrets::delete }
    "/v1/tenants/{tenant}/plugins" { post plugins::upload, get plugins::list }
    "/v1/tenants/{tenant}/plugins/{name}" { get plugins::get, delete plugins::delete }
    "/v1/tenants/{tenant}/plugins/{name}/versions" { get plugins::versions }
    "/v1/tenants/{tenant}/plugins/{name}/test" { post plugins::test }
    "/v1/tenants/{tenant}/facets" { get facets::list }
    "/v1/tenants/{tenant}/facets/{facet}/values" { get facets::values, put facets::put_values }
    "/v1/tenants/{tenant}/event-types" { post event_types::create, get event_types::list }
    "/v1/tenants/{tenant}/event-types/{type}" { get event_types::get, put event_types::put, delete event_types::delete }
    "/v1/tenants/{tenant}/event-types/{type}/variables" { get event_types::variable_list }
    "/v1/tenants/{tenant}/keys" { post keys::tenant_create, get keys::tenant_list }
    "/v1/tenants/{tenant}/keys/{id}" { delete keys::tenant_delete }
    "/v1/tenants" { get tenants::list }
    "/v1/tenants/{tenant}" { get tenants::get, put tenants::put, delete tenants::delete }
    "/v1/event-types" { get event_types::operator_list }
    "/v1/event-types/{type}" { get event_types::operator_get, put event_types::operator_put, delete event_types::operator_delete }
    "/v1/profiles" { get profiles::list }
    "/v1/profiles/{name}" { get profiles::get, put profiles::put, delete profiles::delete }
    "/v1/keys" { post keys::create, get keys::list }
    "/v1/keys/{id}" { delete keys::delete }
    "/healthz" { get operations::health }
    "/readyz" { get operations::ready }
    "/metrics" { get operations::metrics }
    "/openapi.json" { get operations::description }
    "/docs" { get operations::docs }
}

/// How long an idle connection stays open: longer than in most load balancers.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The API server on `listener`. It runs while it is polled and is stopped through its handle; the
/// caller handles signals.
pub fn serve(app: web::Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    operations::recorder();
    let text = web::Data::new(openapi::text(description()).map_err(std::io::Error::other)?);
    let config = &app.config.server;
    let edge = Arc::new(Edge::new(app.config.clone()));
    let unread = web::Data::new(Unread::new(&app.config));
    tokio::spawn(refusals::report(Arc::downgrade(&edge)));
    let server = Server::build()
        .disable_signals()
        // The limit is kept when a connection is accepted, where a caller can be told.
        .max_concurrent_connections(config.connections_max.saturating_add(1_024))
        .shutdown_timeout(config.drain_ms.div_ceil(1_000));
    let server = if config.workers == 0 { server } else { server.workers(config.workers) };
    let stopping = server.graceful_shutdown_signal();
    let factory = move || {
        let stopping = stopping.clone();
        let stopping = move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        };
        service(app.clone(), (text.clone(), unread.clone()), edge.clone(), stopping)
    };
    Ok(server.listen("http", listener, factory)?.run())
}

/// What serves connections on one thread. It is put together here and not by `HttpServer`, which neither
/// lets the socket be wrapped nor asks before it answers `Expect: 100-continue`.
fn service<Stopping: Future<Output = ()> + 'static>(
    app: web::Data<App>,
    (text, unread): (web::Data<openapi::Text>, web::Data<Unread>),
    edge: Arc<Edge>,
    stopping: impl Fn() -> Stopping + 'static,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
{
    let head_time_max = Duration::from_millis(app.config.server.head_timeout_ms);
    let handlers = Routes::new()
        .app_data(app.clone())
        .app_data(text)
        .app_data(unread)
        .app_data(web::Data::from(edge.clone()))
        .wrap(from_fn(middleware::handle))
        .configure(routes)
        .service(
            web::resource(["/in/{source}/{secret}", "/in/{source}/{secret}/{tail:.*}"])
                .to(incoming::own_path),
        )
        .default_service(web::to(incoming::other_path))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let http = HttpService::build()
        .graceful_shutdown_signal(stopping)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(head_time_max)
        .client_disconnect_timeout(connection::LINGER)
        .expect(fn_service(move |req: Request| ready(expect::check(&app, req))))
        .on_connect_ext(|socket: &Socket, data| {
            data.insert(socket.connection.clone());
        })
        .h1(map_config(handlers, |()| AppConfig::default()));
    fn_service(move |io: TcpStream| {
        let accepted = connection::accept(&edge, io);
        let accepted = accepted.map(|socket| {
            let peer = socket.peer();
            (socket, peer)
        });
        ready(accepted.map_err(DispatchError::Io))
    })
    .and_then(http)
}
