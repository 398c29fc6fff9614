//! The attacks, one row each.

use std::pin::Pin;
use std::time::Duration;

use antar_fuzz::grow;
use serde_json::{Value, json};

use super::attack::Attacker;
use super::receiver::PATHS;

type Step<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// An attack.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// One round of it; it is repeated until the time is over.
    pub(super) step: for<'a> fn(&'a mut Attacker) -> Step<'a>,
}

/// A row whose step is an `async fn`.
macro_rules! kinds {
    ($($name:ident: $about:literal,)+) => {
        pub(super) const ALL: &[Kind] = &[$(Kind {
            name: stringify!($name),
            about: $about,
            step: |attacker| Box::pin($name(attacker)),
        }),+];
    };
}

kinds! {
    schemas: "random and doubling schemas, and events that are validated by them",
    rules: "random patterns, and events with long lists for them",
    templates: "random templates, saved and previewed with large events",
    plugins: "damaged uploads, plugins that never end, and events that run them",
    forms: "forms of hundreds of thousands of names",
    bodies: "the largest, deepest and widest JSON, and batches with equal ids",
    receivers: "receivers that hang, trickle, flood and slam, and events for them",
    lists: "the dearest questions: large pages, explanations, previews",
    sources: "sources that split large calls behind many members",
    patches: "large specs, and patches of them",
    connections: "hundreds of connections that send a byte now and then",
    halves: "requests that announce a large body and end in the middle",
    listeners: "streams of attempts that nobody reads",
}

/// A large part of what a body may be, in bytes.
const LARGE: usize = 3 << 20;
/// Names that are used in turn, so that the attacker does not only fill its tenant up.
const NAMES: usize = 24;

async fn schemas(attacker: &mut Attacker) -> anyhow::Result<()> {
    let name = format!("attack.s{}", attacker.number % NAMES);
    let schema = match attacker.dice.below(4) {
        0 => doubling(10 + attacker.dice.below(30)).to_string(),
        1 => r#"{"items":{"uniqueItems":true,"contains":{"pattern":"^(a+)+$"}}}"#.to_owned(),
        _ => grow::schemas::schema(&mut attacker.dice),
    };
    attacker
        .json(
            "PUT",
            &format!("event-types/{name}"),
            &format!(r#"{{"name":"{name}","schema":{schema},"schema_mode":"reject"}}"#),
        )
        .await?;
    for _ in 0..3 {
        let data = grow::json::object(&mut attacker.dice, &mut 20_000, 30);
        attacker.json("POST", "events", &format!(r#"{{"type":"{name}","data":{data}}}"#)).await?;
    }
    Ok(())
}

fn doubling(levels: usize) -> Value {
    let link = |level: usize| {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        (level.to_string(), json!({"anyOf": [next, next]}))
    };
    let mut definitions: serde_json::Map<String, Value> = (0..levels).map(link).collect();
    definitions.insert(levels.to_string(), json!({"type": "array"}));
    json!({"$ref": "#/$defs/0", "$defs": definitions})
}

/// Saves a webhook under one of a few names; `more` is laid over it.
async fn webhook(attacker: &mut Attacker, more: Value) -> anyhow::Result<()> {
    let path = PATHS[attacker.dice.below(PATHS.len())];
    let mut spec = json!({
        "name": format!("w{}-{}", attacker.number, attacker.dice.word()),
        "url": format!("http://{}/{path}", attacker.receiver),
        "event_types": ["attack.*"],
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    let made = attacker.json("POST", "webhooks", &spec.to_string()).await?;
    // A tenant full of them would refuse the next ones.
    if let (true, Some(id)) = (attacker.number > NAMES, made["id"].as_str()) {
        attacker.send("DELETE", &format!("webhooks/{id}"), "application/json", b"").await?;
    }
    Ok(())
}

async fn rules(attacker: &mut Attacker) -> anyhow::Result<()> {
    let pattern = match attacker.dice.below(3) {
        0 => {
            json!({"data": {"l": {"x": [1], "y": [2], "z": [{"exists": false}], "w": [{"wildcard": "*a*b*c*"}]}}})
        }
        _ => serde_json::from_str(&grow::rules::pattern(&mut attacker.dice)).unwrap_or_default(),
    };
    webhook(attacker, json!({"rule": pattern})).await?;
    let count = 1_000 + attacker.dice.below(40_000);
    let elements = vec![r#"{"x":1,"y":1,"w":"aaaaabbbbb"}"#; count].join(",");
    attacker
        .json("POST", "events", &format!(r#"{{"type":"attack.r","data":{{"l":[{elements}]}}}}"#))
        .await?;
    Ok(())
}

async fn templates(attacker: &mut Attacker) -> anyhow::Result<()> {
    let body = match attacker.dice.below(3) {
        0 => "{{#each data.l}}{{#each ../data.l}}{{this}}{{/each}}{{/each}}".to_owned(),
        1 => "{{replace (replace data.t \"a\" \"aaaaaaaa\") \"a\" \"aaaaaaaa\"}}".to_owned(),
        _ => grow::templates::template(&mut attacker.dice),
    };
    webhook(attacker, json!({"body": body, "headers": {"content-type": "text/plain"}})).await?;
    let list = vec!["1"; 5_000].join(",");
    let event =
        format!(r#"{{"type":"attack.t","data":{{"l":[{list}],"t":"{}"}}}}"#, "a".repeat(100_000));
    let preview =
        json!({"name": "p", "url": "http://127.0.0.1/", "event_types": ["*"], "body": body});
    attacker
        .json("POST", "preview", &format!(r#"{{"webhook":{preview},"event":{event}}}"#))
        .await?;
    attacker.json("POST", "events", &event).await?;
    Ok(())
}

async fn plugins(attacker: &mut Attacker) -> anyhow::Result<()> {
    let name = format!("p{}", attacker.number % NAMES);
    let wasm = match attacker.dice.below(3) {
        0 => grow::wasm::sections(&mut attacker.dice),
        1 => grow::wasm::endless(),
        _ => grow::wasm::damaged(&mut attacker.dice),
    };
    attacker.send("POST", &format!("plugins?name={name}"), "application/wasm", &wasm).await?;
    webhook(attacker, json!({"plugins": [{"plugin": name}]})).await?;
    let events = vec![r#"{"type":"attack.p","data":{}}"#; 20].join(",");
    attacker.json("POST", "events", &format!("[{events}]")).await?;
    Ok(())
}

/// The path of a source of the attacker's.
async fn source(attacker: &mut Attacker, more: Value) -> anyhow::Result<String> {
    if let Some(path) = &attacker.source {
        return Ok(path.clone());
    }
    let mut spec = json!({"name": format!("s{}", attacker.dice.word()), "event_type": "attack.f"});
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    let made = attacker.json("POST", "sources", &spec.to_string()).await?;
    let url = made["url"].as_str().unwrap_or_default();
    let path = url.find("/in/").map_or("/in/none/none", |at| &url[at..]).to_owned();
    attacker.source = Some(path.clone());
    Ok(path)
}

async fn forms(attacker: &mut Attacker) -> anyhow::Result<()> {
    let path = source(attacker, json!({})).await?;
    let form = match attacker.dice.below(3) {
        0 => vec!["a[]=1"; LARGE / 6].join("&"),
        1 => (0..LARGE / 10).map(|n| format!("{n:x}=")).collect::<Vec<_>>().join("&"),
        _ => grow::calls::form(&mut attacker.dice),
    };
    attacker.send("POST", &path, "application/x-www-form-urlencoded", form.as_bytes()).await?;
    let call = grow::calls::call(&mut attacker.dice);
    attacker.send("POST", &path, "multipart/form-data; boundary=x", &call).await?;
    Ok(())
}

async fn bodies(attacker: &mut Attacker) -> anyhow::Result<()> {
    let body = match attacker.dice.below(7) {
        0 => "[".repeat(LARGE),
        1 => format!("[{}]", vec![r#"{"type":"attack.b","id":"same","data":{}}"#; 1_000].join(",")),
        2 => format!(r#"{{"type":"attack.b","data":{{"t":"{}"}}}}"#, "\\u0000".repeat(LARGE / 6)),
        3 => {
            format!(r#"{{"type":"attack.b","data":{{"l":[{}]}}}}"#, vec!["1"; LARGE / 2].join(","))
        }
        4 => format!(
            "{{{}}}",
            (0..LARGE / 12).map(|n| format!(r#""{n:x}":0"#)).collect::<Vec<_>>().join(",")
        ),
        5 => format!("[{}]", vec!["{}"; LARGE / 3].join(",")),
        _ => grow::json::event(&mut attacker.dice),
    };
    attacker.json("POST", "events", &body).await?;
    Ok(())
}

async fn receivers(attacker: &mut Attacker) -> anyhow::Result<()> {
    if attacker.number <= NAMES {
        webhook(attacker, json!({"event_types": ["attack.x"], "timeout_ms": 60_000, "limits": {"in_flight_max": 10_000}})).await?;
    }
    let events = vec![r#"{"type":"attack.x","data":{}}"#; 200].join(",");
    attacker.json("POST", "events", &format!("[{events}]")).await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(())
}

async fn lists(attacker: &mut Attacker) -> anyhow::Result<()> {
    const PATHS: &[&str] = &[
        "events?limit=200",
        "deliveries?limit=200",
        "deliveries?state=failed&limit=200",
        "webhooks?limit=200",
        "event-types?limit=200",
        "sources?limit=200",
        "facets",
        "plugins",
        "replays",
        "events?cursor=AAAA",
        "events?limit=99999999999",
        "events?subject=x&since=0000-01-01T00:00:00Z",
    ];
    let path = PATHS[attacker.dice.below(PATHS.len())];
    let page = attacker.send("GET", path, "application/json", b"").await?;
    if let Some(id) = page["data"][0]["id"].as_str().filter(|_| path.starts_with("events?")) {
        attacker
            .send("GET", &format!("events/{id}/explain?limit=200"), "application/json", b"")
            .await?;
        attacker.json("POST", "webhooks/none/replay", r#"{"dry_run":true}"#).await?;
    }
    Ok(())
}

async fn sources(attacker: &mut Attacker) -> anyhow::Result<()> {
    let dots = vec!["a"; 1_000].join(".");
    let spec = json!({"event_type": "attack.{{body.kind}}", "event_id": "{{body.id}}", "split": "body.events", "attributes": {"x": dots}});
    let path = source(attacker, spec).await?;
    let members = (0..LARGE / 16).map(|n| format!(r#""{n:x}":0"#)).collect::<Vec<_>>().join(",");
    let events = vec!["{}"; 1_000].join(",");
    attacker
        .json("POST", &path, &format!(r#"{{"events":[{events}],{members},"kind":"s","id":"i"}}"#))
        .await?;
    Ok(())
}

async fn patches(attacker: &mut Attacker) -> anyhow::Result<()> {
    let attributes = |prefix: &str| {
        let members: serde_json::Map<String, Value> =
            (0..60_000).map(|n| (format!("{prefix}{n}"), json!(""))).collect();
        Value::Object(members)
    };
    let name = format!("s{}", attacker.dice.word());
    let made = attacker
        .json(
            "POST",
            "sources",
            &json!({"name": name, "event_type": "attack.f", "attributes": attributes("a")})
                .to_string(),
        )
        .await?;
    if let Some(id) = made["id"].as_str() {
        attacker
            .json(
                "PATCH",
                &format!("sources/{id}"),
                &json!({"attributes": attributes("b")}).to_string(),
            )
            .await?;
        attacker.send("DELETE", &format!("sources/{id}"), "application/json", b"").await?;
    }
    let example: serde_json::Map<String, Value> =
        (0..100_000).map(|n| (format!("k{n}"), json!(n))).collect();
    attacker
        .json(
            "PUT",
            "event-types/attack.example",
            &json!({"name": "attack.example", "example": example}).to_string(),
        )
        .await?;
    attacker.send("GET", "event-types/attack.example/variables", "application/json", b"").await?;
    Ok(())
}

async fn connections(attacker: &mut Attacker) -> anyhow::Result<()> {
    const OPEN_MAX: usize = 800;
    for _ in 0..50 {
        if attacker.rest.len() >= OPEN_MAX {
            break;
        }
        let mut wire = attacker.connect().await?;
        // Some stop in the head, some in the body.
        let bytes = attacker.bytes("POST", "events", "application/json", &[b' '; 1_000]);
        let end = attacker.dice.below(bytes.len() - 1);
        wire.send(&bytes[..end]).await?;
        attacker.rest.push(wire);
        attacker.count("opened");
    }
    let mut open = Vec::with_capacity(attacker.rest.len());
    for mut wire in std::mem::take(&mut attacker.rest) {
        match wire.send(b" ").await {
            Ok(()) => open.push(wire),
            Err(_) => attacker.count("closed by the server"),
        }
    }
    attacker.rest = open;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

async fn halves(attacker: &mut Attacker) -> anyhow::Result<()> {
    let mut wire = attacker.connect().await?;
    let bytes = attacker.bytes("POST", "events", "application/json", &vec![b' '; LARGE]);
    let end = attacker.dice.below(bytes.len());
    wire.send(&bytes[..end]).await?;
    attacker.count("broken off by us");
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

async fn listeners(attacker: &mut Attacker) -> anyhow::Result<()> {
    let mut wire = attacker.connect().await?;
    wire.send(&attacker.bytes("GET", "deliveries/stream", "application/json", b"")).await?;
    attacker.rest.push(wire);
    attacker.count("opened");
    if attacker.rest.len() > 64 {
        attacker.rest.drain(..32);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}
