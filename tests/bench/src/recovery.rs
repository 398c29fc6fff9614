//! `bench recovery`: how soon what was open goes on after a crash.

use std::time::Instant;

use serde_json::json;

use crate::RecoveryArguments;
use crate::load::full;
use crate::receiver::Receiver;
use crate::server::{Database, Server};

const CONNECTIONS: usize = 32;

pub(crate) fn run(arguments: &RecoveryArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(recover(arguments))
}

async fn recover(arguments: &RecoveryArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let receiver = Receiver::start(start).await?;
    let database = arguments.database_url.as_deref().map(Database::create).transpose()?;
    let mut server = Server::antar(&arguments.antar, database.as_ref()).await?;
    server.webhook("w", &format!("http://{}/w", receiver.address), &json!({})).await?;
    full(&server.target(), start, arguments.stored, CONNECTIONS).await?;
    receiver.wait(arguments.stored).await?;
    receiver.take();
    receiver.hold(true);
    full(&server.target(), start, arguments.open, CONNECTIONS).await?;
    receiver.hold(false);
    let began = server.crash(&arguments.antar, database.as_ref()).await?;
    let ready = began.elapsed();
    receiver.wait(1).await?;
    let first = began.elapsed();
    receiver.wait(arguments.open).await?;
    println!(
        "{} stored, {} open when it was killed; after the start ready in {} ms, the first arrived \
         after {} ms at the latest, all after {} ms",
        arguments.stored,
        arguments.open,
        ready.as_millis(),
        first.as_millis(),
        began.elapsed().as_millis(),
    );
    Ok(())
}
