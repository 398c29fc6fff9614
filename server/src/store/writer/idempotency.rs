//! Requests with an `Idempotency-Key`: the answer is written in the transaction that stores the
//! events, so that a repeated request gets it even after a crash.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Writer;
use crate::model::{Millis, TenantId};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Accepted;
use crate::store::db::schema::idempotency;

/// Makes status and body of an answer from the results for the events.
pub type AnswerOnce = Box<dyn Fn(&[Accepted]) -> (u16, String) + Send + Sync>;

/// A request to be carried out only once.
pub struct Once {
    pub tenant: TenantId,
    /// The header's value.
    pub key: String,
    /// Digest of the request: the same key with another digest is a conflict.
    pub request_hash: Vec<u8>,
    pub now: Millis,
    /// Makes status and body of the answer from the results for the events, in order.
    pub answer: AnswerOnce,
}

/// The stored answer to an earlier request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotent {
    pub request_hash: Vec<u8>,
    pub status: u16,
    pub body: String,
}

/// The result of a request with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AcceptedOnce {
    New(Vec<Accepted>),
    /// The key was used before; no event of this call was stored. Compare the hash to see whether it was
    /// the same request.
    Before(Idempotent),
}

impl Writer {
    /// The stored answer for a key, for a check before intake does its work.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn idempotent(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<Idempotent>, StoreError> {
        let mut lease = self.db.read().await?;
        let row = run!(lease.conn(), |c| idempotency::table.find((tenant, key)).first::<Row>(c))
            .optional()?;
        lease.give_back();
        Ok(row.map(Idempotent::from))
    }

    /// Deletes answers created before `before`. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_idempotent(&self, before: Millis) -> Result<usize, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    Ok(run!(conn, |c| diesel::delete(
                        idempotency::table.filter(idempotency::created_at.lt(before))
                    )
                    .execute(c))?)
                })
            })
            .await
    }
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = idempotency, treat_none_as_default_value = false)]
struct Row {
    tenant: TenantId,
    idempotency_key: String,
    request_hash: Vec<u8>,
    status: i64,
    body: String,
    created_at: Millis,
}

impl From<Row> for Idempotent {
    fn from(row: Row) -> Idempotent {
        let status = u16::try_from(row.status).unwrap_or_default();
        Idempotent { request_hash: row.request_hash, status, body: row.body }
    }
}

/// Claims the keys of requests. True for a request whose events are to be stored: its key is new, or it
/// has none.
pub(super) async fn claim<'a>(
    conn: &mut Conn,
    requests: impl Iterator<Item = Option<&'a Once>>,
) -> Result<Vec<bool>, StoreError> {
    let mut fresh = Vec::with_capacity(requests.size_hint().0);
    for once in requests {
        let Some(once) = once else {
            fresh.push(true);
            continue;
        };
        // Status 0 is never visible: the answer replaces it in this transaction.
        let row = Row {
            tenant: once.tenant.clone(),
            idempotency_key: once.key.clone(),
            request_hash: once.request_hash.clone(),
            status: 0,
            body: String::new(),
            created_at: once.now,
        };
        let count = run!(conn, |c| diesel::insert_into(idempotency::table)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(c))?;
        fresh.push(count == 1);
    }
    Ok(fresh)
}

/// Stores the answer for a key that this transaction has claimed.
pub(super) async fn settle(
    conn: &mut Conn,
    once: &Once,
    accepted: &[Accepted],
) -> Result<(), StoreError> {
    let (status, body) = (once.answer)(accepted);
    run!(conn, |c| diesel::update(idempotency::table.find((&once.tenant, &once.key)))
        .set((idempotency::status.eq(i64::from(status)), idempotency::body.eq(&body)))
        .execute(c))?;
    Ok(())
}

/// The answer for a key that was claimed before, possibly by a job of the same batch.
pub(super) async fn read(conn: &mut Conn, once: &Once) -> Result<Idempotent, StoreError> {
    let row = run!(conn, |c| idempotency::table.find((&once.tenant, &once.key)).first::<Row>(c))?;
    Ok(row.into())
}
