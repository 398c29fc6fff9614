//! Benchmarks rendering a CRM payload against the same payload written by hand with `serde_json`, and
//! against the `handlebars` crate.
//!
//! `cargo xtask bench templates`, or `cargo run --release -p antar-template --example render`. All sides run
//! in turns in the same process over the same event, which is parsed beforehand. The ratio is the number
//! that counts.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that can't read its own input must stop"
)]

use std::borrow::Cow;
use std::hint::black_box;
use std::io::IsTerminal as _;
use std::time::Instant;

use antar_json::{Document, Value};
use antar_template::{ContentType, Limits, Place, Scope, Template, Unresolved};
use handlebars::{Context, Handlebars, handlebars_helper};
use serde::Serialize;

const EVENT: &str = r#"{"event": "conversation.resolved", "deliveryId": "d3c5a9e8-5f0e-4a53-9c0d-0a8f5a8f3b21",
"timestamp": "2026-03-10T12:00:00.000Z", "conversation": {"id": "9f1c2e52-7d41-4c55-8f0f-1f7f1f9f0b11",
"botName": "Sales \"EU\"", "status": "resolved", "channel": "whatsapp", "priority": 2, "labels": ["vip", "indonesia", "renewal"],
"startedAt": "2026-03-10T11:42:07.125Z", "userData": {"email": "siti.rahma@toko-maju.example", "name": "Siti Rahma",
"phone": "+6281234567890", "company": "Toko Maju \u2014 Jakarta", "city": "Jakarta", "country": "ID", "nickname": "", "score": 87.5}},
"messages": [{"id": 1, "from": "contact", "text": "Halo, apakah paket \"Pro\" masih promo?", "at": 1773142927},
{"id": 2, "from": "bot", "text": "Masih, sampai akhir bulan.\nMau saya hubungkan ke tim sales?", "at": 1773142931},
{"id": 3, "from": "contact", "text": "Boleh. Hubungi saya setelah jam 3 sore ya", "at": 1773142975}]}"#;

const TEMPLATE: &str = r#"{
  "idProperty": "email",
  "id": "{{conversation.userData.email}}",
  "properties": {
    "email": "{{conversation.userData.email}}",
    "fullname": "{{conversation.userData.name}}",
    "nickname": "{{default conversation.userData.nickname conversation.userData.name}}",
    "phone": "{{conversation.userData.phone}}",
    "company": "{{conversation.userData.company}}",
    "jobtitle": "{{conversation.userData.job}}",
    "city": "{{conversation.userData.city}}",
    "country": "{{conversation.userData.country}}",
    "score": {{conversation.userData.score}},
    "hs_lead_status": "{{conversation.status}}",
    "bot": "{{conversation.botName}}",
    "conversation_id": "{{conversation.id}}",
    "conversation_started": {{date conversation.startedAt "unix_ms"}},
    "conversation_labels": {{conversation.labels}},
    "source_event": "{{event}}"
  },
  "messages": [{{#each messages join=","}}{"from": "{{from}}", "text": "{{text}}", "at": {{at}} }{{/each}}],
  "note": "{{conversation.botName}} on {{conversation.channel}}: conversation {{conversation.id}} is {{conversation.status}}"
}"#;

/// Hand-written code for this one payload.
#[derive(Serialize)]
struct Upsert<'e> {
    #[serde(rename = "idProperty")]
    id_property: &'static str,
    id: Option<Cow<'e, str>>,
    properties: Properties<'e>,
    messages: Vec<Message<'e>>,
    note: String,
}

#[derive(Serialize)]
struct Properties<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fullname: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobtitle: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hs_lead_status: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_started: Option<i64>,
    conversation_labels: Vec<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_event: Option<Cow<'e, str>>,
}

#[derive(Serialize)]
struct Message<'e> {
    from: Option<Cow<'e, str>>,
    text: Option<Cow<'e, str>>,
    at: Option<i64>,
}

fn text<'e>(value: Option<Value<'e>>, key: &str) -> Option<Cow<'e, str>> {
    value?.get(key)?.as_str()
}

fn by_hand(root: Value<'_>) -> Vec<u8> {
    let conversation = root.get("conversation");
    let user = conversation.and_then(|conversation| conversation.get("userData"));
    let labels = conversation.and_then(|conversation| conversation.get("labels"));
    let name = text(user, "name");
    let nickname = text(user, "nickname").filter(|nickname| !nickname.is_empty());
    let started = text(conversation, "startedAt").and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let part = |key| text(conversation, key).unwrap_or_default();
    let messages = root.get("messages").map(|messages| messages.elements());
    let upsert = Upsert {
        id_property: "email",
        id: text(user, "email"),
        properties: Properties {
            email: text(user, "email"),
            nickname: nickname.or_else(|| name.clone()),
            fullname: name,
            phone: text(user, "phone"),
            company: text(user, "company"),
            jobtitle: text(user, "job"),
            city: text(user, "city"),
            country: text(user, "country"),
            score: user.and_then(|user| user.get("score")?.as_number()?.parse().ok()),
            hs_lead_status: text(conversation, "status"),
            bot: text(conversation, "botName"),
            conversation_id: text(conversation, "id"),
            conversation_started: started.map(|at| at.as_millisecond()),
            conversation_labels: labels
                .map(|labels| labels.elements().filter_map(|label| label.as_str()).collect())
                .unwrap_or_default(),
            source_event: text(Some(root), "event"),
        },
        messages: messages
            .into_iter()
            .flatten()
            .map(|message| Message {
                from: text(Some(message), "from"),
                text: text(Some(message), "text"),
                at: message.get("at").and_then(|at| at.as_number()?.parse().ok()),
            })
            .collect(),
        note: format!(
            "{} on {}: conversation {} is {}",
            part("botName"),
            part("channel"),
            part("id"),
            part("status")
        ),
    };
    serde_json::to_vec(&upsert).unwrap()
}

handlebars_helper!(default_of: |one: Json, other: Json| match one.as_str() {
    None | Some("") => other.clone(),
    Some(_) => one.clone(),
});
handlebars_helper!(date_of: |at: str, _how: str| {
    at.parse::<jiff::Timestamp>().unwrap().as_millisecond()
});

/// The same template for the `handlebars` crate, which supports neither `omit` nor `join`.
fn handlebars() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.register_escape_fn(|text| {
        let mut out = String::with_capacity(text.len());
        antar_json::escape_into(&mut out, text);
        out
    });
    registry.register_helper("default", Box::new(default_of));
    registry.register_helper("date", Box::new(date_of));
    let template = TEMPLATE
        .replace("    \"jobtitle\": \"{{conversation.userData.job}}\",\n", "")
        .replace(" join=\",\"", "")
        .replace(" }{{/each}}", " }{{#unless @last}},{{/unless}}{{/each}}")
        .replace(
            "{{conversation.labels}}",
            "[{{#each conversation.labels}}\"{{this}}\"{{#unless @last}},{{/unless}}{{/each}}]",
        );
    registry.register_template_string("upsert", template).unwrap();
    registry
}

const ROUNDS: usize = 41;
const RENDERINGS: u32 = 2_000;

fn main() {
    let event: Document = EVENT.parse().unwrap();
    let antar: Document =
        r#"{"event_id": "evt_1", "event_type": "conversation.resolved"}"#.parse().unwrap();
    let place = Place::Body(ContentType::Json);
    let template = Template::compile(TEMPLATE, &place, &Limits::default()).expect("compiles");
    let scope = Scope { root: event.root(), antar: antar.root(), attempt: None };
    let ours = || template.render(&scope, Unresolved::Omit).unwrap();
    let peer = handlebars();
    let context = Context::wraps(event.root().to_serde()).unwrap();
    let theirs = || peer.render_with_context("upsert", &context).unwrap();

    let sent = antar_template::masked(&ours().pieces);
    let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(read(sent.as_bytes()), read(&by_hand(event.root())), "both write the same");
    assert_eq!(read(sent.as_bytes()), read(theirs().as_bytes()), "so does the peer");

    let mut taken = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        taken[0].push(time(&mut || drop(black_box(ours()))));
        taken[1].push(time(&mut || drop(black_box(by_hand(event.root())))));
        taken[2].push(time(&mut || drop(black_box(theirs()))));
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let [ours, by_hand, theirs] = taken.each_mut().map(median);
    let (ratio, peer_ratio) = (ours / by_hand, theirs / by_hand);
    let (event_bytes, sent_bytes) = (event.text().len(), sent.len());
    if std::io::stdout().is_terminal() {
        println!(
            "event {event_bytes} bytes, payload {sent_bytes} bytes; medians of {ROUNDS} rounds of {RENDERINGS}\n"
        );
        println!("  serde_json, by hand   {by_hand:6.2} µs   1.0");
        println!("  antar-template        {ours:6.2} µs   {ratio:.1}");
        println!("  handlebars            {theirs:6.2} µs   {peer_ratio:.1}");
    } else {
        println!(
            "{}",
            serde_json::json!({"event_bytes": event_bytes, "sent_bytes": sent_bytes, "serde_json_us": by_hand,
                "antar_us": ours, "ratio": ratio, "handlebars_us": theirs, "handlebars_ratio": peer_ratio})
        );
    }
}

/// Microseconds per call of `one`.
fn time(one: &mut dyn FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..RENDERINGS {
        one();
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(RENDERINGS)
}
