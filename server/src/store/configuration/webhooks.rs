//! Webhooks and their revisions.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::RunQueryDsl;

use super::Configuration;
use crate::model::{Millis, TenantId, WebhookId, reason};
use crate::store::db::columns::{count_of, tenant_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::page::{Page, PageSize, Place, rows_to_ask};
use crate::store::db::schema::{webhook_revisions, webhooks};
use crate::store::queue::state_changes::cancel_all;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookRow {
    pub id: WebhookId,
    pub tenant: TenantId,
    /// Unique in its tenant.
    pub name: String,
    /// A `WebhookSpec` as JSON.
    pub spec: String,
    /// Sealed.
    pub secret: Vec<u8>,
    /// The secret before the last rotation, sealed.
    pub secret_before: Option<Vec<u8>>,
    /// The secret before signs too until then.
    pub secret_before_until: Option<Millis>,
    pub enabled: bool,
    pub paused: bool,
    pub disabled_reason: Option<String>,
    /// Number of saves, counted from 1.
    pub revision: u32,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// A saved version of a webhook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevisionRow {
    pub revision: u32,
    /// A `WebhookSpec` as JSON.
    pub spec: String,
    pub created_at: Millis,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = webhooks, treat_none_as_default_value = false, treat_none_as_null = true)]
struct Columns {
    id: WebhookId,
    tenant: TenantId,
    name: String,
    spec: String,
    secret: Vec<u8>,
    secret_before: Option<Vec<u8>>,
    secret_before_until: Option<Millis>,
    enabled: bool,
    paused: bool,
    disabled_reason: Option<String>,
    revision: i64,
    created_at: Millis,
    updated_at: Millis,
}

impl From<WebhookRow> for Columns {
    fn from(row: WebhookRow) -> Columns {
        Columns {
            id: row.id,
            tenant: row.tenant,
            name: row.name,
            spec: row.spec,
            secret: row.secret,
            secret_before: row.secret_before,
            secret_before_until: row.secret_before_until,
            enabled: row.enabled,
            paused: row.paused,
            disabled_reason: row.disabled_reason,
            revision: i64::from(row.revision),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<Columns> for WebhookRow {
    fn from(row: Columns) -> WebhookRow {
        WebhookRow {
            id: row.id,
            tenant: row.tenant,
            name: row.name,
            spec: row.spec,
            secret: row.secret,
            secret_before: row.secret_before,
            secret_before_until: row.secret_before_until,
            enabled: row.enabled,
            paused: row.paused,
            disabled_reason: row.disabled_reason,
            revision: count_of(row.revision),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Configuration {
    /// A webhook as currently stored; none if it was deleted.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<WebhookRow>, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| webhooks::table
            .find(id)
            .select(Columns::as_select())
            .first::<Columns>(c))
        .optional()?;
        lease.give_back();
        Ok(row.map(WebhookRow::from))
    }

    /// Stores a new webhook and its first revision.
    ///
    /// # Errors
    /// `NameTaken`, `Unavailable`.
    pub async fn insert_webhook(&self, row: WebhookRow) -> Result<(), StoreError> {
        let row = Columns::from(row);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    run!(conn, |c| diesel::insert_into(webhooks::table).values(&row).execute(c))?;
                    write_revision(conn, &row).await
                })
            })
            .await
    }

    /// Replaces a webhook that is still at `expected_revision`, and stores the new revision. Returns its
    /// number, one higher (`row.revision` is ignored). Only the newest `revisions_max` revisions are kept.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when another save came first; `NameTaken`; `Unavailable`.
    pub async fn update_webhook(
        &self,
        row: WebhookRow,
        expected_revision: u32,
        revisions_max: usize,
    ) -> Result<u32, StoreError> {
        let revision = expected_revision.saturating_add(1);
        let row = Columns::from(WebhookRow { revision, ..row });
        let kept = i64::try_from(revisions_max.max(1)).unwrap_or(i64::MAX);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(webhooks::table.find(row.id))
                        .filter(webhooks::revision.eq(i64::from(expected_revision)))
                        .set(&row)
                        .execute(c))?;
                    if count == 0 {
                        return Err(missed_revision(conn, row.id).await?);
                    }
                    write_revision(conn, &row).await?;
                    let last_old = row.revision.saturating_sub(kept);
                    run!(conn, |c| diesel::delete(
                        webhook_revisions::table
                            .filter(webhook_revisions::webhook_id.eq(row.id))
                            .filter(webhook_revisions::revision.le(last_old))
                    )
                    .execute(c))?;
                    Ok(revision)
                })
            })
            .await
    }

    /// Enables, disables, pauses. No new revision. Waiting deliveries are left to `Queue::hold_webhook` and
    /// `Queue::release_webhook`.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn set_webhook_state(
        &self,
        id: WebhookId,
        enabled: bool,
        paused: bool,
        disabled_reason: Option<&str>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let disabled_reason = disabled_reason.map(ToOwned::to_owned);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .set((
                            webhooks::enabled.eq(enabled),
                            webhooks::paused.eq(paused),
                            webhooks::disabled_reason.eq(&disabled_reason),
                            webhooks::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }

    /// Replaces the secret; `before` keeps signing until its time. No new revision.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn set_webhook_secret(
        &self,
        id: WebhookId,
        secret: Vec<u8>,
        before: Option<(Vec<u8>, Millis)>,
        now: Millis,
    ) -> Result<(), StoreError> {
        let (before, until) = before.unzip();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(webhooks::table.find(id))
                        .set((
                            webhooks::secret.eq(&secret),
                            webhooks::secret_before.eq(&before),
                            webhooks::secret_before_until.eq(until),
                            webhooks::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    if count == 1 { Ok(()) } else { Err(StoreError::NotFound) }
                })
            })
            .await
    }

    /// Deletes a webhook with its revisions and, in the same transaction, cancels its open deliveries. Where these
    /// may be many, `Queue::cancel_webhook` comes first.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn delete_webhook(&self, id: WebhookId, now: Millis) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count =
                        run!(conn, |c| diesel::delete(webhooks::table.find(id)).execute(c))?;
                    if count == 0 {
                        return Err(StoreError::NotFound);
                    }
                    run!(conn, |c| diesel::delete(
                        webhook_revisions::table.filter(webhook_revisions::webhook_id.eq(id))
                    )
                    .execute(c))?;
                    cancel_all(conn, id, reason::WEBHOOK_DELETED, now).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Revisions, the newest first, from before the revision of `cursor` on. Their sizes are known before they
    /// are read.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`.
    pub async fn webhook_revisions(
        &self,
        id: WebhookId,
        size: PageSize,
        cursor: Option<&str>,
    ) -> Result<Page<RevisionRow>, StoreError> {
        let before = cursor.map(|cursor| Place::parse(cursor).map(|place| place.at.0));
        let before = before.transpose()?.unwrap_or(i64::MAX);
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        conn.begin_read().await?;
        let meant = || {
            webhook_revisions::table
                .filter(webhook_revisions::webhook_id.eq(id))
                .filter(webhook_revisions::revision.lt(before))
                .order(webhook_revisions::revision.desc())
        };
        let sizes = run!(conn, |c| meant()
            .select(sql::<BigInt>("CAST(octet_length(spec) AS BIGINT)"))
            .limit(rows_to_ask(size.rows_max))
            .load::<i64>(c))?;
        let (found, fitting) = (sizes.len(), size.fitting(sizes));
        let rows = run!(conn, |c| meant()
            .select(REVISION)
            .limit(i64::try_from(fitting).unwrap_or(i64::MAX))
            .load::<Revision>(c))?;
        conn.commit().await?;
        lease.give_back();
        let last = rows.last().filter(|_| found > fitting);
        let cursor = |row: &Revision| Place { at: Millis(row.0), tie: String::new() }.cursor();
        let next_cursor = last.map(cursor);
        Ok(Page { data: rows.into_iter().map(revision_row).collect(), next_cursor })
    }

    /// One revision.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn webhook_revision(
        &self,
        id: WebhookId,
        revision: u32,
    ) -> Result<RevisionRow, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| webhook_revisions::table
            .find((id, i64::from(revision)))
            .select(REVISION)
            .first::<Revision>(c))
        .optional()?;
        lease.give_back();
        row.map(revision_row).ok_or(StoreError::NotFound)
    }
}

type Revision = (i64, String, Millis);

const REVISION: (
    webhook_revisions::revision,
    webhook_revisions::spec,
    webhook_revisions::created_at,
) = (webhook_revisions::revision, webhook_revisions::spec, webhook_revisions::created_at);

fn revision_row((revision, spec, created_at): Revision) -> RevisionRow {
    RevisionRow { revision: count_of(revision), spec, created_at }
}

async fn write_revision(conn: &mut Conn, row: &Columns) -> Result<(), StoreError> {
    run!(conn, |c| diesel::insert_into(webhook_revisions::table)
        .values((
            webhook_revisions::webhook_id.eq(row.id),
            webhook_revisions::revision.eq(row.revision),
            webhook_revisions::spec.eq(&row.spec),
            webhook_revisions::created_at.eq(row.updated_at),
        ))
        .execute(c))?;
    Ok(())
}

async fn missed_revision(conn: &mut Conn, id: WebhookId) -> Result<StoreError, StoreError> {
    let revision =
        run!(conn, |c| webhooks::table.find(id).select(webhooks::revision).first::<i64>(c))?;
    Ok(StoreError::Conflict(format!("the webhook was saved meanwhile: its revision is {revision}")))
}

/// All, or those of a tenant.
pub(super) async fn load(
    conn: &mut Conn,
    tenant: Option<&TenantId>,
) -> Result<Vec<WebhookRow>, StoreError> {
    let (of, all) = (tenant_text(tenant), tenant.is_none());
    let rows = run!(conn, |c| webhooks::table
        .filter(webhooks::tenant.eq(of).or(all.into_sql::<Bool>()))
        .select(Columns::as_select())
        .order(webhooks::id.asc())
        .load::<Columns>(c))?;
    Ok(rows.into_iter().map(WebhookRow::from).collect())
}
