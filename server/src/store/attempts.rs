//! The table of attempts.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::columns::count_of;
use super::conn::{Conn, each, run};
use super::schema::{attempts, deliveries};
use super::{Store, StoreError, from_json, json_text};
use crate::model::{Attempt, DeliveryId, Frozen, Millis, Response, SentRequest};

#[derive(Clone, Queryable, Insertable)]
#[diesel(table_name = attempts, treat_none_as_default_value = false)]
struct Row {
    delivery_id: DeliveryId,
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
    response_truncated: bool,
    error: Option<String>,
    unresolved: Option<String>,
}

impl Store {
    /// The attempts of a delivery, the first one first. Their requests' bodies are those of the
    /// frozen request, secrets masked.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    pub async fn attempts(&self, delivery_id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let mut lease = self.read().await?;
        let frozen = run!(lease.conn(), |c| deliveries::table
            .find(delivery_id)
            .select(deliveries::frozen)
            .first::<Option<String>>(c))
        .optional()?
        .flatten();
        let rows = run!(lease.conn(), |c| attempts::table
            .filter(attempts::delivery_id.eq(delivery_id))
            .order(attempts::number.asc())
            .load::<Row>(c))?;
        lease.give_back();
        let frozen = frozen.as_deref().map(from_json::<Frozen>).transpose()?;
        let body = frozen.and_then(|frozen| frozen.body);
        let body = body.map(|pieces| antar_template::masked(&pieces));
        rows.into_iter().map(|row| row.attempt(body.as_deref())).collect()
    }
}

/// Keeps attempts. Where a number is taken, by another owner, the next free one is used.
pub(super) async fn write(
    conn: &mut Conn,
    tried: &[(DeliveryId, &Attempt)],
) -> Result<(), StoreError> {
    let rows = tried
        .iter()
        .map(|(id, attempt)| Row::new(*id, attempt))
        .collect::<Result<Vec<Row>, StoreError>>()?;
    let counts = each!(conn, &rows, |row, c| diesel::insert_into(attempts::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    for (row, _) in rows.iter().zip(counts).filter(|(_, count)| *count == 0) {
        let highest = run!(conn, |c| attempts::table
            .filter(attempts::delivery_id.eq(row.delivery_id))
            .order(attempts::number.desc())
            .select(attempts::number)
            .first::<i64>(c))?;
        let row = Row { number: highest + 1, ..row.clone() };
        run!(conn, |c| diesel::insert_into(attempts::table).values(&row).execute(c))?;
    }
    Ok(())
}

impl Row {
    fn new(delivery_id: DeliveryId, attempt: &Attempt) -> Result<Row, StoreError> {
        let Attempt { request, response, .. } = attempt;
        Ok(Row {
            delivery_id,
            number: i64::from(attempt.number),
            revision: i64::from(attempt.revision),
            started_at: attempt.started_at,
            took_ms: i64::try_from(attempt.took_ms).unwrap_or(i64::MAX),
            request_method: request.as_ref().map(|r| r.method.clone()),
            request_url: request.as_ref().map(|r| r.url.clone()),
            request_headers: request.as_ref().map(|r| json_text(&r.headers)).transpose()?,
            response_status: response.as_ref().map(|r| i64::from(r.status)),
            response_headers: response.as_ref().map(|r| json_text(&r.headers)).transpose()?,
            response_body: response
                .as_ref()
                .map(|r| super::columns::storable(&r.body).into_owned()),
            response_truncated: response.as_ref().is_some_and(|r| r.truncated),
            error: attempt.error.as_deref().map(|e| super::columns::storable(e).into_owned()),
            unresolved: (!attempt.unresolved.is_empty())
                .then(|| json_text(&attempt.unresolved))
                .transpose()?,
        })
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
        let response = match (self.response_status, self.response_headers, self.response_body) {
            (Some(status), Some(headers), Some(body)) => Some(Response {
                status: u16::try_from(status).unwrap_or_default(),
                headers: from_json(&headers)?,
                body,
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
