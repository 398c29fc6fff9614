//! Configuration changes by other nodes, from PostgreSQL notifications; on SQLite there are no other nodes.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Configuration;
use crate::model::{TenantId, WebhookId};
use crate::store::db::conn::Connector;
use crate::store::db::error::StoreError;
use crate::store::db::listener::Listener;

/// Changes buffered before the listener waits; PostgreSQL queues the rest.
const CHANGES_MAX: usize = 1_024;
/// How often a silent connection is probed.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Wait before reconnecting.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// A part of the configuration that differs from what this node has in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigurationChange {
    Webhook(TenantId, WebhookId),
    /// Anything else of a tenant, or the tenant itself.
    Tenant(TenantId),
    Keys,
    /// Profiles, the operator's event types, or anything changed while the listener was disconnected.
    All,
}

impl Configuration {
    /// Changes by other nodes from now on; none if there can be no other node. After a lost connection the
    /// stream continues with [`ConfigurationChange::All`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn changes(&self) -> Result<Option<mpsc::Receiver<ConfigurationChange>>, StoreError> {
        if self.db.connector.has_one_writer() {
            return Ok(None);
        }
        let mut listener = Listener::open(&self.db.connector).await?;
        let (changes, receiver) = mpsc::channel(CHANGES_MAX);
        let connector = self.db.connector.clone();
        tokio::spawn(async move {
            while let Err(error) = forward(&mut listener, &changes).await {
                tracing::warn!(%error, "news of other nodes can't be heard; trying again");
                listener = listen_again(&connector).await;
                // An error means that the receiver is gone.
                let _ = changes.send(ConfigurationChange::All).await;
            }
        });
        Ok(Some(receiver))
    }
}

/// Forwards notifications until the connection breaks or the receiver is gone.
async fn forward(
    listener: &mut Listener,
    changes: &mpsc::Sender<ConfigurationChange>,
) -> Result<(), StoreError> {
    loop {
        let notification = tokio::select! {
            notification = listener.next(PROBE_EVERY) => notification?,
            () = changes.closed() => return Ok(()),
        };
        if let Some(notification) = notification
            && changes.send(parse(&notification)).await.is_err()
        {
            return Ok(());
        }
    }
}

async fn listen_again(connector: &Connector) -> Listener {
    loop {
        tokio::time::sleep(RECONNECT_AFTER).await;
        if let Ok(listener) = Listener::open(connector).await {
            return listener;
        }
    }
}

/// Parses `TABLE TENANT ID`. After anything unknown the whole configuration is read again.
fn parse(notification: &str) -> ConfigurationChange {
    let mut words = notification.split(' ');
    let (table, tenant, id) = (words.next(), words.next().unwrap_or(""), words.next());
    let tenant: Option<TenantId> = tenant.parse().ok();
    match (table, tenant, id.and_then(|id| hex::decode(id.trim_start_matches("\\x")).ok())) {
        (Some("api_keys"), ..) => ConfigurationChange::Keys,
        (Some("webhooks"), Some(tenant), Some(id)) => match uuid::Uuid::from_slice(&id) {
            Ok(id) => ConfigurationChange::Webhook(tenant, WebhookId(id)),
            Err(_) => ConfigurationChange::Tenant(tenant),
        },
        (_, Some(tenant), _) => ConfigurationChange::Tenant(tenant),
        _ => ConfigurationChange::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_names_what_to_read_again() {
        let id = uuid::Uuid::from_u128(7);
        let notification = format!("webhooks acme \\x{}", id.simple());
        assert_eq!(
            parse(&notification),
            ConfigurationChange::Webhook("acme".parse().unwrap(), WebhookId(id))
        );
        assert_eq!(parse("secrets acme"), ConfigurationChange::Tenant("acme".parse().unwrap()));
        assert_eq!(parse("api_keys acme"), ConfigurationChange::Keys);
        assert_eq!(parse("event_types "), ConfigurationChange::All);
        assert_eq!(parse("profiles"), ConfigurationChange::All);
    }
}
