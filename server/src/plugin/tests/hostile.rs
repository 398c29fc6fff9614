//! Guests that misbehave. Each call must end as expected here, and other calls must keep working.

use std::time::{Duration, Instant};

use super::*;
use crate::plugin::inspection::component_of;

#[tokio::test]
async fn a_loop_is_stopped_and_others_go_on_meanwhile_on_the_same_thread() {
    let bench = Bench::with(Guest::Hostile, Limits { call_time_ms: 100, ..limits() }).await;
    let started = Instant::now();
    let looping = bench.ask(r#"{"mode":"loop"}"#);
    let others = async {
        for _ in 0..20 {
            assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass));
        }
        started.elapsed()
    };
    let (stopped, others_took) = tokio::join!(looping, others);
    assert_eq!(stopped, Err(CallError::TimedOut { limit_ms: 100 }));
    assert!(others_took < started.elapsed(), "the others had to wait for the loop");
}

#[tokio::test]
async fn a_loop_is_stopped_again_after_the_ticker_slept() {
    let bench = Bench::with(Guest::Hostile, Limits { call_time_ms: 5, ..limits() }).await;
    let looping = call("{}", r#"{"mode":"loop"}"#);
    for _ in 0..2 {
        let report = bench.report(looping).await;
        assert_eq!(report.result, Err(CallError::TimedOut { limit_ms: 5 }));
        assert!(report.took_us >= 5_000, "{}", report.took_us);
        while !bench.host.ticker.is_asleep() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn each_of_two_loops_gets_its_own_time() {
    let bench = Bench::with(Guest::Hostile, Limits { call_time_ms: 50, ..limits() }).await;
    let started = Instant::now();
    let looping = || bench.ask(r#"{"mode":"loop"}"#);
    let stopped = tokio::join!(looping(), looping());
    let timed_out = || Err(CallError::TimedOut { limit_ms: 50 });
    assert_eq!(stopped, (timed_out(), timed_out()));
    assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    let bench = Bench::new(Guest::Hostile).await;
    let report = bench.report(call("{}", r#"{"mode":"memory"}"#)).await;
    assert_eq!(report.result, Err(CallError::TooMuchMemory { limit_bytes: 16 << 20 }));
    assert!(report.memory_bytes <= 16 << 20, "{}", report.memory_bytes);
    assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass));
}

#[tokio::test]
async fn traps_are_told_apart() {
    let bench = Bench::new(Guest::Hostile).await;
    for (config, what) in [
        (r#"{"mode":"trap"}"#, "unreachable"),
        (r#"{"mode":"out_of_bounds"}"#, "out of bounds"),
        (r#"{"mode":"recursion"}"#, ""),
    ] {
        match bench.ask(config).await {
            Err(CallError::Trap(why)) => assert!(why.contains(what), "{config}: {why}"),
            other => panic!("{config}: {other:?}"),
        }
        assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass), "after {config}");
    }
}

#[tokio::test]
async fn answers_that_are_no_json_objects_are_refused() {
    let bench = Bench::new(Guest::Hostile).await;
    for (config, what) in [
        (r#"{"mode":"text"}"#, "no JSON: expected a value at line 1"),
        (r#"{"mode":"array"}"#, "no JSON object"),
        (r#"{"mode":"deep","count":1000}"#, "levels of nesting"),
    ] {
        match bench.ask(config).await {
            Err(CallError::BadOutput(why)) => assert!(why.contains(what), "{config}: {why}"),
            other => panic!("{config}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn large_answers_are_refused_before_they_fill_the_host() {
    let bench = Bench::with(Guest::Hostile, Limits { output_bytes_max: 1 << 20, ..limits() }).await;
    assert_eq!(data(bench.ask(r#"{"mode":"big","count":1000000}"#).await).len(), 1_000_008);
    let refused = Err(CallError::BadOutput("more than 1048576 bytes".into()));
    assert_eq!(bench.ask(r#"{"mode":"big","count":1100000}"#).await, refused);
    assert_eq!(bench.ask(r#"{"mode":"big","count":2200000}"#).await, refused);
    // 100 MiB don't even fit into the guest's memory.
    let none = Err(CallError::TooMuchMemory { limit_bytes: 16 << 20 });
    assert_eq!(bench.ask(r#"{"mode":"big","count":104857600}"#).await, none);
    // A list that repeats one megabyte a hundred or a hundred thousand times fits, and is refused.
    assert_eq!(bench.ask(r#"{"mode":"alias","count":100}"#).await, refused);
    assert_eq!(bench.ask(r#"{"mode":"alias","count":100000}"#).await, refused);
}

#[tokio::test]
async fn every_call_gets_a_fresh_instance() {
    let bench = Bench::with(Guest::Hostile, Limits { instances_max: 1, ..limits() }).await;
    for _ in 0..3 {
        assert_eq!(data(bench.ask(r#"{"mode":"state"}"#).await), r#"{"calls":1}"#);
    }
}

#[tokio::test]
async fn nothing_that_was_written_is_seen_again_however_much_it_was() {
    let bench = Bench::with(Guest::Hostile, Limits { instances_max: 1, ..limits() }).await;
    let made = bench.plugin.0.code.made.get().unwrap().as_ref().ok().unwrap();
    for (n, pages) in [1, 1, 3, 20, 1, 200, 4].into_iter().enumerate() {
        let posted = format!("{{}}{}", " ".repeat(1_000 - 10 * n));
        let config = format!(r#"{{"mode":"stain","count":{pages}}}"#);
        // The first call runs in the tight form, whose memory is cleared. Its memory has to grow,
        // so the next call of the same size runs in the ample form.
        for is_cleared in [true, false] {
            let fitting = made.fitting(posted.len() + config.len());
            let is_tight = !std::ptr::eq(fitting, &raw const made.ample);
            assert_eq!(is_tight, is_cleared, "{pages}");
            let answer = bench.report(call(&posted, &config)).await.result;
            assert_eq!(data(answer), r#"{"seen":0}"#, "{pages}");
        }
    }
}

#[tokio::test]
async fn a_plugin_sees_its_event_and_its_config() {
    let bench = Bench::new(Guest::Hostile).await;
    let attributes = [("platform".to_owned(), "whatsapp".to_owned())];
    let config = r#"{"mode":"echo","secret":"s3cret"}"#;
    let call = Call { attributes: &attributes, ..call(r#"{"b":1.10,"a":2}"#, config) };
    assert_eq!(
        data(bench.report(call).await.result),
        r#"{"id":"ev-1","type":"conversation.created","tenant":"acme","timestamp":"2026-03-10T12:00:00.000Z","attributes":{"platform":"whatsapp"},"data":{"b":1.10,"a":2},"config":{"mode":"echo","secret":"s3cret"}}"#
    );
}

#[tokio::test]
async fn logs_are_kept_up_to_their_limits() {
    let bench = Bench::new(Guest::Hostile).await;
    let report = bench.report(call("{}", r#"{"mode":"logs","count":10000}"#)).await;
    assert_eq!(report.result, Ok(Outcome::Pass));
    assert_eq!(report.logs.len(), 101);
    assert_eq!(report.logs[99], (Level::Info, "line 99".into()));
    assert_eq!(report.logs[100], (Level::Warn, "9900 more lines were not kept".into()));
    // 16 KiB is even, so no character of two bytes is cut in half.
    let report = bench.report(call("{}", r#"{"mode":"long_log","count":100000}"#)).await;
    assert_eq!(report.logs, [(Level::Error, "é".repeat(8 << 10))]);
}

#[tokio::test]
async fn a_module_and_the_component_of_it_log_the_same() {
    let module = Bench::new(Guest::Hostile).await;
    let component = component_of(&Guest::Hostile.wasm()).unwrap().into_owned();
    let component = module.host.compile(component.into(), &Owner::default()).await.unwrap();
    assert_eq!(component.inspection(), module.plugin.inspection());
    for config in [
        r#"{"mode":"logs","count":3}"#,
        r#"{"mode":"long_log","count":8191}"#,
        r#"{"mode":"long_log","count":0}"#,
        r#"{"mode":"bad_log"}"#,
    ] {
        let [one, other] = [&module.plugin, &component].map(async |plugin| {
            let report = module.host.call(plugin, call("{}", config)).await;
            (report.result.map_err(|e| e.name()), report.logs)
        });
        let (one, other) = tokio::join!(one, other);
        assert_eq!(one, other, "{config}");
        assert_eq!(one.0.is_err(), config.contains("bad"), "{config}");
    }
}

#[tokio::test]
async fn what_an_answer_may_change_depends_on_the_place() {
    let bench = Bench::new(Guest::Hostile).await;
    let ask = async |place, config| bench.report(Call { place, ..call("{}", config) }).await.result;
    let retyped = r#"{"mode":"type","name":"order.paid"}"#;
    let Ok(Outcome::Replace(replacement)) = ask(Place::Intake, retyped).await else { panic!() };
    assert_eq!(replacement.event_type.as_deref(), Some("order.paid"));
    assert_eq!(replacement.attributes, [("seen".into(), "yes".into())]);
    let header = r#"{"mode":"header","name":"X-Kind","value":"vip é"}"#;
    let Ok(Outcome::Replace(replacement)) = ask(Place::Webhook, header).await else { panic!() };
    assert_eq!(replacement.headers, [("X-Kind".into(), "vip é".into())]);

    for (place, config, what) in [
        (Place::Webhook, retyped, "at intake only"),
        (Place::Webhook, r#"{"mode":"split","count":2}"#, "at intake only"),
        (Place::Intake, header, "per webhook only"),
        (Place::Intake, r#"{"mode":"split","count":0}"#, "split into nothing"),
        (Place::Intake, r#"{"mode":"split","count":1001}"#, "split into 1001 events"),
        (Place::Intake, r#"{"mode":"type","name":"a..b"}"#, "\"a..b\" is no event type"),
        (Place::Webhook, r#"{"mode":"header","name":"X Kind","value":""}"#, "no header name"),
        (Place::Webhook, "{\"mode\":\"header\",\"name\":\"X\",\"value\":\"a\r\nb\"}", "control"),
    ] {
        match ask(place, config).await {
            Err(CallError::BadOutput(why)) => assert!(why.contains(what), "{config}: {why}"),
            other => panic!("{config}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn problems_and_reasons_arrive_and_only_fail_is_final() {
    let bench = Bench::new(Guest::Hostile).await;
    let retry = bench.ask(r#"{"mode":"retry"}"#).await.unwrap_err();
    let fail = bench.ask(r#"{"mode":"fail"}"#).await.unwrap_err();
    assert_eq!((&retry, retry.is_final()), (&CallError::Retry("later".into()), false));
    assert_eq!((&fail, fail.is_final()), (&CallError::Fail("never".into()), true));
    let dropped = bench.ask(r#"{"mode":"drop","count":5000}"#).await;
    assert_eq!(dropped, Ok(Outcome::Drop("x".repeat(1_024))));
}

#[tokio::test]
async fn calls_wait_for_a_slot_up_to_a_limit() {
    let limits = Limits { instances_max: 1, call_time_ms: 200, wait_time_ms: 20, ..limits() };
    let bench = Bench::with(Guest::Hostile, limits).await;
    let (first, second) = tokio::join!(bench.ask(r#"{"mode":"loop"}"#), bench.ask("{}"));
    assert_eq!(first, Err(CallError::TimedOut { limit_ms: 200 }));
    assert_eq!(second, Err(CallError::Busy { waited_ms: 20 }));
    assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass));
}

#[tokio::test]
async fn giving_up_on_a_call_stops_the_guest_and_frees_its_slot() {
    let limits = Limits { instances_max: 1, call_time_ms: 60_000, ..limits() };
    let bench = Bench::with(Guest::Hostile, limits).await;
    let looping = bench.ask(r#"{"mode":"loop"}"#);
    assert!(tokio::time::timeout(Duration::from_millis(10), looping).await.is_err());
    assert_eq!(bench.ask("{}").await, Ok(Outcome::Pass));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_whose_plugins_loop_leave_instances_and_threads_for_others() {
    let limits = Limits { instances_max: 8, call_time_ms: 60_000, ..limits() };
    let bench = Bench::with(Guest::Hostile, limits).await;
    let of = |tenant: &str| {
        let owner = Owner { tenant: tenant.to_owned(), plugin: "p".to_owned() };
        bench.host.share(&bench.plugin, &owner).unwrap()
    };
    let mut looping = tokio::task::JoinSet::new();
    for number in 0..24 {
        // Two tenants with two plugins each.
        let (host, plugin) = (Arc::clone(&bench.host), of(["a", "b"][number % 2]));
        looping.spawn(async move { host.call(&plugin, call("{}", r#"{"mode":"loop"}"#)).await });
    }
    while bench.host.small.slots.taken() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let calls = of("c");
    for _ in 0..50 {
        let report = bench.host.call(&calls, call("{}", "{}")).await;
        assert_eq!(report.result, Ok(Outcome::Pass));
    }
    looping.shutdown().await;
}
