//! The bundled plugins, and the SDK that they are written with.

use antar_json::{Builder, Document, Value};

use super::{super::Kind, *};

/// An outcome in the form of a fixture's `expect`.
fn as_expected(result: &Result<Outcome, CallError>) -> Document {
    let mut out = Builder::new();
    let (key, text) = match result {
        Ok(Outcome::Pass) => {
            out.string("pass");
            return out.finish();
        }
        Ok(Outcome::Replace(replacement)) => {
            out.object().key("data").copy(replacement.data.root());
            return out.finish();
        }
        Ok(Outcome::Drop(reason)) => ("drop", reason),
        Err(CallError::Retry(reason)) => ("retry", reason),
        Err(CallError::Fail(reason)) => ("fail", reason),
        other => panic!("no fixture expects {other:?}"),
    };
    out.object().key(key).string(text);
    out.finish()
}

#[tokio::test]
async fn bundled_plugins_answer_inside_as_they_do_natively() {
    for guest in Guest::BUNDLED {
        let bench = Bench::new(guest).await;
        let mut count = 0;
        for entry in std::fs::read_dir(guest.fixtures()).unwrap() {
            let path = entry.unwrap().path();
            let fixture: Document = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            let root = fixture.root();
            let data = root.at("event.data").map_or("{}", Value::raw);
            let config = root.get("config").map_or("{}", Value::raw);
            let report = bench.report(call(data, config)).await;
            let expected = root.get("expect").unwrap().raw();
            assert_eq!(as_expected(&report.result).text(), expected, "{}", path.display());
            count += 1;
        }
        assert!(count >= 3, "{} has {count} fixtures", guest.name());
    }
}

#[tokio::test]
async fn bundled_plugins_say_what_they_are_and_are_small() {
    for guest in Guest::BUNDLED {
        let Bench { plugin, .. } = Bench::new(guest).await;
        let kind = match guest {
            Guest::ByInbox | Guest::ByLabel => Kind::Filter,
            _ => Kind::Transform,
        };
        eprintln!("{}: {} bytes", guest.name(), plugin.size_bytes());
        assert_eq!(plugin.kind(), kind);
        assert!(plugin.size_bytes() < 200 << 10, "{}: {}", guest.name(), plugin.size_bytes());
        assert!(plugin.description().len() > 40, "{}", plugin.description());
        let schema: Document = plugin.config_schema().unwrap().parse().unwrap();
        let fields = schema.root().get("properties").unwrap();
        for (name, field) in fields.members() {
            assert!(
                field.get("description").is_some() || field.get("$ref").is_some(),
                "{}: {name:?}",
                guest.name()
            );
        }
    }
}

#[tokio::test]
async fn a_config_is_checked_by_the_schema_that_comes_from_its_type() {
    let errors = |plugin: &Plugin, config: serde_json::Value| -> Vec<String> {
        plugin.config_errors(&config).into_iter().map(|e| e.pointer).collect()
    };
    let Bench { plugin, .. } = Bench::new(Guest::ByInbox).await;
    assert!(errors(&plugin, serde_json::json!({"inboxes": ["Sales"]})).is_empty());
    assert_eq!(errors(&plugin, serde_json::json!({"inboxes": [7]})), ["/inboxes/0"]);
    assert_eq!(errors(&plugin, serde_json::json!({})), [""]);
    assert_eq!(errors(&plugin, serde_json::json!({"inboxes": [], "inbox": 1})), [""]);
    let Bench { plugin, .. } = Bench::new(Guest::Reshape).await;
    let nested = serde_json::json!({"to": {"a": {"object": {"b": ["c"]}}}});
    assert!(!errors(&plugin, nested).is_empty());
    let nested = serde_json::json!({"to": {"a": {"object": {"b": {"array": ["c"]}}}}});
    assert!(errors(&plugin, nested).is_empty());
}

#[tokio::test]
async fn typed_data_stays_exact_and_large_data_grows_the_memory() {
    let bench = Bench::new(Guest::Typed).await;
    let posted = r#"{"id":8202522731445525542,"more":{"a":1.10,"b":{"z":1,"a":2}}}"#;
    let report = bench.report(call(posted, r#"{"act":"count"}"#)).await;
    assert_eq!(data(report.result), posted.replace("542,", "543,"));
    assert_eq!(report.logs.len(), 1);
    assert_eq!(report.logs[0].1, "conversation.created of acme");
    let report = bench.report(call(r#"{"id":1000000}"#, r#"{"act":"fill"}"#)).await;
    assert_eq!(data(report.result).len(), r#"{"id":1000000,"more":{"text":""}}"#.len() + 1_000_000);
    assert!(report.memory_bytes > 2_000_000, "{}", report.memory_bytes);
    assert_eq!(bench.plugin.description(), "Does one thing or another.\n\nFor tests.");
}

/// Data as deep as an answer may be, processed recursively on the stack that guests are built with.
#[tokio::test]
async fn a_guests_stack_is_enough_for_the_deepest_data() {
    let bench = Bench::new(Guest::Typed).await;
    let depth = limits().output_depth_max - 2;
    let (opens, closes) = ("[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
    let posted = format!(r#"{{"id":1,"more":{{"deep":{opens}"text"{closes}}}}}"#);
    assert_eq!(data(bench.report(call(&posted, r#"{"act":"tree"}"#)).await.result), posted);
}

#[tokio::test]
async fn a_panic_is_a_trap_whose_message_is_in_the_log() {
    let bench = Bench::new(Guest::Typed).await;
    let report = bench.report(call(r#"{"id":3}"#, r#"{"act":"panic"}"#)).await;
    assert!(matches!(report.result, Err(CallError::Trap(_))), "{:?}", report.result);
    let (_, message) = report.logs.last().unwrap();
    assert!(message.contains("index out of bounds: the len is 0 but the index is 3"), "{message}");
    assert!(message.contains("lib.rs"), "{message}");
}

#[tokio::test]
async fn a_transform_splits_at_intake() {
    let bench = Bench::new(Guest::Typed).await;
    let call = Call { place: Place::Intake, ..call(r#"{"id":1}"#, r#"{"act":"split"}"#) };
    let Ok(Outcome::Split(parts)) = bench.report(call).await.result else { panic!("no split") };
    let types: Vec<_> = parts.iter().map(|part| part.event_type.as_deref()).collect();
    assert_eq!(types, [Some("part.one"), Some("part.two")]);
    assert_eq!(parts[1].attributes, [("part".into(), "2".into())]);
}
