//! The live feed of attempts. Without listeners, an attempt costs one read of an atomic counter.
//!
//! Each tenant with listeners has a bounded queue; a listener that reads too slowly loses the oldest messages
//! and receives their number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::model::{Attempt, Delivery, EventType, TenantId};

/// Messages queued at most for the slowest listener of a tenant.
const QUEUE_MAX: usize = 512;

/// An attempt of a delivery, or the end of a delivery without an attempt.
#[derive(Clone, Debug)]
pub struct Message {
    /// As it stands after the attempt; `created_at` is not sent to listeners.
    pub delivery: Delivery,
    pub event_type: EventType,
    /// The webhook's name.
    pub webhook: String,
    /// None: the delivery ended before there was anything to send.
    pub attempt: Option<Attempt>,
}

/// What a listener receives.
pub enum Heard {
    Message(Arc<Message>),
    /// This many messages were lost.
    Lost(u64),
    /// The server stops.
    End,
}

/// All listeners on this node.
pub struct Live {
    /// Of all tenants together.
    listeners: AtomicUsize,
    listeners_max: usize,
    /// Only tenants that have listeners. None: the server stops.
    tenants: Mutex<Option<HashMap<TenantId, broadcast::Sender<Arc<Message>>>>>,
}

/// Why a listener is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoListener {
    #[error("as many listen to this tenant already as may: {0} (tenant.listeners_max)")]
    TooMany(usize),
    #[error("the server stops")]
    Stopping,
}

impl Live {
    #[must_use]
    pub fn new(listeners_max: usize) -> Live {
        Live {
            listeners: AtomicUsize::new(0),
            listeners_max,
            tenants: Mutex::new(Some(HashMap::new())),
        }
    }

    /// Whether the tenant has listeners; cheap if there are none on this node.
    #[must_use]
    pub fn is_heard(&self, tenant: &TenantId) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
            && self.tenants.lock().as_ref().is_some_and(|tenants| tenants.contains_key(tenant))
    }

    /// Sends a message to all listeners of its tenant.
    pub fn publish(&self, message: Message) {
        let tenants = self.tenants.lock();
        let tenant = &message.delivery.event.tenant;
        if let Some(sender) = tenants.as_ref().and_then(|tenants| tenants.get(tenant)) {
            // An error means that the last listener went away just now.
            let _ = sender.send(Arc::new(message));
        }
    }

    /// Adds a listener, which receives messages from now on.
    ///
    /// # Errors
    /// [`NoListener`].
    pub fn listen(self: &Arc<Self>, tenant: &TenantId) -> Result<Listener, NoListener> {
        let mut tenants = self.tenants.lock();
        let tenants = tenants.as_mut().ok_or(NoListener::Stopping)?;
        let sender =
            tenants.entry(tenant.clone()).or_insert_with(|| broadcast::channel(QUEUE_MAX).0);
        if sender.receiver_count() >= self.listeners_max {
            return Err(NoListener::TooMany(self.listeners_max));
        }
        self.listeners.fetch_add(1, Ordering::Relaxed);
        let messages = Some(sender.subscribe());
        Ok(Listener { live: self.clone(), tenant: tenant.clone(), messages })
    }

    /// Ends all listeners when the server stops.
    pub fn close(&self) {
        self.tenants.lock().take();
    }
}

/// A listener to one tenant's messages, until it is dropped.
pub struct Listener {
    live: Arc<Live>,
    tenant: TenantId,
    messages: Option<broadcast::Receiver<Arc<Message>>>,
}

impl Listener {
    /// Waits for the next message. Cancel safe: dropping the future loses nothing.
    pub async fn hear(&mut self) -> Heard {
        let Some(messages) = &mut self.messages else { return Heard::End };
        match messages.recv().await {
            Ok(message) => Heard::Message(message),
            Err(RecvError::Lagged(count)) => Heard::Lost(count),
            Err(RecvError::Closed) => Heard::End,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut tenants = self.live.tenants.lock();
        self.messages = None;
        self.live.listeners.fetch_sub(1, Ordering::Relaxed);
        if let Some(tenants) = tenants.as_mut()
            && tenants.get(&self.tenant).is_some_and(|sender| sender.receiver_count() == 0)
        {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, EventKey, Millis, State, WebhookId};

    fn message(tenant: &str, number: u32) -> Message {
        let now = Millis(1_800_000_000_000);
        let key = EventKey {
            tenant: tenant.parse().unwrap(),
            source: String::new(),
            id: number.to_string().parse().unwrap(),
        };
        Message {
            delivery: Delivery {
                id: DeliveryId::new(now),
                event: key,
                webhook_id: WebhookId::new(now),
                state: State::Delivered,
                reason: None,
                stage: None,
                attempts: 1,
                next_attempt_at: None,
                created_at: now,
                subject: None,
                order_key: None,
            },
            event_type: "a.b".parse().unwrap(),
            webhook: "w".to_owned(),
            attempt: None,
        }
    }

    async fn ids(listener: &mut Listener, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(match listener.hear().await {
                Heard::Message(message) => message.delivery.event.id.to_string(),
                Heard::Lost(count) => format!("lost {count}"),
                Heard::End => "end".to_owned(),
            });
        }
        ids
    }

    #[tokio::test]
    async fn a_tenant_hears_its_own_and_ends_with_the_server() {
        let live = Arc::new(Live::new(1));
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(!live.is_heard(&a));
        live.publish(message("a", 0));
        let mut listener = live.listen(&a).unwrap();
        assert!(live.is_heard(&a) && !live.is_heard(&b));
        live.publish(message("b", 1));
        live.publish(message("a", 2));
        assert_eq!(live.listen(&a).err(), Some(NoListener::TooMany(1)));
        live.close();
        assert_eq!(ids(&mut listener, 2).await, ["2", "end"]);
        assert_eq!(live.listen(&a).err(), Some(NoListener::Stopping));
    }

    #[tokio::test]
    async fn who_is_slow_is_told_what_is_lost() {
        let live = Arc::new(Live::new(1));
        let a = "a".parse().unwrap();
        let mut listener = live.listen(&a).unwrap();
        for number in 0..QUEUE_MAX + 7 {
            live.publish(message("a", u32::try_from(number).unwrap()));
        }
        assert_eq!(ids(&mut listener, 2).await, ["lost 7", "7"]);
        drop(listener);
        assert!(!live.is_heard(&a));
        assert!(live.listen(&a).is_ok());
    }
}
