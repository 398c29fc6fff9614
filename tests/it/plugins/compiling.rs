//! Uploads that would keep the compiler busy: refused by their sizes, ended at the limits of their
//! process, and never in another tenant's way.

use std::path::PathBuf;

use antar_harness::{Answer, Api, BinaryServer, Database, Receiver, eventually};
use antar_test_guests::{Guest, filter};
use serde_json::{Value, json};

use super::calls::upload;
use super::languages::PATIENT;

async fn post(api: &Api, name: &str, wasm: Vec<u8>) -> Answer {
    let call = api.call("POST", &format!("plugins?name={name}"));
    call.header("content-type", "application/wasm").body(wasm).send().await
}

/// A filter that passes everything, with one more function.
fn with_function(text: &str) -> Vec<u8> {
    filter(1, &format!("(func $odd {text})"))
}

/// Loops in one another: the compiler's work grows with the cube of their number. In a development build
/// 1,000 take some seconds and 2,000 half a minute.
fn loops(count: usize) -> Vec<u8> {
    let open = "loop local.get 0 i32.const 1 i32.add local.set 0 ".repeat(count);
    let close = "local.get 0 br_if 0 end ".repeat(count);
    with_function(&format!("(param i32) {open} {close}"))
}

/// Uploads, the limit that each exceeds, and a part of the answer.
fn busy_uploads() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let many = |text: &str, count: usize| text.repeat(count);
    let odd = |text: String| with_function(&text);
    let module = |text: String| filter(1, &text);
    let wide = format!(
        "(func $many (result {0})) (func $take (param {0})) (func {1})",
        many("i32 ", 499),
        many("(call $take (call $many))", 1_500)
    );
    let instances = format!("(core module $m) {}", many("(core instance (instantiate $m))", 300));
    let locals = |count: usize| format!("(local {})", many("i32 ", count));
    vec![
        ("locals", odd(locals(50_000)), "function_locals_max", "has 5"),
        (
            "a long function",
            odd(many("nop ", 1_100_000)),
            "function_bytes_max",
            "has 1100002 bytes",
        ),
        ("blocks", odd(many("(block)", 30_000)), "function_blocks_max", "has 20001 "),
        (
            "branches",
            odd(many("(br_if 0 (i32.const 1))", 30_000)),
            "function_blocks_max",
            "branches",
        ),
        (
            "a jump table",
            odd(format!("(br_table {} (i32.const 0))", many("0 ", 60_000))),
            "function_targets_max",
            "has 59999 ",
        ),
        (
            "deep nesting",
            odd(format!("{}{}", many("block ", 2_000), many("end ", 2_000))),
            "function_depth_max",
            "has 1501 nested blocks",
        ),
        (
            "nested loops",
            odd(format!("{}{}", many("loop ", 1_000), many("end ", 1_000))),
            "function_loop_depth_max",
            "has 101 nested loops",
        ),
        (
            "many operands",
            odd(format!("{}{}", many("i32.const 1 ", 3_000), many("drop ", 3_000))),
            "function_operands_max",
            "has 1001 operands",
        ),
        ("calls with many operands", module(wide), "function_values_max", "function 5 has"),
        (
            "locals in blocks",
            odd(format!("{} {}", locals(1_900), many("(block)", 11_000))),
            "function_weight_max",
            "locals and operands times blocks",
        ),
        (
            "functions",
            module(many("(func)", 101_000)),
            "upload_functions_max",
            "has 101003 functions",
        ),
        (
            "some locals in each of many functions",
            module(many(&format!("(func {})", locals(1_000)), 250)),
            "upload_locals_max",
            "locals of all functions",
        ),
        ("types", module(many("(type (func))", 60_000)), "upload_items_max", "types"),
        (
            "elements",
            module(format!("(func $f) (elem func {})", many("$f ", 101_000))),
            "upload_elements_max",
            "has 101000 elements",
        ),
        (
            "a wide type",
            module(format!("(type (func (param {})))", many("i32 ", 900))),
            "type_values_max",
            "has 900 parameters",
        ),
        ("modules", component(&many("(core module)", 300)), "upload_modules_max", "modules"),
        (
            "nested components",
            component(&format!("{}{}", many("(component ", 10), many(")", 10))),
            "component_depth_max",
            "nested components",
        ),
        ("instances", component(&instances), "upload_core_instances_max", "core instances"),
        (
            "component types",
            component(&many("(type (func))", 11_000)),
            "component_items_max",
            "has",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_would_keep_the_compiler_busy_is_refused_by_the_limit_that_it_exceeds() {
    let server = Database::sqlite().server();
    let server = server.config(|config| config.plugins.upload_locals_max = 200_000).start().await;
    for (what, wasm, limit, found) in busy_uploads() {
        let refused = post(&server.api, "odd", wasm).await;
        let text = refused.text();
        assert_eq!(refused.problem(), (422, "plugin_invalid".to_owned()), "{what}: {text}");
        assert!(text.contains(&format!("plugins.{limit} is ")), "{what}: {text}");
        assert!(text.contains(found), "{what}: {text}");
        if limit.starts_with("function_") {
            assert!(text.contains("function "), "{what}: {text}");
        }
    }
    assert_eq!(server.api.list("plugins").await.len(), 0);
    // Nothing of them is left in the tenant's line.
    upload(&server.api, Guest::Redact).await;
}

/// A filter's component with more in it.
fn component(more: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {more} (instance $i) (export "antar:plugin/filter@1.0.0" (instance $i)))"#
    );
    antar_test_guests::from_text(&text)
}

/// Settings under which sizes refuse nothing.
const BOUNDLESS: &[(&str, &str)] = &[
    ("ANTAR_PLUGINS_FUNCTION_BYTES_MAX", "100000000"),
    ("ANTAR_PLUGINS_FUNCTION_LOCALS_MAX", "100000000"),
    ("ANTAR_PLUGINS_FUNCTION_BLOCKS_MAX", "100000000"),
    ("ANTAR_PLUGINS_FUNCTION_VALUES_MAX", "100000000"),
    ("ANTAR_PLUGINS_FUNCTION_WEIGHT_MAX", "100000000000"),
    ("ANTAR_PLUGINS_FUNCTION_DEPTH_MAX", "100000000"),
    ("ANTAR_PLUGINS_FUNCTION_LOOP_DEPTH_MAX", "100000000"),
    ("ANTAR_PLUGINS_UPLOAD_LOCALS_MAX", "100000000"),
    ("ANTAR_PLUGINS_UPLOAD_WAIT_MS", "600000"),
];

async fn boundless(more: &[(&'static str, &'static str)]) -> BinaryServer {
    let settings = [BOUNDLESS, PATIENT, more].concat();
    BinaryServer::start_with(Database::sqlite(), &settings).await
}

async fn tenant(server: &BinaryServer, name: &str) -> Api {
    let path = format!("/v1/tenants/{name}");
    server.api.put(&path, &json!({})).await.expect(201);
    server.api.tenant(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compilation_is_ended_at_its_limit_of_processor_time() {
    let server = boundless(&[("ANTAR_PLUGINS_COMPILE_CPU_S_MAX", "1")]).await;
    let refused = post(&server.api, "slow", loops(2_000)).await;
    let text = refused.text();
    assert_eq!(refused.problem(), (422, "plugin_invalid".to_owned()), "{text}");
    assert!(text.contains("1 s of processor time (plugins.compile_cpu_s_max)"), "{text}");
    post(&server.api, "small", filter(1, "")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compilation_is_ended_at_its_limit_of_memory() {
    let server = boundless(&[("ANTAR_PLUGINS_COMPILE_MEMORY_BYTES_MAX", "268435456")]).await;
    upload(&server.api, Guest::ByLabel).await;
    let large = "(i32.store (i32.const 8) (i32.load (i32.const 4)))".repeat(100_000);
    let refused = post(&server.api, "large", with_function(&large)).await;
    let text = refused.text();
    assert_eq!(refused.problem(), (422, "plugin_invalid".to_owned()), "{text}");
    assert!(
        text.contains("268435456 bytes of memory (plugins.compile_memory_bytes_max)"),
        "{text}"
    );
    upload(&server.api, Guest::Redact).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_tenants_compilation_hangs_others_upload_and_it_ends_with_the_server() {
    let mut server = boundless(&[
        ("ANTAR_PLUGINS_COMPILES_MAX", "2"),
        ("ANTAR_PLUGINS_TENANT_UPLOADS_WAITING_MAX", "2"),
    ])
    .await;
    let (slow, other) = (tenant(&server, "slow").await, tenant(&server, "other").await);
    let hanging = |name: &'static str| {
        let api = slow.clone();
        tokio::spawn(async move {
            let call = api.call("POST", &format!("plugins?name={name}"));
            let call = call.header("content-type", "application/wasm");
            call.body(loops(2_000)).try_send().await
        })
    };
    let first = hanging("first");
    let compiler = eventually("the compiler runs", async || compilers(&server).pop()).await;
    // It sets its limits itself, as the first thing it does.
    eventually("it is limited", async || (limit(compiler, "Max cpu time")? == "600").then_some(()))
        .await;
    signal("STOP", compiler);
    // The tenant may have one in the compiler and one that waits. One more is refused, but only for
    // this tenant.
    let (mut second, mut third) = (hanging("second"), hanging("third"));
    let (refused, waiting) = tokio::select! {
        answer = &mut second => (answer, third),
        answer = &mut third => (answer, second),
    };
    let refused = refused.unwrap().unwrap();
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    let text = refused.text();
    assert_eq!(refused.problem(), (503, "busy".to_owned()));
    assert!(text.contains("plugins.tenant_uploads_waiting_max is 2"), "{text}");
    let ready = upload(&other, Guest::ByLabel).await;
    assert_eq!(ready["state"], "ready", "{ready}");
    // The second of the same tenant waits, although a place is free.
    assert_eq!(compilers(&server), [compiler]);

    let environment = std::fs::read(format!("/proc/{compiler}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert_eq!(environment.trim_end_matches('\0'), "MIMALLOC_ARENA_RESERVE=64MiB");
    assert_eq!(limit(compiler, "Max core file size").unwrap(), "0");
    assert_eq!(limit(compiler, "Max address space").unwrap(), (2_u64 << 30).to_string());

    signal("CONT", compiler);
    server.kill();
    eventually("the compiler has ended with the server", async || {
        (!is_running(compiler)).then_some(())
    })
    .await;
    assert!(first.await.unwrap().is_err() && waiting.await.unwrap().is_err());
}

/// A limit of a process, as `/proc` tells it.
#[cfg(target_os = "linux")]
fn limit(id: u32, name: &str) -> Option<String> {
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(ToOwned::to_owned)
}

/// Processes that the server has started and that run.
#[cfg(target_os = "linux")]
fn compilers(server: &BinaryServer) -> Vec<u32> {
    let parent = server.process_id().to_string();
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|id| parent_of(*id).as_ref() == Some(&parent) && is_running(*id)).collect()
}

/// State and parent, from after the name, which may contain anything.
#[cfg(target_os = "linux")]
fn status(id: u32) -> Option<(String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace().map(ToOwned::to_owned);
    Some((words.next()?, words.next()?))
}

#[cfg(target_os = "linux")]
fn parent_of(id: u32) -> Option<String> {
    status(id).map(|(_, parent)| parent)
}

#[cfg(target_os = "linux")]
fn is_running(id: u32) -> bool {
    status(id).is_some_and(|(state, _)| state != "Z" && state != "X")
}

#[cfg(target_os = "linux")]
fn signal(name: &str, id: u32) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([&format!("-{name}"), &id.to_string()]).status();
    assert!(sent.unwrap().success(), "{name} {id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_upgrade_only_what_takes_too_long_is_not_ready() {
    let mut server = boundless(&[]).await;
    let (slow, other) = (tenant(&server, "slow").await, tenant(&server, "other").await);
    post(&slow, "slow", loops(1_000)).await.expect(201);
    post(&other, "small", filter(1, "")).await.expect(201);
    let receiver = Receiver::start().await;
    for (api, plugin) in [(&slow, "slow"), (&other, "small")] {
        let plugins = json!([{"plugin": plugin}]);
        let webhook = json!({"name": "w", "url": receiver.url(&format!("/{plugin}")),
                             "event_types": ["*"], "plugins": plugins,
                             "retry": {"attempts_max": 1}});
        api.create_webhook(&webhook).await;
    }
    server.kill();
    // As if the code were of another version; and this one's compiler takes longer.
    std::fs::remove_dir_all(code_folder(&server)).unwrap();
    server.set("ANTAR_PLUGINS_COMPILE_CPU_S_MAX", "1");
    server.start_again().await;
    let event = json!({"type": "a.b", "data": {"n": 1}});
    let (slow, other) = (server.api.tenant("slow"), server.api.tenant("other"));
    other.send(&event).await;
    receiver.wait_at("/small", 1).await;
    slow.send(&event).await;
    let failed = slow.delivery_in("failed", "").await;
    let attempts = slow.attempts(&failed).await;
    let text = Value::from(attempts).to_string();
    assert!(text.contains("plugins.compile_cpu_s_max"), "{text}");
}

fn code_folder(server: &BinaryServer) -> PathBuf {
    server.data_dir().join("plugin-code")
}
