//! For every payload example of the five platforms' pages, the posted event arrives with exactly
//! the documented headers and body, byte for byte.

use antar_harness::verify::{hex, hmac_sha256};
use antar_harness::{Receiver, Request, TestServer, on_both_databases, root};
use serde_json::{Value, json};

/// Headers that HTTP itself and a JSON body bring, and those by which Antar ends loops.
const TRANSPORT: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "user-agent",
    "accept",
    "accept-encoding",
    "connection",
    "antar-hops",
    "antar-root",
];

on_both_databases! {
    async fn every_documented_example_arrives_as_documented(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        let examples = examples();
        for (index, (name, example)) in examples.iter().enumerate() {
            let api = server.create_tenant(&format!("golden-{index}")).await;
            let webhook = api
                .create_webhook(&json!({
                    "name": "golden", "profile": example["profile"], "enabled": true,
                    "event_types": [example["event"]["type"]], "url": receiver.url(&format!("/{name}")),
                }))
                .await;
            let event_id = api.send(&example["event"]).await;
            let request = receiver.wait_at(&format!("/{name}"), 1).await.remove(0);
            let delivery = api.delivery_in("delivered", &format!("event_id={event_id}")).await;
            assert_as_documented(name, example, &request, &delivery.id, &webhook.secret);
        }
        assert_eq!(receiver.requests().len(), examples.len(), "each event is delivered once");
    }
}

/// `examples/platforms/golden/*.json` by name.
pub(crate) fn examples() -> Vec<(String, Value)> {
    let folder = root().join("examples/platforms/golden");
    let mut examples: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        })
        .collect();
    examples.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(examples.len() >= 20, "{} examples", examples.len());
    examples
}

fn assert_as_documented(
    name: &str,
    example: &Value,
    request: &Request,
    delivery_id: &str,
    secret: &str,
) {
    let signature = hex(&hmac_sha256(secret.as_bytes(), &request.body));
    let fill = |text: &Value| {
        let text = text.as_str().unwrap().replace("{{delivery_id}}", delivery_id);
        text.replace("{{secret}}", secret).replace("{{signature}}", &signature)
    };
    assert_eq!(request.method, "POST", "{name}");
    assert_eq!(request.text(), fill(&example["body"]), "{name}");
    assert_eq!(request.header("content-type"), Some("application/json"), "{name}");
    let documented = example["headers"].as_object().unwrap();
    for (header, value) in documented {
        assert_eq!(request.header(header), Some(fill(value).as_str()), "{name}: {header}");
    }
    let is_documented =
        |sent: &str| documented.keys().any(|header| header.eq_ignore_ascii_case(sent));
    for (sent, _) in &request.headers {
        let known = is_documented(sent) || TRANSPORT.contains(&sent.to_lowercase().as_str());
        assert!(known, "{name}: {sent} is not documented: {:?}", request.headers);
    }
}
