//! Events when the writer's queue is full.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::*;

/// Runs `test` on a store whose queue holds one job, with a function that lets its blocked writer go on.
async fn with_blocked_writer(
    queue_wait: Duration,
    test: impl AsyncFnOnce(&Store, Box<dyn FnOnce()>),
) {
    let database = Database::sqlite();
    let settings = Settings {
        url: database.url(),
        commit_queue_max: 1,
        commit_queue_wait: queue_wait,
        ..Settings::default()
    };
    let store = Store::connect(&settings).await.unwrap();
    store.migrate().await.unwrap();
    let (started, has_started) = oneshot::channel();
    let (let_go, waits) = oneshot::channel::<()>();
    let busy = store.db.write(move |_| {
        Box::pin(async move {
            started.send(()).unwrap();
            waits.await.unwrap();
            Ok(())
        })
    });
    let others = async {
        has_started.await.unwrap();
        test(&store, Box::new(move || let_go.send(()).unwrap())).await;
    };
    let (written, ()) = tokio::join!(busy, others);
    written.unwrap();
    store.close().await;
    database.remove().await;
}

#[tokio::test]
async fn events_wait_for_their_place_in_a_full_queue() {
    with_blocked_writer(Duration::from_secs(60), async |store, let_go| {
        let mut first = Box::pin(store.writer.accept(vec![event("a")]));
        let mut second = Box::pin(store.writer.accept(vec![event("b")]));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        let_go();
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok() && second.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_stays_full_is_busy() {
    with_blocked_writer(Duration::from_millis(20), async |store, let_go| {
        let mut first = Box::pin(store.writer.accept(vec![event("a")]));
        assert!(first.as_mut().now_or_never().is_none());
        let second = store.writer.accept(vec![event("b")]).await;
        assert!(matches!(second, Err(StoreError::Busy)));
        let_go();
        first.await.unwrap();
    })
    .await;
}
