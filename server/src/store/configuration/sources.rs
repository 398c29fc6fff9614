//! Sources of tenants, with their sealed secrets.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{Millis, SourceId, TenantId};
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::sources;

#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = sources, treat_none_as_default_value = false)]
pub struct SourceRow {
    pub id: SourceId,
    pub tenant: TenantId,
    /// Unique in its tenant.
    pub name: String,
    /// A `SourceSpec` as JSON.
    pub spec: String,
    /// Sealed: the secret part of its URL.
    pub secret: Vec<u8>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

impl Configuration {
    /// # Errors
    /// `NameTaken`, `Unavailable`.
    pub async fn insert_source(&self, row: SourceRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(sources::table).values(&row).execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Replaces name, spec and secret.
    ///
    /// # Errors
    /// `NotFound`, `NameTaken`, `Unavailable`.
    pub async fn update_source(&self, row: SourceRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(sources::table.find(row.id))
                        .filter(sources::tenant.eq(&row.tenant))
                        .set((
                            sources::name.eq(&row.name),
                            sources::spec.eq(&row.spec),
                            sources::secret.eq(&row.secret),
                            sources::updated_at.eq(row.updated_at),
                        ))
                        .execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }

    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_source(&self, id: SourceId) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::delete(sources::table.find(id)).execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }
}
