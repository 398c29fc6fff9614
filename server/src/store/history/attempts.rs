//! The attempts table: reads and writes attempts and frozen requests.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::History;
use super::frozen_request::{Columns, StoredRequest};
use super::packed_text::{PACK_BYTES_MIN, pack, unpack, unpacked_bytes};
use crate::model::{Attempt, DeliveryId, Frozen, Millis, Response, SentRequest};
use crate::store::db::columns::{count_of, storable};
use crate::store::db::columns::{from_json, json_text};
use crate::store::db::conn::{Conn, run};
use crate::store::db::error::StoreError;
use crate::store::db::page::{Page, PageSize, Place};
use crate::store::db::row_value::Cell;
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::{attempts, deliveries, events};

#[derive(Queryable, Selectable)]
#[diesel(table_name = attempts)]
struct Row {
    number: i64,
    revision: i64,
    started_at: Millis,
    took_ms: i64,
    request_method: Option<String>,
    request_url: Option<String>,
    request_headers: Option<String>,
    response_status: Option<i64>,
    response_headers: Option<String>,
    response_body: Option<String>,
    response_packed: Option<Vec<u8>>,
    response_truncated: bool,
    error: Option<String>,
    unresolved: Option<String>,
}

impl History {
    /// The attempts of a delivery, oldest first. Request bodies come from the frozen request, with secrets
    /// masked. They are read a few at a time, until a page is full.
    ///
    /// # Errors
    /// `BadCursor`, `Unavailable`, `Corrupt`.
    pub async fn attempts(
        &self,
        delivery_id: DeliveryId,
        size: PageSize,
        cursor: Option<&str>,
    ) -> Result<Page<Attempt>, StoreError> {
        const ROWS_AT_ONCE: usize = 16;
        let number = |cursor: &str| Place::parse(cursor).map(|place| place.at.0);
        let mut after = cursor.map(number).transpose()?.unwrap_or_default();
        let mut lease = self.db.read().await?;
        let frozen = frozen(lease.conn(), delivery_id).await?;
        let body = frozen.and_then(|frozen| frozen.body);
        let body = body.map(|pieces| antar_template::masked(&pieces));
        let (mut data, mut bytes) = (Vec::new(), 0_usize);
        let more = loop {
            let few = run!(lease.conn(), |c| attempts::table
                .filter(attempts::delivery_id.eq(delivery_id))
                .filter(attempts::number.gt(after))
                .order(attempts::number.asc())
                .limit(i64::try_from(ROWS_AT_ONCE).unwrap_or(i64::MAX))
                .select(Row::as_select())
                .load::<Row>(c))?;
            let (read, mut full) = (few.len(), false);
            for row in few {
                bytes = bytes.saturating_add(row.bytes(body.as_deref()));
                full = !data.is_empty() && (bytes > size.bytes_max || data.len() >= size.rows_max);
                if full {
                    break;
                }
                after = row.number;
                data.push(row.attempt(body.as_deref())?);
            }
            if full || read < ROWS_AT_ONCE {
                break full;
            }
        };
        lease.give_back();
        let next_cursor = more.then(|| Place { at: Millis(after), tie: String::new() }.cursor());
        Ok(Page { data, next_cursor })
    }
}

/// The frozen request of a delivery; none before an attempt has sent it, or if it is no longer stored.
pub(super) async fn frozen(conn: &mut Conn, id: DeliveryId) -> Result<Option<Frozen>, StoreError> {
    let Some(request) = frozen_requests(conn, &[id]).await?.remove(&id) else { return Ok(None) };
    let its_event = events::tenant
        .eq(deliveries::tenant)
        .and(events::id.eq(deliveries::event_id))
        .and(events::source.eq(deliveries::event_source));
    let data = run!(conn, |c| deliveries::table
        .inner_join(events::table.on(its_event))
        .filter(deliveries::id.eq(id))
        .select(events::data)
        .first::<Option<String>>(c))
    .optional()?
    .flatten();
    Ok(Some(request.whole(data.as_deref())?))
}

/// Bytes of a delivery's frozen request, in a query of deliveries. Neither database reads a text to know its
/// length.
pub(crate) fn frozen_bytes_of_delivery() -> SqlLiteral<BigInt> {
    sql("CAST(CASE WHEN deliveries.attempts = 0 THEN 0 ELSE coalesce((SELECT \
           max(octet_length(frozen) + coalesce(octet_length(frozen_body), 0)) FROM attempts \
           WHERE delivery_id = deliveries.id AND frozen IS NOT NULL), 0) END AS BIGINT)")
}

/// The frozen requests of several deliveries, in stored form.
pub(crate) async fn frozen_requests(
    conn: &mut Conn,
    ids: &[DeliveryId],
) -> Result<HashMap<DeliveryId, StoredRequest>, StoreError> {
    let rows = run!(conn, |c| attempts::table
        .filter(attempts::delivery_id.eq_any(ids))
        .filter(attempts::frozen.is_not_null())
        .order(attempts::number.desc())
        .select((attempts::delivery_id, attempts::frozen.assume_not_null(), attempts::frozen_body))
        .load::<(DeliveryId, String, Option<Vec<u8>>)>(c))?;
    let mut requests = HashMap::with_capacity(ids.len());
    for (id, request, body) in rows {
        // Rows come newest first: the request of the first attempt remains.
        requests.insert(id, StoredRequest::read(&request, body)?);
    }
    Ok(requests)
}

/// An attempt to be stored.
#[derive(Clone, Copy)]
pub(crate) struct Tried<'a> {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) attempt: &'a Attempt,
    /// The frozen request, if this is the first attempt that sent it.
    pub(crate) frozen: Option<&'a Columns>,
    /// The response's body, if it is long.
    pub(crate) response: Option<&'a Arc<[u8]>>,
}

/// The body of a response, compressed if it is long.
pub(crate) fn packed_response(attempt: &Attempt) -> Result<Option<Arc<[u8]>>, StoreError> {
    let body = attempt.response.as_ref().map(|response| &response.body);
    let long = body.filter(|body| body.len() >= PACK_BYTES_MIN);
    long.map(|body| pack(&storable(body), "")).transpose()
}

pub(crate) struct InsertAttempts;

impl Statement for InsertAttempts {
    const CHANGE: Change = Change::Insert("attempts");
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("delivery_id", Kind::Id),
        ("number", Kind::Number),
        ("revision", Kind::Number),
        ("started_at", Kind::Number),
        ("took_ms", Kind::Number),
        ("request_method", Kind::Text),
        ("request_url", Kind::Text),
        ("request_headers", Kind::Text),
        ("response_status", Kind::Number),
        ("response_headers", Kind::Text),
        ("response_body", Kind::Text),
        ("response_truncated", Kind::Flag),
        ("frozen", Kind::Text),
        ("error", Kind::Text),
        ("unresolved", Kind::Text),
        ("frozen_body", Kind::Bytes),
        ("response_packed", Kind::Bytes),
    ];
    const SELDOM: usize = 4;
    const KEY: &'static str = "encode(delivery_id, 'hex') || ' ' || number";

    fn key(row: &[Cell<'_>]) -> String {
        format!("{} {}", row[0].spelled(), row[1].spelled())
    }
}

/// The rows of these attempts; at most one for each delivery.
pub(crate) fn rows(tried: &[Tried<'_>]) -> Result<Rows<InsertAttempts>, StoreError> {
    let mut rows = Rows::new();
    for one in tried {
        push(&mut rows, *one, one.attempt.number.into())?;
    }
    Ok(rows)
}

/// Stores attempts whose number is taken, by another owner, with the next free number. `written`: for each
/// of [`rows`], whether it was inserted.
pub(crate) async fn renumber(
    conn: &mut Conn,
    tried: &[Tried<'_>],
    written: &[bool],
) -> Result<(), StoreError> {
    for (one, _) in tried.iter().zip(written).filter(|(_, written)| !**written) {
        let highest = run!(conn, |c| attempts::table
            .filter(attempts::delivery_id.eq(one.delivery_id))
            .order(attempts::number.desc())
            .select(attempts::number)
            .first::<i64>(c))?;
        let mut rows = Rows::new();
        push(&mut rows, *one, highest + 1)?;
        rows.send(conn).await?;
    }
    Ok(())
}

fn push(
    rows: &mut Rows<InsertAttempts>,
    Tried { delivery_id, attempt, frozen, response: packed }: Tried<'_>,
    number: i64,
) -> Result<(), StoreError> {
    let (request, response) = (attempt.request.as_ref(), attempt.response.as_ref());
    let unresolved = Some(&attempt.unresolved).filter(|unresolved| !unresolved.is_empty());
    rows.push([
        delivery_id.0.into(),
        number.into(),
        i64::from(attempt.revision).into(),
        attempt.started_at.into(),
        i64::try_from(attempt.took_ms).unwrap_or(i64::MAX).into(),
        request.map(|r| r.method.as_str()).into(),
        request.map(|r| r.url.as_str()).into(),
        request.map(|r| json_text(&r.headers)).transpose()?.into(),
        response.map(|r| i64::from(r.status)).into(),
        response.map(|r| json_text(&r.headers)).transpose()?.into(),
        response.filter(|_| packed.is_none()).map(|r| storable(&r.body)).into(),
        response.is_some_and(|r| r.truncated).into(),
        frozen.map(|frozen| frozen.request.as_str()).into(),
        attempt.error.as_deref().map(storable).into(),
        unresolved.map(json_text).transpose()?.into(),
        frozen.and_then(|frozen| frozen.body.clone()).into(),
        packed.cloned().into(),
    ]);
    Ok(())
}

impl Row {
    /// Bytes of its texts, with the request's body.
    fn bytes(&self, body: Option<&str>) -> usize {
        let texts = [
            &self.request_url,
            &self.request_headers,
            &self.response_headers,
            &self.response_body,
            &self.error,
            &self.unresolved,
        ];
        let stored: usize = texts.into_iter().flatten().map(String::len).sum();
        let sent = body.filter(|_| self.request_url.is_some());
        let packed = self.response_packed.as_deref().map_or(0, unpacked_bytes);
        (stored + sent.map_or(0, str::len)).saturating_add(packed)
    }

    fn attempt(self, body: Option<&str>) -> Result<Attempt, StoreError> {
        let request = match (self.request_method, self.request_url, self.request_headers) {
            (Some(method), Some(url), Some(headers)) => Some(SentRequest {
                method,
                url,
                headers: from_json(&headers)?,
                body: body.map(ToOwned::to_owned),
            }),
            _ => None,
        };
        let response = match (self.response_status, self.response_headers) {
            (Some(status), Some(headers)) => Some(Response {
                status: u16::try_from(status).unwrap_or_default(),
                headers: from_json(&headers)?,
                body: match self.response_packed {
                    Some(packed) => unpack(&packed, "")?,
                    // Also empty after retention has removed bodies.
                    None => self.response_body.unwrap_or_default(),
                },
                truncated: self.response_truncated,
            }),
            _ => None,
        };
        let unresolved = self.unresolved.as_deref().map(from_json).transpose()?;
        Ok(Attempt {
            number: count_of(self.number),
            revision: count_of(self.revision),
            started_at: self.started_at,
            took_ms: u64::try_from(self.took_ms).unwrap_or_default(),
            request,
            response,
            error: self.error,
            unresolved: unresolved.unwrap_or_default(),
        })
    }
}
