//! The live feed of attempts. Without listeners, an attempt costs one read of an atomic counter.
//!
//! Each listener has a queue. A message is in memory once, however many listeners it waits for, and what waits
//! is bounded in bytes for each tenant and for all together: beyond that the listener with the most ends. It is
//! told how many messages it lost.
//!
//! Tenants are known by their generation, which no other tenant ever has: a tenant that is created anew under
//! the same id is heard by none of the former's listeners.

mod message;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

pub use self::message::Message;
use crate::model::{EventType, TypeFilter, WebhookId};

/// Messages queued at most for one listener.
const QUEUE_MAX: usize = 512;

/// Bounds of all listeners.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub listeners_max: usize,
    pub listeners_per_tenant_max: usize,
    pub bytes_max: usize,
    pub bytes_per_tenant_max: usize,
    /// Longest body in a message.
    pub body_bytes_max: usize,
}

/// The messages that a listener wants.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub webhook_id: Option<WebhookId>,
    pub event_type: Option<TypeFilter>,
}

impl Filter {
    fn accepts(&self, webhook_id: WebhookId, event_type: &EventType) -> bool {
        self.webhook_id.is_none_or(|id| id == webhook_id)
            && self.event_type.as_ref().is_none_or(|filter| filter.accepts(event_type.as_str()))
    }
}

/// What a listener receives.
pub enum Heard {
    Message(Arc<Queued>),
    /// It read too slowly: this many messages were lost, and it hears no more.
    Lagged(u64),
    /// The server stops.
    End,
}

/// A message that waits for listeners. Its bytes are counted until the last of them has it.
pub struct Queued {
    pub message: Message,
    bytes: usize,
    counted: [Arc<AtomicUsize>; 2],
}

impl Drop for Queued {
    fn drop(&mut self) {
        for sum in &self.counted {
            sum.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// All listeners on this node.
pub struct Live {
    limits: Limits,
    /// Of all tenants together.
    listeners: AtomicUsize,
    /// Bytes that wait, of all tenants together.
    bytes: Arc<AtomicUsize>,
    /// Only tenants that have listeners. None: the server stops.
    rooms: Mutex<Option<HashMap<Uuid, Room>>>,
}

/// The listeners of a tenant.
#[derive(Default)]
struct Room {
    seats: Vec<Arc<Seat>>,
    /// Bytes that wait for them.
    bytes: Arc<AtomicUsize>,
}

/// The place of a listener.
struct Seat {
    filter: Filter,
    queue: Mutex<Queue>,
    /// Something came.
    came: Notify,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Arc<Queued>>,
    bytes: usize,
    /// Some: it was too slow, and has lost this many.
    lost: Option<u64>,
    /// The server stops.
    closed: bool,
}

/// Why a listener is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoListener {
    #[error("as many listen to this tenant already as may: {0} (tenant.listeners_max)")]
    TooMany(usize),
    #[error("as many listen on this node already as may: {0} (server.listeners_max)")]
    TooManyInAll(usize),
    #[error("the server stops")]
    Stopping,
}

impl Live {
    #[must_use]
    pub fn new(limits: Limits) -> Live {
        Live {
            limits,
            listeners: AtomicUsize::new(0),
            bytes: Arc::default(),
            rooms: Mutex::new(Some(HashMap::new())),
        }
    }

    /// Whether a listener of the tenant wants a message about these; cheap if there are none on this node.
    #[must_use]
    pub fn is_wanted(&self, tenant: Uuid, webhook_id: WebhookId, event_type: &EventType) -> bool {
        if self.listeners.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let rooms = self.rooms.lock();
        let room = rooms.as_ref().and_then(|rooms| rooms.get(&tenant));
        room.is_some_and(|room| {
            room.seats.iter().any(|seat| seat.filter.accepts(webhook_id, event_type))
        })
    }

    /// Longest body of a request or response in a message.
    #[must_use]
    pub fn body_bytes_max(&self) -> usize {
        self.limits.body_bytes_max
    }

    /// Queues a message for all listeners of its tenant that want it.
    pub fn publish(&self, tenant: Uuid, message: Message) {
        let rooms = self.rooms.lock();
        let Some(rooms) = rooms.as_ref() else { return };
        let Some(room) = rooms.get(&tenant) else { return };
        let bytes = message.bytes();
        let counted = [room.bytes.clone(), self.bytes.clone()];
        for sum in &counted {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
        let queued = Arc::new(Queued { message, bytes, counted });
        let (webhook_id, event_type) =
            (queued.message.delivery.webhook_id, &queued.message.event_type);
        for seat in room.seats.iter().filter(|seat| seat.filter.accepts(webhook_id, event_type)) {
            seat.push(&queued);
        }
        drop(queued);
        while room.bytes.load(Ordering::Relaxed) > self.limits.bytes_per_tenant_max
            && room.end_slowest()
        {}
        while self.bytes.load(Ordering::Relaxed) > self.limits.bytes_max {
            let largest = rooms.values().max_by_key(|room| room.bytes.load(Ordering::Relaxed));
            if !largest.is_some_and(Room::end_slowest) {
                break;
            }
        }
    }

    /// Adds a listener, which receives messages from now on.
    ///
    /// # Errors
    /// [`NoListener`].
    pub fn listen(self: &Arc<Self>, tenant: Uuid, filter: Filter) -> Result<Listener, NoListener> {
        let Limits { listeners_max, listeners_per_tenant_max, .. } = self.limits;
        let mut rooms = self.rooms.lock();
        let rooms = rooms.as_mut().ok_or(NoListener::Stopping)?;
        if rooms.get(&tenant).map_or(0, |room| room.seats.len()) >= listeners_per_tenant_max {
            return Err(NoListener::TooMany(listeners_per_tenant_max));
        }
        if self.listeners.load(Ordering::Relaxed) >= listeners_max {
            return Err(NoListener::TooManyInAll(listeners_max));
        }
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat { filter, queue: Mutex::default(), came: Notify::new() });
        rooms.entry(tenant).or_default().seats.push(seat.clone());
        Ok(Listener { live: self.clone(), tenant, seat })
    }

    /// Ends all listeners when the server stops; what waits for them they still receive.
    pub fn close(&self) {
        let rooms = self.rooms.lock().take().unwrap_or_default();
        for seat in rooms.values().flat_map(|room| &room.seats) {
            seat.queue.lock().closed = true;
            seat.came.notify_one();
        }
    }
}

impl Room {
    /// Ends the listener for which most bytes wait. False: nothing waits for any.
    fn end_slowest(&self) -> bool {
        let slowest = self.seats.iter().max_by_key(|seat| seat.queue.lock().bytes);
        slowest.is_some_and(|seat| seat.end())
    }
}

impl Seat {
    fn push(&self, queued: &Arc<Queued>) {
        {
            let mut queue = self.queue.lock();
            if let Some(lost) = &mut queue.lost {
                *lost += 1;
                return;
            }
            queue.bytes = queue.bytes.saturating_add(queued.bytes);
            queue.messages.push_back(queued.clone());
            if queue.messages.len() > QUEUE_MAX {
                queue.end();
            }
        }
        self.came.notify_one();
    }

    /// Takes everything from the listener. False: there was nothing.
    fn end(&self) -> bool {
        let ended = self.queue.lock().end();
        self.came.notify_one();
        ended
    }

    fn next(&self) -> Option<Heard> {
        let mut queue = self.queue.lock();
        if let Some(lost) = queue.lost {
            return Some(Heard::Lagged(lost));
        }
        if let Some(queued) = queue.messages.pop_front() {
            queue.bytes = queue.bytes.saturating_sub(queued.bytes);
            return Some(Heard::Message(queued));
        }
        queue.closed.then_some(Heard::End)
    }
}

impl Queue {
    fn end(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.messages).len();
        self.bytes = 0;
        if waiting > 0 {
            self.lost = Some(u64::try_from(waiting).unwrap_or(u64::MAX));
        }
        waiting > 0
    }
}

/// A listener to one tenant's messages, until it is dropped.
pub struct Listener {
    live: Arc<Live>,
    tenant: Uuid,
    seat: Arc<Seat>,
}

impl Listener {
    /// Waits for the next message. Cancel safe: dropping the future loses nothing.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.seat.next() {
                return heard;
            }
            // What came since then has left a permit.
            self.seat.came.notified().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut rooms = self.live.rooms.lock();
        self.live.listeners.fetch_sub(1, Ordering::Relaxed);
        let Some(rooms) = rooms.as_mut() else { return };
        if let Some(room) = rooms.get_mut(&self.tenant) {
            room.seats.retain(|seat| !Arc::ptr_eq(seat, &self.seat));
            if room.seats.is_empty() {
                rooms.remove(&self.tenant);
            }
        }
    }
}
