//! The event that is posted: about 1 KiB, as a chat platform would send it.

use std::time::Instant;

/// What goes before the moment of sending in an event's data.
const SENT_AT: &[u8] = b"\"sentNs\":";

/// An event whose data says when it was posted, in nanoseconds since `start`.
pub(crate) fn event(start: Instant) -> String {
    let sent_ns = start.elapsed().as_nanos();
    format!(
        r#"{{"type":"conversation.created","attributes":{{"platform":"whatsapp","channel":"business"}},"data":{{"sentNs":{sent_ns},"conversation":{{"id":"0195803a-6c00-7000-8000-5d0c3a1e9b77","inbox":{{"id":"inb_1029","name":"Sales"}},"labels":["vip","returning","indonesia"],"status":"open","priority":"high","createdAt":"2026-03-10T12:00:00.000Z","initialMessage":"Hello, I would like to know whether \"the blue one\" is still available, and what the shipping to Bandung costs?","botName":"Front desk","channelType":"whatsapp","userData":{{"name":"Siti Rahmawati","email":"siti@example.test","phone":"+6281234567890","locale":"id-ID","city":"Bandung","customerSince":"2021-07-01","lifetimeValue":1249000.50,"orders":17}},"assignee":{{"id":"agt_77","name":"Budi Santoso","team":"Sales West"}},"metrics":{{"firstResponseS":34,"messages":12,"sentiment":0.82}},"utm":{{"source":"instagram","medium":"story","campaign":"ramadan-2026"}}}}}}}}"#
    )
}

/// When the event in a delivered body was posted, in nanoseconds.
pub(crate) fn sent_ns(body: &[u8]) -> Option<u64> {
    let at = body.windows(SENT_AT.len()).position(|window| window == SENT_AT)?;
    let digits = &body[at + SENT_AT.len()..];
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&digits[..count]).ok()?.parse().ok()
}
