use std::sync::{Arc, LazyLock};

use antar::config::IntakeConfig;
use antar::model::{Millis, ProfileSpec, Secret, SourceId, SourceSpec, TenantId};
use antar::pipeline::accept::source::{Call, Source};
use antar::pipeline::compiled::profile::Profile;
use antar_json::Steps;
use antar_template::{ContentType, Limits, Place, Template};
use bytes::Bytes;
use serde_json::json;

use super::halves;
use crate::dice::Dice;
use crate::grow;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    [
        "POST /in/source/secret?a=1&a=2&b=%E2%82%AC\ncontent-type: application/json\nx-github-event: push\n\n{\"events\":[{\"a\":1},{\"b\":2}],\"type\":\"push\"}",
        "POST /in/source/secret\ncontent-type: application/x-www-form-urlencoded\n\na=1&a=2&b=%E2%82%AC&c=+",
        "PUT /in/source/secret/more\ncontent-type: multipart/form-data; boundary=x\n\n--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
        "GET /in/source/secret\naccept: */*\ncookie: a=b\n\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    grow::calls::call(dice)
}

/// One source that takes the whole call, and one that splits a list.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let attributes: serde_json::Map<_, _> = (0..40).map(|n| (n.to_string(), "x".into())).collect();
    let specs = [
        json!({"name": "whole", "event_type": "call.{{method}}", "event_id": "{{headers.x-id}}"}),
        json!({"name": "parts", "event_type": "github.{{body.type}}", "split": "body.events", "attributes": {"source": "x"}}),
        json!({"name": "part", "event_type": "a.b", "data": "body.events.0"}),
        json!({"name": "too many", "event_type": "a.b", "attributes": attributes}),
    ];
    specs.into_iter().filter_map(source).collect()
});

/// A source of this spec, outside of any server.
pub(crate) fn source(spec: serde_json::Value) -> Option<Source> {
    let spec: SourceSpec = serde_json::from_value(spec).ok()?;
    let profile = json!({
        "name": "p", "payload": [{"rest": "data"}],
        "retry": {"schedule_s": [5], "attempts_max": 3, "jitter": 0.1},
    });
    let profile: ProfileSpec = serde_json::from_value(profile).ok()?;
    let retry = profile.retry.complete()?;
    let (types, headers, test_headers) = (Default::default(), Vec::new(), Vec::new());
    let place = Place::Body(ContentType::Text);
    let template =
        |text: &str| Template::compile(text, &place, &Limits::default()).ok().map(Arc::new);
    Some(Source {
        id: SourceId::new(Millis(0)),
        tenant: "acme".parse::<TenantId>().ok()?,
        event_type: template(&spec.event_type)?,
        event_id: spec.event_id.as_deref().and_then(template),
        spec,
        secret: Secret::new("secret".to_owned()),
        profile: Arc::new(Profile { spec: profile, types, headers, test_headers, retry }),
        created_at: Millis(0),
        updated_at: Millis(0),
    })
}

/// A call is always a document, however it is written, and its parts are found in it.
pub(super) fn read(input: &[u8]) {
    let limits = IntakeConfig::default();
    let (head, body) = halves(input);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let (method, target) = first.split_once(' ').unwrap_or((first, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let call = Call {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body),
    };
    let document = call.document(&limits);
    let read = serde_json::from_str::<serde::de::IgnoredAny>(document.text());
    assert!(read.is_ok(), "the call's document is no JSON: {read:?}");
    assert_eq!(document.root().at("path").and_then(|path| path.as_str()).as_deref(), Some(path));
    assert!(document.root().at("headers.cookie").is_none(), "credentials are in the event");
    assert_eq!(SOURCES.len(), 4);
    for source in SOURCES.iter() {
        if let Ok(Ok(drafts)) = source.drafts(&document, &limits, &Steps::unlimited()) {
            assert!(drafts.len() <= limits.events_max);
            let most = drafts.iter().map(|draft| draft.attributes.len()).max().unwrap_or_default();
            assert!(most <= limits.attributes_max + 1, "more attributes than an event may have");
        }
    }
}
