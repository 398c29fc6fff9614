//! Lists, page by page.

use super::configuration::webhook_row;
use super::*;

fn few(rows_max: usize) -> PageSize {
    PageSize { rows_max, ..WHOLE }
}

/// Follows the cursors to the end.
async fn all_pages(store: &Store, filter: &DeliveryFilter, limit: usize) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let page = store
            .history
            .list_deliveries(&tenant("t"), filter, limit, cursor.as_deref())
            .await
            .unwrap();
        assert!(page.data.len() <= limit);
        ids.extend(page.data.iter().map(|d| d.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn pages_are_newest_first_without_gaps_or_repeats() {
    on_each_database(async |store| {
        let webhook_id = webhook();
        let mut expected = Vec::new();
        for n in 0..25 {
            // Several share a millisecond.
            let accepted_at = at(n / 4);
            let new = delivery(webhook_id, State::Missed);
            expected.push((accepted_at, new.id));
            let event = NewEvent { accepted_at, ..event(&n.to_string()).to(new) };
            store.writer.accept(vec![event, event_of("u", &n.to_string())]).await.unwrap();
        }
        expected.sort();
        let expected: Vec<_> = expected.into_iter().rev().map(|(_, id)| id).collect();
        for limit in [1, 4, 10, 25, 100] {
            assert_eq!(all_pages(&store, &DeliveryFilter::default(), limit).await, expected);
        }
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let filter = EventFilter::default();
            let page = store
                .history
                .list_events(&tenant("t"), &filter, false, few(4), cursor.as_deref())
                .await
                .unwrap();
            seen.extend(page.data.iter().map(|e| (e.accepted_at, e.id.clone())));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted_by(|a, b| a > b));
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_found_by_what_the_filter_says() {
    on_each_database(async |store| {
        let (w1, w2) = (webhook(), webhook());
        let mut made = Vec::new();
        for (n, (webhook_id, state)) in
            [(w1, State::Missed), (w1, State::Pending), (w2, State::Missed)].into_iter().enumerate()
        {
            let new = delivery(webhook_id, state);
            made.push(new.id);
            let accepted_at = at(i64::try_from(n).unwrap() * 10);
            let event = NewEvent { accepted_at, ..event(&format!("e{n}")).to(new) };
            store.writer.accept(vec![event]).await.unwrap();
        }
        let found = async |filter: DeliveryFilter| {
            let mut ids = all_pages(&store, &filter, 2).await;
            ids.reverse();
            ids
        };
        let any = DeliveryFilter::default;
        let by_webhook = DeliveryFilter { webhook_id: Some(w1), ..any() };
        assert_eq!(found(by_webhook.clone()).await, made[..2]);
        let missed = DeliveryFilter { state: Some(State::Missed), ..by_webhook };
        assert_eq!(found(missed).await, made[..1]);
        let by_event = DeliveryFilter { event_id: Some("e2".parse().unwrap()), ..any() };
        assert_eq!(found(by_event).await, made[2..]);
        let by_subject = |text: &str| DeliveryFilter { subject: Some(text.to_owned()), ..any() };
        assert_eq!(found(by_subject("contact-1")).await, made);
        assert!(found(by_subject("contact-2")).await.is_empty());
        let since = DeliveryFilter { since: Some(at(10)), ..any() };
        assert_eq!(found(since).await, made[1..]);
        let until = DeliveryFilter { until: Some(at(10)), ..any() };
        assert_eq!(found(until).await, made[..1]);
        let foreign = store.history.get_delivery(&tenant("u"), made[0]).await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn events_are_found_by_what_the_filter_says() {
    on_each_database(async |store| {
        store.writer.accept(vec![event("a")]).await.unwrap();
        store.writer.accept(vec![NewEvent { accepted_at: at(10), ..event("b") }]).await.unwrap();
        let found = async |filter: EventFilter| {
            let page = store.history.list_events(&tenant("t"), &filter, true, few(10), None).await;
            page.unwrap().data.iter().map(|e| e.id.as_str().to_owned()).collect::<Vec<_>>()
        };
        let any = EventFilter::default;
        let by_type = |text: &str| EventFilter { event_type: Some(text.parse().unwrap()), ..any() };
        assert_eq!(found(by_type("conversation.created")).await, ["b", "a"]);
        assert!(found(by_type("conversation")).await.is_empty());
        assert_eq!(found(EventFilter { since: Some(at(10)), ..any() }).await, ["b"]);
        assert_eq!(found(EventFilter { until: Some(at(10)), ..any() }).await, ["a"]);
        let by_subject = EventFilter { subject: Some("contact-1".to_owned()), ..any() };
        assert_eq!(found(by_subject).await, ["b", "a"]);
    })
    .await;
}

#[tokio::test]
async fn a_made_up_cursor_is_refused() {
    on_each_database(async |store| {
        for cursor in ["", "x", "!!", "MTIz", "bm90LmE"] {
            let filter = DeliveryFilter::default();
            let page = store.history.list_deliveries(&tenant("t"), &filter, 10, Some(cursor)).await;
            assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}");
            let page = store
                .history
                .list_events(&tenant("t"), &EventFilter::default(), false, few(10), Some(cursor))
                .await;
            assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}");
            let id = DeliveryId::new(NOW);
            let page = store.history.attempts(id, few(10), Some(cursor)).await;
            assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_events_ends_before_it_has_too_many_bytes() {
    on_each_database(async |store| {
        for (n, id) in ["a:1", "b-2", "shop/c", "d", "e"].into_iter().enumerate() {
            let data = format!("{{\"text\":\"{}\"}}", "é".repeat(500));
            let accepted_at = at(i64::try_from(n).unwrap() / 2);
            let event = NewEvent { accepted_at, ..event_with(id, &data) };
            store.writer.accept(vec![event]).await.unwrap();
        }
        let pages = async |with_data, bytes_max| {
            let (mut sizes, mut ids, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
            loop {
                let (t, size) = (tenant("t"), PageSize { rows_max: 4, bytes_max });
                let filter = EventFilter::default();
                let list =
                    store.history.list_events(&t, &filter, with_data, size, cursor.as_deref());
                let page = list.await.unwrap();
                sizes.push(page.data.len());
                for event in page.data {
                    assert_eq!(event.data.is_some(), with_data);
                    assert!(event.data_kept);
                    ids.push(event.id.to_string());
                }
                cursor = page.next_cursor;
                if cursor.is_none() {
                    assert_eq!(ids, ["e", "d", "c", "b-2", "a:1"]);
                    return sizes;
                }
            }
        };
        // An event has about 1,011 bytes of data, and some of attributes.
        assert_eq!(pages(true, 2_300).await, [2, 2, 1]);
        assert_eq!(pages(true, 10).await, [1, 1, 1, 1, 1]);
        assert_eq!(pages(true, usize::MAX).await, [4, 1]);
        assert_eq!(pages(false, 2_300).await, [4, 1]);
    })
    .await;
}

#[tokio::test]
async fn a_page_of_attempts_or_revisions_ends_before_it_has_too_many_bytes() {
    on_each_database(async |store| {
        let id = standing_in(&store, State::InFlight, webhook()).await;
        for number in 1..=40 {
            let mut tried = attempt(number, 500);
            tried.response.as_mut().unwrap().body = "x".repeat(1_000);
            let one = Record { attempt: Some(tried), ..record(id, State::Failed) };
            store.writer.record(one).await.unwrap();
        }
        let (mut sizes, mut numbers, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let size = PageSize { rows_max: 18, bytes_max: 20_000 };
            let page = store.history.attempts(id, size, cursor.as_deref()).await.unwrap();
            sizes.push(page.data.len());
            numbers.extend(page.data.iter().map(|attempt| attempt.number));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert!(sizes.iter().all(|size| *size <= 18), "{sizes:?}");
        assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
        let size = PageSize { rows_max: 18, bytes_max: 5_000 };
        assert_eq!(store.history.attempts(id, size, None).await.unwrap().data.len(), 4);

        let mut row = webhook_row("t", "crm");
        row.spec = format!("{{\"name\":\"{}\"}}", "x".repeat(1_000));
        store.configuration.insert_webhook(row.clone()).await.unwrap();
        for revision in 1..=4 {
            store.configuration.update_webhook(row.clone(), revision, 50).await.unwrap();
        }
        let size = PageSize { rows_max: 18, bytes_max: 2_500 };
        let page = store.configuration.webhook_revisions(row.id, size, None).await.unwrap();
        assert_eq!(page.data.iter().map(|r| r.revision).collect::<Vec<_>>(), [5, 4]);
        let cursor = page.next_cursor.as_deref();
        let page = store.configuration.webhook_revisions(row.id, size, cursor).await.unwrap();
        assert_eq!(page.data.iter().map(|r| r.revision).collect::<Vec<_>>(), [3, 2]);
        let found = store.configuration.webhook_revision(row.id, 4).await.unwrap();
        assert_eq!((found.revision, found.spec), (4, row.spec));
        let none = store.configuration.webhook_revision(row.id, 9).await;
        assert!(matches!(none, Err(StoreError::NotFound)));
    })
    .await;
}
