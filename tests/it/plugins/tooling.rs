//! `antar plugin`: from nothing to a delivery, and what it says when something is wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use antar_harness::{BinaryServer, Database, Receiver, binary, root};
use antar_test_guests::Guest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// More than a double holds.
const ID: &str = "8202522731445525542";

/// A folder to call `antar` in.
pub(crate) struct Shell {
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
    _home: TempDir,
}

impl Shell {
    pub(crate) fn new() -> Shell {
        let home = tempfile::tempdir().unwrap();
        // What projects are built from is compiled once, not in every folder.
        let target = root().join("target/plugin-projects").display().to_string();
        let environment = vec![("CARGO_TARGET_DIR", target)];
        Shell { folder: home.path().to_owned(), environment, _home: home }
    }

    pub(crate) fn for_server(server: &BinaryServer) -> Shell {
        let mut shell = Shell::new();
        shell.environment.push(("ANTAR_URL", server.base.clone()));
        shell.environment.push(("ANTAR_KEY", server.key.clone()));
        shell
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Variables of the environment, beside those that are there.
    pub(crate) fn set(&mut self, environment: &[(&'static str, &str)]) {
        let text = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
        self.environment.extend(text);
    }

    pub(crate) fn cd(&mut self, folder: &str) {
        self.folder = self.folder.join(folder);
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("plugin").args(words).current_dir(&self.folder).stdin(Stdio::null());
        // Of the cargo that runs the tests.
        command.env_remove("CARGO").env_remove("ANTAR_URL").env_remove("ANTAR_KEY");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it prints: JSON lines, as into any pipe.
    pub(crate) fn ok(&self, words: &[&str]) -> Vec<Value> {
        let text = self.text(words);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "antar plugin {}: {said}{out}", words.join(" "));
        out.into_owned()
    }

    /// All that it says when it fails, with this exit code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let output = self.run(words);
        let out = String::from_utf8_lossy(&output.stdout);
        let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "antar plugin {}: {said}", words.join(" "));
        said
    }
}

fn path(guest: Guest) -> String {
    guest.path().display().to_string()
}

#[track_caller]
pub(crate) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_a_delivery_in_rust() {
    let server = BinaryServer::start(Database::sqlite()).await;
    let receiver = Receiver::start().await;
    let mut shell = Shell::for_server(&server);
    shell.ok(&["new", "clean-phones", "--lang", "rust", "--kind", "transform"]);
    shell.cd("clean-phones");
    let built = shell.ok(&["build"]).remove(0);
    assert_eq!(built["path"], "build/clean-phones.wasm");
    assert!(built["size_bytes"].as_u64().unwrap() < 200 << 10, "{built}");
    let tested = shell.ok(&["test"]);
    assert!(tested.iter().all(|line| line["result"] != "failed"), "{tested:?}");
    let names: Vec<_> = tested.iter().filter_map(|line| line["name"].as_str()).collect();
    assert!(names.contains(&"phone.json") && names.contains(&"numbers and key order"), "{names:?}");
    let pushed = shell.ok(&["push"]).remove(0);
    assert_eq!((&pushed["name"], &pushed["version"]), (&json!("clean-phones"), &json!(1)));
    assert_eq!(pushed["digest"].as_str().map(str::len), Some(64));
    assert_eq!(shell.ok(&["list"]).remove(0)["digest"], pushed["digest"]);

    server
        .api
        .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                                "plugins": [{"plugin": "clean-phones"}]}))
        .await;
    let event = format!(
        r#"{{"type": "contact.updated", "data": {{"id": {ID}, "contact": {{"phone": "0812-3456-7890"}}}}}}"#
    );
    let call = server.api.call("POST", "events").header("content-type", "application/json");
    call.body(event).send().await.expect(202);
    let request = receiver.wait(1).await.remove(0);
    says(&request.text(), &[ID, "+6281234567890"]);
}

/// The blocks of `docs/plugins.md` that begin with ```` ```sh test ````, as one script.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_minutes_of_the_docs_run_as_written() {
    let docs = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let blocks = |kind: &str| -> Vec<String> {
        let begins = format!("```{kind}\n");
        let parts = docs.split(&begins).skip(1);
        parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
    };
    let receiver = Receiver::start().await;
    let server = BinaryServer::start(Database::sqlite()).await;
    let shell = Shell::for_server(&server);
    let script = blocks("sh test").join("\n").replace("http://127.0.0.1:8099", &receiver.url(""));
    assert!(script.contains("antar plugin new"), "{script}");
    let path =
        format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["-c", &format!("set -euxo pipefail\n{script}")])
        .current_dir(&shell.folder)
        .env_remove("CARGO")
        .envs(shell.environment.iter().map(|(name, value)| (name, value)))
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let arrived = receiver.wait(1).await;
    assert_eq!(arrived.len(), 1);
    says(&arrived[0].text(), &["abc-123"]);
    // The function that the page shows is the one that it made.
    let source = std::fs::read_to_string(shell.folder.join("vip-only/src/lib.rs")).unwrap();
    says(&source, &[&blocks("rust")[0]]);
}

#[test]
fn a_filter_project_works_at_once_and_tells_of_mistakes() {
    let mut shell = Shell::new();
    shell.ok(&["new", "vip-only", "--kind", "filter"]);
    shell.cd("vip-only");
    // Builds first, because nothing is built.
    shell.ok(&["test"]);
    let run = shell.ok(&["run", "--event", "fixtures/drops.json"]).remove(0);
    assert_eq!(run["answer"]["drop"], "no label of [\"vip\", \"gold\"]");

    shell.write("fixtures/broken.json", "{\n  \"event\": {},\n  \"expect\" \"pass\"\n}");
    shell.write(
        "fixtures/wrong.json",
        r#"{"event": {"data": {}}, "config": {"any": ["vip"]}, "expect": "pass"}"#,
    );
    shell.write(
        "fixtures/config.json",
        r#"{"event": {"data": {}}, "config": {"any": "vip"}, "expect": "pass"}"#,
    );
    let said = shell.fails(1, &["test", "--format", "text"]);
    says(
        &said,
        &[
            "fixtures/broken.json:3:12: ",
            "fixtures/wrong.json: it answers something else than `expect`",
            "- \"pass\"",
            "+   \"drop\": \"no label of [\\\"vip\\\"]\"",
            "fixtures/config.json: this config is refused when a webhook is saved: config/any: ",
            "3 of 15 checks failed: broken.json, config.json, wrong.json",
        ],
    );

    shell.write("src/lib.rs", "pub fn f() -> u8 { \"text\" }\n");
    let said = shell.fails(1, &["build"]);
    says(
        &said,
        &["src/lib.rs:1:", "mismatched types", "cargo build failed; what it said is above"],
    );
    shell.write("antar-plugin.yaml", "name: vip-only\nkind: filtre\nlang: rust\n");
    says(&shell.fails(1, &["build"]), &["antar-plugin.yaml:2: ", "`kind: filter` or `transform`"]);
    shell.write("antar-plugin.yaml", "name: vip-only\nkind: transform\nlang: rust\n");
    let said = shell.fails(1, &["test", "build/vip-only.wasm"]);
    says(
        &said,
        &["build/vip-only.wasm is a filter, and ", "antar-plugin.yaml says `kind: transform`"],
    );
    std::fs::remove_file(shell.folder.join("Cargo.toml")).unwrap();
    says(&shell.fails(1, &["build"]), &["Cargo.toml: a plugin in Rust needs it"]);
}

#[test]
fn without_a_project_the_way_to_one_is_named() {
    let shell = Shell::new();
    for words in [&["build"][..], &["test"], &["push", "--key", "k"], &["run", "--event", "e.json"]]
    {
        shell.write("e.json", r#"{"type": "a.b", "data": {}}"#);
        says(
            &shell.fails(2, words),
            &["there is no antar-plugin.yaml in ", "antar plugin new NAME"],
        );
    }
    shell.write("full/file", "x");
    says(&shell.fails(1, &["new", "full", "--kind", "filter"]), &["folder full is there already"]);
    says(&shell.fails(2, &["new", "a b", "--kind", "filter"]), &["1 to 64 of A-Z a-z 0-9 _ -"]);
    says(&shell.fails(2, &["new", "match", "--kind", "filter"]), &["can't be a Rust package's"]);
    says(
        &shell.fails(2, &["new", "x", "--kind", "filter", "--lang", "cobol"]),
        &["possible values: rust, js, python"],
    );
    says(&shell.fails(1, &["test", "none.wasm"]), &["none.wasm: there is no such file"]);
}

#[test]
fn without_a_tool_chain_or_a_network_the_fix_is_named() {
    let mut shell = Shell::new();
    shell.ok(&["new", "lonely", "--kind", "filter"]);
    shell.cd("lonely");
    let said = shell.command(&["build"]).env("PATH", "/nowhere").output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    // Debian's compiler is found by its place, and then it is cargo that is missing.
    assert!(said.contains("https://rustup.rs") || said.contains("no Rust tool chain"), "{said}");
    let home = shell.folder.join("empty-cargo-home");
    let output =
        shell.command(&["build"]).env("CARGO_HOME", home).env("CARGO_NET_OFFLINE", "true").output();
    let said = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    says(&said, &["crates.io can't be reached", "no matching package", "cargo fetch"]);
}

#[test]
fn any_guest_can_be_tested_run_and_inspected() {
    let shell = Shell::new();
    for guest in Guest::BUNDLED {
        let fixtures = guest.fixtures().display().to_string();
        let checks = shell.ok(&["test", &path(guest), "--fixtures", &fixtures]);
        let summary = checks.last().unwrap();
        assert!(summary["failed"] == 0 && summary["passed"].as_u64() > Some(10), "{checks:?}");
    }
    let by_label = path(Guest::ByLabel);
    let inside = shell.ok(&["inspect", &by_label]).remove(0);
    assert_eq!((&inside["kind"], &inside["form"]), (&json!("filter"), &json!("module")));
    assert_eq!(inside["exports"], json!(["antar:plugin/filter@1.0.0"]));
    assert!(inside["imports"].as_array().unwrap().iter().all(|import| import["allowed"] == true));
    assert_eq!(inside["config_schema"]["title"], "ByLabel");
    let text = shell.text(&["inspect", &by_label, "--format", "text"]);
    says(&text, &["antar:plugin/log@1.0.0  allowed", "sha256", "Passes events by their labels."]);

    shell.write(
        "event.json",
        &format!(r#"{{"type": "a.b", "data": {{"id": {ID}, "more": {{"b": 1.10, "a": 1}}}}}}"#),
    );
    shell.write("count.json", r#"{"act": "count"}"#);
    let typed = path(Guest::Typed);
    let run = shell.text(&["run", &typed, "--event", "event.json", "--config", "count.json"]);
    says(
        &run,
        &[r#"{"data":{"id":8202522731445525543,"more":{"a":1,"b":1.10}}}"#, "a.b of default"],
    );
    let said = shell.fails(1, &["run", &typed, "--event", "event.json"]);
    says(&said, &["refused when a webhook is saved", "\\\"act\\\" is a required property"]);
    shell.write("panic.json", r#"{"event": {"data": {"id": 7}}, "config": {"act": "panic"}}"#);
    let said = shell.fails(1, &["run", &typed, "--event", "panic.json"]);
    says(&said, &["index out of bounds", "trap: the plugin stopped: "]);
    shell.write("event.json", "[]");
    says(&shell.fails(2, &["run", &typed, "--event", "event.json"]), &["event.json: an event is "]);
    shell.write("event.json", "{\n{}");
    says(&shell.fails(1, &["run", &typed, "--event", "event.json"]), &["event.json:2:1: "]);
}

#[test]
fn what_a_server_would_refuse_is_told_here() {
    let shell = Shell::new();
    shell.write("text.wasm", "hello");
    for command in ["inspect", "test"] {
        says(&shell.fails(1, &[command, "text.wasm"]), &["text.wasm", "00 61 73 6d"]);
    }
    let network = r#"(component (import "other:thing/network@1.0.0" (instance)))"#;
    std::fs::write(shell.folder.join("network.wasm"), antar_test_guests::from_text(network))
        .unwrap();
    let said = shell.fails(1, &["inspect", "network.wasm"]);
    says(
        &said,
        &["other:thing/network@1.0.0", "\"allowed\":false", "a server refuses network.wasm"],
    );
    // A guest that panics on what a fixture asks of it: the checks name what they asked.
    shell.write(
        "fixtures/a.json",
        r#"{"event": {"data": {"id": 7}}, "config": {"act": "panic"}, "expect": "pass"}"#,
    );
    let said = shell.fails(1, &["test", &path(Guest::Typed), "--fixtures", "fixtures"]);
    says(&said, &["same answer twice", "index out of bounds", "\"got\":{\"trap\":"]);
}

#[test]
fn pushing_names_what_is_missing() {
    let shell = Shell::new();
    let by_label = path(Guest::ByLabel);
    says(&shell.fails(2, &["push", &by_label]), &["set ANTAR_KEY or --key"]);
    let push = ["push", &by_label, "--url", "http://127.0.0.1:9", "--key", "k"];
    says(&shell.fails(1, &push), &["http://127.0.0.1:9 can't be reached", "antar serve"]);
    shell.write("text.wasm", "hello");
    says(
        &shell.fails(1, &["push", "text.wasm", "--key", "k"]),
        &["text.wasm is no WebAssembly file"],
    );
    // The key of a server on this machine is found in its data folder.
    shell.write("antar-data/operator.key", "some-key\n");
    let push = ["push", &by_label, "--url", "http://127.0.0.1:9"];
    says(&shell.fails(1, &push), &["can't be reached"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_the_server_refuses_is_told_with_its_words() {
    let server = BinaryServer::start(Database::sqlite()).await;
    let shell = Shell::for_server(&server);
    let network = r#"(component (import "other:thing/network@1.0.0" (instance)))"#;
    let file: &Path = &shell.folder.join("network.wasm");
    std::fs::write(file, antar_test_guests::from_text(network)).unwrap();
    says(
        &shell.fails(1, &["push", "network.wasm"]),
        &["network.wasm", "other:thing/network@1.0.0"],
    );
    let first = shell.ok(&["push", &path(Guest::ByLabel)]).remove(0);
    assert_eq!(first["name"], "by-label");
    let said =
        shell.text(&["push", &path(Guest::ByInbox), "--name", "by-label", "--format", "text"]);
    says(&said, &["pushed by-label@2, a filter of ", "sha256 "]);
}
