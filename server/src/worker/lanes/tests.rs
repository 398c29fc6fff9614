use std::collections::HashSet;

use super::*;
use crate::model::{DeliveryId, Event, EventKey};
use crate::model::{TenantId, WebhookId};

fn job_of(tenant: &str, webhook: u128, attempts: u32) -> Job {
    job_with(tenant, webhook, attempts, &serde_json::json!({}))
}

fn job_with(tenant: &str, webhook: u128, attempts: u32, data: &serde_json::Value) -> Job {
    let key = EventKey {
        tenant: tenant.parse().unwrap(),
        source: String::new(),
        id: "e".parse().unwrap(),
    };
    let data = antar_json::Document::from(data);
    let event = Event::new(key, "a".parse().unwrap(), Millis(0), Vec::new(), data.root());
    Job {
        delivery_id: DeliveryId::new(Millis(0)),
        webhook_id: id(webhook),
        event: Arc::new(event),
        attempts,
        schedule_start: 0,
        frozen: None,
        ordered: false,
    }
}

/// A time-out.
const HUNG: Feedback = Feedback::Failed { answered: false };

fn job(webhook: u128) -> Job {
    job_of("t", webhook, 0)
}

fn id(webhook: u128) -> WebhookId {
    WebhookId(uuid::Uuid::from_u128(webhook))
}

fn limits(webhook: u128, in_flight_max: usize) -> LaneLimits {
    let key = LaneKey::Webhook(id(webhook));
    LaneLimits { key, in_flight_max, rate_per_s: None, weight: 1 }
}

fn lanes(queue_max: usize, queue_per_webhook_max: usize) -> Lanes {
    Lanes::new(&DeliveryConfig { queue_max, queue_per_webhook_max, ..DeliveryConfig::default() })
}

/// Starts all jobs that may start; returns their tickets and webhooks.
fn start(lanes: &mut Lanes, now: i64) -> Vec<(Ticket, u128)> {
    let jobs = std::iter::from_fn(|| lanes.next(Millis(now)));
    jobs.map(|(ticket, job)| (ticket, job.webhook_id.0.as_u128())).collect()
}

fn started(lanes: &mut Lanes, now: i64) -> Vec<u128> {
    start(lanes, now).into_iter().map(|(_, webhook)| webhook).collect()
}

fn end(lanes: &mut Lanes, tickets: &[(Ticket, u128)], webhook: u128, now: i64) {
    let (ticket, _) = tickets.iter().find(|(_, of)| *of == webhook).unwrap();
    assert!(lanes.done(ticket, Millis(now), Feedback::Fine).is_none());
}

#[test]
fn webhooks_take_turns_and_stay_within_their_bound() {
    let mut lanes = lanes(100, 100);
    for webhook in [1, 1, 1, 2, 3] {
        assert!(lanes.push(job(webhook), limits(webhook, 2)).is_none());
    }
    let tickets = start(&mut lanes, 0);
    assert_eq!(tickets.iter().map(|t| t.1).collect::<Vec<_>>(), [1, 2, 3, 1]);
    end(&mut lanes, &tickets, 2, 0);
    assert_eq!(started(&mut lanes, 0), []);
    end(&mut lanes, &tickets, 1, 0);
    assert_eq!(started(&mut lanes, 0), [1]);
}

#[test]
fn a_full_lane_refuses_and_takes_again() {
    let mut lanes = lanes(8, 2);
    let occupancy = lanes.occupancy();
    let tenant: TenantId = "t".parse().unwrap();
    let mut push = |webhook| lanes.push(job(webhook), limits(webhook, 1)).is_none();
    assert!(push(1) && push(1));
    assert!(!push(1), "the lane is full");
    assert!(!occupancy.has_room(&tenant, id(1)));
    assert!(push(2) && push(2) && push(3));
    assert!(!push(3), "the last places are for others");
    assert!(push(4) && push(5) && push(6));
    assert!(!push(7), "memory is full");
    assert_eq!(occupancy.full().0.len(), 2);
    assert_eq!(lanes.room_below(2)[&id(3)], 1);
    assert_eq!(started(&mut lanes, 0), [1, 2, 3, 4, 5, 6]);
    assert!(occupancy.has_room(&tenant, id(1)));
    assert!(lanes.take_freed() && !lanes.take_freed());
    assert_eq!(lanes.clear().len(), 2);
    assert_eq!(lanes.running(), 6);
}

#[test]
fn the_database_is_asked_again_when_half_of_what_it_filled_is_free() {
    let mut lanes = lanes(100, 8);
    let occupancy = lanes.occupancy();
    let tenant: TenantId = "t".parse().unwrap();
    // The poll filled the lane; one job has left since.
    for _ in 0..7 {
        assert!(lanes.push(job(1), limits(1, 100)).is_none());
    }
    lanes.may_have_more(&HashSet::from([id(1)]));
    assert!(!occupancy.has_room(&tenant, id(1)), "what comes now waits behind what is older");
    for left in [6, 5] {
        lanes.next(Millis(0)).unwrap();
        assert!(!lanes.take_freed(), "{left} still wait");
    }
    lanes.next(Millis(0)).unwrap();
    assert!(lanes.take_freed() && occupancy.has_room(&tenant, id(1)));
    // If half is free already, the next poll is due at once.
    lanes.may_have_more(&HashSet::from([id(1), id(2)]));
    assert!(lanes.take_freed());
}

#[test]
fn claims_that_found_no_room_go_on_when_half_of_memory_is_free() {
    let mut lanes = lanes(8, 8);
    for webhook in 1..=5 {
        assert!(lanes.push(job(webhook), limits(webhook, 1)).is_none());
    }
    assert_eq!(lanes.room_for_claims(1), 1);
    lanes.next(Millis(0)).unwrap();
    assert!(!lanes.take_freed(), "there was room for all that was wanted");
    assert!(lanes.push(job(6), limits(6, 1)).is_none());
    assert_eq!(lanes.room_for_claims(3), 1);
    lanes.next(Millis(0)).unwrap();
    assert!(lanes.take_freed());
}

#[test]
fn one_webhook_leaves_attempts_for_others() {
    let config = DeliveryConfig { in_flight_max: 8, ..DeliveryConfig::default() };
    let mut lanes = Lanes::new(&config);
    for webhook in [1, 1, 1, 1, 1, 1, 1, 1, 2] {
        assert!(lanes.push(job(webhook), limits(webhook, 100)).is_none());
    }
    let first = start(&mut lanes, 0);
    assert_eq!(first.iter().filter(|(_, webhook)| *webhook == 1).count(), 2);
    assert!(first.iter().any(|(_, webhook)| *webhook == 2));
    end(&mut lanes, &first, 2, 0);
    end(&mut lanes, &first, 1, 0);
    assert_eq!(started(&mut lanes, 0), [1, 1], "there is more room again");
}

#[test]
fn a_rate_is_kept_smoothly_and_holds_nobody_else() {
    let mut lanes = lanes(100, 100);
    let slow = LaneLimits { rate_per_s: Some(4.0), ..limits(1, 10) };
    for _ in 0..4 {
        assert!(lanes.push(job(1), slow.clone()).is_none());
    }
    assert!(lanes.push(job(2), limits(2, 10)).is_none());
    assert_eq!(started(&mut lanes, 1_000), [1, 2]);
    assert_eq!(lanes.wake_at(), Some(Millis(1_250)));
    assert_eq!(started(&mut lanes, 1_249), []);
    assert_eq!(started(&mut lanes, 1_250), [1]);
    // Missed starts are not made up for in a burst.
    assert_eq!(started(&mut lanes, 9_000), [1]);
    assert_eq!(started(&mut lanes, 9_250), [1]);
}

#[test]
fn a_rate_outlives_an_empty_queue() {
    let mut lanes = lanes(100, 100);
    let slow = LaneLimits { rate_per_s: Some(1.0), ..limits(1, 10) };
    assert!(lanes.push(job(1), slow.clone()).is_none());
    let tickets = start(&mut lanes, 0);
    end(&mut lanes, &tickets, 1, 10);
    assert!(lanes.push(job(1), slow.clone()).is_none());
    assert_eq!(started(&mut lanes, 10), []);
    assert_eq!(started(&mut lanes, 1_000), [1]);
}

#[test]
fn webhooks_with_the_same_share_count_together() {
    let mut lanes = lanes(100, 100);
    let key = LaneKey::Share("t".parse().unwrap(), "crm".into());
    let shared = LaneLimits { key, ..limits(1, 1) };
    for webhook in [1, 2] {
        assert!(lanes.push(job(webhook), shared.clone()).is_none());
    }
    let tickets = start(&mut lanes, 0);
    assert_eq!(tickets[0].1, 1);
    end(&mut lanes, &tickets, 1, 0);
    assert_eq!(started(&mut lanes, 0), [2]);
}

#[test]
fn tenants_take_turns_by_weight_however_many_webhooks_they_have() {
    let mut lanes = lanes(1_000, 100);
    for webhook in 0..20 {
        assert!(lanes.push(job_of("crowd", webhook, 0), limits(webhook, 1)).is_none());
    }
    for _ in 0..6 {
        assert!(lanes.push(job_of("small", 100, 0), limits(100, 10)).is_none());
    }
    for webhook in 200..206 {
        let heavy = LaneLimits { weight: 2, ..limits(webhook, 1) };
        assert!(lanes.push(job_of("heavy", webhook, 0), heavy).is_none());
    }
    let order = started(&mut lanes, 0);
    let first: Vec<_> = order[..8].iter().map(|webhook| webhook / 100).collect();
    assert_eq!(first, [0, 1, 2, 2, 0, 1, 2, 2]);
    assert_eq!(order.len(), 32);
}

#[test]
fn a_receiver_that_says_too_much_rests_and_then_gets_one_at_a_time() {
    let mut lanes = lanes(100, 100);
    let occupancy = lanes.occupancy();
    for _ in 0..5 {
        assert!(lanes.push(job(1), limits(1, 2)).is_none());
    }
    let tickets = start(&mut lanes, 10_000);
    assert_eq!(tickets.len(), 2);
    let too_fast = Feedback::TooFast { retry_at: None };
    let back = lanes.done(&tickets[0].0, Millis(10_000), too_fast).unwrap();
    assert_eq!((back.jobs.len(), back.due_at), (3, Millis(11_000)));
    assert!(lanes.done(&tickets[1].0, Millis(10_001), too_fast).is_none(), "the same complaint");
    assert_eq!(occupancy.rests_until(id(1)), Some(Millis(11_000)));
    assert!(lanes.push(job(1), limits(1, 2)).is_some(), "nothing waits in memory meanwhile");
    assert_eq!(lanes.wake_at(), Some(Millis(11_000)));
    assert_eq!(started(&mut lanes, 11_000), []);
    assert!(lanes.take_freed(), "the database is asked for what is due");
    for _ in 0..3 {
        assert!(lanes.push(job(1), limits(1, 2)).is_none());
    }
    let one = start(&mut lanes, 11_000);
    assert_eq!(one.len(), 1);
    end(&mut lanes, &one, 1, 11_001);
    assert_eq!(started(&mut lanes, 11_001), [1, 1], "a good answer, and it is as before");
}

#[test]
fn attempts_that_take_long_give_their_places_to_quick_ones() {
    let config = DeliveryConfig {
        in_flight_max: 4,
        slow_in_flight_max: 6,
        slow_after_ms: 1_000,
        ..DeliveryConfig::default()
    };
    let mut lanes = Lanes::new(&config);
    for webhook in 1..=8 {
        assert!(lanes.push(job(webhook), limits(webhook, 1)).is_none());
    }
    let hanging = start(&mut lanes, 0);
    assert_eq!(hanging.len(), 4, "all places are taken");
    assert_eq!(lanes.wake_at(), Some(Millis(1_000)));
    let more = start(&mut lanes, 1_000);
    assert_eq!(more.iter().map(|t| t.1).collect::<Vec<_>>(), [5, 6, 7, 8]);
    // Two of these find no slow slot, and keep their quick ones.
    assert_eq!(started(&mut lanes, 2_000), []);
    for webhook in [1, 2, 9] {
        assert!(lanes.push(job(webhook), limits(webhook, 2)).is_none());
    }
    let quick = start(&mut lanes, 2_000);
    assert_eq!(
        quick.iter().map(|t| t.1).collect::<Vec<_>>(),
        [9],
        "a slow lane waits for slow places"
    );
    end(&mut lanes, &quick, 9, 2_010);
    // Freed slow slots first go to attempts that kept a quick one; half of the slow slots stay reserved for
    // attempts not yet known to be slow.
    for (ticket, _) in hanging[2..].iter().chain(&more[..2]).chain(&hanging[..1]) {
        assert!(lanes.done(ticket, Millis(5_000), HUNG).is_none());
        assert_eq!(started(&mut lanes, 5_000), []);
    }
    assert!(lanes.done(&more[2].0, Millis(5_000), HUNG).is_none());
    assert_eq!(started(&mut lanes, 5_000), [1]);
    // A lane whose receiver answered after all needs no slow slot.
    end(&mut lanes, &hanging, 2, 5_000);
    let quick = start(&mut lanes, 5_000);
    assert_eq!(quick.iter().map(|t| t.1).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_last_places_are_for_first_attempts() {
    let config = DeliveryConfig { in_flight_max: 4, ..DeliveryConfig::default() };
    let mut lanes = Lanes::new(&config);
    for webhook in 1..=6 {
        assert!(lanes.push(job_of("t", webhook, 3), limits(webhook, 1)).is_none());
    }
    let again = start(&mut lanes, 0);
    assert_eq!(again.len(), 3);
    assert!(lanes.push(job(7), limits(7, 1)).is_none());
    assert_eq!(started(&mut lanes, 0), [7]);
    end(&mut lanes, &again, 1, 1);
    assert_eq!(started(&mut lanes, 1), [], "the place that is left is for a first attempt");
    end(&mut lanes, &again, 2, 2);
    assert_eq!(started(&mut lanes, 2), [4]);
}

/// Random pushes and ends in random order: no limit is exceeded, and no job is lost.
#[test]
fn bounds_hold_and_nothing_is_lost() {
    let config = DeliveryConfig {
        in_flight_max: 7,
        slow_in_flight_max: 5,
        slow_after_ms: 50,
        queue_max: 40,
        queue_per_webhook_max: 9,
        rest_ms_max: 2_000,
        ..DeliveryConfig::default()
    };
    for seed in 1..40_u64 {
        let mut random = seed;
        let mut draw = |max: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % max
        };
        let mut lanes = Lanes::new(&config);
        let (mut now, mut running, mut open) = (1_000_000, Vec::new(), 0_usize);
        for _ in 0..3_000 {
            now += i64::try_from(draw(30)).unwrap();
            let webhook = u128::from(draw(12));
            let tenant = ["a", "b", "c"][usize::try_from(webhook % 3).unwrap()];
            let attempts = u32::try_from(draw(2)).unwrap();
            let limits = LaneLimits {
                rate_per_s: (webhook == 5).then_some(20.0),
                weight: 1 + u32::try_from(webhook % 3).unwrap(),
                ..limits(webhook, 3)
            };
            if lanes.push(job_of(tenant, webhook, attempts), limits).is_none() {
                open += 1;
            }
            running.extend(start(&mut lanes, now));
            assert!(running.len() <= 12 && lanes.running() == running.len(), "seed {seed}");
            let of = |webhook| running.iter().filter(|(_, of)| *of == webhook).count();
            assert!((0..12).all(|webhook| of(webhook) <= 3), "seed {seed}");
            if !running.is_empty() && draw(3) > 0 {
                let place = usize::try_from(draw(running.len() as u64)).unwrap();
                let (ticket, _) = running.swap_remove(place);
                let feedback = match draw(12) {
                    0 => Feedback::TooFast { retry_at: None },
                    1 => HUNG,
                    2 => Feedback::Failed { answered: true },
                    _ => Feedback::Fine,
                };
                let back = lanes.done(&ticket, Millis(now), feedback);
                open -= 1 + back.map_or(0, |back| back.jobs.len());
            }
        }
        // Given time and successful answers, all jobs end.
        for _ in 0..2_000 {
            now += 5_000;
            running.extend(start(&mut lanes, now));
            for (ticket, _) in running.drain(..) {
                assert!(lanes.done(&ticket, Millis(now), Feedback::Fine).is_none());
                open -= 1;
            }
        }
        assert_eq!((open, lanes.running()), (0, 0), "seed {seed}");
        let occupancy = lanes.occupancy();
        assert_eq!(occupancy.full(), (Vec::new(), Vec::new()), "seed {seed}");
    }
}

#[test]
fn a_rest_outlives_that_the_queues_are_emptied() {
    let mut lanes = lanes(10, 10);
    assert!(lanes.push(job(1), limits(1, 1)).is_none());
    let tickets = start(&mut lanes, 0);
    lanes.done(&tickets[0].0, Millis(0), Feedback::TooFast { retry_at: None });
    assert!(lanes.clear().is_empty());
    assert_eq!(lanes.occupancy().rests_until(id(1)), Some(Millis(1_000)));
    assert!(lanes.push(job(1), limits(1, 1)).is_some());
    assert_eq!(started(&mut lanes, 1_000), []);
    assert!(lanes.push(job(1), limits(1, 1)).is_none());
    assert_eq!(started(&mut lanes, 1_000), [1]);
}

#[test]
fn waits_are_as_long_as_they_were_when_the_clock_is_set_back() {
    let mut lanes = lanes(10, 10);
    let paced = || LaneLimits { rate_per_s: Some(1.0), ..limits(1, 10) };
    for _ in 0..2 {
        assert!(lanes.push(job(1), paced()).is_none());
    }
    assert_eq!(started(&mut lanes, 100_000), [1]);
    lanes.set_back(60_000);
    assert_eq!(lanes.wake_at(), Some(Millis(41_000)));
    assert_eq!(started(&mut lanes, 40_999), []);
    assert_eq!(started(&mut lanes, 41_000), [1]);
}

/// Hanging attempts take all slots but one; every lane has another job, and uses its share.
fn crowd(hanging: u128) -> (Lanes, Vec<(Ticket, u128)>) {
    let config =
        DeliveryConfig { in_flight_max: hanging as usize + 2, ..DeliveryConfig::default() };
    let mut lanes = Lanes::new(&config);
    let push = |lanes: &mut Lanes, webhook| {
        assert!(lanes.push(job(webhook), limits(webhook, 2)).is_none());
    };
    (1..=hanging).for_each(|webhook| push(&mut lanes, webhook));
    assert_eq!(started(&mut lanes, 0).len(), hanging as usize);
    push(&mut lanes, 0);
    let tickets = start(&mut lanes, 500);
    (1..=hanging).chain([0]).for_each(|webhook| push(&mut lanes, webhook));
    assert_eq!(started(&mut lanes, 500), []);
    (lanes, tickets)
}

#[test]
fn a_lane_whose_attempt_ended_goes_on_however_many_have_their_share_before_it() {
    let (mut lanes, tickets) = crowd(40);
    end(&mut lanes, &tickets, 0, 600);
    assert_eq!(started(&mut lanes, 600), [0]);
}

#[test]
fn places_that_hanging_attempts_leave_are_for_those_that_had_their_share() {
    let (mut lanes, _) = crowd(40);
    assert_eq!(lanes.wake_at(), Some(Millis(1_000)));
    assert!(started(&mut lanes, 1_000).contains(&0));
}

#[test]
fn a_job_with_much_data_takes_places_until_it_is_done() {
    let (queue_max, queue_bytes_max) = (100, 100 << 10);
    let config = DeliveryConfig { queue_max, queue_bytes_max, ..DeliveryConfig::default() };
    let mut lanes = Lanes::new(&config);
    let data = serde_json::json!({ "x": "x".repeat(20 << 10) });
    let large = |webhook| job_with("t", webhook, 0, &data);
    // Each takes 21 places; the third may begin while 16 are left of the lane's half.
    assert!(lanes.push(large(1), limits(1, 9)).is_none());
    assert!(lanes.push(large(1), limits(1, 9)).is_none());
    assert!(lanes.push(large(1), limits(1, 9)).is_some());
    assert_eq!((lanes.places, lanes.room_below(1)[&id(1)]), (42, 958));
    let tickets = start(&mut lanes, 0);
    assert_eq!((tickets.len(), lanes.places, lanes.waiting), (2, 40, 0));
    assert_eq!(lanes.room_for_claims(10), 35);
    assert!(lanes.clear().is_empty());
    assert_eq!(lanes.places, 40, "running jobs keep theirs");
    end(&mut lanes, &tickets, 1, 0);
    assert_eq!(lanes.places, 20);
    lanes.done(&tickets[1].0, Millis(0), HUNG);
    assert_eq!((lanes.places, lanes.places_slow), (0, 0));
}
