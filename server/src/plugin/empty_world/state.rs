//! Time, randomness and handles of one call.

use std::collections::HashMap;

use wasmtime::bail;

/// How far each reading advances the clock.
pub(super) const STEP_NS: u64 = 1_000;
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;
/// The first handle number without a fixed meaning.
const FIRST: u32 = 16;
/// Handles that one call may have open. Interpreters need about a dozen.
const HANDLES_MAX: u32 = 10_000;

/// Clock, randomness and resources of an instance that imports WASI.
pub(in crate::plugin) struct World {
    wall_clock_ms: u64,
    elapsed_ns: u64,
    random: u64,
    next: u32,
    open: u32,
    /// Due times of timers in nanoseconds, by handle.
    timers: HashMap<u32, u64>,
}

impl World {
    /// `wall_clock_ms` is the event's time; equal seeds give equal random bytes.
    pub(in crate::plugin) fn new(wall_clock_ms: u64, seed: &str) -> World {
        // FNV-1a; any hash of the text would do.
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        World {
            wall_clock_ms,
            elapsed_ns: 0,
            random: seed.bytes().fold(0xcbf2_9ce4_8422_2325, hash),
            next: FIRST,
            open: 0,
            timers: HashMap::new(),
        }
    }

    /// Time since the call started. Every reading advances it by a step, so that a guest that waits
    /// in a loop makes progress.
    pub(super) fn now_ns(&mut self) -> u64 {
        self.elapsed_ns = self.elapsed_ns.saturating_add(STEP_NS);
        self.elapsed_ns
    }

    /// Seconds and nanoseconds since 1970: the event's time plus the time elapsed since.
    pub(super) fn wall_clock(&self) -> (u64, u32) {
        let ms = self.wall_clock_ms.saturating_add(self.elapsed_ns / 1_000_000);
        let rest_ms = u32::try_from(ms % 1_000).unwrap_or_default();
        (ms / 1_000, rest_ms * 1_000_000)
    }

    /// SplitMix64.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Allocates the handle of a new resource.
    pub(super) fn handle(&mut self) -> wasmtime::Result<u32> {
        if self.open >= HANDLES_MAX {
            bail!("more than {HANDLES_MAX} handles are open");
        }
        self.open += 1;
        self.next = self.next.wrapping_add(1).max(FIRST);
        Ok(self.next)
    }

    pub(super) fn timer(&mut self, at_ns: u64) -> wasmtime::Result<u32> {
        let timer = self.handle()?;
        self.timers.insert(timer, at_ns);
        Ok(timer)
    }

    pub(super) fn dropped(&mut self, handle: u32) {
        if handle >= FIRST {
            self.open = self.open.saturating_sub(1);
            self.timers.remove(&handle);
        }
    }

    /// Whether a pollable is ready. All but timers always are.
    pub(super) fn is_ready(&mut self, handle: u32) -> bool {
        let now_ns = self.now_ns();
        self.timers.get(&handle).is_none_or(|at_ns| *at_ns <= now_ns)
    }

    /// Indices in `waited` of the pollables that are ready. If none is, the clock jumps to the
    /// first timer, without any real waiting.
    pub(super) fn wait(&mut self, waited: &[u32]) -> Vec<u32> {
        let due = |world: &World, handle: &u32| world.timers.get(handle).copied().unwrap_or(0);
        let first = waited.iter().map(|handle| due(self, handle)).min().unwrap_or(0);
        self.elapsed_ns = self.elapsed_ns.max(first);
        let ready = |(place, handle): (usize, &u32)| {
            (due(self, handle) <= self.elapsed_ns).then(|| u32::try_from(place).ok())?
        };
        waited.iter().enumerate().filter_map(ready).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_moves_the_clock_to_the_first_timer() {
        let mut world = World::new(1_700_000_000_123, "ev-1");
        let (late, soon) =
            (world.timer(5_000_000_000).unwrap(), world.timer(1_500_000_000).unwrap());
        assert!(!world.is_ready(soon));
        assert_eq!(world.wait(&[late, soon]), [1]);
        assert_eq!(world.wall_clock(), (1_700_000_001, 623_000_000));
        assert_eq!(world.wait(&[late, STDOUT, soon]), [1, 2]);
        assert_eq!(world.wait(&[late]), [0]);
        assert!(world.is_ready(late));
    }

    #[test]
    fn the_same_seed_gives_the_same_randomness_and_another_another() {
        let draw = |seed: &str| {
            let mut world = World::new(0, seed);
            (world.random(), world.random())
        };
        assert_eq!(draw("ev-1"), draw("ev-1"));
        assert_ne!(draw("ev-1"), draw("ev-2"));
        assert_ne!(draw("ev-1").0, draw("ev-1").1);
    }

    #[test]
    fn handles_end_somewhere() {
        let mut world = World::new(0, "");
        let open: Vec<u32> = (0..HANDLES_MAX).map(|_| world.handle().unwrap()).collect();
        assert!(world.handle().is_err());
        world.dropped(open[7]);
        assert!(world.handle().is_ok());
    }
}
