//! Queue of uploads that wait for the compiler, bounded in number and bytes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Limits, UploadError};

/// Uploads that wait or are being compiled, and their bounds.
pub(super) struct CompileQueue {
    uploads_max: usize,
    bytes_max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    uploads: usize,
    bytes: usize,
}

/// A place in the queue, freed when dropped.
pub(super) struct Ticket {
    queue: Arc<CompileQueue>,
    bytes: usize,
}

impl CompileQueue {
    pub(super) fn new(limits: &Limits) -> CompileQueue {
        CompileQueue {
            uploads_max: limits.uploads_waiting_max,
            bytes_max: limits.uploads_waiting_bytes_max,
            waiting: Mutex::default(),
        }
    }

    /// Takes a place, or refuses an upload that would exceed a bound.
    pub(super) fn enter(self: &Arc<Self>, bytes: usize) -> Result<Ticket, UploadError> {
        let mut waiting = self.waiting.lock();
        let full = |limit, name| Err(UploadError::Busy { uploads: waiting.uploads, limit, name });
        if waiting.uploads >= self.uploads_max {
            return full(self.uploads_max, "plugins.uploads_waiting_max");
        }
        if waiting.bytes.saturating_add(bytes) > self.bytes_max {
            return full(self.bytes_max, "plugins.uploads_waiting_bytes_max");
        }
        waiting.uploads += 1;
        waiting.bytes += bytes;
        Ok(Ticket { queue: self.clone(), bytes })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock();
        waiting.uploads -= 1;
        waiting.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let limits =
            Limits { uploads_waiting_max: 2, uploads_waiting_bytes_max: 100, ..Limits::default() };
        let queue = Arc::new(CompileQueue::new(&limits));
        let refused = |bytes| queue.enter(bytes).err().map(|e| e.to_string());
        let first = queue.enter(60).unwrap();
        assert!(refused(41).unwrap().contains("uploads_waiting_bytes_max"));
        let second = queue.enter(40).unwrap();
        assert!(refused(0).unwrap().contains("uploads_waiting_max is 2"));
        drop(first);
        assert!(refused(61).unwrap().contains("uploads_waiting_bytes_max is 100"));
        drop(second);
        assert_eq!(refused(100), None);
    }
}
