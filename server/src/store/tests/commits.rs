//! Accepting events: group commit, duplicates, idempotency keys, and failures.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};
use tokio::join;
use tokio::sync::oneshot;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_commits_and_each_gets_its_own_answer() {
    on_each_database(async |store| {
        let calls = (0..64).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    // All callers share every second id.
                    let id = if n % 2 == 0 { format!("{caller}-{n}") } else { format!("all-{n}") };
                    let new = event(&id).to(delivery(webhook(), State::InFlight));
                    let accepted = store.writer.accept(vec![new]).await.unwrap();
                    assert_eq!(accepted.len(), 1);
                    assert_eq!(accepted[0].deliveries, 1);
                    if n % 2 == 0 {
                        assert!(!accepted[0].duplicate);
                    }
                    // Visible to every reader, also if another caller's event was first.
                    store
                        .history
                        .get_event(&tenant("t"), &id.parse().unwrap(), None)
                        .await
                        .unwrap();
                }
            })
        });
        for call in join_all(calls).await {
            call.unwrap();
        }
        let events = store
            .history
            .list_events(&tenant("t"), &EventFilter::default(), false, WHOLE, None)
            .await;
        assert_eq!(events.unwrap().data.len(), 64 * 5 + 5);
        let all = DeliveryFilter::default();
        let deliveries =
            store.history.list_deliveries(&tenant("t"), &all, 10_000, None).await.unwrap();
        assert_eq!(deliveries.data.len(), 64 * 5 + 5);
    })
    .await;
}

/// Accepts 20 events at once, on a runtime of its own.
fn accept_elsewhere(store: Store, wait: bool) -> impl FnOnce() {
    move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let calls = (0..20).map(|n| store.writer.accept(vec![event(&format!("{wait}-{n}"))]));
            match wait {
                true => assert!(join_all(calls).await.iter().all(Result::is_ok)),
                false => assert!(poll_immediate(join_all(calls)).await.is_none()),
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_told_on_whatever_runtime_they_wait() {
    on_each_database(async |store| {
        // Its runtime ends before its callers are answered.
        let gone = std::thread::spawn(accept_elsewhere(store.clone(), false));
        let other = std::thread::spawn(accept_elsewhere(store.clone(), true));
        let own = (0..20).map(|n| store.writer.accept(vec![event(&format!("own-{n}"))]));
        assert!(join_all(own.collect::<Vec<_>>()).await.iter().all(Result::is_ok));
        let ended = tokio::task::spawn_blocking(|| (gone.join(), other.join())).await.unwrap();
        assert!(ended.0.is_ok() && ended.1.is_ok());
    })
    .await;
}

#[tokio::test]
async fn what_is_seldom_set_is_written_where_a_row_has_it() {
    on_each_database(async |store| {
        let plain = |key: &str| {
            let mut new = event(key);
            Arc::get_mut(&mut new.event).unwrap().attributes.clear();
            new.to(delivery(webhook(), State::InFlight))
        };
        let held = || NewDelivery {
            reason: Some("held".to_owned()),
            ..delivery(webhook(), State::Pending)
        };
        store.writer.accept(vec![plain("a"), plain("b")]).await.unwrap();
        store.writer.accept(vec![plain("c"), event("d").to(held())]).await.unwrap();
        store.writer.accept(vec![plain("e")]).await.unwrap();
        let all = DeliveryFilter::default();
        let mut deliveries =
            store.history.list_deliveries(&tenant("t"), &all, 10, None).await.unwrap().data;
        deliveries.sort_by_key(|delivery| delivery.event.id.to_string());
        let told = deliveries.iter().map(|delivery| {
            let reason = delivery.reason.as_deref();
            (delivery.event.id.as_str(), delivery.subject.as_deref(), reason)
        });
        let nothing = |id| (id, None, None);
        let with = ("d", Some("contact-1"), Some("held"));
        let expected = [nothing("a"), nothing("b"), nothing("c"), with, nothing("e")];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let due: Vec<bool> = deliveries.iter().map(|d| d.next_attempt_at.is_some()).collect();
        assert_eq!(due, [false, false, false, true, false]);
    })
    .await;
}

#[tokio::test]
async fn a_known_id_answers_with_the_figures_of_the_first() {
    on_each_database(async |store| {
        let first = event("a")
            .to(delivery(webhook(), State::InFlight))
            .to(delivery(webhook(), State::Missed));
        let within = event("a").to(delivery(webhook(), State::InFlight));
        let other_source = event("shop/a");
        let other_tenant = event_of("u", "a");
        let news = vec![first, within, other_source, other_tenant];
        let figures = |accepted: Vec<Accepted>| {
            accepted.iter().map(|a| (a.duplicate, a.deliveries)).collect::<Vec<_>>()
        };
        let accepted = store.writer.accept(news).await.unwrap();
        assert_eq!(figures(accepted), [(false, 2), (true, 2), (false, 0), (false, 0)]);
        let again = vec![event("b"), event("a").to(delivery(webhook(), State::InFlight))];
        let accepted = store.writer.accept(again).await.unwrap();
        assert_eq!(figures(accepted), [(false, 0), (true, 2)]);
        let all = DeliveryFilter::default();
        let deliveries =
            store.history.list_deliveries(&tenant("t"), &all, 100, None).await.unwrap();
        assert_eq!(deliveries.data.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_posted() {
    on_each_database(async |store| {
        let mut new = event("shop/a");
        Arc::get_mut(&mut new.event).unwrap().schema_ok = false;
        let posted = new.event.clone();
        store.writer.accept(vec![new]).await.unwrap();
        let stored =
            store.history.get_event(&tenant("t"), &posted.key.id, Some("shop")).await.unwrap();
        assert_eq!(stored.event.document.text(), posted.document.text());
        assert!(stored.event.data().raw().contains("1.50"));
        assert_eq!(stored.event.attributes, posted.attributes);
        assert_eq!(stored.event.key, posted.key);
        assert!(!stored.event.schema_ok);
        let missing =
            store.history.get_event(&tenant("t"), &posted.key.id, Some("elsewhere")).await;
        assert!(matches!(missing, Err(StoreError::NotFound)));
        let foreign = store.history.get_event(&tenant("u"), &posted.key.id, None).await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn of_a_dropped_event_no_data_is_stored() {
    on_each_database(async |store| {
        let dropped = NewEvent { dropped_reason: Some("too private".to_owned()), ..event("a") };
        store.writer.accept(vec![dropped]).await.unwrap();
        let stored =
            store.history.get_event(&tenant("t"), &"a".parse().unwrap(), None).await.unwrap();
        assert_eq!(stored.dropped_reason.as_deref(), Some("too private"));
        assert_eq!(stored.event.data().raw(), "{}");
        assert!(stored.event.attributes.is_empty());
        assert_eq!(stored.event.event_type.as_str(), "conversation.created");
        let by_subject =
            EventFilter { subject: Some("contact-1".to_owned()), ..Default::default() };
        let found =
            store.history.list_events(&tenant("t"), &by_subject, false, WHOLE, None).await.unwrap();
        assert!(found.data.is_empty());
    })
    .await;
}

#[tokio::test]
async fn one_call_that_cannot_be_written_does_not_spoil_the_others() {
    on_each_database(async |store| {
        let taken = delivery(webhook(), State::InFlight);
        store.writer.accept(vec![event("first").to(taken.clone())]).await.unwrap();
        let good = |id: &str| store.writer.accept(vec![event(id)]);
        let (a, bad, c) =
            tokio::join!(good("a"), store.writer.accept(vec![event("bad").to(taken)]), good("c"));
        assert!(a.is_ok() && c.is_ok());
        assert!(bad.is_err());
        let ids = store
            .history
            .list_events(&tenant("t"), &EventFilter::default(), false, WHOLE, None)
            .await
            .unwrap();
        let ids: Vec<_> = ids.data.iter().map(|e| e.id.as_str().to_owned()).collect();
        assert_eq!(ids, ["first", "c", "a"]);
    })
    .await;
}

#[tokio::test]
async fn close_writes_what_waits_and_refuses_what_comes_later() {
    on_each_database(async |store| {
        let other = store.clone();
        let (accepted, ()) = tokio::join!(store.writer.accept(vec![event("a")]), other.close());
        assert!(!accepted.unwrap()[0].duplicate);
        let late = store.writer.accept(vec![event("b")]).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))));
        assert!(store.ping().await.is_err());
    })
    .await;
}

#[tokio::test]
async fn what_was_accepted_is_there_after_opening_again() {
    let mut databases = vec![Database::sqlite()];
    databases.extend(Database::postgres().await);
    for database in databases {
        let store = database.store().await;
        store.writer.accept(vec![event("a")]).await.unwrap();
        // Not closed: another process sees the event anyway.
        let again = database.store().await;
        again.history.get_event(&tenant("t"), &"a".parse().unwrap(), None).await.unwrap();
        assert!(again.writer.accept(vec![event("a")]).await.unwrap()[0].duplicate);
        store.close().await;
        again.close().await;
        database.remove().await;
    }
}

#[tokio::test]
async fn a_request_with_a_key_is_carried_out_once() {
    on_each_database(async |store| {
        let once = |hash: u8| Once {
            tenant: tenant("t"),
            key: "k".to_owned(),
            request_hash: vec![hash],
            now: NOW,
            answer: Box::new(|accepted| (202, format!("{} stored", accepted.len()))),
        };
        assert_eq!(store.writer.idempotent(&tenant("t"), "k").await.unwrap(), None);
        // Two concurrent requests: one is carried out, the other gets its answer.
        let (a, b) = tokio::join!(
            store.writer.accept_once(vec![event("a"), event("b")], once(1)),
            store.writer.accept_once(vec![event("c")], once(2)),
        );
        let before = Idempotent { request_hash: vec![1], status: 202, body: "2 stored".to_owned() };
        assert!(matches!(a.unwrap(), AcceptedOnce::New(accepted) if accepted.len() == 2));
        assert_eq!(b.unwrap(), AcceptedOnce::Before(before.clone()));
        assert_eq!(store.writer.idempotent(&tenant("t"), "k").await.unwrap(), Some(before));
        let c = store.history.get_event(&tenant("t"), &"c".parse().unwrap(), None).await;
        assert!(matches!(c, Err(StoreError::NotFound)));
        assert_eq!(store.writer.forget_idempotent(NOW).await.unwrap(), 0);
        assert_eq!(store.writer.forget_idempotent(at(1)).await.unwrap(), 1);
        assert_eq!(store.writer.idempotent(&tenant("t"), "k").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_lock_behind() {
    on_each_database(async |store| {
        store.configuration.put_setting("a", "1").await.unwrap();
        // Reads that are dropped in the middle of their transaction, more than the pool has connections.
        for _ in 0..20 {
            let mut lease = store.db.read().await.unwrap();
            lease.conn().begin_read().await.unwrap();
            lease.conn().execute_text("SELECT value FROM settings").await.unwrap();
        }
        store.configuration.put_setting("a", "2").await.unwrap();
        store.configuration.load().await.unwrap();
    })
    .await;
    // A write that is dropped while it holds a row lock. On SQLite the writer finishes it.
    let Some(database) = Database::postgres().await else { return };
    let store = database.store().await;
    store.configuration.put_setting("a", "1").await.unwrap();
    let (locked, has_locked) = oneshot::channel();
    let write = store.db.write(move |conn| {
        Box::pin(async move {
            conn.execute_text("UPDATE settings SET value = 'never' WHERE name = 'a'").await?;
            locked.send(()).unwrap();
            std::future::pending::<Result<(), StoreError>>().await
        })
    });
    tokio::select! {
        _ = write => unreachable!("it waits for ever"),
        locked = has_locked => locked.unwrap(),
    }
    store.configuration.put_setting("a", "2").await.unwrap();
    assert_eq!(store.configuration.setting("a").await.unwrap().as_deref(), Some("2"));
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_record_that_nobody_waits_for_shares_the_commit_of_what_comes() {
    const FOR_EVER: Duration = Duration::from_secs(86_400);
    let mut databases = vec![Database::sqlite()];
    databases.extend(Database::postgres().await);
    for database in databases {
        let settings =
            Settings { url: database.url(), record_wait: FOR_EVER, ..Settings::default() };
        let store = Store::connect(&settings).await.unwrap();
        store.migrate().await.unwrap();
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let patient = Record { can_wait: true, ..record(id, State::Delivered) };
        {
            let mut recorded = pin!(store.writer.record(patient));
            assert!(poll_immediate(&mut recorded).await.is_none());
            // The record is queued before this event, and alone would wait for a day.
            let (recorded, accepted) = join!(recorded, store.writer.accept(vec![event("next")]));
            assert_eq!(recorded.unwrap().state, Some(State::Delivered));
            assert!(!accepted.unwrap()[0].duplicate);
        }
        store.close().await;
        database.remove().await;
    }
}

#[tokio::test]
async fn a_record_that_nobody_waits_for_is_written_in_the_end() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        let patient = Record { can_wait: true, ..record(id, State::Delivered) };
        assert_eq!(store.writer.record(patient).await.unwrap().state, Some(State::Delivered));
    })
    .await;
}

#[tokio::test]
async fn a_call_larger_than_a_batch_is_stored_whole() {
    let mut databases = vec![Database::sqlite()];
    databases.extend(Database::postgres().await);
    for database in databases {
        let settings = Settings { url: database.url(), commit_batch_max: 3, ..Settings::default() };
        let store = Store::connect(&settings).await.unwrap();
        store.migrate().await.unwrap();
        let news = |call: usize| {
            let new = move |n| {
                let to = delivery(webhook(), State::InFlight);
                event(&format!("{call}-{n}")).to(to)
            };
            (0..300).map(new).collect::<Vec<_>>()
        };
        let calls = (0..5).map(|call| store.writer.accept(news(call)));
        for accepted in join_all(calls).await {
            let accepted = accepted.unwrap();
            assert_eq!(accepted.len(), 300);
            assert!(accepted.iter().all(|a| !a.duplicate && a.deliveries == 1));
        }
        let all = DeliveryFilter::default();
        let deliveries =
            store.history.list_deliveries(&tenant("t"), &all, 10_000, None).await.unwrap();
        assert_eq!(deliveries.data.len(), 1_500);
        store.close().await;
        database.remove().await;
    }
}

#[tokio::test]
async fn the_log_of_sqlite_is_moved_into_its_file_beside_the_writer() {
    let database = Database::sqlite();
    let store = database.store().await;
    let Database::Sqlite(folder) = &database else { unreachable!() };
    let file_bytes = || std::fs::metadata(folder.join("antar.db")).unwrap().len();
    store.writer.accept((0..100).map(|n| event(&n.to_string())).collect()).await.unwrap();
    let before = file_bytes();
    let checkpoint = store.db.connector.checkpointer().unwrap();
    tokio::task::spawn_blocking(checkpoint).await.unwrap();
    assert!(file_bytes() > before);
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_comes_back() {
    let Some(database) = Database::postgres().await else { return };
    let store = database.store().await;
    store.writer.accept(vec![event("a")]).await.unwrap();
    let Database::Postgres { server, name } = &database else { unreachable!() };
    let mut admin = AsyncPgConnection::establish(server).await.unwrap();
    let allow = |yes| format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {yes}");
    admin.batch_execute(&allow("false")).await.unwrap();
    let kick =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    admin.batch_execute(&kick).await.unwrap();
    let away = store.writer.accept(vec![event("b")]).await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    assert!(store.ping().await.is_err());
    admin.batch_execute(&allow("true")).await.unwrap();
    assert!(!store.writer.accept(vec![event("b")]).await.unwrap()[0].duplicate);
    store.ping().await.unwrap();
    store.close().await;
    database.remove().await;
}
