//! What other nodes changed in the configuration. PostgreSQL tells it; on SQLite there are no others.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::{TenantId, WebhookId};
use crate::store::Store;
use crate::store::db::conn::Connector;
use crate::store::db::error::StoreError;
use crate::store::db::listener::Listener;

/// Beyond that the listener waits; the database keeps what it has to say.
const NEWS_MAX: usize = 1_024;
/// How often a silent connection is asked whether it is still there.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Wait before the next try to connect.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Something that stands otherwise in the database than it is known here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    Webhook(TenantId, WebhookId),
    /// Anything else of a tenant, or the tenant itself.
    Tenant(TenantId),
    Keys,
    /// Profiles, the operator's event types, or whatever changed while nobody listened.
    Everything,
}

impl Store {
    /// What other nodes change from now on; none where no other node can be. After a loss of the
    /// connection it goes on with [`News::Everything`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn news(&self) -> Result<Option<mpsc::Receiver<News>>, StoreError> {
        if self.connector.has_one_writer() {
            return Ok(None);
        }
        let mut listener = Listener::open(&self.connector).await?;
        let (tell, told) = mpsc::channel(NEWS_MAX);
        let connector = self.connector.clone();
        tokio::spawn(async move {
            while let Err(error) = pass_on(&mut listener, &tell).await {
                tracing::warn!(%error, "news of other nodes can't be heard; trying again");
                listener = listen_again(&connector).await;
                // A listener that has ended is told nothing.
                let _ = tell.send(News::Everything).await;
            }
        });
        Ok(Some(told))
    }
}

/// Passes on what is said, until the connection breaks or nobody wants to know any more.
async fn pass_on(listener: &mut Listener, tell: &mpsc::Sender<News>) -> Result<(), StoreError> {
    loop {
        let said = tokio::select! {
            said = listener.next(ASK_EVERY) => said?,
            () = tell.closed() => return Ok(()),
        };
        if let Some(said) = said
            && tell.send(parse(&said)).await.is_err()
        {
            return Ok(());
        }
    }
}

async fn listen_again(connector: &Connector) -> Listener {
    loop {
        tokio::time::sleep(AGAIN_AFTER).await;
        if let Ok(listener) = Listener::open(connector).await {
            return listener;
        }
    }
}

/// Reads `TABLE TENANT ID`. What it does not know is reason to read everything.
fn parse(said: &str) -> News {
    let mut words = said.split(' ');
    let (table, tenant, id) = (words.next(), words.next().unwrap_or(""), words.next());
    let tenant: Option<TenantId> = tenant.parse().ok();
    match (table, tenant, id.and_then(|id| hex::decode(id.trim_start_matches("\\x")).ok())) {
        (Some("api_keys"), ..) => News::Keys,
        (Some("webhooks"), Some(tenant), Some(id)) => match uuid::Uuid::from_slice(&id) {
            Ok(id) => News::Webhook(tenant, WebhookId(id)),
            Err(_) => News::Tenant(tenant),
        },
        (_, Some(tenant), _) => News::Tenant(tenant),
        _ => News::Everything,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_names_what_to_read_again() {
        let id = uuid::Uuid::from_u128(7);
        let said = format!("webhooks acme \\x{}", id.simple());
        assert_eq!(parse(&said), News::Webhook("acme".parse().unwrap(), WebhookId(id)));
        assert_eq!(parse("secrets acme"), News::Tenant("acme".parse().unwrap()));
        assert_eq!(parse("api_keys acme"), News::Keys);
        assert_eq!(parse("event_types "), News::Everything);
        assert_eq!(parse("profiles"), News::Everything);
    }
}
