//! `bench soak`: the server at a steady share of what it can do, for long.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::SoakArguments;
use crate::load::{Target, full_for, steady};
use crate::process;
use crate::receiver::Receiver;
use crate::server::{Database, Server};
use crate::table::quantile_ms;

/// How long is posted to learn what the server can do while it deletes as much as it takes.
const LEARN: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 32;
/// How much more of anything the last third of the time may show beside the middle one.
const GROWTH_MAX: f64 = 1.2;
/// Where posting and receiving an event cost the bench so much more than it mostly does, it is the machine that
/// was slow, and times say nothing of the server.
const SLOW_MACHINE: f64 = 1.15;

type Figure = fn(&Sample) -> f64;

/// What a look at the server shows.
#[derive(Clone, Copy)]
struct Sample {
    at_s: u64,
    received: usize,
    p50_ms: f64,
    p99_ms: f64,
    /// CPU time of the server for one event, in microseconds.
    server_us: f64,
    /// CPU time of the bench for the same: always the same work.
    own_us: f64,
    rss_kib: u64,
    /// None: PostgreSQL.
    file_bytes: Option<u64>,
}

pub(crate) fn run(arguments: &SoakArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(soak(arguments))
}

async fn soak(arguments: &SoakArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let receiver = Receiver::start(start).await?;
    let database = arguments.database_url.as_deref().map(Database::create).transpose()?;
    let keep_s = arguments.keep_s.to_string();
    let settings =
        [("ANTAR_RETENTION_EVENTS_S", keep_s.as_str()), ("ANTAR_RETENTION_EVERY_MS", "5000")];
    let server = Server::antar_with(&arguments.antar, database.as_ref(), &settings).await?;
    server.webhook("w", &format!("http://{}/w", receiver.address), &json!({})).await?;
    let target = server.target();
    let most_per_s = most_per_s(&target, start, Duration::from_secs(arguments.keep_s)).await?;
    receiver.take();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate_per_s = (most_per_s * arguments.share) as u32;
    println!(
        "{most_per_s:.0} events a second at full load with old ones deleted; {rate_per_s} for {} min",
        arguments.minutes
    );
    println!(
        "{:>7} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "s", "received", "p50 ms", "p99 ms", "CPU us", "own us", "RSS MiB", "file MiB"
    );
    let seconds = arguments.minutes * 60;
    let posting = tokio::spawn(async move { steady(&target, start, rate_per_s, seconds).await });
    let mut samples = Vec::new();
    let began = Instant::now();
    let cpu_us = || anyhow::Ok((server.cpu_us()?.0, process::cpu_us(std::process::id())?));
    let mut before = cpu_us()?;
    while !posting.is_finished() {
        tokio::time::sleep(Duration::from_secs(arguments.every_s)).await;
        let (took_ns, now) = (receiver.take(), cpu_us()?);
        #[expect(clippy::cast_precision_loss, reason = "counts of millions")]
        let per_event = |us: u64| us as f64 / took_ns.len().max(1) as f64;
        let sample = Sample {
            at_s: began.elapsed().as_secs(),
            received: took_ns.len(),
            p50_ms: quantile_ms(&took_ns, 0.5),
            p99_ms: quantile_ms(&took_ns, 0.99),
            server_us: per_event(now.0 - before.0),
            own_us: per_event(now.1 - before.1),
            rss_kib: server.rss_kib()?,
            file_bytes: server.file_bytes(),
        };
        println!("{sample}");
        samples.push(sample);
        before = now;
    }
    posting.await??;
    verdict(&samples)
}

/// What the server takes once events are old enough to go.
async fn most_per_s(target: &Target, start: Instant, keep: Duration) -> anyhow::Result<f64> {
    println!("full load for {} s", (keep + LEARN).as_secs());
    full_for(target, start, keep, CONNECTIONS).await?;
    let began = Instant::now();
    let events = full_for(target, start, LEARN, CONNECTIONS).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of millions")]
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// The first third is for caches to fill and retention to begin.
fn verdict(samples: &[Sample]) -> anyhow::Result<()> {
    let third = samples.len() / 3;
    ensure!(third > 1, "too few looks to say anything; soak for longer");
    // The last one may be of a part of its time.
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..samples.len() - 1]);
    let slow_us = SLOW_MACHINE * median(samples, |sample| sample.own_us);
    let quick = |part: &[Sample]| {
        let quick: Vec<Sample> =
            part.iter().filter(|sample| sample.own_us <= slow_us).copied().collect();
        ensure!(quick.len() >= (third / 3).max(1), "the machine was slow for too long; soak again");
        Ok(quick)
    };
    #[expect(clippy::cast_precision_loss, reason = "sizes")]
    let growths = [
        ("memory", growth(middle, last, |sample| sample.rss_kib as f64)),
        ("the file", growth(middle, last, |sample| sample.file_bytes.unwrap_or(1) as f64)),
        (
            "CPU beside the bench's own",
            growth(middle, last, |sample| sample.server_us / sample.own_us),
        ),
        ("the median time", growth(&quick(middle)?, &quick(last)?, |sample| sample.p50_ms)),
    ];
    let mut grew = Vec::new();
    for (name, growth) in growths {
        println!("{name}: the last third is {growth:.2} of the middle one");
        if growth > GROWTH_MAX {
            grew.push(name);
        }
    }
    ensure!(grew.is_empty(), "grew: {}", grew.join(", "));
    Ok(())
}

/// The mean of a figure in the later samples, in parts of that in the earlier ones.
fn growth(earlier: &[Sample], later: &[Sample], figure: Figure) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of looks")]
    let mean = |part: &[Sample]| part.iter().map(figure).sum::<f64>() / part.len() as f64;
    mean(later) / mean(earlier)
}

fn median(samples: &[Sample], figure: Figure) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file_bytes.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string());
        write!(
            f,
            "{:>7} {:>10} {:>9.2} {:>9.2} {:>9.1} {:>9.1} {:>9} {file:>9}",
            self.at_s,
            self.received,
            self.p50_ms,
            self.p99_ms,
            self.server_us,
            self.own_us,
            self.rss_kib >> 10,
        )
    }
}
