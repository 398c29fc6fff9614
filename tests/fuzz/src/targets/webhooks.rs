use antar::config::IntakeConfig;
use antar::model::{EventTypeSpec, ProfileSpec, SourceSpec, TenantId, WebhookSpec};
use antar::pipeline::client::address::AddressPolicy;
use antar::pipeline::compiled::profile::CatalogType;
use antar_json::Document;
use antar_rules::Pattern;
use antar_template::{ContentType, Limits, Place, Template};

use crate::dice::Dice;
use crate::grow;

const WEBHOOK: &str = r#"{"name":"crm","event_types":["conversation.*"],"url":"https://crm.example/{{data.id}}","rule":{"data":{"n":[1.50]}},"headers":{"X-A":"{{data.a}}"},"body":"{\"a\":\"{{data.a}}\"}","signers":[{"kind":"bearer"}],"retry":{"schedule_s":[5],"jitter":0.1},"facets":{"inbox":["a"]},"limits":{"rate_per_s":1.5},"success":{"status":[200]},"ordering":"per_key","dedupe":{"key":"{{data.id}}","window_s":60}}"#;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    [
        WEBHOOK,
        r#"{"name":"p","payload":[{"key":"t","value":"type"},{"key":"c","const":[1]},{"rest":"data"}],"retry":{"statuses":["5xx",429]},"event_types":[{"name":"a.b","schema":{"type":"object"},"example":{"a":1}}]}"#,
        r#"{"name":"s","event_type":"github.{{body.type}}","split":"body.events","attributes":{"source":"x"}}"#,
        r#"{"name":"a.b","schema":{"properties":{"a":{"enum":[1]}}},"schema_mode":"reject","example":{"a":1}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    let quoted = |text: String| serde_json::Value::String(text).to_string();
    match dice.below(3) {
        0 => format!(
            r#"{{"name":"a.b","schema":{},"example":{}}}"#,
            grow::schemas::schema(dice),
            grow::json::document(dice)
        ),
        1 => format!(
            r#"{{"name":"s","event_type":{},"data":{},"attributes":{}}}"#,
            quoted(grow::templates::template(dice)),
            grow::json::text(dice),
            grow::json::object(dice, &mut 40, 2)
        ),
        _ => format!(
            r#"{{"name":"w","event_types":["*"],"url":{},"rule":{},"body":{},"success":{},"retry":{{"schedule_s":[{}],"statuses":[{}]}}}}"#,
            quoted(url(dice)),
            grow::rules::pattern(dice),
            quoted(grow::templates::template(dice)),
            grow::rules::pattern(dice),
            grow::json::scalar(dice),
            grow::json::scalar(dice)
        ),
    }
    .into_bytes()
}

pub(super) fn read(input: &[u8]) {
    // The server reads a spec from the compact text.
    let limits = IntakeConfig::default();
    let Ok(document) = antar::pipeline::accept::intake::parse_document(input, &limits) else {
        return;
    };
    let text = document.text();
    if let Ok(spec) = serde_json::from_str::<WebhookSpec>(text) {
        webhook(&spec);
    }
    if let Ok(spec) = serde_json::from_str::<ProfileSpec>(text) {
        let _ = spec.retry.errors();
        spec.event_types.into_iter().for_each(event_type);
    }
    if let Ok(spec) = serde_json::from_str::<SourceSpec>(text) {
        compile(&spec.event_type, &Place::Body(ContentType::Text));
    }
    if let Ok(spec) = serde_json::from_str::<EventTypeSpec>(text) {
        event_type(spec);
    }
}

fn webhook(spec: &WebhookSpec) {
    // What is stored reads the same after a restart.
    let stored = serde_json::to_string(spec);
    let again =
        stored.as_ref().ok().and_then(|text| serde_json::from_str::<WebhookSpec>(text).ok());
    assert!(again.as_ref() == Some(spec), "stored, it reads differently: {stored:?}");
    let _ = spec.retry.errors();
    for pattern in [&spec.rule, &spec.success] {
        let _ = Pattern::parse(pattern.root());
    }
    check_url(&spec.url, &spec.hosts_allowed);
    for (_, value) in &spec.headers {
        compile(value.as_str().unwrap_or_default(), &Place::Header);
    }
    if let Some(body) = &spec.body {
        compile(body, &Place::Body(ContentType::of(None, body)));
    }
}

fn event_type(spec: EventTypeSpec) {
    let limits = IntakeConfig { schema_steps_max: 200_000, ..IntakeConfig::default() };
    let Ok(tenant) = "acme".parse::<TenantId>() else { return };
    let known = CatalogType::new(spec, &limits);
    let _ = known.refusal();
    let example = known.example_event(&tenant);
    let _ = known.miss(example.data());
}

fn compile(text: &str, place: &Place) {
    let _ = Template::compile(text, place, &Limits::default());
}

pub(super) fn url_corpus() -> Vec<Vec<u8>> {
    [
        "https://crm.example/x?y={{data.a}}#z",
        "http://[::ffff:7f00:1]:8080/",
        "https://user:pass@xn--bcher-kva.example:443/%2e%2e/",
        "http://0x7f.1/",
        "https://{{data.host}}.example/",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn url(dice: &mut Dice) -> String {
    const PARTS: &[&str] = &[
        "http",
        "https",
        "HTTP",
        "file",
        ":",
        "//",
        "/",
        "@",
        "?",
        "#",
        "[",
        "]",
        "::1",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "017700000001",
        "localhost",
        "localhost.",
        "crm.example",
        ".",
        "..",
        "%00",
        "%2f",
        ":80",
        ":99999",
        "\\",
        "\t",
        "\n",
        " ",
        "é",
        "\u{ff0f}",
        "\u{3002}",
        "{{data.a}}",
        "{{antar.secret.t}}",
        "xn--",
        "a.",
        "169.254.169.254",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "fe80::1%25eth0",
    ];
    let count = 1 + dice.count(200);
    let tail: String = (0..count).map(|_| dice.pick(PARTS)).collect();
    if dice.one_in(4) { tail } else { format!("https://{tail}") }
}

pub(super) fn url_grow(dice: &mut Dice) -> Vec<u8> {
    url(dice).into_bytes()
}

pub(super) fn url_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    check_url(&text, &["*.example".to_owned()]);
}

/// A host that is this machine, however it is written, is refused.
fn check_url(text: &str, hosts_allowed: &[String]) {
    compile(text, &Place::Url { hosts_allowed: hosts_allowed.to_vec() });
    let policy = AddressPolicy::default();
    if let Ok(url) = url::Url::parse(text) {
        let permitted = policy.check_host(url.host_str().unwrap_or_default());
        let own = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
            Some(url::Host::Ipv6(address)) => {
                address.is_loopback() || address.is_unicast_link_local()
            }
            Some(url::Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
            None => false,
        };
        assert!(!own || permitted.is_err(), "{url} may be delivered to");
    }
    let _ = policy.check_host(text);
    let _ = text.parse::<Document>();
}
