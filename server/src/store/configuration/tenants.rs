//! Tenants and their erasure.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{DeliveryId, Millis, TenantId};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::{
    api_keys, attempts, deliveries, event_types, events, facet_values, idempotency, plugins,
    rejections, replays, secrets, sources, tenants, webhook_revisions, webhooks,
};

/// Events or deliveries of a tenant deleted per transaction, so that other transactions run in between.
const DELETE_BATCH: i64 = 500;

#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = tenants, treat_none_as_default_value = false)]
pub struct TenantRow {
    pub id: TenantId,
    /// A `TenantSpec` as JSON.
    pub spec: String,
    pub created_at: Millis,
    pub updated_at: Millis,
}

impl Configuration {
    /// Creates a tenant, or replaces its settings. True: it is new. A new one begins with nothing, whatever was
    /// written for a former one of its id after that was erased.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_tenant(&self, row: TenantRow) -> Result<bool, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    // Two concurrent creations both succeed.
                    let count = run!(conn, |c| diesel::insert_into(tenants::table)
                        .values(&row)
                        .on_conflict_do_nothing()
                        .execute(c))?;
                    if count == 1 {
                        delete_owned(conn, &row.id).await?;
                        return Ok(true);
                    }
                    run!(conn, |c| diesel::update(tenants::table.find(&row.id))
                        .set((tenants::spec.eq(&row.spec), tenants::updated_at.eq(row.updated_at)))
                        .execute(c))?;
                    Ok(false)
                })
            })
            .await
    }

    /// Erases a tenant and all its data. Events and deliveries go first, in small batches; the rest in one
    /// transaction at the end, so that an interrupted erasure can be repeated.
    ///
    /// # Errors
    /// `NotFound` when neither the tenant nor any data of it exists; `Unavailable`.
    pub async fn delete_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let mut erased = 0;
        loop {
            let name = tenant.clone();
            let count = self
                .db
                .write(move |conn| {
                    Box::pin(async move {
                        let deliveries = delete_deliveries(conn, &name).await?;
                        Ok(deliveries + delete_events(conn, &name).await?)
                    })
                })
                .await?;
            erased += count;
            if count == 0 {
                break;
            }
        }
        let name = tenant.clone();
        erased += self.db.write(move |conn| Box::pin(delete_rest(conn, name))).await?;
        if erased == 0 { Err(StoreError::NotFound) } else { Ok(()) }
    }
}

async fn delete_deliveries(conn: &mut Conn, tenant: &TenantId) -> Result<usize, StoreError> {
    let ids = run!(conn, |c| deliveries::table
        .filter(deliveries::tenant.eq(tenant))
        .limit(DELETE_BATCH)
        .select(deliveries::id)
        .load::<DeliveryId>(c))?;
    if ids.is_empty() {
        return Ok(0);
    }
    run!(conn, |c| diesel::delete(attempts::table.filter(attempts::delivery_id.eq_any(&ids)))
        .execute(c))?;
    Ok(run!(conn, |c| diesel::delete(deliveries::table.filter(deliveries::id.eq_any(&ids)))
        .execute(c))?)
}

async fn delete_events(conn: &mut Conn, tenant: &TenantId) -> Result<usize, StoreError> {
    let ids = run!(conn, |c| events::table
        .filter(events::tenant.eq(tenant))
        .limit(DELETE_BATCH)
        .select(events::id)
        .load::<String>(c))?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(run!(conn, |c| diesel::delete(
        events::table.filter(events::tenant.eq(tenant)).filter(events::id.eq_any(&ids))
    )
    .execute(c))?)
}

/// Deletes the rows of a tenant from each of the tables.
macro_rules! delete_from {
    ($conn:expr, $tenant:expr, $($table:ident),+) => {
        0 $(+ run!($conn, |c| diesel::delete($table::table.filter($table::tenant.eq($tenant)))
            .execute(c))?)+
    };
}

async fn delete_rest(conn: &mut Conn, tenant: TenantId) -> Result<usize, StoreError> {
    let count = delete_owned(conn, &tenant).await?;
    let tenants = run!(conn, |c| diesel::delete(tenants::table.find(&tenant)).execute(c))?;
    Ok(count + tenants)
}

/// Everything but the tenant itself.
async fn delete_owned(conn: &mut Conn, tenant: &TenantId) -> Result<usize, StoreError> {
    // Deliveries created since the batches.
    while delete_deliveries(conn, tenant).await? > 0 {}
    let of_webhooks = webhooks::table.filter(webhooks::tenant.eq(tenant)).select(webhooks::id);
    let of_webhooks = webhook_revisions::webhook_id.eq_any(of_webhooks);
    run!(conn, |c| diesel::delete(webhook_revisions::table).filter(of_webhooks).execute(c))?;
    Ok(delete_from!(
        conn,
        tenant,
        events,
        rejections,
        webhooks,
        sources,
        secrets,
        plugins,
        event_types,
        api_keys,
        facet_values,
        idempotency,
        replays
    ))
}
