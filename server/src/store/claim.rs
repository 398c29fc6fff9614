//! Who works on what: due deliveries, and those whose owner is gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use parking_lot::Mutex;

use super::conn::{load_to_change, run};
use super::deliveries::Row;
use super::rows::{Change, Kind, Rows, Statement};
use super::schema::{deliveries, nodes};
use super::unsure::{self, Unsure};
use super::{Owner, Store, StoreError, attempts, events, ordered};
use crate::fault::{self, Point};
use crate::model::{
    Delivery, DeliveryId, Event, EventKey, Frozen, Millis, State, TenantId, WebhookId,
};

/// Candidates looked at for each that is taken, so that one webhook with many due deliveries
/// leaves room for others.
const LOOK_AHEAD: usize = 4;

/// Deliveries of nodes that are gone that are taken over at once.
pub const TAKE_OVER_MAX: usize = 1_000;

/// A delivery that is now in flight here.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub delivery: Delivery,
    pub event: Event,
    pub frozen: Option<Frozen>,
    /// Attempts that the retry schedule does not count: those before it was last begun anew.
    pub schedule_start: u32,
}

/// What claims that failed may have put in flight all the same. A node claims one after the other: the
/// next claim makes it due first.
pub(super) type UnsureClaims = Arc<Mutex<HashSet<Unsure>>>;

/// What a claim leaves for others, or for later.
#[derive(Clone, Debug, Default)]
pub struct Spared {
    pub webhooks: Vec<WebhookId>,
    pub tenants: Vec<TenantId>,
    /// Webhooks of which only so many are wanted.
    pub at_most: HashMap<WebhookId, usize>,
}

impl Spared {
    /// Some of what is wanted was taken.
    pub fn less(&mut self, taken: &[Claimed]) {
        for claimed in taken {
            if let Some(most) = self.at_most.get_mut(&claimed.delivery.webhook_id) {
                *most = most.saturating_sub(1);
            }
        }
    }
}

/// A candidate: whose it is, whether it is compared with others of its key for duplicates, and
/// whether it may go before those that are open.
type Due = (DeliveryId, TenantId, WebhookId, bool, bool);

impl Store {
    /// Takes deliveries that are pending and due, the longest due first, in turns between
    /// tenants and between their webhooks, and leaves out what is spared or waits behind another one
    /// with its key. Duplicates are dropped. A delivery whose event's data
    /// is no longer kept fails.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn claim_due(
        &self,
        now: Millis,
        owner: &Owner,
        limit: usize,
        spared: &Spared,
    ) -> Result<Vec<Claimed>, StoreError> {
        let (mut claimed, mut spared) = (Vec::new(), spared.clone());
        loop {
            let wanted = limit - claimed.len();
            let (more, put_off) = match self.claim_some(now, owner, wanted, &spared).await {
                Ok(found) => found,
                Err(error) if claimed.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "not all that is due could be claimed; trying again");
                    return Ok(claimed);
                }
            };
            spared.less(&more);
            claimed.extend(more);
            // What waits behind others may have hidden something that may go.
            if put_off == 0 || claimed.len() >= limit {
                return Ok(claimed);
            }
        }
    }

    /// As [`Store::claim_due`], of what is due for longest; and how many of that were put off, because
    /// they wait behind others.
    async fn claim_some(
        &self,
        now: Millis,
        owner: &Owner,
        limit: usize,
        spared: &Spared,
    ) -> Result<(Vec<Claimed>, usize), StoreError> {
        let unsure = self.claims.lock().clone();
        if unsure.is_empty() && self.next_due_at().await?.is_none_or(|due_at| due_at > now) {
            return Ok((Vec::new(), 0));
        }
        let taken = Arc::<Mutex<Vec<DeliveryId>>>::default();
        let found = self.claim(now, owner, limit, spared, &unsure, &taken).await;
        let found = match found {
            Ok(found) => fault::reach(Point::ClaimAfter).await.map(|()| found).map_err(Into::into),
            Err(error) => Err(error),
        };
        let mut claims = self.claims.lock();
        if found.is_ok() {
            claims.retain(|one| !unsure.contains(one));
        } else {
            let owner = owner.clone();
            let taken = std::mem::take(&mut *taken.lock()).into_iter();
            let unsure = |delivery_id| Unsure { delivery_id, owner: owner.clone(), since: now };
            claims.extend(taken.map(unsure));
        }
        found
    }

    /// `taken` gets what is put in flight, also where the commit then fails.
    async fn claim(
        &self,
        now: Millis,
        owner: &Owner,
        limit: usize,
        spared: &Spared,
        unsure: &HashSet<Unsure>,
        taken: &Arc<Mutex<Vec<DeliveryId>>>,
    ) -> Result<(Vec<Claimed>, usize), StoreError> {
        let (owner, spared) = (owner.clone(), spared.clone());
        let (unsure, taken) = (unsure.clone(), taken.clone());
        self.write(move |conn| {
            Box::pin(async move {
                unsure::release(conn, &unsure).await?;
                let look_at = i64::try_from(limit.saturating_mul(LOOK_AHEAD)).unwrap_or(i64::MAX);
                let due = load_to_change!(
                    conn,
                    Due,
                    deliveries::table
                        .filter(deliveries::next_attempt_at.le(now))
                        .filter(deliveries::webhook_id.ne_all(&spared.webhooks))
                        .filter(deliveries::tenant.ne_all(&spared.tenants))
                        .order(deliveries::next_attempt_at.asc())
                        .limit(look_at)
                        .select((
                            deliveries::id,
                            deliveries::tenant,
                            deliveries::webhook_id,
                            deliveries::dedupe_key.is_not_null(),
                            ordered::in_order(),
                        ))
                )?;
                let (due, behind): (Vec<Due>, Vec<Due>) =
                    due.into_iter().partition(|(.., in_order)| *in_order);
                let behind: Vec<DeliveryId> = behind.into_iter().map(|(id, ..)| id).collect();
                ordered::defer(conn, &behind, now).await?;
                let compared = due.iter().any(|(.., compared, _)| *compared);
                let mut ids = in_turns(due, limit, &spared.at_most);
                if compared {
                    ids = ordered::without_duplicates(conn, ids, now).await?;
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
                Ok((load_claimed(conn, ids, now).await?, behind.len()))
            })
        })
        .await
    }

    /// When the next pending delivery that is not held becomes due.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn next_due_at(&self) -> Result<Option<Millis>, StoreError> {
        let mut lease = self.read().await?;
        let due_at = run!(lease.conn(), |c| deliveries::table
            .filter(deliveries::next_attempt_at.is_not_null())
            .order(deliveries::next_attempt_at.asc())
            .select(deliveries::next_attempt_at.assume_not_null())
            .first::<Millis>(c))
        .optional()?;
        lease.give_back();
        Ok(due_at)
    }

    /// When the next one becomes due of those that are not yet.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn next_due_after(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let mut lease = self.read().await?;
        let due_at = run!(lease.conn(), |c| deliveries::table
            .filter(deliveries::next_attempt_at.gt(now))
            .order(deliveries::next_attempt_at.asc())
            .select(deliveries::next_attempt_at.assume_not_null())
            .first::<Millis>(c))
        .optional()?;
        lease.give_back();
        Ok(due_at)
    }

    /// Makes due at once, uncounted, what earlier epochs of this node own, and what nodes own
    /// whose lease has run out. Returns how many deliveries that were: [`TAKE_OVER_MAX`] where there
    /// may be more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_over(&self, owner: &Owner, now: Millis) -> Result<usize, StoreError> {
        let owner = owner.clone();
        self.write(move |conn| {
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
                // What another node, or a last statement of one that is gone, holds just now is left
                // for the next look.
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
                    // Whoever wished to cancel it gets his will: nobody is at it any more.
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

/// Deliveries that a node takes.
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

/// Deliveries whose owner is gone.
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

/// Takes `limit` of the candidates: one of each tenant in turn, of its webhooks in turn, and within
/// a webhook in order.
fn in_turns(due: Vec<Due>, limit: usize, at_most: &HashMap<WebhookId, usize>) -> Vec<DeliveryId> {
    let mut counts: HashMap<WebhookId, usize> = HashMap::new();
    let mut tenants: Turns<TenantId, Turns<WebhookId, VecDeque<DeliveryId>>> = Turns::default();
    for (id, tenant, webhook_id, ..) in due {
        let count = counts.entry(webhook_id).or_default();
        *count += 1;
        if at_most.get(&webhook_id).is_none_or(|max| *count <= *max) {
            tenants.of(tenant).of(webhook_id).push_back(id);
        }
    }
    let mut taken = Vec::new();
    while taken.len() < limit {
        let next = tenants.next(|webhooks| webhooks.next(VecDeque::pop_front));
        let Some(id) = next else { break };
        taken.push(id);
    }
    taken
}

/// Queues by key, taken from in turn.
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

    /// What `take` finds in the queue whose turn it is; empty queues leave.
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
    conn: &mut super::conn::Conn,
    ids: Vec<DeliveryId>,
    now: Millis,
) -> Result<Vec<Claimed>, StoreError> {
    let rows = run!(conn, |c| deliveries::table
        .filter(deliveries::id.eq_any(&ids))
        .select(Row::as_select())
        .load::<Row>(c))?;
    let mut rows: HashMap<DeliveryId, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut requests = attempts::kept(conn, &ids).await?;
    let keys: HashSet<EventKey> = rows.values().map(Row::event_key).collect();
    let stored = events::load(conn, &keys.into_iter().collect::<Vec<_>>()).await?;
    let kept = stored.into_iter().filter(|stored| stored.data_kept);
    let stored: HashMap<EventKey, Event> =
        kept.map(|stored| (stored.event.key.clone(), stored.event)).collect();
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
            ordered::wake_next(conn, id, now).await?;
            continue;
        };
        claimed.push(Claimed {
            event: event.clone(),
            frozen: requests.remove(&id).map(|kept| kept.whole(Some(event.data().raw()))),
            schedule_start: row.schedule_start(),
            delivery: row.delivery(),
        });
    }
    Ok(claimed)
}
