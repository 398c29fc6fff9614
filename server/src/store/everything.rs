//! The whole configuration at once, as one state of it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::conn::run;
use super::schema::{facet_values, profiles, secrets, sources, tenants};
use super::{
    EventTypeRow, FacetValueRow, PluginRow, ProfileRow, SecretRow, SourceRow, Store, StoreError,
    TenantRow, WebhookRow, event_types, keys, plugins, webhooks,
};
use crate::model::ApiKey;

/// All configuration: everything but events, deliveries and the bytes of plugins.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    pub tenants: Vec<TenantRow>,
    pub profiles: Vec<ProfileRow>,
    pub event_types: Vec<EventTypeRow>,
    pub webhooks: Vec<WebhookRow>,
    pub sources: Vec<SourceRow>,
    pub secrets: Vec<SecretRow>,
    pub plugins: Vec<PluginRow>,
    pub keys: Vec<ApiKey>,
    pub facet_values: Vec<FacetValueRow>,
}

impl Store {
    /// Reads all configuration, each kind in the order of its key.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn load(&self) -> Result<Everything, StoreError> {
        let mut lease = self.read().await?;
        let conn = lease.conn();
        conn.begin_read().await?;
        let everything = Everything {
            tenants: run!(conn, |c| tenants::table.order(tenants::id).load::<TenantRow>(c))?,
            profiles: run!(conn, |c| profiles::table.order(profiles::name).load::<ProfileRow>(c))?,
            event_types: event_types::load(conn).await?,
            webhooks: webhooks::load(conn).await?,
            sources: run!(conn, |c| sources::table.order(sources::id).load::<SourceRow>(c))?,
            secrets: run!(conn, |c| secrets::table
                .order((secrets::tenant, secrets::name))
                .load::<SecretRow>(c))?,
            plugins: plugins::load(conn).await?,
            keys: keys::load(conn).await?,
            facet_values: run!(conn, |c| facet_values::table
                .order((facet_values::tenant, facet_values::facet, facet_values::value))
                .load::<FacetValueRow>(c))?,
        };
        conn.commit().await?;
        lease.give_back();
        Ok(everything)
    }
}
