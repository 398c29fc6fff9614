//! Registration of nodes, their leases, and the database's clock.

use std::time::Instant;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Queue;
use crate::fault::{self, Point};
use crate::model::Millis;
use crate::store::db::conn::run;
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::schema::nodes;

impl Queue {
    /// Registers a node under its next epoch, with a lease until `now + lease_ms`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn register_node(
        &self,
        node: &str,
        now: Millis,
        lease_ms: i64,
    ) -> Result<Owner, StoreError> {
        let node = node.to_owned();
        let lease_until = now.plus_ms(lease_ms);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let epoch = run!(conn, |c| diesel::insert_into(nodes::table)
                        .values((
                            nodes::id.eq(&node),
                            nodes::epoch.eq(1_i64),
                            nodes::lease_until.eq(lease_until),
                        ))
                        .on_conflict(nodes::id)
                        .do_update()
                        .set((
                            nodes::epoch.eq(nodes::epoch + 1),
                            nodes::lease_until.eq(lease_until)
                        ))
                        .returning(nodes::epoch)
                        .get_result::<i64>(c))?;
                    Ok(Owner { node, epoch })
                })
            })
            .await
    }

    /// The time of the database's clock and when it was read; none on SQLite, which has no clock of its own.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn time(&self) -> Result<Option<(Millis, Instant)>, StoreError> {
        if self.db.connector.has_one_writer() {
            return Ok(None);
        }
        let mut lease = self.db.read().await?;
        let asked_at = Instant::now();
        let now = lease.conn().time().await?;
        // Halfway between request and response.
        let shown_at = asked_at + asked_at.elapsed() / 2;
        lease.give_back();
        Ok(now.map(|now| (now, shown_at)))
    }

    /// Renews the lease. False: a later epoch of this node has been registered, and this one must end.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn renew_lease(
        &self,
        owner: &Owner,
        now: Millis,
        lease_ms: i64,
    ) -> Result<bool, StoreError> {
        let owner = owner.clone();
        let lease_until = now.plus_ms(lease_ms);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let count = run!(conn, |c| diesel::update(nodes::table.find(&owner.node))
                        .filter(nodes::epoch.eq(owner.epoch))
                        .set(nodes::lease_until.eq(lease_until))
                        .execute(c))?;
                    fault::reach(Point::LeaseRenew).await?;
                    Ok(count == 1)
                })
            })
            .await
    }
}
