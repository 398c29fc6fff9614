//! A server of another version: what the one before compiled is of no use to it.

use antar_harness::{Receiver, TestServer, eventually, on_both_databases};
use antar_test_guests::Guest;
use serde_json::json;

/// Names of compiled code in the server's folder.
fn code(server: &TestServer) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(server.data_dir().join("plugin-code")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "code")).collect()
}

on_both_databases! {
    async fn an_upgrade_keeps_plugins_working(server: TestServer) {
        let receiver = Receiver::start().await;
        for guest in [Guest::ByLabel, Guest::Reshape] {
            let path = format!("plugins?name={}", guest.name());
            let call = server.api.call("POST", &path).header("content-type", "application/wasm");
            call.body(guest.wasm()).send().await.expect(201);
        }
        // `skip` must not mean that the event goes out as it is while the plugin is compiled.
        let plugins = json!([{"plugin": "by-label", "config": {"any": ["vip"]}, "on_error": "skip"},
                             {"plugin": "reshape", "config": {"to": {"ref": "id"}}, "on_error": "skip"}]);
        let webhook = json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                             "plugins": plugins});
        server.api.create_webhook(&webhook).await;
        let kept = code(&server);
        assert_eq!(kept.len(), 2);
        // As a server of another version would have left it.
        for path in &kept {
            let name = path.file_name().unwrap().to_str().unwrap();
            let (_, digest) = name.split_once('-').unwrap();
            std::fs::rename(path, path.with_file_name(format!("{}-{digest}", "0".repeat(16)))).unwrap();
        }

        let server = server.restart().await;
        for labels in [json!(["vip"]), json!(["new"])] {
            let data = json!({"id": 7, "conversation": {"labels": labels}});
            server.api.send(&json!({"type": "a.b", "data": data})).await;
        }
        assert_eq!(receiver.wait(1).await[0].json()["data"], json!({"ref": 7}));
        server.api.delivery_in("dropped", "").await;
        let delivered = server.api.delivery_in("delivered", "").await;
        assert_eq!(server.api.attempts(&delivered).await.len(), 1);
        eventually("both are ready", async || {
            let plugins = server.api.list("plugins").await;
            plugins.iter().all(|plugin| plugin["state"] == "ready").then_some(())
        })
        .await;
        let mut names = (kept, code(&server));
        names.0.sort();
        names.1.sort();
        assert_eq!(names.0, names.1);
    }
}
