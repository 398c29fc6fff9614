//! The starting points of `examples/crm`: what each sends is a request that its target documents,
//! whatever stands in the event.
//!
//! `examples/crm/schemas/NAME.json` is the documented request of `NAME.yaml`, as one object of
//! `method`, `url`, `headers` and `body`.

mod hostile;
mod wrong;

use std::path::PathBuf;

use antar_harness::{
    Api, Delivery, Receiver, Reply, Request, TestServer, binary, on_both_databases, root,
};
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use hostile::Hostile;

/// What the manifests read from the environment. An address is that of the test's receiver, with
/// this path.
const SECRETS: &[(&str, &str)] = &[
    ("GOOGLE_TOKEN", "test-token"),
    ("HUBSPOT_TOKEN", "test-token"),
    ("ODOO_KEY", "test-token"),
    ("SALESFORCE_TOKEN", "test-token"),
    ("SLACK_HOOK_URL", "https://hooks.slack.com/services/T0TEST/B0TEST/testtoken"),
    ("TELEGRAM_URL", "https://api.telegram.org/bot123456:test-token/sendMessage"),
    ("ZOHO_TOKEN", "test-token"),
];

/// Brought by HTTP itself.
const TRANSPORT: &[&str] = &["host", "content-length", "accept-encoding"];

/// An answer that every target's `success` takes for one.
const TAKEN: &str = r#"{"ok": true, "ids": [1], "data": [{"status": "success"}]}"#;

on_both_databases! {
    async fn every_request_is_one_that_its_target_documents(server: TestServer) {
        server.apply_platforms().await;
        let receiver = Receiver::start().await;
        receiver.reply(Reply::ok().header("content-type", "application/json").body(TAKEN));
        for target in Target::all(&server, &receiver).await {
            for event_type in &target.event_types {
                target.takes_hostile_events(event_type).await;
            }
            target.goes_to(&receiver).await;
            for event_type in &target.event_types {
                target.sends_what_preview_shows(event_type, &receiver).await;
            }
        }
    }
}

#[tokio::test]
async fn the_page_runs_as_written() {
    super::readme::runs_as_written("docs/crm.md").await;
}

/// One applied file.
struct Target {
    name: String,
    api: Api,
    webhook: Value,
    /// Its catalog entries, of the types that the webhook names.
    event_types: Vec<Value>,
    schema: Validator,
}

impl Target {
    /// Each file of the folder, applied to a tenant of its own.
    async fn all(server: &TestServer, receiver: &Receiver) -> Vec<Target> {
        let mut targets = Vec::new();
        for file in files() {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let api = server.create_tenant(&name).await;
            apply(server, &name, &file, receiver).await;
            let schema = root().join(format!("examples/crm/schemas/{name}.json"));
            let schema =
                std::fs::read(&schema).unwrap_or_else(|e| panic!("{}: {e}", schema.display()));
            let schema: Value = serde_json::from_slice(&schema).unwrap();
            let said = schema["$comment"].as_str().unwrap();
            assert!(said.starts_with("https://"), "{name}: say where the request is documented");
            let schema = jsonschema::validator_for(&schema).unwrap();
            let webhooks = api.list("webhooks").await;
            let [webhook] = <[Value; 1]>::try_from(webhooks).expect("a file has one webhook");
            assert_eq!(webhook["enabled"], false, "{name}: it has placeholders, so it waits");
            let profile = format!("/v1/profiles/{}", webhook["profile"].as_str().unwrap());
            let profile = api.get(&profile).await.expect(200).json();
            let catalog = profile["event_types"].as_array().unwrap();
            let taken = webhook["event_types"].as_array().unwrap();
            let of_name =
                |name: &Value| catalog.iter().find(|known| known["name"] == *name).unwrap();
            let event_types = taken.iter().map(|name| of_name(name).clone()).collect();
            targets.push(Target { name, api, webhook, event_types, schema });
        }
        assert!(
            targets.len() >= 7,
            "HubSpot, Salesforce, Zoho, Odoo, Google Sheets, Slack, Telegram"
        );
        targets
    }

    /// The type's example, and hostile events made of it, end in documented requests, unless the
    /// rule wants something of just the value that was changed.
    async fn takes_hostile_events(&self, event_type: &Value) {
        let example = self.preview(event_type, &event_type["example"]).await;
        let request = self.documented(&example["request"], &self.name);
        wrong::is_refused(&self.name, &self.schema, &request);
        let whole = self.webhook.to_string();
        let mut sent = 0;
        for hostile in hostile::events(&event_type["example"], |path| whole.contains(path)) {
            let Hostile { path, data, arrives, .. } = &hostile;
            let what = format!("{}: {path} = {}", self.name, hostile.value);
            let preview = self.preview(event_type, data).await;
            if preview["request"].is_null() {
                let stage = &preview["stages"][1];
                let reason = stage["reason"].as_str().unwrap_or_default();
                assert_eq!(
                    (&stage["stage"], &stage["outcome"]),
                    (&json!("route"), &json!("drop")),
                    "{what}: {preview}"
                );
                assert!(reason.contains(&format!("`data.{path}")), "{what}: {reason}");
                continue;
            }
            let request = self.documented(&preview["request"], &what);
            let arrived = arrives.as_ref().is_none_or(|text| holds(&request["body"], text));
            assert!(arrived, "{what}: does not arrive: {request}");
            sent += 1;
        }
        assert!(sent >= 20, "{}: only {sent} hostile events are sent", self.name);
    }

    /// Enables it, with the receiver in the place of the target's host.
    async fn goes_to(&self, receiver: &Receiver) {
        let (origin, path) = split(self.text("url"));
        if !origin.is_empty() {
            let there = json!({"url": receiver.url(path)});
            self.api.patch(&format!("webhooks/{}", self.text("id")), &there).await.expect(200);
        }
        let enable = format!("webhooks/{}/enable", self.text("id"));
        self.api.post(&enable, &json!({})).await.expect(200);
    }

    async fn sends_what_preview_shows(&self, event_type: &Value, receiver: &Receiver) {
        let before = receiver.requests().len();
        let event = json!({
            "type": event_type["name"], "data": event_type["example"], "attributes": attributes(event_type), "timestamp": "2026-03-10T12:00:00.000Z",
        });
        let event_id = self.api.send(&event).await;
        let sent = receiver.wait(before + 1).await.remove(before);
        let delivery = self.api.delivery_in("delivered", &format!("event_id={event_id}")).await;
        let preview = self
            .api
            .post("preview", &json!({"webhook": self.text("id"), "event": event_id}))
            .await
            .expect(200)
            .json();
        self.assert_as_shown(&sent, &preview["request"], &delivery);
        let origin = match split(self.text("url")) {
            ("", _) => self.secret_origin(&sent),
            (origin, _) => origin,
        };
        let body = String::from_utf8(sent.body.clone()).unwrap();
        let url = format!("{origin}{}", sent.target);
        let headers: Map<_, _> =
            sent.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
        self.documented(
            &json!({"method": sent.method, "url": url, "headers": headers, "body": body}),
            "as sent",
        );
    }

    fn assert_as_shown(&self, sent: &Request, shown: &Value, delivery: &Delivery) {
        let name = &self.name;
        assert_eq!(sent.method, shown["method"], "{name}");
        let url = shown["url"].as_str().unwrap();
        if url != "•••" {
            assert!(
                url.ends_with(&sent.target) && sent.target.starts_with('/'),
                "{name}: {url} {}",
                sent.target
            );
        }
        let headers = shown["headers"].as_object().unwrap();
        for (header, value) in headers {
            // A delivery's id is made anew for a preview, and signatures show as dots.
            if header == "authorization" || header.ends_with("-delivery-id") {
                assert!(sent.header(header).is_some(), "{name}: {header}");
            } else {
                assert_eq!(sent.header(header), value.as_str(), "{name}: {header}");
            }
        }
        let known = |header: &str| headers.contains_key(header) || TRANSPORT.contains(&header);
        let unshown = sent.headers.iter().find(|(header, _)| !known(&header.to_lowercase()));
        assert_eq!(unshown, None, "{name}: preview does not show it");
        let mut body = shown["body"].as_str().unwrap().to_owned();
        if let Some(at) = sent.text().find(&delivery.id) {
            body.replace_range(at..at + delivery.id.len(), &delivery.id);
        }
        assert_eq!(sent.text(), body, "{name}");
    }

    /// The address of a target whose whole address is the secret.
    fn secret_origin(&self, sent: &Request) -> &'static str {
        let ends = |(_, value): &&(&str, &str)| split(value).1 == sent.target;
        let secret = SECRETS.iter().find(ends);
        let (_, value) =
            secret.unwrap_or_else(|| panic!("{}: {} is no secret", self.name, sent.target));
        split(value).0
    }

    async fn preview(&self, event_type: &Value, data: &Value) -> Value {
        let event =
            json!({"type": event_type["name"], "data": data, "attributes": attributes(event_type)});
        let request = json!({"webhook": self.webhook["id"], "event": event});
        self.api.post("preview", &request).await.expect(200).json()
    }

    fn text(&self, name: &str) -> &str {
        self.webhook[name].as_str().unwrap()
    }

    /// The request with its body parsed, held against the schema.
    fn documented(&self, request: &Value, what: &str) -> Value {
        let mut request = request.clone();
        let body = request["body"].as_str().unwrap_or_else(|| panic!("{what}: no body: {request}"));
        request["body"] =
            serde_json::from_str(body).unwrap_or_else(|e| panic!("{what}: {e}: {body}"));
        let errors = self.schema.iter_errors(&request);
        let errors: Vec<_> =
            errors.map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}, {what}: {errors:#?}\n{request:#}", self.name);
        request
    }
}

/// The attributes that go with the type's example.
fn attributes(event_type: &Value) -> Value {
    event_type.get("example_attributes").cloned().unwrap_or_else(|| json!({}))
}

/// `examples/crm/*.yaml`.
fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples/crm")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

/// `antar apply -f FILE --tenant NAME`
async fn apply(server: &TestServer, tenant: &str, file: &PathBuf, receiver: &Receiver) {
    let key = std::fs::read_to_string(server.data_dir().join("operator.key")).unwrap();
    let local = |value: &str| match split(value) {
        ("", _) => value.to_owned(),
        (_, path) => receiver.url(path),
    };
    let secrets = SECRETS.iter().map(|(name, value)| (*name, local(value)));
    let output = Command::new(binary())
        .args(["apply", "--tenant", tenant, "-f"])
        .arg(file)
        .env("ANTAR_URL", &server.base)
        .env("ANTAR_KEY", key.trim())
        .envs(secrets)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&said));
}

/// `https://host` and the rest; the first is empty where the text is no address.
fn split(url: &str) -> (&str, &str) {
    let Some(host) = url.strip_prefix("https://") else { return ("", url) };
    url.split_at(8 + host.find('/').unwrap_or(host.len()))
}

/// Whether a string below has this text in it.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(elements) => elements.iter().any(|element| holds(element, text)),
        Value::Object(members) => members.values().any(|member| holds(member, text)),
        _ => false,
    }
}
