use antar::config::IntakeConfig;
use antar::model::{EventId, EventType, Invalid, Millis, TenantId, TypeFilter};
use antar::pipeline::accept::cloudevents;
use antar::pipeline::accept::intake::{self, Batch, Draft};
use antar::store::Place;

use super::{halves, joined};
use crate::dice::Dice;
use crate::grow;

const EVENT: &str = r#"{"type":"conversation.created","id":"e-1","timestamp":"2026-03-10T12:00:00.000Z","attributes":{"source":"crm"},"data":{"conversation":{"labels":["vip"],"n":1.50}}}"#;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    vec![EVENT.into(), format!("[{EVENT},{EVENT}]").into_bytes(), b"{}".to_vec(), b"[]".to_vec()]
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    if dice.one_in(3) {
        let events: Vec<_> = (0..dice.count(1_100)).map(|_| grow::json::event(dice)).collect();
        return format!("[{}]", events.join(",")).into_bytes();
    }
    grow::json::event(dice).into_bytes()
}

pub(super) fn read(input: &[u8]) {
    let limits = IntakeConfig::default();
    if let Ok(batch) = intake::parse(input, &limits, intake::draft) {
        taken(batch, &limits);
    }
}

/// What is taken keeps to the limits, and can be read again as it will be stored.
fn taken(batch: Batch, limits: &IntakeConfig) {
    let drafts = match batch {
        Batch::One(draft) => vec![draft],
        Batch::Many(drafts) => drafts,
    };
    assert!(drafts.len() <= limits.events_max);
    for draft in drafts {
        check(draft, limits);
    }
}

fn check(draft: Result<Draft, Invalid>, limits: &IntakeConfig) {
    let draft = match draft {
        Ok(draft) => draft,
        Err(invalid) => return assert!(!invalid.errors.is_empty(), "refused without a reason"),
    };
    assert!(draft.attributes.len() <= limits.attributes_max);
    let longest = draft.attributes.iter().map(|(_, value)| value.len()).max().unwrap_or_default();
    assert!(longest <= limits.attribute_bytes_max);
    assert!(!draft.event_type.is_own());
    if let Some(time) = draft.timestamp {
        assert_eq!(Millis::parse(&time.to_string()), Ok(time), "its time is written otherwise");
    }
    let data = draft.data.text().to_owned();
    let Ok(tenant) = "acme".parse::<TenantId>() else { return };
    let event = draft.event(tenant, Millis(1_773_144_000_000));
    assert_eq!(event.data().raw(), data);
    assert!(
        intake::parse_document(
            event.document.text().as_bytes(),
            &IntakeConfig {
                depth_max: limits.depth_max + 2,
                body_bytes_max: usize::MAX,
                ..limits.clone()
            }
        )
        .is_ok()
    );
}

pub(super) fn cloud_corpus() -> Vec<Vec<u8>> {
    let event = r#"{"specversion":"1.0","id":"A1","source":"/crm","subject":"c-1","type":"contact.created","time":"2026-03-10T12:00:00Z","tries":3,"data":{"b":1,"a":2.50}}"#;
    let headers = "ce-specversion: 1.0\nce-id: A1\nce-source: /%E2%82%AC\nce-type: a.b\nce-time: 2026-03-10T12:00:00Z";
    vec![
        joined("", event),
        joined("", &format!("[{event},{event}]")),
        joined(headers, "{\"x\": 1}"),
    ]
}

pub(super) fn cloud_grow(dice: &mut Dice) -> Vec<u8> {
    match dice.below(3) {
        0 => joined("", &grow::calls::cloud_event(dice)),
        1 => {
            let events: Vec<_> =
                (0..dice.count(200)).map(|_| grow::calls::cloud_event(dice)).collect();
            joined("", &format!("[{}]", events.join(",")))
        }
        _ => {
            let names = [
                "specversion: 1.0",
                "id: A1",
                "type: a.b",
                "source: /x",
                "time: now",
                "subject: %",
                "x: \u{e9}",
                "datacontenttype: text/plain",
            ];
            let headers: Vec<_> =
                (0..dice.count(60)).map(|_| format!("ce-{}", dice.pick(&names))).collect();
            joined(&headers.join("\n"), &grow::json::document(dice))
        }
    }
}

pub(super) fn cloud_read(input: &[u8]) {
    let limits = IntakeConfig::default();
    let (head, body) = halves(input);
    if let Ok(batch) = intake::parse(body, &limits, cloudevents::structured) {
        taken(batch, &limits);
    }
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    check(cloudevents::binary(headers, body, &limits), &limits);
}

pub(super) fn word_corpus() -> Vec<Vec<u8>> {
    let cursor = Place { at: Millis(1_773_144_000_000), tie: "e-1".to_owned() }.cursor();
    [
        cursor.as_str(),
        "2026-03-10T12:00:00.000Z",
        "conversation.created",
        "conversation.*",
        "e-1:2",
        "acme",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn word_grow(dice: &mut Dice) -> Vec<u8> {
    let letters: Vec<char> = "abzAZ019-_.:+TZ*/=é\0".chars().collect();
    (0..dice.count(400)).map(|_| *dice.pick_of(&letters)).collect::<String>().into_bytes()
}

/// What is read from a text is written as a text that reads the same.
pub(super) fn word_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(place) = Place::parse(&text) {
        let again = Place::parse(&place.cursor());
        assert!(
            again.is_ok_and(|again| (again.at, again.tie) == (place.at, place.tie)),
            "another place"
        );
    }
    if let Ok(time) = Millis::parse(&text) {
        assert_eq!(Millis::parse(&time.to_string()), Ok(time));
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.as_str(), text);
    }
    if let (Ok(filter), Ok(event_type)) = (text.parse::<TypeFilter>(), text.parse::<EventType>()) {
        assert!(filter.accepts(event_type.as_str()), "a type does not accept itself");
    }
    let _ = text.parse::<TenantId>();
}
