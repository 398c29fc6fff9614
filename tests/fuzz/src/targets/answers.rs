use antar::model::{Fields, Millis, Response};
use antar::pipeline::attempt::receiver_hints::ReceiverHints;
use antar_json::Document;

use super::halves;
use crate::dice::Dice;
use crate::grow;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    [
        "429\nretry-after: 120\nwebhook-delivery: disable\n\nslow down",
        "503\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\n\n",
        "200\ncontent-type: application/json\n\n{\"ok\":true}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "0",
        "1",
        "99999999999999999999",
        "-1",
        "1.5",
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Thu, 01 Jan 0000 00:00:00 GMT",
        "disable",
        "abort-message",
        "é",
    ];
    let mut text = format!("{}\n", dice.pick(&["200", "301", "429", "503", "500", "x"]));
    for _ in 0..dice.count(60) {
        text.push_str(&format!(
            "{}: {}\n",
            dice.pick(&["retry-after", "webhook-delivery", "location", "x"]),
            dice.pick(VALUES)
        ));
    }
    text.push('\n');
    (text + &grow::json::document(dice)).into_bytes()
}

/// An instruction to wait is a time, whatever it says.
pub(super) fn read(input: &[u8]) {
    let (head, body) = halves(input);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|text| text.parse().ok()).unwrap_or(500);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.into()));
    let headers: serde_json::Map<String, serde_json::Value> = headers.collect();
    let Ok(headers) = serde_json::from_value::<Fields>(headers.into()) else { return };
    let body = String::from_utf8_lossy(body).into_owned();
    let response = Response { status, headers, body, truncated: false };
    for now in [Millis(0), Millis(1_773_144_000_000), Millis(i64::MAX)] {
        let _ = ReceiverHints::of(&response, now).retry_at.map(Millis::seconds);
    }
    let _ = response.body.parse::<Document>();
}
