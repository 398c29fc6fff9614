//! HTTP calls as text: the first line, headers, an empty line and the body.

use super::json;
use crate::dice::Dice;

const HEADERS: &[&str] = &[
    "accept: */*",
    "user-agent: curl/8",
    "x-github-event: push",
    "cookie: a=b; c=d",
    "authorization: Basic eDp5",
    "ce-specversion: 1.0",
    "ce-id: A1",
    "ce-source: /crm",
    "ce-type: a.b",
    "ce-time: 2026-03-10T12:00:00Z",
    "ce-subject: %E2%82%AC",
    "x-empty:",
    "x-utf: é",
    "idempotency-key: k",
    "transfer-encoding: chunked",
];

const CONTENT_TYPES: &[&str] = &[
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/xml",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/octet-stream",
    "",
];

pub fn call(dice: &mut Dice) -> Vec<u8> {
    let method = dice.pick(&["POST", "GET", "PUT", "X"]);
    let path = dice.pick(&["/in/source/secret", "/in/a/b/more/path", "/", "/%2e%2e/x", "//in//x"]);
    let query = if dice.one_in(2) { format!("?{}", form(dice)) } else { String::new() };
    let mut text = format!("{method} {path}{query}\n");
    let kind = dice.pick(CONTENT_TYPES);
    if !kind.is_empty() {
        text.push_str(&format!("content-type: {kind}\n"));
    }
    for _ in 0..dice.count(40) {
        text.push_str(dice.pick(HEADERS));
        text.push('\n');
    }
    text.push('\n');
    let mut bytes = text.into_bytes();
    match kind {
        "application/x-www-form-urlencoded" => bytes.extend(form(dice).into_bytes()),
        "multipart/form-data; boundary=x" => bytes.extend(multipart(dice).into_bytes()),
        "application/octet-stream" => bytes.extend((0..dice.count(2_000)).map(|_| dice.byte())),
        "application/cloudevents+json" => bytes.extend(cloud_event(dice).into_bytes()),
        "application/cloudevents-batch+json" => {
            let events: Vec<_> = (0..dice.count(40)).map(|_| cloud_event(dice)).collect();
            bytes.extend(format!("[{}]", events.join(",")).into_bytes());
        }
        _ => bytes.extend(json::document(dice).into_bytes()),
    }
    bytes
}

/// A form or query.
pub fn form(dice: &mut Dice) -> String {
    let field = |dice: &mut Dice| {
        let name = match dice.below(4) {
            0 => format!("{:x}", dice.below(100_000)),
            _ => dice.pick(&["a", "a[]", "a[b][c]", "%61", "", "+", "%zz", "é", "a%00"]).to_owned(),
        };
        match dice.below(5) {
            0 => name,
            1 => format!("{name}={}", "v".repeat(dice.count(3_000))),
            _ => format!(
                "{name}={}",
                dice.pick(&["", "1", "%E2%82%AC", "a+b", "%", "=", "{\"a\":1}"])
            ),
        }
    };
    let count = dice.count(3_000);
    (0..count).map(|_| field(dice)).collect::<Vec<_>>().join(dice.pick(&["&", "&&", ";"]))
}

fn multipart(dice: &mut Dice) -> String {
    let mut out = String::new();
    for number in 0..=dice.count(200) {
        out.push_str(&format!(
            "--x\r\ncontent-disposition: form-data; name=\"f{number}\"\r\n\r\n{}\r\n",
            dice.below(1_000)
        ));
    }
    out + dice.pick(&["--x--\r\n", "--x", ""])
}

/// An event in the JSON format of CloudEvents.
pub fn cloud_event(dice: &mut Dice) -> String {
    let mut size = 1 + dice.count(300);
    let mut members = vec!["\"specversion\":\"1.0\"".to_owned(), "\"type\":\"a.b\"".to_owned()];
    members.push(format!("\"id\":\"{}\"", dice.pick(&["A1", "same", "x y", ""])));
    members.push(format!("\"source\":\"{}\"", dice.pick(&["/crm", "urn:x", ""])));
    for _ in 0..dice.count(40) {
        members.push(format!("{}:{}", json::name(dice), json::scalar(dice)));
    }
    match dice.below(6) {
        0 => members.push("\"data_base64\":\"e30=\"".to_owned()),
        1 => members.push(format!("\"data\":{}", json::value(dice, &mut size, 6))),
        _ => members.push(format!("\"data\":{}", json::object(dice, &mut size, 8))),
    }
    format!("{{{}}}", members.join(","))
}
