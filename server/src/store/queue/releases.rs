//! Deliveries in flight that their owner returns without an attempt.

use super::Queue;
use crate::model::{DeliveryId, Millis};
use crate::store::db::conn::Conn;
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::rows::{Change, Kind, Rows, Statement};

/// Deliveries that one transaction releases: other writes take place in between.
const RELEASED_AT_ONCE: usize = 500;

/// How a delivery is returned.
#[derive(Clone, Copy)]
pub(crate) struct Release<'a> {
    pub(crate) owner: &'a Owner,
    /// Why it waits.
    pub(crate) reason: Option<&'static str>,
    pub(crate) due_at: Millis,
    pub(crate) now: Millis,
}

impl Queue {
    /// Returns deliveries that this owner has in flight: they wait until `due_at`, for `reason`, and no attempt
    /// is counted. Those that were to be cancelled are cancelled. Leaves alone what the owner no longer has.
    ///
    /// # Errors
    /// `Unavailable`: some may have been released, and all can be released again.
    pub async fn release(
        &self,
        ids: &[DeliveryId],
        owner: &Owner,
        reason: Option<&'static str>,
        due_at: Millis,
        now: Millis,
    ) -> Result<(), StoreError> {
        for some in ids.chunks(RELEASED_AT_ONCE) {
            let (some, owner) = (some.to_vec(), owner.clone());
            let write = self.db.write(move |conn| {
                Box::pin(async move {
                    let how = Release { owner: &owner, reason, due_at, now };
                    release(conn, some.iter().map(|id| (*id, how))).await
                })
            });
            write.await?;
        }
        Ok(())
    }
}

/// Returns each delivery that is in flight under its owner.
pub(crate) async fn release<'a>(
    conn: &mut Conn,
    released: impl Iterator<Item = (DeliveryId, Release<'a>)>,
) -> Result<(), StoreError> {
    let mut rows = Rows::<ReleaseRows>::new();
    for (id, Release { owner, reason, due_at, now }) in released {
        rows.push([
            reason.into(),
            due_at.into(),
            now.into(),
            id.0.into(),
            owner.node.as_str().into(),
            owner.epoch.into(),
        ]);
    }
    rows.send(conn).await?;
    Ok(())
}

/// A reason on a delivery in flight is a cancel request. About the operator for the node: see
/// [`EndFlights`](crate::store::writer::record::EndFlights).
struct ReleaseRows;

impl Statement for ReleaseRows {
    const CHANGE: Change = Change::Update(
        "UPDATE deliveries AS old SET \
         state = CASE WHEN old.reason IS NULL THEN 'pending' ELSE 'cancelled' END, \
         reason = COALESCE(old.reason, :reason), \
         next_attempt_at = CASE WHEN old.reason IS NULL THEN :next_attempt_at END, \
         owner_node = NULL, owner_epoch = NULL, updated_at = :now \
         WHERE old.id = :id AND old.owner_node IS NOT DISTINCT FROM :owner_node \
         AND old.owner_epoch = :owner_epoch",
    );
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("reason", Kind::Text),
        ("next_attempt_at", Kind::Number),
        ("now", Kind::Number),
        ("id", Kind::Id),
        ("owner_node", Kind::Text),
        ("owner_epoch", Kind::Number),
    ];
}
