//! Replays: their candidates, and steps that take effect once.

use super::*;
use crate::model::{Replay, ReplayId, ReplayOf, ReplayState, Selection};

fn deliveries_in(state: Option<State>) -> Selection {
    Selection {
        of: ReplayOf::Deliveries { state },
        since: None,
        until: at(1_000),
        subject: None,
        event_types: Vec::new(),
        rule: None,
    }
}

fn replay(webhook_id: WebhookId, selection: Selection) -> Replay {
    Replay {
        id: ReplayId::new(NOW),
        tenant: tenant("t"),
        webhook_id,
        selection,
        state: ReplayState::Running,
        pace_per_s: 10,
        total: 3,
        exact: true,
        made: 0,
        skipped: 0,
        position: String::new(),
        error: None,
        started_at: NOW,
        ended_at: None,
    }
}

/// Stores an event with this delivery, accepted `ms` after `NOW`.
async fn accepted(store: &Store, key: &str, ms: i64, new: NewDelivery) -> Arc<Event> {
    let new = NewEvent { accepted_at: at(ms), ..event(key).to(new) };
    let stored = new.event.clone();
    store.writer.accept(vec![new]).await.unwrap();
    stored
}

/// The ids of the events that a selection goes through, `limit` at a time, and whether each was taken
/// up.
async fn gone_through(
    store: &Store,
    webhook_id: WebhookId,
    selection: &Selection,
    limit: usize,
) -> Vec<(String, bool)> {
    gone_through_in(store, webhook_id, selection, limit, usize::MAX).await
}

/// The same, with a bound on the bytes of a page.
async fn gone_through_in(
    store: &Store,
    webhook_id: WebhookId,
    selection: &Selection,
    limit: usize,
    bytes_max: usize,
) -> Vec<(String, bool)> {
    let (mut seen, mut position) = (Vec::new(), String::new());
    loop {
        let Candidates { rows, more } = store
            .replays
            .replay_candidates(
                &tenant("t"),
                webhook_id,
                selection,
                &position,
                PageSize { rows_max: limit, bytes_max },
            )
            .await
            .unwrap();
        assert!(rows.len() <= limit);
        let last = rows.last().map(|row| row.position.clone());
        let id =
            |event: Option<Arc<Event>>| event.map_or_else(String::new, |e| e.key.id.to_string());
        seen.extend(rows.into_iter().map(|row| (id(row.event), row.taken_up)));
        match last {
            Some(last) if more => position = last,
            _ => return seen,
        }
    }
}

fn plain(ids: &[&str]) -> Vec<(String, bool)> {
    ids.iter().map(|id| ((*id).to_owned(), false)).collect()
}

#[tokio::test]
async fn rows_are_gone_through_oldest_first_without_gaps_or_repeats() {
    on_each_database(async |store| {
        let (w, other) = (webhook(), webhook());
        let mut made = Vec::new();
        for n in 0..7 {
            // Several share a millisecond.
            let new = delivery(w, State::Missed);
            made.push((n / 3, new.id, format!("e{n}")));
            accepted(&store, &format!("e{n}"), n / 3, new).await;
        }
        accepted(&store, "foreign", 1, delivery(other, State::Missed)).await;
        accepted(&store, "sent", 2, delivery(w, State::Pending)).await;
        accepted(&store, "late", 1_000, delivery(w, State::Missed)).await;
        let missed = deliveries_in(Some(State::Missed));
        made.sort();
        let expected: Vec<_> = made.into_iter().map(|(_, _, id)| (id, false)).collect();
        for limit in [1, 2, 3, 7, 100] {
            assert_eq!(gone_through(&store, w, &missed, limit).await, expected, "{limit}");
            assert_eq!(
                gone_through_in(&store, w, &missed, limit, 1).await,
                expected,
                "one at a time"
            );
        }
        let since = Selection { since: Some(at(2)), ..deliveries_in(None) };
        let mut of_the_end = gone_through(&store, w, &since, 1).await;
        of_the_end.sort();
        assert_eq!(of_the_end, plain(&["e6", "sent"]));
        let nobody = Selection { subject: Some("contact-2".to_owned()), ..missed };
        assert!(gone_through(&store, w, &nobody, 10).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn events_of_a_period_are_gone_through_with_what_became_of_them() {
    on_each_database(async |store| {
        let w = webhook();
        store.writer.accept(vec![event("s/a"), event("a"), event("b")]).await.unwrap();
        let dropped = NewEvent { dropped_reason: Some("no".to_owned()), ..event("c") };
        store.writer.accept(vec![dropped]).await.unwrap();
        accepted(&store, "d", 5, delivery(w, State::Missed)).await;
        accepted(&store, "e", 6, delivery(webhook(), State::Missed)).await;
        let all = |only_new| Selection {
            of: ReplayOf::Events { only_new },
            since: Some(NOW),
            ..deliveries_in(None)
        };
        let mut expected = plain(&["a", "a", "b", "", "d", "e"]);
        for limit in [1, 2, 10] {
            assert_eq!(gone_through(&store, w, &all(false), limit).await, expected);
        }
        expected[4].1 = true;
        assert_eq!(gone_through(&store, w, &all(true), 2).await, expected);
        let ids = ["b", "none", "c", "a"].map(|id| id.parse().unwrap()).to_vec();
        let listed = Selection { of: ReplayOf::Listed { event_ids: ids }, ..deliveries_in(None) };
        for limit in [1, 3, 4, 9] {
            let seen = gone_through(&store, w, &listed, limit).await;
            assert_eq!(seen, plain(&["b", "", "", "a"]));
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_and_sent_since_is_taken_up() {
    on_each_database(async |store| {
        let w = webhook();
        accepted(&store, "a", 0, delivery(w, State::Missed)).await;
        let again = event("b").to(delivery(w, State::Missed)).to(delivery(w, State::Pending));
        store.writer.accept(vec![again]).await.unwrap();
        // The same id from another source is another event.
        accepted(&store, "s/a", 0, delivery(w, State::Pending)).await;
        let mut seen = gone_through(&store, w, &deliveries_in(Some(State::Missed)), 10).await;
        seen.sort();
        assert_eq!(seen, [("a".to_owned(), false), ("b".to_owned(), true)]);
    })
    .await;
}

fn step(replay: &Replay, from: &str, to: &str) -> ReplayStep {
    ReplayStep {
        id: replay.id,
        owner: me(),
        from: from.to_owned(),
        to: to.to_owned(),
        deliveries: Vec::new(),
        skipped: 0,
        now: at(9),
    }
}

#[tokio::test]
async fn a_step_counts_once_and_for_its_owner_alone() {
    on_each_database(async |store| {
        let w = webhook();
        let first = accepted(&store, "a", 0, delivery(w, State::Missed)).await;
        let waiting = delivery(w, State::Pending);
        let second = accepted(&store, "b", 0, waiting.clone()).await;
        let replay = replay(w, deliveries_in(None));
        store.replays.start_replay(&replay, &me(), None).await.unwrap();
        let (new, instead) = (delivery(w, State::Pending), delivery(w, State::Pending));
        let going = ReplayStep {
            deliveries: vec![
                (first.clone(), new.clone(), None),
                (second, instead.clone(), Some(waiting.id)),
                // A repetition: this delivery exists already.
                (first, new.clone(), None),
            ],
            skipped: 4,
            ..step(&replay, "", "p1")
        };
        let foreign = ReplayStep { owner: owner("me", 2), ..going.clone() };
        assert!(matches!(store.replays.replay_step(foreign).await, Err(StoreError::Conflict(_))));
        assert_eq!(state_of(&store, waiting.id).await, State::Pending);
        assert_eq!(store.replays.replay_step(going.clone()).await.unwrap(), [true, true, false]);
        assert_eq!(state_of(&store, waiting.id).await, State::Cancelled);
        assert_eq!(state_of(&store, new.id).await, State::Pending);
        assert!(matches!(store.replays.replay_step(going).await, Err(StoreError::Conflict(_))));
        let now = store.replays.get_replay(&tenant("t"), replay.id).await.unwrap();
        assert_eq!((now.made, now.skipped, now.position.as_str()), (2, 5, "p1"));
        let open =
            store.replays.open_deliveries(&[new.id, waiting.id, instead.id], at(9)).await.unwrap();
        assert_eq!(open.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_stopped_replay_makes_nothing_more() {
    on_each_database(async |store| {
        let w = webhook();
        let stored = accepted(&store, "a", 0, delivery(w, State::Missed)).await;
        let replay = replay(w, deliveries_in(None));
        store.replays.start_replay(&replay, &me(), None).await.unwrap();
        let (t, u) = (tenant("t"), tenant("u"));
        assert!(matches!(
            store.replays.stop_replay(&u, replay.id, NOW).await,
            Err(StoreError::NotFound)
        ));
        assert!(matches!(store.replays.get_replay(&u, replay.id).await, Err(StoreError::NotFound)));
        store.replays.stop_replay(&t, replay.id, at(3)).await.unwrap();
        let new = delivery(w, State::Pending);
        let late =
            ReplayStep { deliveries: vec![(stored, new.clone(), None)], ..step(&replay, "", "p1") };
        assert!(matches!(store.replays.replay_step(late).await, Err(StoreError::Conflict(_))));
        assert!(store.history.get_delivery(&t, new.id).await.is_err());
        let again = store.replays.stop_replay(&t, replay.id, NOW).await.unwrap_err();
        assert_eq!(again.to_string(), "the replay is stopped");
        let end = store.replays.end_replay(replay.id, &me(), ReplayEnd::Done, NOW).await;
        assert!(!end.unwrap());
        let stopped = store.replays.get_replay(&t, replay.id).await.unwrap();
        assert_eq!((stopped.state, stopped.ended_at), (ReplayState::Stopped, Some(at(3))));
        assert_eq!(store.replays.own_replay(replay.id, &me()).await.unwrap(), None);
        assert_eq!(store.replays.forget_replays(at(4)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_replay_goes_on_with_the_next_life_of_its_node_or_another_one() {
    on_each_database(async |store| {
        let first = store.queue.register_node("a", NOW, 1_000).await.unwrap();
        let other = store.queue.register_node("b", NOW, 100_000).await.unwrap();
        let replay = replay(webhook(), deliveries_in(Some(State::Failed)));
        store.replays.start_replay(&replay, &first, Some(1)).await.unwrap();
        let second = Replay { id: ReplayId::new(NOW), ..replay.clone() };
        let refused = store.replays.start_replay(&second, &first, Some(1)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
        assert!(store.replays.orphaned_replays(&first, NOW).await.unwrap().is_empty());
        assert!(store.replays.orphaned_replays(&other, NOW).await.unwrap().is_empty());
        // The lease has expired, then the node returns.
        let orphans = store.replays.orphaned_replays(&other, at(2_000)).await.unwrap();
        assert_eq!(orphans, std::slice::from_ref(&replay));
        let next = store.queue.register_node("a", at(2_000), 1_000).await.unwrap();
        assert!(store.replays.claim_replay(replay.id, &next, at(2_000)).await.unwrap());
        assert!(!store.replays.claim_replay(replay.id, &other, at(2_000)).await.unwrap());
        assert_eq!(store.replays.own_replay(replay.id, &next).await.unwrap(), Some(replay.clone()));
        let end = ReplayEnd::Failed("no webhook");
        assert!(store.replays.end_replay(replay.id, &next, end, at(2_001)).await.unwrap());
        let ended = store.replays.get_replay(&tenant("t"), replay.id).await.unwrap();
        assert_eq!(ended.error.as_deref(), Some("no webhook"));
        let of = |webhook_id| store.replays.list_replays(&replay.tenant, webhook_id, 10, None);
        let ids = async |webhook_id| {
            let page = of(webhook_id).await.unwrap();
            page.data.into_iter().map(|listed| (listed.id, listed.error)).collect::<Vec<_>>()
        };
        let listed = [(ended.id, ended.error)];
        assert_eq!(ids(None).await, listed);
        assert_eq!(ids(Some(replay.webhook_id)).await, listed);
        assert!(ids(Some(webhook())).await.is_empty());
    })
    .await;
}
