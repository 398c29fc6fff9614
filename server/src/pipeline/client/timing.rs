//! Stopwatch for one HTTP exchange: measures how long each part takes.

use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

/// The parts of an exchange in microseconds. Null is what did not happen: no name to resolve, no
/// TLS, or the exchange did not get that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Timing {
    /// Resolving the name.
    pub dns_us: Option<u64>,
    /// From the address to the connection.
    pub connect_us: Option<u64>,
    /// From the connection to the end of the TLS handshake.
    pub tls_us: Option<u64>,
    /// From the connection (or the handshake) to the head of the answer.
    pub first_byte_us: Option<u64>,
    /// All of it, with the answer's body.
    pub total_us: u64,
}

/// Times the parts of one exchange: each ends where the next begins.
pub struct Stopwatch {
    began: Instant,
    seen: Mutex<Seen>,
}

struct Seen {
    last: Instant,
    timing: Timing,
}

impl Stopwatch {
    #[must_use]
    pub fn start() -> Stopwatch {
        let began = Instant::now();
        Stopwatch { began, seen: Mutex::new(Seen { last: began, timing: Timing::default() }) }
    }

    fn lap(&self, part: fn(&mut Timing) -> &mut Option<u64>) {
        let mut seen = self.seen.lock();
        let now = Instant::now();
        let took_us = micros(now - seen.last);
        *part(&mut seen.timing) = Some(took_us);
        seen.last = now;
    }

    pub fn name_resolved(&self) {
        self.lap(|timing| &mut timing.dns_us);
    }

    pub fn connected(&self) {
        self.lap(|timing| &mut timing.connect_us);
    }

    /// The TLS handshake has ended.
    pub fn secured(&self) {
        self.lap(|timing| &mut timing.tls_us);
    }

    pub fn head_arrived(&self) {
        self.lap(|timing| &mut timing.first_byte_us);
    }

    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing { total_us: micros(self.began.elapsed()), ..self.seen.lock().timing }
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
