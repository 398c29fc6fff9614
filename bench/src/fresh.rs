//! As the server calls: a fresh instance each time, within all limits.

use std::{sync::Arc, time::Instant};

use anyhow::{Result, anyhow};
use tokio::runtime::Runtime;

use crate::{
    clock::{Lines, ns},
    guests::Guests,
    plugin::{Call, Host, Limits, Outcome, Owner, Place, Plugin},
};

const CALLS: usize = 20_000;

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What every line asks.
pub(crate) fn call(data: &str) -> Call<'_> {
    Call {
        id: "0198f2c1-7d1e-7c30-9d3c-6f8f5f0f3a11",
        event_type: "conversation.created",
        tenant: "acme",
        timestamp: "2026-03-10T12:00:00.000Z",
        attributes: &[],
        data,
        config: "{}",
        place: Place::Webhook,
    }
}

async fn compiled(host: &Host, wasm: &[u8]) -> Result<Plugin> {
    Ok(host.compile(wasm.to_vec().into(), &Owner::default()).await?)
}

async fn calls(host: &Host, plugins: &[Plugin], data: &str, count: usize) -> Result<Vec<u64>> {
    let mut took = Vec::with_capacity(count);
    for plugin in plugins.iter().cycle().take(count) {
        let started = Instant::now();
        let report = host.call(plugin, call(data)).await;
        took.push(ns(started.elapsed()));
        match report.result {
            Ok(Outcome::Pass | Outcome::Replace(_)) => {}
            other => return Err(anyhow!("{other:?}")),
        }
    }
    Ok(took)
}

pub(crate) fn add<'a>(
    lines: &mut Lines<'a>,
    host: &'a Host,
    guests: &Guests,
    data: &'a str,
) -> Result<()> {
    for (name, wasm) in [
        ("filter by type, fresh instance", &guests.type_filter),
        ("filter, fresh instance", &guests.filter),
        ("transform, fresh instance", &guests.transform),
        ("filter, fresh, opt-level s", &guests.small_filter),
        ("transform, fresh, opt-level s", &guests.small_transform),
        ("transform, fresh, Rust's own allocator", &guests.plain),
    ] {
        let runtime = runtime()?;
        let plugin = [runtime.block_on(compiled(host, wasm))?];
        lines.add(name, move |count| runtime.block_on(calls(host, &plugin, data, count)));
    }
    Ok(())
}

/// Many plugins, and two threads.
pub(crate) fn scaling(guests: &Guests, data: &str) -> Result<()> {
    let host = Arc::new(Host::new(Limits { compiles_max: 2, ..Limits::default() })?);
    println!("\n{:<44} {:>12} {:>12}", "calls per second, all threads", "1 thread", "2 threads");
    let mut kinds = [
        ("filter", &guests.filter, Vec::new()),
        ("transform", &guests.transform, Vec::new()),
        ("transform, Rust's own allocator", &guests.plain, Vec::new()),
    ];
    // The few first: compiling a thousand takes minutes, in which the machine may change.
    for count in [1, 100, 1_000] {
        for (name, wasm, plugins) in &mut kinds {
            runtime()?.block_on(async {
                while plugins.len() < count {
                    // A custom section makes it another file.
                    let note = format!("{:08}", plugins.len());
                    let section = [&[0, 11, 2, b'n', b'o'][..], note.as_bytes()].concat();
                    plugins.push(compiled(&host, &[wasm, &section[..]].concat()).await?);
                }
                calls(&host, plugins, data, CALLS / 10).await.map(drop)
            })?;
            let rates = [1, 2].map(|threads| rate(&host, plugins, data, threads));
            let [one, two] = rates;
            println!("{:<44} {:>12.0} {:>12.0}", format!("{name}, {count} loaded"), one?, two?);
        }
    }
    Ok(())
}

fn rate(host: &Arc<Host>, plugins: &[Plugin], data: &str, threads: usize) -> Result<f64> {
    let started = Instant::now();
    std::thread::scope(|scope| {
        let work = || runtime()?.block_on(calls(host, plugins, data, CALLS)).map(drop);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    Ok((CALLS * threads) as f64 / started.elapsed().as_secs_f64())
}
