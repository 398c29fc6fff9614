//! The bundled plugins `script-filter` and `script-transform`: three lines of JavaScript in a
//! webhook's config.

use antar_harness::{BinaryServer, Database, Receiver, root};
use serde_json::{Value, json};

use super::languages::{ID, PATIENT, copy, is_left_out, patient};
use super::tooling::{Shell, says};

/// The project of one of them, as `cargo xtask plugins` makes it.
fn project(mut shell: Shell, kind: &str) -> Shell {
    let name = format!("script-{kind}");
    shell.ok(&["new", &name, "--lang", "js", "--kind", kind]);
    shell.cd(&name);
    std::fs::remove_dir_all(shell.folder().join("fixtures")).unwrap();
    let sources = root().join("plugins/script");
    std::fs::copy(sources.join("script.js"), shell.folder().join("script.js")).unwrap();
    copy(&sources.join(kind), shell.folder());
    shell
}

#[test]
fn scripts_answer_as_their_fixtures_say_and_hold_what_every_plugin_has_to() {
    if is_left_out("js") {
        return;
    }
    for (kind, fixtures) in [("filter", 7), ("transform", 7)] {
        let shell = project(patient(Shell::new()), kind);
        let tested = shell.ok(&["test"]);
        let of_fixtures = tested.iter().filter(|line| line["suite"] == "fixtures").count();
        assert_eq!(of_fixtures, fixtures, "{tested:?}");
        let built = shell.ok(&["inspect", &format!("build/script-{kind}.wasm")]).remove(0);
        assert!(built["size_bytes"].as_u64().unwrap() < 2 << 20, "{built}");
    }
}

async fn create(server: &BinaryServer, webhook: &Value) -> antar_harness::Answer {
    server.api.post("webhooks", webhook).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_lines_in_a_webhook_change_what_is_sent() {
    if is_left_out("js") {
        return;
    }
    let server = BinaryServer::start_with(Database::sqlite(), PATIENT).await;
    let receiver = Receiver::start().await;
    for kind in ["filter", "transform"] {
        let shell = project(patient(Shell::for_server(&server)), kind);
        let pushed = shell.ok(&["push"]).remove(0);
        assert_eq!((&pushed["state"], &pushed["pool"]), (&json!("ready"), &json!("small")));
    }
    let webhook = |name: &str, plugins: Value| {
        json!({"name": name, "url": receiver.url(&format!("/{name}")), "event_types": ["*"],
               "plugins": plugins, "retry": {"attempts_max": 1}})
    };
    let vips = "({ data }) => data.labels.includes(\"vip\") || \"no label vip\"";
    let renamed =
        "({ data }) => {\n  const { id, ...rest } = data;\n  return { ref: id, ...rest };\n}";
    let plugins = json!([{"plugin": "script-filter", "config": {"code": vips}},
                         {"plugin": "script-transform", "config": {"code": renamed}}]);
    create(&server, &webhook("scripted", plugins)).await.expect(201);

    // A mistake is told at save, with its place.
    let mistaken = "({ data }) => ({\n  ref: data.id\n  name: data.name\n})";
    let mistaken = json!([{"plugin": "script-filter", "config": {"code": vips}},
                          {"plugin": "script-transform", "config": {"code": mistaken}}]);
    let refused = create(&server, &webhook("mistaken", mistaken)).await.expect(422).json();
    assert_eq!(refused["errors"][0]["pointer"], "/plugins/1/config/code", "{refused}");
    says(refused["errors"][0]["detail"].as_str().unwrap(), &["line 3, column 3"]);

    for labels in [r#"["vip"]"#, r#"["new"]"#] {
        let event = format!(
            r#"{{"type": "contact.updated", "data": {{"id": {ID}, "paid": 1.50, "labels": {labels}}}}}"#
        );
        let call = server.api.call("POST", "events").header("content-type", "application/json");
        call.body(event).send().await.expect(202);
    }
    let request = receiver.wait(1).await.remove(0);
    says(&request.text(), &[&format!("\"ref\":{ID},\"paid\":1.50,")]);
    let dropped = server.api.delivery_in("dropped", "").await;
    assert_eq!(dropped.reason.as_deref(), Some("script-filter: no label vip"));
}
