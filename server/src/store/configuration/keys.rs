//! API keys, stored as hashes.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{ApiKey, KeyId, Millis, Scope, TenantId};
use crate::store::db::columns::{tenant_of, tenant_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::{api_keys, settings};

type Columns = (Vec<u8>, String, String, String, Vec<u8>, Millis);

impl Configuration {
    /// All keys, the oldest first.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let mut lease = self.db.read().await?;
        let keys = load(lease.conn()).await?;
        lease.give_back();
        Ok(keys)
    }

    /// # Errors
    /// `NameTaken` when its id or hash already exists; `Unavailable`.
    pub async fn insert_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let scopes: Vec<&str> =
                        key.scopes.iter().map(|scope| scope_text(*scope)).collect();
                    run!(conn, |c| diesel::insert_into(api_keys::table)
                        .values((
                            api_keys::id.eq(key.id.as_bytes().as_slice()),
                            api_keys::tenant.eq(tenant_text(key.tenant.as_ref())),
                            api_keys::name.eq(&key.name),
                            api_keys::scopes.eq(scopes.join(",")),
                            api_keys::hash.eq(key.hash.as_slice()),
                            api_keys::created_at.eq(key.created_at),
                        ))
                        .execute(c))?;
                    Ok(())
                })
            })
            .await
    }

    /// Deletes a key. That a key of the operator was deleted is remembered: a data folder may still have its
    /// text, and offers it at every start.
    ///
    /// # Errors
    /// `NotFound`, also for a key of another tenant; `Unavailable`.
    pub async fn delete_key(
        &self,
        tenant: Option<&TenantId>,
        id: KeyId,
        now: Millis,
    ) -> Result<(), StoreError> {
        let tenant = tenant.cloned();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let meant = || {
                        api_keys::table
                            .filter(api_keys::id.eq(id.as_bytes().as_slice()))
                            .filter(api_keys::tenant.eq(tenant_text(tenant.as_ref())))
                    };
                    let hash = run!(conn, |c| meant().select(api_keys::hash).first::<Vec<u8>>(c))
                        .optional()?
                        .ok_or(StoreError::NotFound)?;
                    run!(conn, |c| diesel::delete(meant()).execute(c))?;
                    if tenant.is_none() {
                        let name = deleted_operator_key(&hash);
                        run!(conn, |c| diesel::insert_into(settings::table)
                            .values((settings::name.eq(&name), settings::value.eq(now.to_string())))
                            .on_conflict_do_nothing()
                            .execute(c))?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Whether the operator has deleted a key with this hash.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_deleted_operator_key(&self, hash: &[u8]) -> Result<bool, StoreError> {
        Ok(self.setting(&deleted_operator_key(hash)).await?.is_some())
    }
}

/// Name of the setting that says when a key of the operator was deleted.
fn deleted_operator_key(hash: &[u8]) -> String {
    format!("deleted_operator_key/{}", hex::encode(hash))
}

pub(super) async fn load(conn: &mut Conn) -> Result<Vec<ApiKey>, StoreError> {
    let rows =
        run!(conn, |c| api_keys::table.order(api_keys::created_at.asc()).load::<Columns>(c))?;
    rows.into_iter().map(key_of).collect()
}

fn key_of((id, tenant, name, scopes, hash, created_at): Columns) -> Result<ApiKey, StoreError> {
    let corrupt = || StoreError::Corrupt("an API key's id, scopes or hash".to_owned());
    Ok(ApiKey {
        id: KeyId::from_slice(&id).map_err(|_| corrupt())?,
        name,
        tenant: tenant_of(tenant)?,
        scopes: scopes
            .split(',')
            .filter(|scope| !scope.is_empty())
            .map(|scope| scope_of(scope).ok_or_else(corrupt))
            .collect::<Result<_, _>>()?,
        hash: hash.try_into().map_err(|_| corrupt())?,
        created_at,
    })
}

fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Publish => "publish",
        Scope::Read => "read",
        Scope::Manage => "manage",
    }
}

fn scope_of(text: &str) -> Option<Scope> {
    [Scope::Publish, Scope::Read, Scope::Manage]
        .into_iter()
        .find(|scope| scope_text(*scope) == text)
}
