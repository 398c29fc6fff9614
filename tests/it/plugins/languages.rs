//! Plugins in JavaScript and Python: from nothing to a delivery, and the examples.
//!
//! They need node and npm, and python3 with venv; where these can't be had, `ANTAR_TEST_LEAVE_OUT`
//! names the languages to do without.

use std::path::Path;
use std::process::Command;

use antar_harness::{BinaryServer, Database, Receiver, root};
use serde_json::json;

use super::tooling::{Shell, says};

/// More than a double holds.
pub(crate) const ID: &str = "8202522731445525542";
/// Tests share the machine with compilers.
pub(crate) const PATIENT: &[(&str, &str)] = &[
    ("ANTAR_PLUGINS_CALL_TIME_MS", "5000"),
    ("ANTAR_PLUGINS_COMPILE_TIME_MS", "600000"),
    ("ANTAR_PLUGINS_COMPILE_CPU_S_MAX", "600"),
];

/// Whether a language is left out; fails where its programs are missing and nobody said so.
pub(crate) fn is_left_out(lang: &str) -> bool {
    let left_out = std::env::var("ANTAR_TEST_LEAVE_OUT").unwrap_or_default();
    if left_out.split(',').any(|name| name == lang) {
        eprintln!("LEFT OUT: plugins in {lang}, by ANTAR_TEST_LEAVE_OUT");
        return true;
    }
    let programs: &[&[&str]] = match lang {
        "js" => &[&["node", "--version"], &["npm", "--version"]],
        _ => &[&["python3", "-c", "import venv, ensurepip"]],
    };
    for words in programs {
        let output = Command::new(words[0]).args(&words[1..]).output();
        assert!(
            output.is_ok_and(|output| output.status.success()),
            "`{}` fails: install nodejs, npm and python3-venv, or set ANTAR_TEST_LEAVE_OUT={lang}",
            words.join(" ")
        );
    }
    false
}

/// With compiled plugins kept from one run of the tests to the next.
pub(crate) fn patient(mut shell: Shell) -> Shell {
    shell.set(PATIENT);
    shell.set(&[(
        "XDG_CACHE_HOME",
        &root().join("target/plugin-projects/cache").display().to_string(),
    )]);
    shell
}

async fn from_nothing_to_a_delivery(lang: &str, size_bytes_max: u64, pool: &str) {
    if is_left_out(lang) {
        return;
    }
    let server = BinaryServer::start_with(Database::sqlite(), PATIENT).await;
    let receiver = Receiver::start().await;
    let mut shell = patient(Shell::for_server(&server));
    let name = format!("phones-{lang}");
    shell.ok(&["new", &name, "--lang", lang, "--kind", "transform"]);
    shell.cd(&name);
    let built = shell.ok(&["build"]).remove(0);
    assert_eq!(built["path"], format!("build/{name}.wasm"));
    assert!(built["size_bytes"].as_u64().unwrap() < size_bytes_max, "{built}");
    let tested = shell.ok(&["test"]);
    let names: Vec<_> = tested.iter().filter_map(|line| line["name"].as_str()).collect();
    assert!(names.contains(&"phone.json") && names.contains(&"numbers and key order"), "{names:?}");
    let pushed = shell.ok(&["push"]).remove(0);
    assert_eq!(
        (&pushed["version"], &pushed["state"], &pushed["pool"]),
        (&json!(1), &json!("ready"), &json!(pool))
    );

    server
        .api
        .create_webhook(&json!({"name": "w", "url": receiver.url("/w"), "event_types": ["*"],
                                "plugins": [{"plugin": name, "config": {"country": "ID"}}]}))
        .await;
    let event = format!(
        r#"{{"type": "contact.updated", "data": {{"id": {ID}, "paid": 1.50, "contact": {{"phone": "0812-3456-7890"}}}}}}"#
    );
    let call = server.api.call("POST", "events").header("content-type", "application/json");
    call.body(event).send().await.expect(202);
    let request = receiver.wait(1).await.remove(0);
    says(&request.text(), &[&format!("\"id\":{ID},\"paid\":1.50,"), "+6281234567890"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_a_delivery_in_javascript() {
    from_nothing_to_a_delivery("js", 2 << 20, "small").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_a_delivery_in_python() {
    from_nothing_to_a_delivery("python", 24 << 20, "large").await;
}

/// A project with the files of an example in it.
fn example(name: &str, lang: &str, folder: &str) -> Shell {
    let mut shell = patient(Shell::new());
    shell.ok(&["new", name, "--lang", lang, "--kind", "transform"]);
    shell.cd(name);
    for fixture in ["phone.json", "no-phone.json"] {
        std::fs::remove_file(shell.folder().join("fixtures").join(fixture)).unwrap();
    }
    copy(&root().join("examples/plugins").join(folder), shell.folder());
    shell
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// All checks hold, those of the example's fixtures among them.
fn check(shell: &Shell, fixtures: usize) {
    let checks = shell.ok(&["test"]);
    let of_fixtures = checks.iter().filter(|line| line["suite"] == "fixtures").count();
    assert_eq!(of_fixtures, fixtures, "{checks:?}");
}

#[test]
fn the_example_in_rust_holds_its_fixtures() {
    check(&example("hubspot-contact", "rust", "rust"), 2);
}

#[test]
fn the_example_in_javascript_holds_its_fixtures() {
    if !is_left_out("js") {
        check(&example("salesforce-lead", "js", "javascript"), 3);
    }
}

#[test]
fn the_example_in_python_holds_its_fixtures() {
    if !is_left_out("python") {
        check(&example("chat-crm", "python", "python"), 2);
    }
}

const NUMBERS: &str = r#"
import { ExactNumber, replace, split } from "antar-sdk";
export const description = "Shows what becomes of numbers.";
export const transform = ({ data, type, attributes }, { act }) => {
  if (act === "types") return { types: Object.values(data).map((v) => (v instanceof ExactNumber ? "exact" : typeof v)) };
  if (act === "copy") return { ...data, list: data.list.map((part) => ({ ...part })), more: 12345678901234567890n };
  if (act === "nan") return { wrong: NaN };
  if (act === "async") return Promise.resolve({});
  if (act === "split") return split([data, replace({ data: { type }, type: "b.c", attributes: { n: attributes.n } })]);
  if (act === "log") return void console.warn("id", data.id, data);
  return data;
};
"#;

/// In the real engine: Node of the tests may read numbers otherwise.
#[test]
fn numbers_in_javascript_are_exact_and_mistakes_are_named() {
    if is_left_out("js") {
        return;
    }
    let mut shell = patient(Shell::new());
    shell.ok(&["new", "numbers", "--lang", "js", "--kind", "transform"]);
    shell.cd("numbers");
    shell.write("plugin.js", NUMBERS);
    let data = r#"{"id":8202522731445525542,"minus":-9007199254740993,"safe":9007199254740991,"zero":-0,"paid":1.50,"e":1E2,"huge":1e400,"long":0.12345678901234567890,"list":[{"paid":2.50},{"paid":2.5},{"paid":3.0}],"text":"a: 1.50, \ud83d \u0000","z":1,"a":[1.0]}"#;
    shell.write(
        "e.json",
        &format!("{{\"type\":\"a.b\",\"attributes\":{{\"n\":\"7\"}},\"data\":{data}}}"),
    );
    let run = |act: &str| {
        shell.write("c.json", &json!({"act": act}).to_string());
        shell.run(&["run", "--intake", "--event", "e.json", "--config", "c.json"])
    };
    let out = |act: &str| String::from_utf8(run(act).stdout).unwrap();
    says(&out("same"), &[data]);
    // Where a copy has one value and two texts were read of it, it takes the other one.
    let mut copied = data.replace(r#"{"paid":2.5}"#, r#"{"paid":2.50}"#);
    copied.truncate(copied.len() - 1);
    says(&out("copy"), &[&format!(r#"{copied},"more":12345678901234567890}}"#)]);
    says(
        &out("types"),
        &[
            r#"["bigint","bigint","number","number","number","number","exact","exact","object","string","number","object"]"#,
        ],
    );
    says(&out("split"), &[r#""event_type":"b.c""#, r#""n":"7""#, ID]);
    says(
        &out("log"),
        &[r#""answer":"pass""#, "warn", "id 8202522731445525542 {\\\"id\\\":8202522731445525542"],
    );
    let fails = |act: &str| {
        let output = run(act);
        assert_eq!(output.status.code(), Some(1), "{act}");
        String::from_utf8(output.stderr).unwrap()
    };
    says(&fails("nan"), &["retry: TypeError: wrong is NaN"]);
    says(&fails("async"), &["a Promise: an async function can't be a plugin"]);

    shell.write(
        "plugin.js",
        "export const transform = ({ data }) => {\n  return data\n;\nexport const x = ;\n",
    );
    says(
        &shell.fails(1, &["build"]),
        &["plugin.js:4", "SyntaxError", "plugin.js is no JavaScript"],
    );
    shell.write("plugin.js", "export const transfrom = ({ data }) => data;\n");
    says(&shell.fails(1, &["build"]), &["plugin.js exports no function transform"]);
}

/// What runs without WebAssembly, by Node's and Python's own test runners.
#[test]
fn the_sdks_hold_their_own_tests() {
    let run = |program: &str, words: &[&str], folder: &str| {
        let output =
            Command::new(program).args(words).current_dir(root().join(folder)).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{said}");
        said
    };
    if !is_left_out("js") {
        says(&run("node", &["--test", "test/"], "sdk/javascript"), &["# fail 0", "# pass 6"]);
    }
    if !is_left_out("python") {
        says(
            &run("python3", &["-B", "-m", "unittest", "tests/test_sdk.py"], "sdk/python"),
            &["OK"],
        );
    }
}

#[test]
fn without_node_or_python_the_fix_is_named() {
    for (lang, program) in
        [("js", "apt-get install nodejs npm"), ("python", "apt-get install python3 python3-venv")]
    {
        let mut shell = Shell::new();
        shell.ok(&["new", "lonely", "--lang", lang, "--kind", "filter"]);
        shell.cd("lonely");
        let output = shell.command(&["build"]).env("PATH", "/nowhere").output().unwrap();
        says(&String::from_utf8_lossy(&output.stderr), &["is not in the path", program]);
    }
}

#[test]
fn without_a_network_the_way_out_is_named() {
    let nowhere = "http://127.0.0.1:9";
    if !is_left_out("js") {
        let mut shell = Shell::new();
        shell.ok(&["new", "lonely", "--lang", "js", "--kind", "filter"]);
        shell.cd("lonely");
        let cache = shell.folder().join("cache");
        let mut command = shell.command(&["build"]);
        command.env("npm_config_registry", nowhere).env("npm_config_cache", cache);
        let output = command.env("npm_config_fetch_retries", "0").output().unwrap();
        says(
            &String::from_utf8_lossy(&output.stderr),
            &["npm can't reach its registry", "npm config set registry"],
        );
    }
    if !is_left_out("python") {
        let mut shell = Shell::new();
        shell.ok(&["new", "lonely", "--lang", "python", "--kind", "filter"]);
        shell.cd("lonely");
        let mut command = shell.command(&["build"]);
        command.env("PIP_INDEX_URL", nowhere).env("PIP_RETRIES", "0").env("PIP_NO_CACHE_DIR", "1");
        command.env("PIP_CONFIG_FILE", "/dev/null").env_remove("PIP_FIND_LINKS");
        let output = command.output().unwrap();
        says(
            &String::from_utf8_lossy(&output.stderr),
            &["pip finds no package", "pip config set global.index-url"],
        );
    }
}
