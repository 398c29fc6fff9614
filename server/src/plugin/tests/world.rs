//! Guests that import WASI: they see nothing but their event.

use super::*;

/// What the guest reports on an event with this id.
async fn seen_of(id: &str, what: &str) -> Result<String, CallError> {
    let bench = Bench::new(Guest::Wasi).await;
    let config = format!("\"{what}\"");
    match bench.report(Call { id, ..call("{}", &config) }).await.result {
        Ok(Outcome::Drop(seen)) => Ok(seen),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

async fn seen(what: &str) -> String {
    seen_of("ev-1", what).await.unwrap()
}

#[tokio::test]
async fn there_are_no_files_no_network_and_no_environment() {
    let bench = Bench::new(Guest::Wasi).await;
    assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass));
    assert_eq!(seen("environment").await, "[] None");
    assert_eq!(seen("files").await, "0");
    assert!(seen("network").await.contains("access-denied"), "{}", seen("network").await);
}

#[tokio::test]
async fn the_clock_is_the_events_and_sleeping_takes_no_time() {
    assert_eq!(seen("clock").await, "1773144000.0");
    assert_eq!(seen("sleep").await, "(false, [1]) 5 s, then 5 s");
}

#[tokio::test]
async fn random_bytes_follow_from_the_event() {
    let random = async |id| seen_of(id, "random").await.unwrap();
    assert_eq!(random("ev-1").await, random("ev-1").await);
    assert_ne!(random("ev-1").await, random("ev-2").await);
}

#[tokio::test]
async fn what_is_printed_is_logged_line_by_line() {
    let bench = Bench::new(Guest::Wasi).await;
    let report = bench.report(call("{}", "\"print\"")).await;
    assert_eq!(report.result, Ok(Outcome::Drop("Ok(65536) Ok(())".into())));
    let lines = ["one", "two", "three"].map(|line| (Level::Info, line.to_owned()));
    assert_eq!(report.logs, lines);
}

#[tokio::test]
async fn exit_and_greed_are_traps_with_a_reason() {
    for (what, why) in [
        ("exit", "it called exit"),
        ("much", "random bytes at once are more than 65536"),
        ("handles", "more than 10000 handles are open"),
    ] {
        match seen_of("ev-1", what).await {
            Err(CallError::Trap(reason)) => assert!(reason.contains(why), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}
