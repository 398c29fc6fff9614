//! Uploaded plugins: immutable versions with their bytes.

use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{Millis, PluginKind, PluginMeta, PluginName, PluginPool, PluginState, TenantId};
use crate::store::db::columns::{count_of, tenant_of, tenant_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::plugins;

#[derive(Clone, Debug)]
pub struct PluginRow {
    /// None: the operator's, for all tenants.
    pub tenant: Option<TenantId>,
    pub meta: PluginMeta,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = plugins)]
struct Columns {
    tenant: String,
    name: PluginName,
    version: i64,
    kind: String,
    digest: String,
    size_bytes: i64,
    description: String,
    config_schema: Option<String>,
    state: String,
    error: Option<String>,
    pool: Option<String>,
    imports: String,
    exports: String,
    call_us: Option<i64>,
    created_at: Millis,
}

impl Configuration {
    /// Stores a new version and returns its number, one above the highest (`row.meta.version` is ignored).
    ///
    /// # Errors
    /// `NameTaken` when another node stored a version at the same moment: call again.
    /// `Unavailable`.
    pub async fn insert_plugin(&self, row: PluginRow, wasm: Vec<u8>) -> Result<u32, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let PluginRow { tenant, meta } = &row;
                    let tenant = tenant_text(tenant.as_ref());
                    let newest = run!(conn, |c| plugins::table
                        .filter(plugins::tenant.eq(tenant))
                        .filter(plugins::name.eq(&meta.name))
                        .order(plugins::version.desc())
                        .select(plugins::version)
                        .first::<i64>(c))
                    .optional()?;
                    let version = newest.unwrap_or(0) + 1;
                    let config_schema = meta.config_schema.as_ref().map(antar_json::Document::text);
                    run!(conn, |c| diesel::insert_into(plugins::table)
                        .values((
                            plugins::tenant.eq(tenant),
                            plugins::name.eq(&meta.name),
                            plugins::version.eq(version),
                            plugins::kind.eq(kind_text(meta.kind)),
                            plugins::digest.eq(&meta.digest),
                            plugins::size_bytes
                                .eq(i64::try_from(meta.size_bytes).unwrap_or(i64::MAX)),
                            plugins::description.eq(&meta.description),
                            plugins::config_schema.eq(config_schema),
                            plugins::state.eq(state_text(meta.state)),
                            plugins::error.eq(&meta.error),
                            plugins::pool.eq(meta.pool.map(pool_text)),
                            plugins::imports.eq(names_text(&meta.imports)),
                            plugins::exports.eq(names_text(&meta.exports)),
                            plugins::call_us.eq(meta.call_us.and_then(|us| i64::try_from(us).ok())),
                            plugins::created_at.eq(meta.created_at),
                            plugins::wasm.eq(&wasm),
                        ))
                        .execute(c))?;
                    Ok(count_of(version))
                })
            })
            .await
    }

    /// Stores the result of compiling a version: description, config schema, state, error, pool and time per
    /// call.
    ///
    /// # Errors
    /// `NotFound` when it was deleted meanwhile, `Unavailable`.
    pub async fn update_plugin(&self, row: PluginRow) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let PluginRow { tenant, meta } = &row;
                    let key = (tenant_text(tenant.as_ref()), &meta.name, i64::from(meta.version));
                    let config_schema = meta.config_schema.as_ref().map(antar_json::Document::text);
                    let count = run!(conn, |c| diesel::update(plugins::table.find(key))
                        .set((
                            plugins::description.eq(&meta.description),
                            plugins::config_schema.eq(config_schema),
                            plugins::state.eq(state_text(meta.state)),
                            plugins::error.eq(&meta.error),
                            plugins::pool.eq(meta.pool.map(pool_text)),
                            plugins::imports.eq(names_text(&meta.imports)),
                            plugins::exports.eq(names_text(&meta.exports)),
                            plugins::call_us.eq(meta.call_us.and_then(|us| i64::try_from(us).ok())),
                        ))
                        .execute(c))?;
                    if count > 0 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }

    /// The bytes as they were uploaded.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn plugin_wasm(
        &self,
        tenant: Option<&TenantId>,
        name: &PluginName,
        version: u32,
    ) -> Result<Vec<u8>, StoreError> {
        let mut lease = self.db.read().await?;
        let key = (tenant_text(tenant), name, i64::from(version));
        let wasm = run!(lease.conn(), |c| plugins::table
            .find(key)
            .select(plugins::wasm)
            .first::<Vec<u8>>(c))
        .optional()?;
        lease.give_back();
        wasm.ok_or(StoreError::NotFound)
    }

    /// Deletes one version, or all versions of a plugin.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_plugin(
        &self,
        tenant: Option<&TenantId>,
        name: &PluginName,
        version: Option<u32>,
    ) -> Result<(), StoreError> {
        let (tenant, name) = (tenant.cloned(), name.clone());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let (low, high) = version
                        .map_or((0, i64::MAX), |version| (i64::from(version), i64::from(version)));
                    let count = run!(conn, |c| diesel::delete(
                        plugins::table
                            .filter(plugins::tenant.eq(tenant_text(tenant.as_ref())))
                            .filter(plugins::name.eq(&name))
                            .filter(plugins::version.between(low, high))
                    )
                    .execute(c))?;
                    if count > 0 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }
}

fn kind_text(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Filter => "filter",
        PluginKind::Transform => "transform",
    }
}

fn state_text(state: PluginState) -> &'static str {
    match state {
        PluginState::Compiling => "compiling",
        PluginState::Ready => "ready",
        PluginState::Failed => "failed",
    }
}

fn pool_text(pool: PluginPool) -> &'static str {
    match pool {
        PluginPool::Small => "small",
        PluginPool::Large => "large",
    }
}

/// Names as a JSON array.
fn names_text(names: &[String]) -> String {
    serde_json::Value::from(names).to_string()
}

fn names_of(text: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(e.to_string()))
}

/// All, or those of a tenant.
pub(super) async fn load(
    conn: &mut Conn,
    tenant: Option<&TenantId>,
) -> Result<Vec<PluginRow>, StoreError> {
    let (of, all) = (tenant_text(tenant), tenant.is_none());
    let rows = run!(conn, |c| plugins::table
        .filter(plugins::tenant.eq(of).or(all.into_sql::<Bool>()))
        .select(Columns::as_select())
        .order((plugins::tenant, plugins::name, plugins::version))
        .load::<Columns>(c))?;
    rows.into_iter().map(Columns::row).collect()
}

impl Columns {
    fn row(self) -> Result<PluginRow, StoreError> {
        let kind = match self.kind.as_str() {
            "filter" => PluginKind::Filter,
            "transform" => PluginKind::Transform,
            other => return Err(StoreError::Corrupt(format!("`{other}` is no kind of plugin"))),
        };
        let state = match self.state.as_str() {
            "compiling" => PluginState::Compiling,
            "ready" => PluginState::Ready,
            "failed" => PluginState::Failed,
            other => return Err(StoreError::Corrupt(format!("`{other}` is no state of a plugin"))),
        };
        let pool = match self.pool.as_deref() {
            None => None,
            Some("small") => Some(PluginPool::Small),
            Some("large") => Some(PluginPool::Large),
            Some(other) => return Err(StoreError::Corrupt(format!("`{other}` is no pool"))),
        };
        let config_schema = self.config_schema.map(|text| text.parse()).transpose();
        Ok(PluginRow {
            tenant: tenant_of(self.tenant)?,
            meta: PluginMeta {
                name: self.name,
                version: count_of(self.version),
                kind,
                digest: self.digest,
                size_bytes: u64::try_from(self.size_bytes).unwrap_or_default(),
                description: self.description,
                config_schema: config_schema
                    .map_err(|e: antar_json::ParseError| StoreError::Corrupt(e.to_string()))?,
                state,
                error: self.error,
                pool,
                imports: names_of(&self.imports)?,
                exports: names_of(&self.exports)?,
                call_us: self.call_us.and_then(|us| u64::try_from(us).ok()),
                created_at: self.created_at,
            },
        })
    }
}
