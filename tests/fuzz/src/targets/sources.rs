use std::sync::{Arc, LazyLock};

use antar::config::IntakeConfig;
use antar::model::{Millis, ProfileSpec, Secret, SourceId, SourceSpec, TenantId};
use antar::pipeline::accept::call::{Call, Reading};
use antar::pipeline::accept::compile_source::Around;
use antar::pipeline::accept::source::{Meaning, Source};
use antar::pipeline::accept::verify::{Caller, Context};
use antar::pipeline::compiled::profile::Profile;
use antar_json::Steps;
use antar_template::Limits;
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
        json!({"name": "elements", "event_type": "a.{{element.a}}", "event_id": "{{element.b}}", "split": "body.events",
               "methods": ["*"], "body": {"json_fields": ["a"]}, "answer": {"body": "<a>{{body.a}}</a>", "content_type": "text/xml"}}),
        json!({"name": "hmac", "event_type": "a.b", "verify": {"kind": "hmac", "keys": ["key"], "signature": "{headers.x-sig}",
               "fields": {"signature": "v1", "timestamp": "t"}, "over": "{timestamp}.{body}"}}),
        json!({"name": "form", "event_type": "a.b", "verify": {"kind": "hmac", "keys": ["key"], "signature": "{headers.x-sig}",
               "algorithm": "sha1", "encoding": "base64", "over": "{url}{form}{query.a}{body_crc32}{path}{method}"}}),
        json!({"name": "standard", "event_type": "a.b", "verify": {"kind": "standard", "keys": ["key"]}}),
        json!({"name": "rsa", "event_type": "a.b", "verify": {"kind": "rsa", "keys": ["key"], "signature": "{body.a}"}}),
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
    let around = Around {
        id: SourceId::new(Millis(0)),
        tenant: "acme".parse::<TenantId>().ok()?,
        secret: Secret::new("secret".to_owned()),
        profile: Arc::new(Profile { spec: profile, types, headers, test_headers, retry }),
        now: Millis(0),
    };
    Source::compile(spec, around, &Limits::default()).ok()
}

/// What a source makes of a call from somebody it does not know.
pub(crate) fn called(source: &Source, call: &Call, limits: &IntakeConfig) -> Option<Meaning> {
    let secret = |name: &str| (name == "key").then(|| Secret::new("secret".to_owned()));
    let caller = Caller { by_trusted_proxy: false, is_vouched_for: false };
    let steps = Steps::unlimited();
    let context =
        Context { secret: &secret, now: Millis(1_773_144_000_000), caller, steps: &steps };
    source.called(call, context, limits).ok()?.ok()
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
        url: format!("https://antar.example{target}"),
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body),
    };
    if let Ok(document) = call.document(&Reading::default(), &limits) {
        let document = document.document;
        let read = serde_json::from_str::<serde::de::IgnoredAny>(document.text());
        assert!(read.is_ok(), "the call's document is no JSON: {read:?}");
        let shown = document.root().at("path");
        assert_eq!(shown.and_then(|path| path.as_str()).as_deref(), Some(path));
        assert!(document.root().at("headers.cookie").is_none(), "credentials are in the event");
    }
    assert_eq!(SOURCES.len(), 9);
    for source in SOURCES.iter() {
        let Some(Meaning::Events { drafts, .. }) = called(source, &call, &limits) else { continue };
        assert!(source.verifier.is_none(), "nobody has signed this call");
        assert!(drafts.len() <= limits.events_max);
        let drafts = drafts.iter().flatten();
        let most = drafts.map(|draft| draft.attributes.len()).max().unwrap_or_default();
        assert!(most <= limits.attributes_max + 1, "more attributes than an event may have");
    }
}
