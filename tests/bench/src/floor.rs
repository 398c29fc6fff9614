//! The floor: accepts a POST, appends it to a file, answers when that is on the disk, signs it, and
//! posts it on over connections that stay open.

use std::fs::File;
use std::io::Write;

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use tokio::sync::{mpsc, oneshot};

use crate::FloorArguments;

/// Appends that share one sync.
const SHARED_MAX: usize = 256;

struct Append {
    body: Bytes,
    durable: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Floor {
    appends: mpsc::Sender<Append>,
    client: Client<HttpConnector, Full<Bytes>>,
    to: String,
}

pub(crate) fn run(arguments: &FloorArguments) -> anyhow::Result<()> {
    let log = File::create(&arguments.log).context("the floor's file can't be made")?;
    let (appends, wanted) = mpsc::channel(4_096);
    std::thread::spawn(move || append(log, wanted));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let floor = Floor { appends, client, to: arguments.to.clone() };
    let app = move || {
        App::new().app_data(web::Data::new(floor.clone())).route("/events", web::post().to(take))
    };
    let server = HttpServer::new(app).workers(2).bind(&arguments.listen)?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

fn append(mut log: File, mut wanted: mpsc::Receiver<Append>) {
    let mut batch = Vec::with_capacity(SHARED_MAX);
    while wanted.blocking_recv_many(&mut batch, SHARED_MAX) > 0 {
        let bytes: Vec<u8> = batch.iter().flat_map(|append| append.body.iter().copied()).collect();
        if log.write_all(&bytes).and_then(|()| log.sync_data()).is_err() {
            return;
        }
        for append in batch.drain(..) {
            // Whoever went away needs no answer.
            let _ = append.durable.send(());
        }
    }
}

async fn take(floor: web::Data<Floor>, body: web::Bytes) -> HttpResponse {
    let (durable, synced) = oneshot::channel();
    let wanted = Append { body: body.clone(), durable };
    if floor.appends.send(wanted).await.is_err() || synced.await.is_err() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    tokio::spawn(async move { post_on(&floor, body).await });
    HttpResponse::Accepted().body(r#"{"id":"0195803a-6c00-7000-8000-000000000000"}"#)
}

async fn post_on(floor: &Floor, body: Bytes) -> anyhow::Result<()> {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret")?;
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = hyper::Request::post(&floor.to)
        .header("content-type", "application/json")
        .header("webhook-id", "0195803a-6c00-7000-8000-000000000000")
        .header("webhook-timestamp", "1773144000")
        .header("webhook-signature", signature)
        .body(Full::new(body))?;
    floor.client.request(request).await?.into_body().collect().await?;
    Ok(())
}
