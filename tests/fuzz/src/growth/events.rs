use antar::config::IntakeConfig;
use antar::model::{Fields, Millis, Response};
use antar::pipeline::accept::call::{Call, Reading};
use antar::pipeline::accept::source::Meaning;
use antar::pipeline::accept::{cloudevents, intake};
use antar::pipeline::attempt::receiver_hints::ReceiverHints;
use serde_json::json;

use super::texts::object;
use super::{Part, repeated};
use crate::targets::{called, source};

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "events: a batch with equal ids",
        size: 1_000,
        input: |size| events(format!("[{}]", repeated(size, ",", |_| event("")))),
    },
    Part {
        name: "events: one with many members of data",
        size: 200_000,
        input: |size| events(event(&object(size, "name"))),
    },
    Part {
        name: "events: one with members that events don't have",
        size: 100_000,
        input: |size| events(format!("{{{}}}", repeated(size, ",", |n| format!("\"x{n}\":1")))),
    },
    Part {
        name: "events: one with many attributes",
        size: 100_000,
        input: |size| {
            events(format!(
                "{{\"attributes\":{{{}}}}}",
                repeated(size, ",", |n| format!("\"x{n}\":\"\""))
            ))
        },
    },
    Part {
        name: "cloudevents: a batch",
        size: 1_000,
        input: |size| {
            cloud_events(format!(
                "[{}]",
                repeated(size, ",", |n| cloud_event(&format!("\"x{n}\":1")))
            ))
        },
    },
    Part {
        name: "cloudevents: one with many extensions",
        size: 100_000,
        input: |size| cloud_events(cloud_event(&repeated(size, ",", |n| format!("\"x{n}\":1")))),
    },
    Part { name: "cloudevents: many headers", size: 4_000, input: cloud_headers },
    Part {
        name: "calls: a form of different names",
        size: 200_000,
        input: |size| form(repeated(size, "&", |n| format!("{n}="))),
    },
    Part {
        name: "calls: a form of one name",
        size: 400_000,
        input: |size| form(vec!["a=1"; size].join("&")),
    },
    Part {
        name: "calls: a form of one name with brackets",
        size: 400_000,
        input: |size| form(vec!["a[]=1"; size].join("&")),
    },
    Part {
        name: "calls: a form with one long value",
        size: 4 << 20,
        input: |size| form(format!("a={}", "%41".repeat(size / 3))),
    },
    Part { name: "calls: a query of different names", size: 30_000, input: query },
    Part {
        name: "calls: many parts",
        size: 40_000,
        input: |size| {
            body(
                "multipart/form-data; boundary=x",
                repeated(size, "\r\n", |n| {
                    format!("--x\r\ncontent-disposition: form-data; name=\"{n}\"\r\n\r\n{n}")
                })
                .into_bytes(),
            )
        },
    },
    Part {
        name: "calls: a body that is no text",
        size: 4 << 20,
        input: |size| body("application/octet-stream", vec![0xff; size]),
    },
    Part { name: "calls: many headers", size: 4_000, input: headers },
    Part { name: "calls: split, with many members beside", size: 1_000, input: split },
    Part { name: "answers: many headers", size: 4_000, input: answer },
];

fn event(data: &str) -> String {
    let data = if data.is_empty() { "{\"a\":1}" } else { data };
    format!("{{\"type\":\"a.b\",\"id\":\"same\",\"data\":{data}}}")
}

fn events(text: String) -> Box<dyn Fn()> {
    Box::new(move || drop(intake::parse(text.as_bytes(), &IntakeConfig::default(), intake::draft)))
}

fn cloud_event(more: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"A1\",\"source\":\"/crm\",\"type\":\"a.b\",\"data\":{{}},{more}}}"
    )
}

fn cloud_events(text: String) -> Box<dyn Fn()> {
    Box::new(move || {
        drop(intake::parse(text.as_bytes(), &IntakeConfig::default(), cloudevents::structured))
    })
}

fn cloud_headers(size: usize) -> Box<dyn Fn()> {
    let headers: Vec<_> = (0..size).map(|n| (format!("ce-x{n}"), "%41".to_owned())).collect();
    Box::new(move || {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        drop(cloudevents::binary(headers, b"{}", &IntakeConfig::default()));
    })
}

/// A call from outside.
fn call(query: String, headers: Vec<(String, String)>, body: Vec<u8>) -> Call {
    let (method, path, url) = ("POST".to_owned(), "/in/a".to_owned(), String::new());
    Call { method, path, query, url, headers, body: body.into() }
}

fn written(call: Call) -> Box<dyn Fn()> {
    Box::new(move || drop(call.document(&Reading::default(), &IntakeConfig::default())))
}

fn body(content_type: &str, body: Vec<u8>) -> Box<dyn Fn()> {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    written(call(String::new(), headers, body))
}

fn form(text: String) -> Box<dyn Fn()> {
    body("application/x-www-form-urlencoded", text.into_bytes())
}

fn query(size: usize) -> Box<dyn Fn()> {
    written(call(repeated(size, "&", |n| format!("{n}=")), Vec::new(), Vec::new()))
}

fn headers(size: usize) -> Box<dyn Fn()> {
    let headers: Vec<_> = (0..size).map(|n| (format!("x-{n}"), "a=b; c=d".to_owned())).collect();
    written(call(String::new(), headers, Vec::new()))
}

/// Elements become events whose type is found behind many members.
fn split(size: usize) -> Box<dyn Fn()> {
    let spec = json!({"name": "s", "event_type": "a.{{body.kind}}", "event_id": "{{body.id}}", "split": "body.events"});
    let source = source(spec);
    let events = repeated(size, ",", |n| format!("{{\"n\":{n}}}"));
    let text = format!(
        "{{\"events\":[{events}],\"kind\":\"b\",\"id\":\"i\",{}",
        &object(100 * size, "name")[1..]
    );
    let limits = IntakeConfig { body_bytes_max: usize::MAX, ..IntakeConfig::default() };
    let call = call(String::new(), Vec::new(), text.into_bytes());
    Box::new(move || {
        let meaning = source.as_ref().and_then(|source| called(source, &call, &limits));
        let Some(Meaning::Events { drafts, .. }) = meaning else { panic!("the call is no event") };
        assert_eq!(drafts.len(), size);
    })
}

fn answer(size: usize) -> Box<dyn Fn()> {
    let headers: serde_json::Map<_, _> =
        (0..size).map(|n| (format!("x-{n}"), json!("1"))).collect();
    let Ok(headers) = serde_json::from_value::<Fields>(headers.into()) else {
        return Box::new(|| {});
    };
    let response = Response { status: 429, headers, body: String::new(), truncated: false };
    Box::new(move || assert_eq!(ReceiverHints::of(&response, Millis(0)).retry_at, None))
}
