//! The floor: accepts a POST, keeps it, answers when that is on the disk, signs it, and posts it on over
//! connections that stay open. It keeps events in a file, or in tables, where it keeps what became of them too.

mod file;
mod tables;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

use self::tables::Tables;
use crate::FloorArguments;

/// Writes that share one sync.
const SHARED_MAX: usize = 256;

/// Of an event, and of its one delivery.
type Id = [u8; 8];

enum Write {
    Event { id: Id, body: Bytes, durable: oneshot::Sender<()> },
    Outcome { id: Id, status: i64 },
}

/// Where writes go.
trait Keep: Sized {
    /// Makes it anew.
    fn open(path: &Path) -> anyhow::Result<Self>;
    /// Returns when all of them are on the disk.
    fn keep(&mut self, batch: &[Write]) -> anyhow::Result<()>;
}

#[derive(Clone)]
struct Floor {
    writes: mpsc::Sender<Write>,
    keeps_outcomes: bool,
    last_id: Arc<AtomicU64>,
    client: Client<HttpConnector, Full<Bytes>>,
    to: String,
}

pub(crate) fn run(arguments: &FloorArguments) -> anyhow::Result<()> {
    let (writes, wanted) = mpsc::channel(4_096);
    if arguments.tables {
        start::<Tables>(&arguments.keep, wanted)?;
    } else {
        start::<File>(&arguments.keep, wanted)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (keeps_outcomes, last_id, to) = (arguments.tables, Arc::default(), arguments.to.clone());
    let floor = Floor { writes, keeps_outcomes, last_id, client, to };
    let app = move || {
        App::new().app_data(web::Data::new(floor.clone())).route("/events", web::post().to(take))
    };
    let server = HttpServer::new(app).workers(2).bind(&arguments.listen)?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

fn start<K: Keep + Send + 'static>(
    path: &Path,
    mut wanted: mpsc::Receiver<Write>,
) -> anyhow::Result<()> {
    let mut kept = K::open(path).context("what the floor keeps can't be made")?;
    std::thread::spawn(move || {
        let mut batch = Vec::with_capacity(SHARED_MAX);
        while wanted.blocking_recv_many(&mut batch, SHARED_MAX) > 0 {
            if let Err(error) = kept.keep(&batch) {
                eprintln!("{error:#}");
                return;
            }
            for write in batch.drain(..) {
                if let Write::Event { durable, .. } = write {
                    // Whoever went away needs no answer.
                    let _ = durable.send(());
                }
            }
        }
    });
    Ok(())
}

async fn take(floor: web::Data<Floor>, body: web::Bytes) -> HttpResponse {
    let (durable, synced) = oneshot::channel();
    let id = floor.last_id.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let wanted = Write::Event { id, body: body.clone(), durable };
    if floor.writes.send(wanted).await.is_err() || synced.await.is_err() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    tokio::spawn(async move { post_on(&floor, id, body).await });
    HttpResponse::Accepted().body(r#"{"id":"0195803a-6c00-7000-8000-000000000000"}"#)
}

async fn post_on(floor: &Floor, id: Id, body: Bytes) -> anyhow::Result<()> {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret")?;
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = hyper::Request::post(&floor.to)
        .header("content-type", "application/json")
        .header("webhook-id", "0195803a-6c00-7000-8000-000000000000")
        .header("webhook-timestamp", "1773144000")
        .header("webhook-signature", signature)
        .body(Full::new(body))?;
    let answer = floor.client.request(request).await?;
    let status = answer.status().as_u16().into();
    answer.into_body().collect().await?;
    if floor.keeps_outcomes {
        floor.writes.send(Write::Outcome { id, status }).await?;
    }
    Ok(())
}
