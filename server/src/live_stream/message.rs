//! What listeners are told. Long bodies are left out, so that a message is small whatever was sent.

use crate::model::{Attempt, Delivery, EventType, Fields, Response, SentRequest};

/// Bytes of a message beside its texts.
const FIXED_BYTES: usize = 512;

/// An attempt of a delivery, or the end of a delivery without an attempt.
#[derive(Clone, Debug)]
pub struct Message {
    /// As it stands after the attempt; `created_at` is not sent to listeners.
    pub delivery: Delivery,
    pub event_type: EventType,
    /// The webhook's name.
    pub webhook: String,
    /// None: the delivery ended before there was anything to send, or the attempt is left out.
    pub attempt: Option<Attempt>,
    /// What is too long for a message: `request.body`, `response.body`, or `attempt` as a whole.
    pub left_out: Vec<&'static str>,
}

impl Message {
    /// `body_bytes_max`: the longest body that the message has.
    #[must_use]
    pub fn new(
        delivery: Delivery,
        event_type: EventType,
        webhook: String,
        attempt: Option<&Attempt>,
        body_bytes_max: usize,
    ) -> Message {
        let (attempt, left_out) = match attempt {
            None => (None, Vec::new()),
            // Two bodies, and as much again for all the rest.
            Some(attempt) if bytes_beside_bodies(attempt) > body_bytes_max.saturating_mul(2) => {
                (None, vec!["attempt"])
            }
            Some(attempt) => {
                let (attempt, left_out) = without_long_bodies(attempt, body_bytes_max);
                (Some(attempt), left_out)
            }
        };
        Message { delivery, event_type, webhook, attempt, left_out }
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let delivery = &self.delivery;
        let texts = [&delivery.reason, &delivery.subject, &delivery.stage];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let ids = delivery.event.id.as_str().len() + delivery.event.source.len();
        let names = self.webhook.len() + self.event_type.as_str().len();
        let attempt = self.attempt.as_ref();
        let attempt = attempt.map_or(0, |attempt| bytes_beside_bodies(attempt) + bodies(attempt));
        FIXED_BYTES + texts + ids + names + attempt
    }
}

fn fields(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum()
}

fn bodies(attempt: &Attempt) -> usize {
    let sent = attempt.request.as_ref().and_then(|request| request.body.as_ref());
    let back = attempt.response.as_ref().map(|response| &response.body);
    sent.into_iter().chain(back).map(String::len).sum()
}

fn bytes_beside_bodies(attempt: &Attempt) -> usize {
    let request = attempt
        .request
        .as_ref()
        .map_or(0, |request| request.method.len() + request.url.len() + fields(&request.headers));
    let response = attempt.response.as_ref().map_or(0, |response| fields(&response.headers));
    let unresolved: usize = attempt.unresolved.iter().map(|token| token.len() + 8).sum();
    request + response + unresolved + attempt.error.as_ref().map_or(0, String::len)
}

/// Long bodies are not even copied.
fn without_long_bodies(attempt: &Attempt, bytes_max: usize) -> (Attempt, Vec<&'static str>) {
    let mut left_out = Vec::new();
    let request = attempt.request.as_ref().map(|request| {
        let body = request.body.as_ref().filter(|body| body.len() <= bytes_max).cloned();
        if body.is_none() && request.body.is_some() {
            left_out.push("request.body");
        }
        let SentRequest { method, url, headers, .. } = request;
        SentRequest { method: method.clone(), url: url.clone(), headers: headers.clone(), body }
    });
    let response = attempt.response.as_ref().map(|response| {
        let long = response.body.len() > bytes_max;
        if long {
            left_out.push("response.body");
        }
        Response {
            status: response.status,
            headers: response.headers.clone(),
            body: if long { String::new() } else { response.body.clone() },
            truncated: response.truncated || long,
        }
    });
    let attempt = Attempt {
        number: attempt.number,
        revision: attempt.revision,
        started_at: attempt.started_at,
        took_ms: attempt.took_ms,
        request,
        response,
        error: attempt.error.clone(),
        unresolved: attempt.unresolved.clone(),
    };
    (attempt, left_out)
}
