//! Catalog entries of tenants and of the operator.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{EventType, Millis, TenantId};
use crate::store::db::columns::{tenant_of, tenant_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::event_types;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventTypeRow {
    /// None: the operator's, for all tenants.
    pub tenant: Option<TenantId>,
    pub name: EventType,
    /// An `EventTypeSpec` as JSON.
    pub spec: String,
    pub created_at: Millis,
    pub updated_at: Millis,
}

type Columns = (String, EventType, String, Millis, Millis);

impl Configuration {
    /// Creates or replaces an event type.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_event_type(&self, row: EventTypeRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(event_types::table)
                        .values((
                            event_types::tenant.eq(tenant_text(row.tenant.as_ref())),
                            event_types::name.eq(&row.name),
                            event_types::spec.eq(&row.spec),
                            event_types::created_at.eq(row.created_at),
                            event_types::updated_at.eq(row.updated_at),
                        ))
                        .on_conflict((event_types::tenant, event_types::name))
                        .do_update()
                        .set((
                            event_types::spec.eq(&row.spec),
                            event_types::updated_at.eq(row.updated_at),
                        ))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_event_type(
        &self,
        tenant: Option<&TenantId>,
        name: &EventType,
    ) -> Result<(), StoreError> {
        let (tenant, name) = (tenant.cloned(), name.clone());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let key = (tenant_text(tenant.as_ref()), &name);
                    let count =
                        run!(conn, |c| diesel::delete(event_types::table.find(key)).execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }
}

/// All, or those of a tenant.
pub(super) async fn load(
    conn: &mut Conn,
    tenant: Option<&TenantId>,
) -> Result<Vec<EventTypeRow>, StoreError> {
    let (of, all) = (tenant_text(tenant), tenant.is_none());
    let rows = run!(conn, |c| event_types::table
        .filter(event_types::tenant.eq(of).or(all.into_sql::<Bool>()))
        .order((event_types::tenant, event_types::name))
        .load::<Columns>(c))?;
    rows.into_iter().map(row).collect()
}

/// Those of the operator.
pub(super) async fn load_shared(conn: &mut Conn) -> Result<Vec<EventTypeRow>, StoreError> {
    let rows = run!(conn, |c| event_types::table
        .filter(event_types::tenant.eq(tenant_text(None)))
        .order(event_types::name)
        .load::<Columns>(c))?;
    rows.into_iter().map(row).collect()
}

fn row((tenant, name, spec, created_at, updated_at): Columns) -> Result<EventTypeRow, StoreError> {
    Ok(EventTypeRow { tenant: tenant_of(tenant)?, name, spec, created_at, updated_at })
}
