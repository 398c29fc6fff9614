//! The bundled filter `by-label`.

use antar_sdk::{Config, Event, Verdict, filter};

#[derive(Config)]
struct ByLabel {
    /// At least one of these must be there.
    #[config(default)]
    any: Vec<String>,
    /// All of these must be there.
    #[config(default)]
    all: Vec<String>,
    /// None of these may be there.
    #[config(default)]
    none: Vec<String>,
    /// Where the labels are, as a dotted path that begins at `data`. Arrays on the way are stepped
    /// through: `conversation.labels.name` reads the name of each label.
    #[config(default = "conversation.labels")]
    path: String,
}

/// Passes events by their labels.
///
/// `any`, `all` and `none` must hold together; one that is empty or left out always holds. An
/// event without labels has none of them.
#[filter]
fn by_label(event: Event, config: ByLabel) -> Verdict {
    let labels: Vec<String> = event.strings(&config.path).collect();
    if let Some(label) = config.none.iter().find(|label| labels.contains(label)) {
        return Verdict::drop(format!("has the label {label:?}"));
    }
    if let Some(label) = config.all.iter().find(|label| !labels.contains(label)) {
        return Verdict::drop(format!("lacks the label {label:?}"));
    }
    if !config.any.is_empty() && !config.any.iter().any(|label| labels.contains(label)) {
        return Verdict::drop(format!("has no label of {:?}", config.any));
    }
    Verdict::Pass
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing::{check_filter, event};

    use super::*;

    fn ask(any: &[&str], all: &[&str], none: &[&str]) -> Verdict {
        let list = |labels: &[&str]| labels.iter().map(ToString::to_string).collect();
        let path = "conversation.labels".into();
        let config = ByLabel { any: list(any), all: list(all), none: list(none), path };
        by_label(event(r#"{"conversation": {"labels": ["vip", "new"]}}"#), config)
    }

    #[test]
    fn fixtures() {
        check_filter("fixtures", by_label);
    }

    #[test]
    fn all_conditions_hold_together() {
        assert_eq!(ask(&[], &[], &[]), Verdict::Pass);
        assert_eq!(ask(&["old", "vip"], &["vip", "new"], &["spam"]), Verdict::Pass);
        assert_eq!(ask(&["vip"], &[], &["new"]), Verdict::drop("has the label \"new\""));
        assert_eq!(ask(&["vip"], &["vip", "paid"], &[]), Verdict::drop("lacks the label \"paid\""));
        assert_eq!(ask(&["old"], &["vip"], &[]), Verdict::drop("has no label of [\"old\"]"));
    }
}
