//! Thins out the log of refused requests: within a minute, the first few of an address and status are
//! logged, and the others are counted. So callers can't fill the disk with refusals.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Edge;
use super::client_address::Network;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and statuses that are told apart within a window; the others share one entry.
const KINDS_MAX: usize = 4_096;
/// How often windows that have ended are looked for.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Address and status. No address: all that are not told apart.
type Kind = (Option<Network>, u16);

struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

pub(crate) struct Refusals {
    lines_max: u32,
    windows: Mutex<HashMap<Kind, Window>>,
}

impl Refusals {
    pub(crate) fn new(lines_max: u32) -> Refusals {
        Refusals { lines_max, windows: Mutex::default() }
    }

    /// Whether a refusal is logged; if not, it is counted.
    pub(crate) fn is_logged(&self, network: Network, status: u16, now: Instant) -> bool {
        let mut windows = self.windows.lock();
        let mut kind = (Some(network), status);
        if windows.len() >= KINDS_MAX && !windows.contains_key(&kind) {
            kind.0 = None;
        }
        let window = windows.entry(kind).or_insert(Window { began: now, lines: 0, left_out: 0 });
        let logged = window.lines < self.lines_max;
        if logged {
            window.lines += 1;
        } else {
            window.left_out += 1;
        }
        logged
    }

    /// Removes windows that have ended, and returns those in which something was left out.
    fn ended(&self, now: Instant) -> Vec<(Kind, u64)> {
        let mut left_out = Vec::new();
        self.windows.lock().retain(|kind, window| {
            let open = now.duration_since(window.began) < WINDOW;
            if !open && window.left_out > 0 {
                left_out.push((*kind, window.left_out));
            }
            open
        });
        left_out
    }
}

/// Logs how many refusals were left out, until the server is gone.
pub(crate) async fn report(edge: Weak<Edge>) {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let Some(edge) = edge.upgrade() else { return };
        for ((network, status), left_out) in edge.refusals.ended(Instant::now()) {
            let address =
                network.map_or_else(|| "others".to_owned(), |network| network.to_string());
            tracing::info!(
                target: "antar::access", address, status, left_out,
                "more requests were refused within a minute"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_logged_and_the_others_counted() {
        let refusals = Refusals::new(2);
        let (a, b) = (Network::V4([192, 0, 2, 1].into()), Network::V4([192, 0, 2, 2].into()));
        let now = Instant::now();
        let logged = |network, status| refusals.is_logged(network, status, now);
        let first: Vec<_> = (0..5).map(|_| logged(a, 401)).collect();
        assert_eq!(first, [true, true, false, false, false]);
        assert!(logged(b, 401) && logged(a, 404), "others are not thinned out with it");
        assert_eq!(refusals.ended(now + WINDOW / 2), []);
        assert_eq!(refusals.ended(now + WINDOW), [((Some(a), 401), 3)]);
        assert!(refusals.is_logged(a, 401, now + WINDOW), "the next minute begins anew");
    }

    #[test]
    fn many_addresses_share_one_count() {
        let refusals = Refusals::new(1);
        let now = Instant::now();
        let networks = (0..10_000_u32).map(|number| Network::V4(number.into()));
        let lines = networks.filter(|network| refusals.is_logged(*network, 401, now)).count();
        assert_eq!(lines, KINDS_MAX + 1);
        assert_eq!(refusals.windows.lock().len(), KINDS_MAX + 1);
        assert_eq!(refusals.ended(now + WINDOW), [((None, 401), 10_000 - KINDS_MAX as u64 - 1)]);
    }
}
