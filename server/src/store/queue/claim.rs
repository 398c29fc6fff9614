//! Claims: a node takes due deliveries, and those whose owner is gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use parking_lot::Mutex;

use super::Queue;
use super::claim_limits::ClaimLimits;
use super::due::Candidate;
use super::ordering;
use super::unknown_outcome::{self, UnknownOutcome};
use crate::fault::{self, Point};
use crate::model::{Delivery, DeliveryId, Event, EventKey, Millis, State, TenantId, WebhookId};
use crate::store::db::conn::{load_to_change, run};
use crate::store::db::error::StoreError;
use crate::store::db::new_rows::Owner;
use crate::store::db::rows::{Change, Kind, Rows, Statement};
use crate::store::db::schema::{deliveries, nodes};
use crate::store::history::deliveries::Row;
use crate::store::history::frozen_request::StoredRequest;
use crate::store::history::{attempts, events};

/// Candidates per transaction at least, even if fewer are wanted: some of them may wait behind others.
const AT_ONCE_MIN: usize = 64;

/// Deliveries of dead nodes taken over per transaction.
pub const TAKE_OVER_MAX: usize = 1_000;

/// A delivery that is now in flight on this node.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub delivery: Delivery,
    pub event: Arc<Event>,
    /// The request of its first attempt that sent one.
    pub frozen: Option<StoredRequest>,
    /// Attempts that the retry schedule does not count: those before its last restart.
    pub schedule_start: u32,
}

/// Deliveries that failed claims may have put in flight all the same. A node runs one claim after the other:
/// the next claim first makes them due again.
pub(crate) type UnknownClaims = Arc<Mutex<HashSet<UnknownOutcome>>>;

/// Current state of a candidate.
#[derive(Queryable)]
struct Stands {
    id: DeliveryId,
    webhook_id: WebhookId,
    due_at: Option<Millis>,
    has_dedupe_key: bool,
    /// It waits behind no other delivery with its key.
    in_order: bool,
    /// Of its event, and of its request if an attempt has sent one.
    event_bytes: i64,
    request_bytes: i64,
}

impl Queue {
    /// Claims deliveries that are pending and due, the longest due first, in turns between tenants and
    /// between their webhooks, within `limits`, from which it subtracts what it takes. Leaves out those that
    /// wait behind another one with their key. Drops duplicates. Fails a delivery whose event's data is no
    /// longer stored.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn claim_due(
        &self,
        now: Millis,
        owner: &Owner,
        limit: usize,
        limits: &mut ClaimLimits,
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut claimed = Vec::new();
        loop {
            let wanted = limit - claimed.len();
            let (more, put_off) = match self.claim_some(now, owner, wanted, limits).await {
                Ok(found) => found,
                Err(error) => return those(claimed, error),
            };
            claimed.extend(more);
            // The deferred deliveries may have hidden others that can be claimed.
            if put_off == 0 || claimed.len() >= limit || limits.places == 0 {
                return Ok(claimed);
            }
        }
    }

    /// One scan of [`Queue::claim_due`]. Also returns the number of deliveries deferred because they wait
    /// behind others.
    async fn claim_some(
        &self,
        now: Millis,
        owner: &Owner,
        limit: usize,
        limits: &mut ClaimLimits,
    ) -> Result<(Vec<Claimed>, usize), StoreError> {
        self.release_unknown().await?;
        let due = self.due(now, limit, limits).await?;
        let (mut claimed, mut put_off, mut failed) = (Vec::new(), 0, None);
        for some in in_turns(&due).chunks(limit.max(AT_ONCE_MIN)) {
            let wanted = limit - claimed.len();
            if wanted == 0 || limits.places == 0 {
                break;
            }
            match self.claim(now, owner, some.to_vec(), wanted, limits).await {
                Ok((more, behind)) => {
                    claimed.extend(more);
                    put_off += behind;
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let taken: HashSet<DeliveryId> = claimed.iter().map(|one| one.delivery.id).collect();
        self.progress.leave(due.iter().filter(|candidate| !taken.contains(&candidate.id)));
        match failed {
            Some(error) => Ok((those(claimed, error)?, 0)),
            None => Ok((claimed, put_off)),
        }
    }

    /// Makes due the deliveries that failed claims may have put in flight.
    async fn release_unknown(&self) -> Result<(), StoreError> {
        let unknown = self.unknown.lock().clone();
        if unknown.is_empty() {
            return Ok(());
        }
        let released = unknown.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move { unknown_outcome::release(conn, &released).await })
            })
            .await?;
        self.unknown.lock().retain(|one| !unknown.contains(one));
        Ok(())
    }

    /// Claims the first candidates that are not taken by another node and don't wait behind others. Also
    /// returns the number of deliveries deferred.
    async fn claim(
        &self,
        now: Millis,
        owner: &Owner,
        candidates: Vec<DeliveryId>,
        limit: usize,
        limits: &mut ClaimLimits,
    ) -> Result<(Vec<Claimed>, usize), StoreError> {
        let taken = Arc::<Mutex<Vec<DeliveryId>>>::default();
        let of_claim = limits.clone();
        let found = self.put_in_flight(now, owner, candidates, limit, of_claim, &taken).await;
        let found = match found {
            Ok((claimed, behind, left)) => {
                *limits = left;
                let found = (claimed, behind);
                fault::reach(Point::ClaimAfter).await.map(|()| found).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        if found.is_err() {
            let taken = std::mem::take(&mut *taken.lock()).into_iter();
            let unknown =
                |delivery_id| UnknownOutcome { delivery_id, owner: owner.clone(), since: now };
            self.unknown.lock().extend(taken.map(unknown));
        }
        found
    }

    /// Also returns what is left of the limits. `taken` receives the deliveries put in flight, even if the
    /// commit then fails.
    async fn put_in_flight(
        &self,
        now: Millis,
        owner: &Owner,
        candidates: Vec<DeliveryId>,
        limit: usize,
        mut limits: ClaimLimits,
        taken: &Arc<Mutex<Vec<DeliveryId>>>,
    ) -> Result<(Vec<Claimed>, usize, ClaimLimits), StoreError> {
        let (owner, taken) = (owner.clone(), taken.clone());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    // Filtered by id only; otherwise PostgreSQL may scan everything that is due.
                    let stand = load_to_change!(
                        conn,
                        Stands,
                        deliveries::table.filter(deliveries::id.eq_any(&candidates)).select((
                            deliveries::id,
                            deliveries::webhook_id,
                            deliveries::next_attempt_at,
                            deliveries::dedupe_key.is_not_null(),
                            ordering::in_order(),
                            events::bytes_of_delivery(),
                            attempts::frozen_bytes_of_delivery(),
                        ))
                    )?;
                    let compared = stand.iter().any(|stands| stands.has_dedupe_key);
                    let due = stand
                        .into_iter()
                        .filter(|stands| stands.due_at.is_some_and(|at| at <= now));
                    let due: HashMap<DeliveryId, Stands> =
                        due.map(|stands| (stands.id, stands)).collect();
                    let still_due = candidates.into_iter().filter(|id| due.contains_key(id));
                    let (ids, behind): (Vec<DeliveryId>, Vec<DeliveryId>) =
                        still_due.partition(|id| due[id].in_order);
                    ordering::defer(conn, &behind, now).await?;
                    let has_room = |id: &DeliveryId| {
                        let Stands { webhook_id, event_bytes, request_bytes, .. } = due[id];
                        let bytes = event_bytes.saturating_add(request_bytes);
                        limits.take(webhook_id, usize::try_from(bytes).unwrap_or_default())
                    };
                    let mut ids: Vec<_> = ids.into_iter().filter(has_room).take(limit).collect();
                    if compared {
                        ids = ordering::without_duplicates(conn, ids, now).await?;
                    }
                    taken.lock().clone_from(&ids);
                    let mut rows = Rows::<BeginFlights>::new();
                    for id in &ids {
                        rows.push([
                            owner.node.as_str().into(),
                            owner.epoch.into(),
                            now.into(),
                            id.0.into(),
                        ]);
                    }
                    rows.send(conn).await?;
                    fault::reach(Point::Claim).await?;
                    Ok((load_claimed(conn, ids, now).await?, behind.len(), limits))
                })
            })
            .await
    }

    /// Time at which the next delivery becomes due, after `now`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn next_due_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let mut lease = self.db.read().await?;
        let due_at = self.db.connector.in_time(async {
            let due_at = run!(lease.conn(), |c| deliveries::table
                .filter(deliveries::next_attempt_at.gt(now))
                .order(deliveries::next_attempt_at.asc())
                .select(deliveries::next_attempt_at.assume_not_null())
                .first::<Millis>(c));
            Ok(due_at.optional()?)
        });
        let due_at = due_at.await?;
        lease.give_back();
        Ok(due_at)
    }

    /// Makes due at once the deliveries owned by earlier epochs of this node, and by nodes whose lease has
    /// expired; no attempt is counted. Returns how many: [`TAKE_OVER_MAX`] if there may be more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_over(&self, owner: &Owner, now: Millis) -> Result<usize, StoreError> {
        let owner = owner.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let gone = run!(conn, |c| nodes::table
                        .filter(nodes::id.ne(&owner.node))
                        .filter(nodes::lease_until.lt(now))
                        .select(nodes::id)
                        .load::<String>(c))?;
                    let orphan = deliveries::owner_node
                        .eq_any(&gone)
                        .or(deliveries::owner_node
                            .eq(&owner.node)
                            .and(deliveries::owner_epoch.lt(owner.epoch)))
                        .assume_not_null();
                    // Rows locked by another node, or by the last statement of a dead one, are left for the
                    // next call.
                    let orphans = load_to_change!(
                        conn,
                        (DeliveryId, bool),
                        deliveries::table
                            .filter(deliveries::owner_node.is_not_null())
                            .filter(orphan)
                            .limit(i64::try_from(TAKE_OVER_MAX).unwrap_or(i64::MAX))
                            .select((deliveries::id, deliveries::reason.is_not_null()))
                    )?;
                    let mut rows = Rows::<TakeOver>::new();
                    for (id, wished) in &orphans {
                        // No attempt is running any more, so a cancel request takes effect now.
                        let to = if *wished { State::Cancelled } else { State::Pending };
                        let due_at = (!wished).then_some(now);
                        rows.push([to.as_str().into(), due_at.into(), now.into(), id.0.into()]);
                    }
                    rows.send(conn).await?;
                    fault::reach(Point::TakeOver).await?;
                    Ok(orphans.len())
                })
            })
            .await
    }
}

/// Puts claimed deliveries in flight.
struct BeginFlights;

impl Statement for BeginFlights {
    const CHANGE: Change = Change::Update(
        "UPDATE deliveries AS old SET state = 'in_flight', reason = NULL, next_attempt_at = NULL, \
         owner_node = :owner_node, owner_epoch = :owner_epoch, updated_at = :now \
         WHERE old.id = :id",
    );
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("owner_node", Kind::Text),
        ("owner_epoch", Kind::Number),
        ("now", Kind::Number),
        ("id", Kind::Id),
    ];
}

/// Takes deliveries from an owner that is gone.
struct TakeOver;

impl Statement for TakeOver {
    const CHANGE: Change = Change::Update(
        "UPDATE deliveries AS old SET state = :state, next_attempt_at = :next_attempt_at, \
         owner_node = NULL, owner_epoch = NULL, updated_at = :now WHERE old.id = :id",
    );
    const COLUMNS: &'static [(&'static str, Kind)] = &[
        ("state", Kind::Text),
        ("next_attempt_at", Kind::Number),
        ("now", Kind::Number),
        ("id", Kind::Id),
    ];
}

/// The deliveries claimed before an error; the error itself if there are none.
fn those(claimed: Vec<Claimed>, error: StoreError) -> Result<Vec<Claimed>, StoreError> {
    if claimed.is_empty() {
        return Err(error);
    }
    tracing::warn!(%error, "not all that is due could be claimed; trying again");
    Ok(claimed)
}

/// Orders candidates: one per tenant in turn, within a tenant one per webhook in turn, within a webhook as
/// given.
fn in_turns(due: &[Candidate]) -> Vec<DeliveryId> {
    let mut tenants: Turns<&TenantId, Turns<WebhookId, VecDeque<DeliveryId>>> = Turns::default();
    for Candidate { id, tenant, webhook_id } in due {
        tenants.of(tenant).of(*webhook_id).push_back(*id);
    }
    std::iter::from_fn(|| tenants.next(|webhooks| webhooks.next(VecDeque::pop_front))).collect()
}

/// Queues by key, popped in round-robin order.
struct Turns<K, Q> {
    places: HashMap<K, usize>,
    queues: Vec<Q>,
    turn: VecDeque<usize>,
}

impl<K, Q> Default for Turns<K, Q> {
    fn default() -> Turns<K, Q> {
        Turns { places: HashMap::new(), queues: Vec::new(), turn: VecDeque::new() }
    }
}

impl<K: Eq + std::hash::Hash, Q: Default> Turns<K, Q> {
    fn of(&mut self, key: K) -> &mut Q {
        let place = *self.places.entry(key).or_insert(self.queues.len());
        if place == self.queues.len() {
            self.queues.push(Q::default());
            self.turn.push_back(place);
        }
        &mut self.queues[place]
    }

    /// The result of `take` for the queue whose turn it is; empty queues leave the rotation.
    fn next<T>(&mut self, take: impl Fn(&mut Q) -> Option<T>) -> Option<T> {
        while let Some(place) = self.turn.pop_front() {
            if let Some(found) = take(&mut self.queues[place]) {
                self.turn.push_back(place);
                return Some(found);
            }
        }
        None
    }
}

async fn load_claimed(
    conn: &mut crate::store::db::conn::Conn,
    ids: Vec<DeliveryId>,
    now: Millis,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::id.eq_any(&ids))
        .select(Row::as_select())
        .load::<Row>(c))?;
    let mut rows: HashMap<DeliveryId, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut requests = attempts::frozen_requests(conn, &ids).await?;
    let keys: HashSet<EventKey> = rows.values().map(Row::event_key).collect();
    let stored = events::load(conn, &keys.into_iter().collect::<Vec<_>>()).await?;
    let kept = stored.into_iter().filter(|stored| stored.data_kept);
    let stored: HashMap<EventKey, Arc<Event>> =
        kept.map(|stored| (stored.event.key.clone(), Arc::new(stored.event))).collect();
    let mut claimed = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(row) = rows.remove(&id) else { continue };
        let Some(event) = stored.get(&row.event_key()) else {
            run!(conn, |c| diesel::update(deliveries::table.find(id))
                .set((
                    deliveries::state.eq(State::Failed),
                    deliveries::reason.eq(Some("the event's data is no longer kept")),
                    deliveries::owner_node.eq(None::<&str>),
                    deliveries::owner_epoch.eq(None::<i64>),
                    deliveries::updated_at.eq(now),
                ))
                .execute(c))?;
            ordering::wake_next(conn, id, now).await?;
            continue;
        };
        claimed.push(Claimed {
            event: event.clone(),
            frozen: requests.remove(&id),
            schedule_start: row.schedule_start(),
            delivery: row.delivery(),
        });
    }
    Ok(claimed)
}
