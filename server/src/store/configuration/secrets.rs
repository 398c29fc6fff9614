//! Named secrets of tenants. They arrive sealed; the store never sees their plain text.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{Millis, SecretName, TenantId};
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::schema::secrets;

#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = secrets, treat_none_as_default_value = false)]
pub struct SecretRow {
    pub tenant: TenantId,
    pub name: SecretName,
    pub sealed: Vec<u8>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

impl Configuration {
    /// Creates or replaces a secret.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn put_secret(&self, row: SecretRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(secrets::table)
                        .values(&row)
                        .on_conflict((secrets::tenant, secrets::name))
                        .do_update()
                        .set((
                            secrets::sealed.eq(&row.sealed),
                            secrets::updated_at.eq(row.updated_at)
                        ))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_secret(
        &self,
        tenant: &TenantId,
        name: &SecretName,
    ) -> Result<(), StoreError> {
        let (tenant, name) = (tenant.clone(), name.clone());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count =
                        run!(conn, |c| diesel::delete(secrets::table.find((&tenant, &name)))
                            .execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }
}
