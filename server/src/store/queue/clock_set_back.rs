//! Corrects due times written by a clock that has since been set back.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Queue;
use crate::model::{DeliveryId, Millis};
use crate::store::db::conn::{each, load_to_change};
use crate::store::db::error::StoreError;
use crate::store::db::schema::deliveries;

/// Deliveries moved per transaction.
const AT_ONCE: usize = 1_000;

impl Queue {
    /// Moves waiting deliveries last written later than `now`: they wait from `now` on for as long as they
    /// had left when written. Returns how many.
    ///
    /// # Errors
    /// `Unavailable`; some may have been moved by then.
    pub async fn follow_clock_back(&self, now: Millis) -> Result<usize, StoreError> {
        let mut moved = 0;
        loop {
            let count = self.follow_some(now).await?;
            moved += count;
            if count < AT_ONCE {
                return Ok(moved);
            }
        }
    }

    async fn follow_some(&self, now: Millis) -> Result<usize, StoreError> {
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    // Moved deliveries become due sooner: take the latest first, so that none is read twice.
                    let late = load_to_change!(
                        conn,
                        (DeliveryId, Millis, Millis),
                        deliveries::table
                            .filter(deliveries::next_attempt_at.gt(now))
                            .filter(deliveries::updated_at.gt(now))
                            .order(deliveries::next_attempt_at.desc())
                            .limit(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
                            .select((
                                deliveries::id,
                                deliveries::next_attempt_at.assume_not_null(),
                                deliveries::updated_at,
                            ))
                    )?;
                    each!(conn, &late, |row, c| diesel::update(deliveries::table.find(row.0))
                        .set((
                            deliveries::next_attempt_at.eq(now.plus_ms((row.1.0 - row.2.0).max(0))),
                            deliveries::updated_at.eq(now),
                        ))
                        .execute(c))?;
                    Ok(late.len())
                })
            })
            .await
    }
}
