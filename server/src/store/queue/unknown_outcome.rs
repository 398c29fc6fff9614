//! Deliveries of a commit whose outcome is unknown: they may be in flight on this node although no job exists
//! for them.

use super::releases::{self, Release};
use crate::model::{DeliveryId, Millis};
use crate::store::db::conn::Conn;
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;

/// A delivery that may be in flight under this owner, and when it was to be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct UnknownOutcome {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) owner: Owner,
    pub(crate) since: Millis,
}

/// Makes those that are in flight due again. Must run before any of them can be claimed again.
pub(crate) async fn release<'a>(
    conn: &mut Conn,
    unknown: impl IntoIterator<Item = &'a UnknownOutcome>,
) -> Result<(), StoreError> {
    let released = unknown.into_iter().map(|UnknownOutcome { delivery_id, owner, since }| {
        (*delivery_id, Release { owner, reason: None, due_at: *since, now: *since })
    });
    releases::release(conn, released).await
}
