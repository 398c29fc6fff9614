//! Calls and events that were refused, with what they held.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::db::conn::{Conn, run};
use super::db::database::Database;
use super::db::error::StoreError;
use super::db::page::{Page, PageSize, Place, rows_to_ask};
use super::db::schema::rejections;
use crate::model::{Millis, RejectionId, SourceId, TenantId};

/// Stored rejections.
#[derive(Clone)]
pub struct Rejections {
    db: Database,
}

/// A refused call to a source, or refused events.
#[derive(Clone, PartialEq, Eq, Debug, Queryable, Insertable)]
#[diesel(table_name = rejections, treat_none_as_default_value = false)]
pub struct RejectionRow {
    pub id: RejectionId,
    pub tenant: TenantId,
    /// None: posted as events.
    pub source_id: Option<SourceId>,
    pub rejected_at: Millis,
    /// Code and detail of the problem that it was answered with.
    pub code: String,
    pub reason: String,
    /// Its errors, as JSON.
    pub errors: String,
    pub method: String,
    pub path: String,
    pub query: String,
    /// An object as JSON, with secrets masked.
    pub headers: String,
    /// As received; none: too long to be kept.
    pub body: Option<Vec<u8>>,
    pub body_bytes: i64,
}

/// A rejection as lists show it.
#[derive(Clone, PartialEq, Eq, Debug, Queryable, Selectable)]
#[diesel(table_name = rejections)]
pub struct ListedRejection {
    pub id: RejectionId,
    pub source_id: Option<SourceId>,
    pub rejected_at: Millis,
    pub code: String,
    pub reason: String,
    pub errors: String,
    pub method: String,
    pub path: String,
    pub body_bytes: i64,
}

impl Rejections {
    pub(super) fn new(db: Database) -> Rejections {
        Rejections { db }
    }

    /// Stores rejections, and deletes the oldest ones of their tenants beyond `count_max`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn insert(
        &self,
        rows: Vec<RejectionRow>,
        count_max: usize,
    ) -> Result<(), StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let mut tenants: Vec<&TenantId> = rows.iter().map(|row| &row.tenant).collect();
                    tenants.sort_unstable();
                    tenants.dedup();
                    for row in &rows {
                        run!(conn, |c| diesel::insert_into(rejections::table)
                            .values(row)
                            .execute(c))?;
                    }
                    for tenant in tenants {
                        forget_beyond(conn, tenant, true, count_max / 4).await?;
                        forget_beyond(conn, tenant, false, count_max).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Rejections of a tenant, or of one source, newest first.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`.
    pub async fn list(
        &self,
        tenant: &TenantId,
        source_id: Option<SourceId>,
        size: PageSize,
        cursor: Option<&str>,
    ) -> Result<Page<ListedRejection>, StoreError> {
        let after = cursor.map(Place::parse).transpose()?;
        let after = after.map(|place| {
            let id = place.tie.parse::<RejectionId>().map_err(|_| StoreError::BadCursor)?;
            Ok::<_, StoreError>((place.at, id))
        });
        let after = after.transpose()?;
        let mut lease = self.db.read().await?;
        let mut rows = run!(lease.conn(), |c, Db| {
            let mut query = rejections::table
                .select(ListedRejection::as_select())
                .filter(rejections::tenant.eq(tenant))
                .order((rejections::rejected_at.desc(), rejections::id.desc()))
                .limit(rows_to_ask(size.rows_max))
                .into_boxed::<Db>();
            if let Some((at, id)) = after {
                query = query
                    .filter(rejections::rejected_at.le(at))
                    .filter(rejections::rejected_at.lt(at).or(rejections::id.lt(id)));
            }
            if let Some(source_id) = source_id {
                query = query.filter(rejections::source_id.eq(Some(source_id)));
            }
            query.load::<ListedRejection>(c)
        })?;
        lease.give_back();
        let bytes = rows.iter().map(|row| (row.reason.len() + row.errors.len()) as i64);
        let fitting = size.fitting(bytes);
        let more = rows.len() > fitting;
        rows.truncate(fitting);
        let last = rows.last().filter(|_| more);
        let next_cursor =
            last.map(|row| Place { at: row.rejected_at, tie: row.id.to_string() }.cursor());
        Ok(Page { data: rows, next_cursor })
    }

    /// One rejection of a tenant with its body.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn get(
        &self,
        tenant: &TenantId,
        id: RejectionId,
    ) -> Result<RejectionRow, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| rejections::table
            .find(id)
            .filter(rejections::tenant.eq(tenant))
            .first::<RejectionRow>(c))
        .optional()?;
        lease.give_back();
        row.ok_or(StoreError::NotFound)
    }

    /// Deletes a rejection. False: it is gone already.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete(&self, tenant: TenantId, id: RejectionId) -> Result<bool, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::delete(
                        rejections::table.find(id).filter(rejections::tenant.eq(&tenant))
                    )
                    .execute(c))?;
                    Ok(count == 1)
                })
            })
            .await
    }

    /// Deletes some of the rejections from before this time. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget(&self, before: Millis) -> Result<usize, StoreError> {
        const AT_ONCE: i64 = 500;
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let old = run!(conn, |c| rejections::table
                        .filter(rejections::rejected_at.lt(before))
                        .order(rejections::rejected_at.asc())
                        .limit(AT_ONCE)
                        .select(rejections::id)
                        .load::<RejectionId>(c))?;
                    Ok(run!(conn, |c| diesel::delete(
                        rejections::table.filter(rejections::id.eq_any(&old))
                    )
                    .execute(c))?)
                })
            })
            .await
    }
}

/// Code of the rejections of callers who are not known. They have a share of their own, so that they don't push
/// out those of the sender.
const OF_STRANGERS: &str = "signature_invalid";

/// Deletes the oldest rejections of a tenant beyond so many.
async fn forget_beyond(
    conn: &mut Conn,
    tenant: &TenantId,
    of_strangers: bool,
    count_max: usize,
) -> Result<(), StoreError> {
    let oldest = run!(conn, |c, Db| {
        let query = rejections::table
            .filter(rejections::tenant.eq(tenant))
            .order((rejections::rejected_at.desc(), rejections::id.desc()))
            .offset(i64::try_from(count_max).unwrap_or(i64::MAX))
            .limit(i64::from(u16::MAX))
            .select(rejections::id)
            .into_boxed::<Db>();
        let query = match of_strangers {
            true => query.filter(rejections::code.eq(OF_STRANGERS)),
            false => query.filter(rejections::code.ne(OF_STRANGERS)),
        };
        query.load::<RejectionId>(c)
    })?;
    if oldest.is_empty() {
        return Ok(());
    }
    let oldest = rejections::table.filter(rejections::id.eq_any(&oldest));
    run!(conn, |c| diesel::delete(oldest).execute(c))?;
    Ok(())
}
