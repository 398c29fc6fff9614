//! One phase: the load of the tenant that must not be hurt, looks at the server, and perhaps the attack.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::Command;

use crate::HostileArguments;
use crate::load::steady_whatever_comes;
use crate::receiver::Receiver;
use crate::server::Server;
use crate::table::quantile_ms;
use crate::wire::Wire;

/// How long what was accepted may still be on its way after the phase.
const ARRIVAL_MAX: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Who attacks.
pub(super) struct Attack<'a> {
    pub(super) key: &'a str,
    pub(super) tenant: &'a str,
    pub(super) seed: u64,
}

/// What a phase shows.
#[derive(Default)]
pub(super) struct Phase {
    attacked: bool,
    pub(super) accepted: usize,
    /// Why events were not accepted.
    pub(super) refused: Vec<String>,
    pub(super) lost: usize,
    /// Deliveries of an event that had arrived before.
    again: usize,
    pub(super) took_ns: Vec<u64>,
    health_ns: Vec<u64>,
    pub(super) health_failures: Vec<String>,
    /// The most during the phase.
    pub(super) rss_kib: u64,
    /// What the attacker did: one line for each kind.
    pub(super) attack_figures: Vec<String>,
}

pub(super) async fn run(
    arguments: &HostileArguments,
    server: &mut Server,
    receiver: &Receiver,
    start: Instant,
    attack: Option<Attack<'_>>,
) -> anyhow::Result<Phase> {
    let attacker = attack.as_ref().map(|attack| attack.begin(arguments, server)).transpose()?;
    let target = server.target();
    let posting = steady_whatever_comes(&target, start, arguments.rate_per_s, arguments.seconds);
    let mut phase = Phase { attacked: attack.is_some(), ..Phase::default() };
    let health_max = Duration::from_millis(arguments.health_ms_max);
    let posted = tokio::select! {
        posted = posting => posted?,
        stopped = phase.look_on(server, health_max) => return Err(stopped),
    };
    phase.arrivals(receiver, &posted.accepted).await;
    (phase.accepted, phase.refused) = (posted.accepted.len(), posted.refused);
    if let Some(attacker) = attacker {
        let output = attacker.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        phase.attack_figures = said.lines().map(ToOwned::to_owned).collect();
    }
    if let Some(words) = server.ended()? {
        bail!("the server ended: {words}");
    }
    Ok(phase)
}

impl Attack<'_> {
    /// Starts the attacker as a process that gives way to others: in truth it has a machine of its own.
    fn begin(
        &self,
        arguments: &HostileArguments,
        server: &Server,
    ) -> anyhow::Result<tokio::process::Child> {
        let mut command = Command::new("nice");
        command.args(["-n", "15"]).arg(std::env::current_exe()?).args([
            "attack",
            "--address",
            server.address(),
        ]);
        command.args(["--tenant", self.tenant, "--key", self.key, "--only", &arguments.only]);
        command.args([
            "--seed",
            &self.seed.to_string(),
            "--seconds",
            &arguments.seconds.to_string(),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("the attacker")
    }
}

impl Phase {
    /// Looks at the server again and again, until it has ended; the error says how.
    async fn look_on(&mut self, server: &mut Server, health_max: Duration) -> anyhow::Error {
        loop {
            if let Err(stopped) = self.look(server, health_max).await {
                return stopped;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the server whether it is well, over a new connection, and how much memory it has.
    async fn look(&mut self, server: &mut Server, health_max: Duration) -> anyhow::Result<()> {
        if let Some(words) = server.ended()? {
            bail!("the server ended: {words}");
        }
        self.rss_kib = self.rss_kib.max(server.rss_kib()?);
        let began = Instant::now();
        let asked = async {
            let mut wire = Wire::connect(server.address()).await?;
            let answer = wire.exchange(b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
            answer.status()
        };
        match tokio::time::timeout(health_max, asked).await {
            Ok(Ok(200)) => self.health_ns.push(u64::try_from(began.elapsed().as_nanos())?),
            Ok(Ok(status)) => self.health_failures.push(format!("it answered {status}")),
            Ok(Err(error)) => self.health_failures.push(format!("{error:#}")),
            Err(_) => {
                self.health_failures.push(format!("no answer within {} ms", health_max.as_millis()))
            }
        }
        Ok(())
    }

    /// Waits for all that was accepted, and finds out what is lost and what came twice.
    async fn arrivals(&mut self, receiver: &Receiver, accepted: &[u64]) {
        let began = Instant::now();
        let mut came: HashMap<u64, usize> = HashMap::new();
        let missing = |came: &HashMap<u64, usize>| {
            accepted.iter().filter(|sent| !came.contains_key(sent)).count()
        };
        loop {
            for arrival in receiver.take_all() {
                *came.entry(arrival.sent_ns).or_default() += 1;
                self.took_ns.push(arrival.took_ns);
            }
            self.lost = missing(&came);
            if self.lost == 0 || began.elapsed() > ARRIVAL_MAX {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.again = came.values().map(|times| times - 1).sum();
    }

    pub(super) fn heading() -> String {
        format!(
            "{:<9} {:>9} {:>8} {:>5} {:>6} {:>9} {:>9} {:>11} {:>11} {:>8} {:>8}",
            "",
            "accepted",
            "refused",
            "lost",
            "twice",
            "p50 ms",
            "p99 ms",
            "health p50",
            "health max",
            "unwell",
            "RSS MiB"
        )
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<9} {:>9} {:>8} {:>5} {:>6} {:>9.2} {:>9.2} {:>11.2} {:>11.2} {:>8} {:>8}",
            if self.attacked { "attacked" } else { "quiet" },
            self.accepted,
            self.refused.len(),
            self.lost,
            self.again,
            quantile_ms(&self.took_ns, 0.5),
            quantile_ms(&self.took_ns, 0.99),
            quantile_ms(&self.health_ns, 0.5),
            quantile_ms(&self.health_ns, 1.0),
            self.health_failures.len(),
            self.rss_kib >> 10,
        )?;
        match self.refused.first() {
            Some(why) => write!(f, "   refused: {why}"),
            None => Ok(()),
        }
    }
}
