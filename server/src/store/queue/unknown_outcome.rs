//! Deliveries of a commit whose outcome is unknown: they may be in flight on this node although no job exists
//! for them.

use crate::model::{DeliveryId, Millis};
use crate::store::db::conn::Conn;
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::rows::{Change, Kind, Rows, Statement};

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
    let mut rows = Rows::<Release>::new();
    for unknown in unknown {
        rows.push([
            unknown.since.into(),
            unknown.since.into(),
            unknown.delivery_id.0.into(),
            unknown.owner.node.as_str().into(),
            unknown.owner.epoch.into(),
        ]);
    }
    rows.send(conn).await?;
    Ok(())
}

/// Makes a delivery due again if it is in flight under this owner.
struct Release;

impl Statement for Release {
    const CHANGE: Change = Change::Update(
        "UPDATE deliveries AS old SET state = 'pending', next_attempt_at = :next_attempt_at, \
         owner_node = NULL, owner_epoch = NULL, updated_at = :now \
         WHERE old.id = :id AND old.owner_node IS NOT DISTINCT FROM :owner_node \
         AND old.owner_epoch = :owner_epoch",
    );
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("next_attempt_at", Kind::Number),
        ("now", Kind::Number),
        ("id", Kind::Id),
        ("owner_node", Kind::Text),
        ("owner_epoch", Kind::Number),
    ];
}
