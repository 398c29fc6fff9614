//! The attacker: a process that does everything in [`kinds`], over and over, until its time is over.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use antar_fuzz::Dice;
use anyhow::Context;
use serde_json::Value;
use tokio::task::LocalSet;

use super::{kinds, receiver};
use crate::AttackArguments;
use crate::wire::{Wire, request};

/// How long the attacker waits for an answer before it goes on.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: AttackArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, attack(arguments))
}

/// Runs each kind in a task of its own, and prints what was done.
async fn attack(arguments: AttackArguments) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(arguments.seconds.into());
    let receiver = receiver::start().await?;
    let arguments = Rc::new(arguments);
    let mut attacking = Vec::new();
    for kind in kinds::ALL.iter().filter(|kind| kind.name.contains(&arguments.only)) {
        let mut attacker = Attacker {
            dice: Dice::of_case(arguments.seed, kind.name, 0),
            arguments: Rc::clone(&arguments),
            receiver: receiver.clone(),
            wire: None,
            rest: Vec::new(),
            source: None,
            number: 0,
            statuses: BTreeMap::new(),
        };
        attacking.push(tokio::task::spawn_local(async move {
            while Instant::now() < end {
                attacker.number += 1;
                let step = tokio::time::timeout(PATIENCE, (kind.step)(&mut attacker)).await;
                if let Ok(Err(_)) | Err(_) = step {
                    attacker.count(if step.is_err() { "no answer" } else { "broken off" });
                    attacker.wire = None;
                    // Whoever is refused comes back, but not in a busy loop.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            (kind.name, attacker.statuses)
        }));
    }
    for attacking in attacking {
        let (name, statuses) = attacking.await.context("an attack")?;
        let counts: Vec<_> =
            statuses.iter().map(|(status, count)| format!("{status} {count}")).collect();
        println!("{name:12} {}", counts.join(", "));
    }
    Ok(())
}

/// What a kind of attack works with.
pub(super) struct Attacker {
    pub(super) dice: Dice,
    arguments: Rc<AttackArguments>,
    /// Of [`receiver`].
    pub(super) receiver: String,
    wire: Option<Wire>,
    /// Connections that are left open.
    pub(super) rest: Vec<Wire>,
    /// The path of a source, once there is one.
    pub(super) source: Option<String>,
    /// Of the step, from 1.
    pub(super) number: usize,
    statuses: BTreeMap<String, usize>,
}

impl Attacker {
    pub(super) fn count(&mut self, what: &str) {
        *self.statuses.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Wire> {
        Wire::connect(&self.arguments.address).await
    }

    /// The bytes of a request below the attacker's tenant, or anywhere when `path` begins with `/`.
    pub(super) fn bytes(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Vec<u8> {
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/v1/tenants/{}/{path}", self.arguments.tenant),
        };
        request(method, &path, Some(&self.arguments.key), content_type, body)
    }

    /// Sends a request and counts the status of its answer; the answer, if it is JSON.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> anyhow::Result<Value> {
        let bytes = self.bytes(method, path, content_type, body);
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(Wire::connect(&self.arguments.address).await?),
        };
        let answer = wire.exchange(&bytes).await?;
        let status = answer.status()?.to_string();
        self.count(&status);
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub(super) async fn json(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        self.send(method, path, "application/json", body.as_bytes()).await
    }
}
