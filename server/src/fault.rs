//! Named points at which tests stop, delay or fail the server, exactly between two steps.
//!
//! `ANTAR_FAULT=accept.commit.before=exit@3,record.after=delay:200` arms them, in a server with `--dev`
//! only; in any other, and without the variable, a point is one look at an empty cell. The process has
//! one set of faults, like its environment: the points are deep in the code, where nothing else of
//! a test's business should be passed down to.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

/// The variable that arms faults.
pub const VARIABLE: &str = "ANTAR_FAULT";

/// Where something can go wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// Events are written, their transaction is open.
    AcceptCommitBefore,
    /// Events are durable, nobody knows it.
    AcceptCommitAfter,
    /// The caller of the store knows it, the sender does not.
    AcceptAnswerBefore,
    SendBefore,
    /// The receiver has answered, nothing of it is recorded.
    SendAfter,
    /// An attempt goes to the store.
    RecordBefore,
    /// Records are written, their transaction is open.
    RecordCommitBefore,
    /// Records are durable, nobody knows it.
    RecordCommitAfter,
    RecordAfter,
    /// Due deliveries are claimed, the transaction is open.
    Claim,
    /// Due deliveries are claimed, nobody knows it.
    ClaimAfter,
    /// The deliveries of those who are gone are free, the transaction is open.
    TakeOver,
    /// The lease is renewed, the transaction is open.
    LeaseRenew,
    /// The deliveries of a replay's step are made, its position has not moved.
    ReplayStep,
}

impl Point {
    pub const ALL: [Point; 14] = [
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
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// The process ends on the spot, as by `kill -9`: nothing is tidied up or written out.
    Exit,
    /// The step fails. Points that nothing can fail at go on.
    Error,
    Delay(Duration),
}

/// What happens at a point.
#[derive(Debug)]
struct Fault {
    point: Point,
    action: Action,
    /// The first and last passage, counted from 1, at which it happens.
    from: u64,
    to: u64,
    passed: AtomicU64,
}

/// An error that was asked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a fault was asked for at {}", .0.as_str())]
pub struct Injected(Point);

static ARMED: OnceLock<Vec<Fault>> = OnceLock::new();

/// Arms the faults of `text`, for as long as the process lives.
///
/// # Errors
/// What can't be read of it; or faults are armed already.
pub fn arm(text: &str) -> Result<(), String> {
    let faults = text.split(',').map(str::parse).collect::<Result<Vec<Fault>, _>>()?;
    ARMED.set(faults).map_err(|_| "faults are armed already".to_owned())
}

/// The server is at `point`.
///
/// # Errors
/// One was asked for.
pub async fn reach(point: Point) -> Result<(), Injected> {
    let Some(faults) = ARMED.get() else { return Ok(()) };
    for fault in faults.iter().filter(|fault| fault.point == point) {
        let passage = fault.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if passage < fault.from || passage > fault.to {
            continue;
        }
        match fault.action {
            Action::Exit => std::process::abort(),
            Action::Error => return Err(Injected(point)),
            Action::Delay(time) => delay(time).await,
        }
    }
    Ok(())
}

/// [`reach`] where nothing can fail.
pub async fn pass(point: Point) {
    // An error has no place to go here; exits and delays have happened.
    let _ = reach(point).await;
}

/// A thread's sleep: the writer of SQLite has a runtime without a timer.
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

    /// `POINT=exit|error|delay:MS`, with `@N` for the Nth passage alone or `@N..M` for these.
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
