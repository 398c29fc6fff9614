//! Uploads that are forged to end the server, not to be a plugin.

use antar_harness::{BinaryServer, Database, root};

/// The packages of its component type depend on each other in a circle. The library that makes a module a component
/// recurses into them without end, and a stack that overflows ends a process.
const CIRCLE: &str = "tests/fuzz/seeds/plugins/dc6a4cd9bbcc9121";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_type_that_refers_to_itself_does_not_end_the_server() {
    let mut server = BinaryServer::start(Database::sqlite()).await;
    let wasm = std::fs::read(root().join(CIRCLE)).unwrap();
    let upload =
        server.api.call("POST", "plugins?name=circle").header("content-type", "application/wasm");
    let answer = upload.body(wasm).try_send().await;
    assert!(!server.has_ended(), "the server ended: {}", server.log());
    let refused = answer.expect("the upload is answered");
    assert!(refused.status >= 400, "{}", refused.text());
    server.api.get("/healthz").await.expect(200);
}
