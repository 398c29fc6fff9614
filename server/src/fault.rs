//! Fault injection: named points at which tests stop, delay or fail the server, exactly between two steps.
//!
//! `ANTAR_FAULT=accept.commit.before=exit@3,record.after=delay:200` arms them, only in a server with `--dev`;
//! otherwise a point costs one read of an empty cell. The set of faults is global to the process, like its
//! environment, so that it need not be passed down to points deep in the code.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

/// The environment variable that arms faults.
pub const VARIABLE: &str = "ANTAR_FAULT";

/// A point at which a fault can be injected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// Events are written, their transaction is open.
    AcceptCommitBefore,
    /// Events are durable, no caller has been notified.
    AcceptCommitAfter,
    /// The store's caller has been notified, the client has no response yet.
    AcceptAnswerBefore,
    SendBefore,
    /// The receiver has answered, nothing is recorded.
    SendAfter,
    /// A record is about to be handed to the store.
    RecordBefore,
    /// Records are written, their transaction is open.
    RecordCommitBefore,
    /// Records are durable, no caller has been notified.
    RecordCommitAfter,
    RecordAfter,
    /// Due deliveries are claimed, the transaction is open.
    Claim,
    /// The claim is committed, its caller has no result yet.
    ClaimAfter,
    /// Deliveries of expired nodes are released, the transaction is open.
    TakeOver,
    /// The lease is renewed, the transaction is open.
    LeaseRenew,
    /// The deliveries of a replay's step are created, its position has not moved.
    ReplayStep,
    /// A tenant's configuration is about to be compiled; its place among the compiles is taken.
    ChangeCompile,
    /// A change of a tenant is checked and about to be stored; the tenant's other changes wait.
    ChangeStore,
}

impl Point {
    pub const ALL: [Point; 16] = [
        Point::AcceptCommitBefore,
        Point::AcceptCommitAfter,
        Point::AcceptAnswerBefore,
        Point::SendBefore,
        Point::SendAfter,
        Point::RecordBefore,
        Point::RecordCommitBefore,
        Point::RecordCommitAfter,
        Point::RecordAfter,
        Point::Claim,
        Point::ClaimAfter,
        Point::TakeOver,
        Point::LeaseRenew,
        Point::ReplayStep,
        Point::ChangeCompile,
        Point::ChangeStore,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Point::AcceptCommitBefore => "accept.commit.before",
            Point::AcceptCommitAfter => "accept.commit.after",
            Point::AcceptAnswerBefore => "accept.answer.before",
            Point::SendBefore => "send.before",
            Point::SendAfter => "send.after",
            Point::RecordBefore => "record.before",
            Point::RecordCommitBefore => "record.commit.before",
            Point::RecordCommitAfter => "record.commit.after",
            Point::RecordAfter => "record.after",
            Point::Claim => "claim",
            Point::ClaimAfter => "claim.after",
            Point::TakeOver => "take_over",
            Point::LeaseRenew => "lease.renew",
            Point::ReplayStep => "replay.step",
            Point::ChangeCompile => "change.compile",
            Point::ChangeStore => "change.store",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// The process aborts at once, as with `kill -9`: nothing is cleaned up or flushed.
    Exit,
    /// The step fails. No effect at points that can't fail.
    Error,
    Delay(Duration),
}

/// A fault armed at a point.
#[derive(Debug)]
struct Fault {
    point: Point,
    action: Action,
    /// The first and last passage, counted from 1, at which it fires.
    from: u64,
    to: u64,
    passed: AtomicU64,
}

/// An injected error.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fault was asked for at {}", .0.as_str())]
pub struct Injected(Point);

static ARMED: OnceLock<Vec<Fault>> = OnceLock::new();

/// Arms the faults in `text` for the lifetime of the process.
///
/// # Errors
/// The part of `text` that can't be parsed; or that faults are armed already.
pub fn arm(text: &str) -> Result<(), String> {
    let faults = text.split(',').map(str::parse).collect::<Result<Vec<Fault>, _>>()?;
    ARMED.set(faults).map_err(|_| "faults are armed already".to_owned())
}

/// Applies the faults armed at `point`.
///
/// # Errors
/// An error is armed at this passage.
pub async fn reach(point: Point) -> Result<(), Injected> {
    let Some(faults) = ARMED.get() else { return Ok(()) };
    for fault in faults.iter().filter(|fault| fault.point == point) {
        let passage = fault.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if passage < fault.from || passage > fault.to {
            continue;
        }
        tracing::info!(point = point.as_str(), passage, "a fault takes effect");
        match fault.action {
            Action::Exit => std::process::abort(),
            Action::Error => return Err(Injected(point)),
            Action::Delay(time) => delay(time).await,
        }
    }
    Ok(())
}

/// [`reach`] at points that can't fail.
pub async fn pass(point: Point) {
    // An injected error can't be returned here; exits and delays have taken effect.
    let _ = reach(point).await;
}

/// Sleeps on a thread: the SQLite writer's runtime has no timer.
async fn delay(time: Duration) {
    let (done, over) = oneshot::channel();
    std::thread::spawn(move || {
        std::thread::sleep(time);
        let _ = done.send(());
    });
    let _ = over.await;
}

impl FromStr for Fault {
    type Err = String;

    /// `POINT=exit|error|delay:MS`, with `@N` for the Nth passage only or `@N..M` for a range of passages.
    fn from_str(text: &str) -> Result<Fault, String> {
        let (point, rest) =
            text.trim().split_once('=').ok_or("a fault is POINT=ACTION[@N[..M]]")?;
        let known = Point::ALL.into_iter().find(|known| known.as_str() == point);
        let point = known.ok_or_else(|| {
            let names: Vec<_> = Point::ALL.iter().map(|point| point.as_str()).collect();
            format!("`{point}` is no point; there are {}", names.join(", "))
        })?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        let (action, from, to) = match rest.split_once('@') {
            None => (rest, 1, u64::MAX),
            Some((action, passages)) => match passages.split_once("..") {
                None => (action, number(passages)?, number(passages)?),
                Some((from, "")) => (action, number(from)?, u64::MAX),
                Some((from, to)) => (action, number(from)?, number(to)?),
            },
        };
        let action = match (action, action.strip_prefix("delay:")) {
            ("exit", _) => Action::Exit,
            ("error", _) => Action::Error,
            (_, Some(ms)) => Action::Delay(Duration::from_millis(number(ms)?)),
            _ => return Err(format!("`{action}` is none of exit, error, delay:MS")),
        };
        Ok(Fault { point, action, from, to, passed: AtomicU64::new(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        let fault: Fault = "send.after=delay:20@3..5".parse().unwrap();
        assert_eq!(fault.point, Point::SendAfter);
        assert_eq!(fault.action, Action::Delay(Duration::from_millis(20)));
        assert_eq!((fault.from, fault.to), (3, 5));
        let fault: Fault = "claim=exit@2".parse().unwrap();
        assert_eq!((fault.action, fault.from, fault.to), (Action::Exit, 2, 2));
        let fault: Fault = "claim=error".parse().unwrap();
        assert_eq!((fault.from, fault.to), (1, u64::MAX));
        for wrong in ["", "claim", "claim=stop", "clame=exit", "claim=exit@x", "claim=delay:"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_point_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Point::ALL.iter().map(|p| p.as_str()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
