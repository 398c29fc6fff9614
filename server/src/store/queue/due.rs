//! Finds due deliveries without scanning all of them again and again: behind a hanging receiver there may be
//! a million deliveries that are due but blocked.
//!
//! All due deliveries have one order, by due time. A node scans them once, up to its *front*, and remembers
//! only the webhook of a delivery that it could not take. The remaining deliveries of a webhook that can be
//! claimed from again are read through an index by webhook.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool};
use diesel_async::RunQueryDsl;
use parking_lot::Mutex;

use super::Queue;
use super::claim_limits::ClaimLimits;
use super::state_changes::waiting;
use crate::model::{DeliveryId, Millis, TenantId, WebhookId};
use crate::store::db::conn::{Conn, each, run};
use crate::store::db::error::StoreError;
use crate::store::db::schema::deliveries;

/// Rows per query.
const PAGE: usize = 4_000;
/// Distance of the front behind the current time: a transaction may commit later than the due time it wrote.
const LATE_MS: i64 = 2_000;
/// A transaction may commit even later if its node or the database stalls. A second scan of the deliveries
/// before the front therefore continues at this interval: `LATELY_PAGES` pages of those that became due in
/// the last `LATELY_MS`, and one page of the rest.
const AGAIN_MS: i64 = 1_000;
const LATELY_MS: i64 = 30_000;
const LATELY_PAGES: usize = 4;
/// Webhooks per scan whose remaining deliveries are read.
const ASKED_MAX: usize = 64;
/// Candidates per delivery wanted, so that one webhook with many due deliveries leaves room for others.
const LOOK_AHEAD: usize = 4;

/// A delivery that is due and may be claimed.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: DeliveryId,
    pub(super) tenant: TenantId,
    pub(super) webhook_id: WebhookId,
}

/// A place in the order of due deliveries.
type Place = (Millis, DeliveryId);
type Row = (Millis, DeliveryId, TenantId, WebhookId);

/// How far a node has scanned.
#[derive(Clone, Default)]
pub(crate) struct ScanProgress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    front: Option<Place>,
    /// Position of the second scan, and when it continues.
    again: Again,
    again_at: Option<Millis>,
    skipped: Skipped,
}

/// Where the second scan continues: among deliveries that became due recently, and among the rest. None: at
/// the beginning.
#[derive(Clone, Copy, Default)]
struct Again {
    lately: Option<Place>,
    rest: Option<Place>,
}

/// Webhooks that may have due deliveries before the front.
#[derive(Default)]
struct Skipped {
    tenants: HashMap<WebhookId, TenantId>,
    /// All of them in rotation, and some that have none left, until their turn comes.
    turns: VecDeque<WebhookId>,
}

impl Queue {
    /// Due deliveries that are not left out: all of them, or a few times `limit`.
    pub(super) async fn due(
        &self,
        now: Millis,
        limit: usize,
        limits: &ClaimLimits,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut scan = Scan::new(limit, limits);
        let looked = self.db.connector.in_time(self.scan(now, &mut scan)).await;
        if looked.is_err() {
            // The front may have moved past them already.
            self.progress.leave(scan.found.iter());
        }
        looked.map(|()| scan.found)
    }

    async fn scan(&self, now: Millis, scan: &mut Scan<'_>) -> Result<(), StoreError> {
        let front = self.progress.front(now);
        let mut lease = self.db.read().await?;
        let conn = lease.conn();
        if let Some((again, until)) = self.progress.again(now) {
            let lately = first_at(now.plus_ms(-LATELY_MS));
            let leave = |rows| self.progress.leave_all(rows);
            let after = again.lately.max(Some(lately));
            let next = pages(conn, after, until, LATELY_PAGES, leave).await?;
            let rest = pages(conn, again.rest, until.min(lately.0), 1, leave).await?;
            self.progress.go_on_again(Again { lately: next, rest });
        }
        let asked = self.progress.ask(scan);
        let found = left_of(conn, &asked, now).await?;
        for ((webhook_id, tenant, wanted), ids) in asked.into_iter().zip(found) {
            if ids.len() < wanted {
                self.progress.has_nothing(webhook_id);
            }
            let candidate = |id| Candidate { id, tenant: tenant.clone(), webhook_id };
            scan.found.extend(ids.into_iter().map(candidate));
        }
        let go_on = |rows| self.progress.go_on(rows, now, scan);
        pages(conn, front, now, usize::MAX, go_on).await?;
        lease.give_back();
        Ok(())
    }
}

impl ScanProgress {
    /// Where a scan continues. If the clock was set back, scanning starts over.
    pub(crate) fn front(&self, now: Millis) -> Option<Place> {
        let mut state = self.0.lock();
        if state.front.is_some_and(|(due_at, _)| due_at > now) {
            *state = State::default();
        }
        state.front
    }

    /// Where the second scan continues and its upper bound, if it is time to continue.
    fn again(&self, now: Millis) -> Option<(Again, Millis)> {
        let mut state = self.0.lock();
        let (until, _) = state.front?;
        if state.again_at.is_some_and(|again_at| again_at > now) {
            return None;
        }
        state.again_at = Some(now.plus_ms(AGAIN_MS));
        Some((state.again, until))
    }

    fn go_on_again(&self, again: Again) {
        self.0.lock().again = again;
    }

    fn leave_all(&self, rows: Vec<Row>) {
        let mut state = self.0.lock();
        for (_, _, tenant, webhook_id) in rows {
            state.skipped.add(webhook_id, &tenant);
        }
    }

    /// Webhooks that may be claimed from and may have deliveries left, with the number wanted of each.
    fn ask(&self, scan: &mut Scan<'_>) -> Vec<(WebhookId, TenantId, usize)> {
        let Skipped { tenants, turns } = &mut self.0.lock().skipped;
        let mut asked = Vec::new();
        for _ in 0..turns.len() {
            let Some(webhook_id) = turns.pop_front() else { break };
            let Some(tenant) =
                tenants.get(&webhook_id).filter(|_| !scan.asked.contains(&webhook_id))
            else {
                continue;
            };
            turns.push_back(webhook_id);
            let room = scan.room_of(webhook_id, tenant);
            if asked.len() < ASKED_MAX && room > 0 {
                scan.asked.insert(webhook_id);
                asked.push((webhook_id, tenant.clone(), room));
            }
        }
        let share = (scan.found_max / asked.len().max(1)).max(1);
        asked.iter_mut().for_each(|(.., wanted)| *wanted = share.min(*wanted));
        asked
    }

    fn has_nothing(&self, webhook_id: WebhookId) {
        self.0.lock().skipped.tenants.remove(&webhook_id);
    }

    /// Remembers the webhooks of candidates that were not taken.
    pub(super) fn leave<'a>(&self, candidates: impl Iterator<Item = &'a Candidate>) {
        let mut state = self.0.lock();
        for Candidate { webhook_id, tenant, .. } in candidates {
            state.skipped.add(*webhook_id, tenant);
        }
    }

    /// Moves the front past these rows, and makes candidates of those that may be claimed.
    fn go_on(&self, rows: Vec<Row>, now: Millis, scan: &mut Scan<'_>) {
        let mut state = self.0.lock();
        for row in rows {
            if row.0 <= now.plus_ms(-LATE_MS) {
                state.front = Some(place_of(&row));
            }
            let (_, id, tenant, webhook_id) = row;
            let behind =
                scan.asked.contains(&webhook_id) || state.skipped.tenants.contains_key(&webhook_id);
            let taken = !behind && scan.take(id, &tenant, webhook_id);
            if !taken {
                state.skipped.add(webhook_id, &tenant);
            }
        }
    }
}

fn first_at(due_at: Millis) -> Place {
    (due_at, DeliveryId(uuid::Uuid::nil()))
}

fn place_of((due_at, id, ..): &Row) -> Place {
    (*due_at, *id)
}

impl Skipped {
    fn add(&mut self, webhook_id: WebhookId, tenant: &TenantId) {
        self.tenants.entry(webhook_id).or_insert_with(|| {
            self.turns.push_back(webhook_id);
            tenant.clone()
        });
    }
}

/// Input and result of one scan.
struct Scan<'a> {
    webhooks: HashSet<WebhookId>,
    tenants: HashSet<&'a TenantId>,
    at_most: &'a HashMap<WebhookId, usize>,
    found_max: usize,
    /// Webhooks whose deliveries are read by webhook in this scan.
    asked: HashSet<WebhookId>,
    counts: HashMap<WebhookId, usize>,
    found: Vec<Candidate>,
}

impl<'a> Scan<'a> {
    fn new(limit: usize, limits: &'a ClaimLimits) -> Scan<'a> {
        Scan {
            webhooks: limits.webhooks.iter().copied().collect(),
            tenants: limits.tenants.iter().collect(),
            at_most: &limits.at_most,
            found_max: limit.saturating_mul(LOOK_AHEAD),
            asked: HashSet::new(),
            counts: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// Number of deliveries of a webhook that may be claimed.
    fn room_of(&self, webhook_id: WebhookId, tenant: &TenantId) -> usize {
        if self.webhooks.contains(&webhook_id) || self.tenants.contains(tenant) {
            return 0;
        }
        self.at_most.get(&webhook_id).copied().unwrap_or(self.found_max)
    }

    /// False: it can't be claimed now.
    fn take(&mut self, id: DeliveryId, tenant: &TenantId, webhook_id: WebhookId) -> bool {
        let room = self.room_of(webhook_id, tenant);
        let count = self.counts.entry(webhook_id).or_default();
        if self.found.len() >= self.found_max || *count >= room {
            return false;
        }
        *count += 1;
        self.found.push(Candidate { id, tenant: tenant.clone(), webhook_id });
        true
    }
}

/// Deliveries due after a place, the longest due first.
pub(crate) async fn page(
    conn: &mut Conn,
    after: Option<Place>,
    until: Millis,
) -> Result<Vec<Row>, StoreError> {
    let (due_at, id) = after.unwrap_or(first_at(Millis(i64::MIN)));
    let rows_max = i64::try_from(PAGE).unwrap_or(i64::MAX);
    Ok(run!(conn, |c| deliveries::table
        .filter(
            sql::<Bool>("(next_attempt_at, id) > (")
                .bind::<BigInt, _>(due_at)
                .sql(", ")
                .bind::<Binary, _>(id)
                .sql(")")
        )
        .filter(deliveries::next_attempt_at.le(until))
        .order((deliveries::next_attempt_at.asc(), deliveries::id.asc()))
        .limit(rows_max)
        .select((
            deliveries::next_attempt_at.assume_not_null(),
            deliveries::id,
            deliveries::tenant,
            deliveries::webhook_id,
        ))
        .load::<Row>(c))?)
}

/// Reads the deliveries due after a place, page by page. Returns where to continue; none at the end.
async fn pages(
    conn: &mut Conn,
    mut after: Option<Place>,
    until: Millis,
    pages_max: usize,
    mut see: impl FnMut(Vec<Row>),
) -> Result<Option<Place>, StoreError> {
    for _ in 0..pages_max {
        let rows = page(conn, after, until).await?;
        let full = rows.len() == PAGE;
        after = rows.last().map(place_of);
        see(rows);
        if !full {
            return Ok(None);
        }
    }
    Ok(after)
}

/// For each webhook the given number of its longest due deliveries.
async fn left_of(
    conn: &mut Conn,
    webhooks: &[(WebhookId, TenantId, usize)],
    now: Millis,
) -> Result<Vec<Vec<DeliveryId>>, StoreError> {
    Ok(each!(conn, webhooks, |row, c| deliveries::table
        .filter(deliveries::webhook_id.eq(row.0))
        .filter(waiting())
        .filter(deliveries::next_attempt_at.le(now))
        .order(deliveries::next_attempt_at.asc())
        .limit(i64::try_from(row.2).unwrap_or(i64::MAX))
        .select(deliveries::id)
        .load::<DeliveryId>(c))?)
}
