//! The bundled transform `redact`.

mod find;

use antar_sdk::{Config, Event, Json, Outcome, transform};

#[derive(Config)]
struct Redact {
    /// Dotted paths that begin at `data`. What stands there is replaced whole, of whatever kind;
    /// arrays on the way are stepped through: `contacts.phone` is the phone of each contact.
    #[config(default)]
    paths: Vec<String>,
    /// Replaces e-mail addresses in all strings.
    #[config(default)]
    emails: bool,
    /// Replaces phone numbers in all strings.
    #[config(default)]
    phones: bool,
    /// What stands in their place.
    #[config(default = "[redacted]")]
    replacement: String,
}

/// Takes personal data out of events.
///
/// Whole values by `paths`, and e-mail addresses and phone numbers wherever they stand inside of
/// strings. Keys and numbers are looked at only by `paths`. Everything else stays as posted.
#[transform]
fn redact(event: Event, config: Redact) -> Outcome {
    let named = config.paths.iter().flat_map(|path| event.data.find(path));
    let named: Vec<*const u8> = named.map(|value| value.raw().as_ptr()).collect();
    let mut changed = false;
    let data = event.data.rewrite(|value, out| {
        // Every value begins at a byte of its own.
        if named.contains(&value.raw().as_ptr()) {
            changed = true;
            out.string(&config.replacement);
            return true;
        }
        let cleaned = value.as_str().and_then(|text| clean(&text, &config));
        if let Some(text) = &cleaned {
            changed = true;
            out.string(text);
        }
        cleaned.is_some()
    });
    outcome(changed, data)
}

/// Data must be an object, so the empty path can't be honoured: nothing at all goes on.
fn outcome(changed: bool, data: Json) -> Outcome {
    match changed {
        _ if !data.text().starts_with('{') => Outcome::drop("all of the data is redacted"),
        true => Outcome::replace(data),
        false => Outcome::Unchanged,
    }
}

/// The text without what was looked for, if there was any.
fn clean(text: &str, config: &Redact) -> Option<String> {
    let mut spans = Vec::new();
    if config.emails {
        spans.extend(find::emails(text));
    }
    if config.phones {
        spans.extend(find::phones(text));
    }
    if spans.is_empty() {
        return None;
    }
    spans.sort_by_key(|span| span.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for span in spans {
        // A number inside an address is gone with it.
        if span.start >= done {
            out.push_str(&text[done..span.start]);
            out.push_str(&config.replacement);
        }
        done = done.max(span.end);
    }
    out.push_str(&text[done..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing::{check_transform, event};

    use super::*;

    #[test]
    fn fixtures() {
        check_transform("fixtures", redact);
    }

    #[test]
    fn an_address_and_the_number_in_it_are_one() {
        let config =
            Redact { paths: vec![], emails: true, phones: true, replacement: "[redacted]".into() };
        let data = r#"{"text":"+6281234567890@wa.example or (021) 555-0123 4"}"#;
        let outcome = redact(event(data), config);
        let expected: Json = r#"{"text":"[redacted] or [redacted]"}"#.parse().unwrap();
        assert_eq!(outcome, Outcome::replace(expected));
    }

    #[test]
    fn redacting_everything_lets_nothing_go_on() {
        let config = Redact {
            paths: vec![String::new()],
            emails: false,
            phones: false,
            replacement: "[redacted]".into(),
        };
        assert!(matches!(redact(event(r#"{"a":1}"#), config), Outcome::Drop(_)));
    }
}
