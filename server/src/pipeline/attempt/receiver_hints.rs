//! Hints in an unsuccessful response: when to retry, that the receiver is overloaded, or to stop
//! sending.

use crate::model::{Millis, Response};

/// A receiver's instruction to stop this delivery or all deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// `webhook-delivery: disable`: no more deliveries at all.
    Disable,
    /// `webhook-delivery: abort-message`: no more attempts of this delivery.
    Abort,
}

/// The hints in one response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceiverHints {
    /// `Retry-After`: no attempt before this time.
    pub retry_at: Option<Millis>,
    pub instruction: Option<Instruction>,
    /// 429 or 503: the receiver gets too many requests, not only this delivery.
    pub overloaded: bool,
}

impl ReceiverHints {
    /// Reads the hints of a response received at `now`; malformed ones are ignored.
    #[must_use]
    pub fn of(response: &Response, now: Millis) -> ReceiverHints {
        let header = |name: &str| response.headers.get(name);
        let instruction = match header("webhook-delivery").map(str::trim) {
            Some(word) if word.eq_ignore_ascii_case("disable") => Some(Instruction::Disable),
            Some(word) if word.eq_ignore_ascii_case("abort-message") => Some(Instruction::Abort),
            _ => None,
        };
        ReceiverHints {
            retry_at: header("retry-after").and_then(|text| retry_at(text.trim(), now)),
            instruction,
            overloaded: matches!(response.status, 429 | 503),
        }
    }
}

/// Seconds, or a date in one of HTTP's three forms (RFC 9110, sections 10.2.3 and 5.6.7).
fn retry_at(text: &str, now: Millis) -> Option<Millis> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // A number that overflows saturates; the caller caps it.
        let seconds = if text.is_empty() { return None } else { text.parse::<i64>() };
        return Some(now.plus_ms(seconds.unwrap_or(i64::MAX).saturating_mul(1_000)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(status: u16, headers: &serde_json::Value) -> ReceiverHints {
        let headers = serde_json::from_value(headers.clone()).unwrap();
        ReceiverHints::of(
            &Response { status, headers, body: String::new(), truncated: false },
            Millis(1_000),
        )
    }

    fn wait(text: &str) -> Option<i64> {
        hints(429, &serde_json::json!({"retry-after": text})).retry_at.map(|at| at.0)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("120"), Some(121_000));
        assert_eq!(wait(" 0 "), Some(1_000));
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(wait(date), Some(784_111_777_000), "{date}");
        }
        assert_eq!(wait("99999999999999999999"), Some(i64::MAX));
        for nonsense in ["", "-5", "1.5", "soon", "10 s"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn orders_and_haste() {
        let instruction =
            |word: &str| hints(500, &serde_json::json!({"webhook-delivery": word})).instruction;
        assert_eq!(instruction("disable"), Some(Instruction::Disable));
        assert_eq!(instruction("Abort-Message"), Some(Instruction::Abort));
        assert_eq!(instruction("later"), None);
        let none = serde_json::json!({});
        assert!(hints(429, &none).overloaded && hints(503, &none).overloaded);
        assert!(!hints(500, &none).overloaded);
    }
}
