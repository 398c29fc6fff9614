//! Order and deduplication keys of a delivery. They are rendered from the event as posted, because they
//! must be known before anything is sent.

use antar_json::{OutOfSteps, Steps};
use sha2::{Digest, Sha256};

use crate::model::{Event, Millis};
use crate::pipeline::attempt::render::text_of;
use crate::pipeline::compiled::webhook::{Plan, Webhook};
use crate::store::{Keys, OrderKey};

/// Longer keys are stored as their digest.
const KEY_BYTES_MAX: usize = 200;

/// A delivery's keys, if its webhook configures any and the event has a value for one.
///
/// # Errors
/// [`OutOfSteps`]: they are not known.
pub(super) fn keys_of(
    webhook: &Webhook,
    event: &Event,
    now: Millis,
    steps: &Steps,
) -> Result<Option<Box<Keys>>, OutOfSteps> {
    let Plan { order, dedupe, .. } = &*webhook.plan;
    let order = match order {
        None => None,
        Some(plan) => {
            let key = match &plan.key {
                Some(template) => text_of(template, webhook, event, steps)?,
                None => event.subject().map(ToOwned::to_owned),
            };
            let gives_way_attempts = plan.gives_way_attempts;
            key.and_then(storable_key).map(|key| OrderKey { key, gives_way_attempts })
        }
    };
    let dedupe = match dedupe {
        None => None,
        Some(plan) => {
            let key = text_of(&plan.key, webhook, event, steps)?.and_then(storable_key);
            key.map(|key| (key, now.plus_ms(-plan.window_ms)))
        }
    };
    Ok((order.is_some() || dedupe.is_some()).then(|| Box::new(Keys { order, dedupe })))
}

/// The key as stored; none if it is blank.
fn storable_key(key: String) -> Option<String> {
    let key = key.trim();
    if key.is_empty() {
        return None;
    }
    if key.len() <= KEY_BYTES_MAX {
        return Some(key.to_owned());
    }
    Some(format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_never_blank() {
        assert_eq!(storable_key(" a ".to_owned()).as_deref(), Some("a"));
        assert_eq!(storable_key("  ".to_owned()), None);
        let long = storable_key("x".repeat(5_000)).unwrap();
        assert_eq!(long.len(), "sha256:".len() + 64);
        assert_ne!(storable_key("x".repeat(5_001)), Some(long));
    }
}
