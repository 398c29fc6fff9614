//! The whole configuration, read as one consistent snapshot.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Configuration;
use super::event_types::{self, EventTypeRow};
use super::facets::FacetValueRow;
use super::keys;
use super::plugins::{self, PluginRow};
use super::profiles::ProfileRow;
use super::secrets::SecretRow;
use super::sources::SourceRow;
use super::tenants::TenantRow;
use super::webhooks::{self, WebhookRow};
use crate::model::{ApiKey, TenantId};
use crate::store::db::columns::tenant_text;
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::{facet_values, profiles, secrets, sources, tenants};

/// All configuration: everything but events, deliveries and plugin bytes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
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

impl Snapshot {
    /// Leaves out everything of these tenants.
    pub fn leave_out(&mut self, tenants: &BTreeSet<TenantId>) {
        let of_other = |tenant: Option<&TenantId>| tenant.is_none_or(|id| !tenants.contains(id));
        self.tenants.retain(|row| of_other(Some(&row.id)));
        self.event_types.retain(|row| of_other(row.tenant.as_ref()));
        self.webhooks.retain(|row| of_other(Some(&row.tenant)));
        self.sources.retain(|row| of_other(Some(&row.tenant)));
        self.secrets.retain(|row| of_other(Some(&row.tenant)));
        self.plugins.retain(|row| of_other(row.tenant.as_ref()));
        self.keys.retain(|row| of_other(row.tenant.as_ref()));
        self.facet_values.retain(|row| of_other(Some(&row.tenant)));
    }
}

impl Configuration {
    /// Reads all configuration, each kind ordered by its key; API keys the oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn load(&self) -> Result<Snapshot, StoreError> {
        self.load_of(None).await
    }

    /// Reads the configuration of one tenant, without its API keys.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn load_tenant(&self, tenant: &TenantId) -> Result<Snapshot, StoreError> {
        self.load_of(Some(tenant)).await
    }

    /// Reads what belongs to no single tenant: profiles, the operator's event types, and which tenants there are.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn load_shared(&self) -> Result<Snapshot, StoreError> {
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        conn.begin_read().await?;
        let snapshot = Snapshot {
            tenants: run!(conn, |c| tenants::table.order(tenants::id).load::<TenantRow>(c))?,
            profiles: run!(conn, |c| profiles::table.order(profiles::name).load::<ProfileRow>(c))?,
            event_types: event_types::load_shared(conn).await?,
            ..Snapshot::default()
        };
        conn.commit().await?;
        lease.give_back();
        Ok(snapshot)
    }

    async fn load_of(&self, tenant: Option<&TenantId>) -> Result<Snapshot, StoreError> {
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        conn.begin_read().await?;
        let (of, all) = (tenant_text(tenant), tenant.is_none());
        let snapshot = Snapshot {
            tenants: run!(conn, |c| tenants::table
                .filter(tenants::id.eq(of).or(all.into_sql::<Bool>()))
                .order(tenants::id)
                .load::<TenantRow>(c))?,
            profiles: run!(conn, |c| profiles::table
                .filter(all.into_sql::<Bool>())
                .order(profiles::name)
                .load::<ProfileRow>(c))?,
            event_types: event_types::load(conn, tenant).await?,
            webhooks: webhooks::load(conn, tenant).await?,
            sources: run!(conn, |c| sources::table
                .filter(sources::tenant.eq(of).or(all.into_sql::<Bool>()))
                .order(sources::id)
                .load::<SourceRow>(c))?,
            secrets: run!(conn, |c| secrets::table
                .filter(secrets::tenant.eq(of).or(all.into_sql::<Bool>()))
                .order((secrets::tenant, secrets::name))
                .load::<SecretRow>(c))?,
            plugins: plugins::load(conn, tenant).await?,
            keys: if all { keys::load(conn).await? } else { Vec::new() },
            facet_values: run!(conn, |c| facet_values::table
                .filter(facet_values::tenant.eq(of).or(all.into_sql::<Bool>()))
                .order((facet_values::tenant, facet_values::facet, facet_values::value))
                .load::<FacetValueRow>(c))?,
        };
        conn.commit().await?;
        lease.give_back();
        Ok(snapshot)
    }
}
