//! `bench hostile`: what one tenant can do to another.
//!
//! A tenant posts at a steady rate to a receiver of its own. Phases in which nothing else happens alternate with
//! phases in which another tenant attacks the same server with everything in [`kinds`]. Nothing of the first tenant
//! may be lost, the server must say that it is well, and its memory must stay bounded; how much longer deliveries
//! take is shown.

pub(crate) mod attack;
mod kinds;
mod phase;
mod receiver;

use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::json;

use self::phase::Phase;
use crate::HostileArguments;
use crate::receiver::Receiver;
use crate::server::{Database, Server};
use crate::table::quantile_ms;

/// The tenant that attacks.
const ATTACKER: &str = "mallory";

pub(crate) fn run(arguments: &HostileArguments) -> anyhow::Result<()> {
    if arguments.list {
        kinds::ALL.iter().for_each(|kind| println!("{:12} {}", kind.name, kind.about));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(phases(arguments))
}

async fn phases(arguments: &HostileArguments) -> anyhow::Result<()> {
    let start = Instant::now();
    let receiver = Receiver::start(start).await?;
    let database = arguments.database_url.as_deref().map(Database::create).transpose()?;
    let mut server = Server::antar(&arguments.antar, database.as_ref()).await?;
    let hook = format!("http://{}/w", receiver.address);
    server
        .webhook("w", &hook, &json!({"rule": {"data": {"conversation": {"labels": ["vip"]}}}}))
        .await?;
    let key = attacker_key(&server).await?;
    println!("seed {}", arguments.seed);
    println!("{}", Phase::heading());
    let (mut quiet, mut attacked) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        for attacks in [false, true] {
            let seed = arguments.seed.wrapping_add(u64::from(round));
            let attack = attacks.then(|| phase::Attack { key: &key, tenant: ATTACKER, seed });
            let phase = phase::run(arguments, &mut server, &receiver, start, attack).await?;
            println!("{phase}");
            phase.attack_figures.iter().for_each(|line| println!("    {line}"));
            if attacks { attacked.push(phase) } else { quiet.push(phase) }
        }
    }
    summary(&quiet, &attacked);
    verdict(arguments, quiet.iter().chain(&attacked))
}

/// A key of the attacker for its own tenant, that may do everything there.
async fn attacker_key(server: &Server) -> anyhow::Result<String> {
    server.ask("PUT", &format!("/v1/tenants/{ATTACKER}"), &json!({})).await?;
    let wanted =
        json!({"name": ATTACKER, "tenant": ATTACKER, "scopes": ["manage", "publish", "read"]});
    let made = server.ask("POST", "/v1/keys", &wanted).await?;
    Ok(made["key"].as_str().context("a new key is shown once")?.to_owned())
}

/// All phases of a kind together, one beside the other.
fn summary(quiet: &[Phase], attacked: &[Phase]) {
    let times = |phases: &[Phase]| {
        let took_ns: Vec<u64> =
            phases.iter().flat_map(|phase| phase.took_ns.iter().copied()).collect();
        (quantile_ms(&took_ns, 0.5), quantile_ms(&took_ns, 0.99))
    };
    let (before, under) = (times(quiet), times(attacked));
    println!(
        "all together: p50 {:.2} ms and p99 {:.2} ms without the attack, {:.2} ms and {:.2} ms with it ({:.1} and {:.1} times)",
        before.0,
        before.1,
        under.0,
        under.1,
        under.0 / before.0,
        under.1 / before.1
    );
}

fn verdict<'a>(
    arguments: &HostileArguments,
    phases: impl Iterator<Item = &'a Phase>,
) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (number, phase) in phases.enumerate() {
        let mut say = |what: String| wrong.push(format!("phase {number}: {what}"));
        if phase.lost > 0 {
            say(format!("{} events were answered with 202 and did not arrive", phase.lost));
        }
        if let Some(failure) = phase.health_failures.first() {
            say(format!(
                "{} of the looks at /healthz failed, such as: {failure}",
                phase.health_failures.len()
            ));
        }
        if phase.accepted == 0 {
            say(format!(
                "no event was accepted: {}",
                phase.refused.first().map_or("", String::as_str)
            ));
        }
        if phase.rss_kib >> 10 > arguments.rss_mib_max {
            say(format!(
                "the server had {} MiB of memory, {} are permitted",
                phase.rss_kib >> 10,
                arguments.rss_mib_max
            ));
        }
    }
    ensure!(wrong.is_empty(), "the other tenant was hurt:\n  {}", wrong.join("\n  "));
    println!("nothing was lost, and the server was well throughout");
    Ok(())
}
