//! The bundled filter `by-inbox`.

use antar_sdk::{Config, Event, Verdict, filter};

#[derive(Config)]
struct ByInbox {
    /// Names of inboxes; the event's must be one of them.
    inboxes: Vec<String>,
    /// Where the inbox's name is, as a dotted path that begins at `data`.
    #[config(default = "conversation.inbox.name")]
    path: String,
}

/// Passes events of certain inboxes.
///
/// The name must be equal to one of `inboxes`, letter case included. An event without an inbox is
/// dropped.
#[filter]
fn by_inbox(event: Event, config: ByInbox) -> Verdict {
    let mut names = event.strings(&config.path).peekable();
    let Some(first) = names.peek().cloned() else {
        return Verdict::drop(format!("no inbox at {}", config.path));
    };
    if names.any(|name| config.inboxes.contains(&name)) {
        Verdict::Pass
    } else {
        Verdict::drop(format!("inbox {first:?} is none of {:?}", config.inboxes))
    }
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing::{check_filter, event};

    use super::*;

    #[test]
    fn fixtures() {
        check_filter("fixtures", by_inbox);
    }

    #[test]
    fn names_are_compared_letter_by_letter() {
        let config =
            || ByInbox { inboxes: vec!["Sales".into()], path: "conversation.inbox.name".into() };
        let ask = |name: &str| {
            let data = format!(r#"{{"conversation": {{"inbox": {{"name": "{name}"}}}}}}"#);
            by_inbox(event(&data), config())
        };
        assert_eq!(ask("Sales"), Verdict::Pass);
        assert!(matches!(ask("sales"), Verdict::Drop(_)));
        assert!(matches!(ask("Sales "), Verdict::Drop(_)));
    }
}
