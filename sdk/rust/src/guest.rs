//! Between the exports and the author's function.

use std::any::Any;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Event, IntoOutcome, IntoVerdict, Json, Outcome, Problem, Verdict};

/// The config of a function that takes none: anything.
pub type NoConfig = serde::de::IgnoredAny;

/// Called first by every export: a panic's message goes to the log, or all that is known of it
/// would be that an unreachable instruction was reached.
pub fn prepare() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string())));
}

/// The schema of the config that `plugin` takes.
pub fn config_schema<D, C: JsonSchema, R>(plugin: impl Fn(Event<D>, C) -> R) -> String {
    // Only its type was wanted.
    let _ = plugin;
    serde_json::to_string(&schemars::schema_for!(C)).unwrap_or_default()
}

/// Reads what the host gave, and asks.
pub fn filter<D, C, R>(
    plugin: impl FnOnce(Event<D>, C) -> R,
    event: Event<String>,
    config: &str,
) -> Result<Verdict, Problem>
where
    D: DeserializeOwned + 'static,
    C: DeserializeOwned,
    R: IntoVerdict,
{
    plugin(read_event(event)?, read_config(config)?).into_verdict()
}

/// Reads what the host gave, and asks.
pub fn transform<D, C, R>(
    plugin: impl FnOnce(Event<D>, C) -> R,
    event: Event<String>,
    config: &str,
) -> Result<Outcome, Problem>
where
    D: DeserializeOwned + 'static,
    C: DeserializeOwned,
    R: IntoOutcome,
{
    plugin(read_event(event)?, read_config(config)?).into_outcome()
}

/// Neither failure is final: the config can be corrected, and what becomes of an event with other
/// data than the plugin knows is for `on_error` to say.
fn read_config<C: DeserializeOwned>(text: &str) -> Result<C, Problem> {
    serde_json::from_str(text).map_err(|e| Problem::Retry(format!("config: {e}")))
}

fn read_event<D: DeserializeOwned + 'static>(event: Event<String>) -> Result<Event<D>, Problem> {
    let unreadable = |e: &dyn std::fmt::Display| Problem::Retry(format!("data: {e}"));
    // `Json` reads its text directly; by way of serde it would be read twice.
    let mut data: Option<D> = None;
    if let Some(json) = (&mut data as &mut dyn Any).downcast_mut::<Option<Json>>() {
        *json = Some(event.data.parse().map_err(|e| unreadable(&e))?);
    }
    let data = match data {
        Some(data) => data,
        None => serde_json::from_str(&event.data).map_err(|e| unreadable(&e))?,
    };
    Ok(event.with_data(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[derive(serde::Deserialize)]
    struct Data {
        id: u64,
        nested: Json,
    }

    fn event(data: &str) -> Event<String> {
        testing::event("{}").with_data(data.to_owned())
    }

    #[test]
    fn typed_data_keeps_large_integers_and_nested_text() {
        let answer = filter(
            |event: Event<Data>, _: NoConfig| {
                Verdict::drop(format!("{} {}", event.data.id, event.data.nested))
            },
            event(r#"{"id": 8202522731445525542, "nested": {"b": 1.10, "a": 1}}"#),
            "{}",
        );
        assert_eq!(answer, Ok(Verdict::drop(r#"8202522731445525542 {"b":1.10,"a":1}"#)));
    }

    #[test]
    fn what_does_not_fit_is_left_to_on_error() {
        let plugin = |_: Event<Data>, _: NoConfig| Verdict::Pass;
        let answer = filter(plugin, event(r#"{"id": "x"}"#), "{}");
        assert!(matches!(&answer, Err(Problem::Retry(why)) if why.starts_with("data: ")));
        let plugin = |_: Event, _: Vec<String>| Verdict::Pass;
        let answer = filter(plugin, event("{}"), "{}");
        assert!(matches!(&answer, Err(Problem::Retry(why)) if why.starts_with("config: ")));
    }
}
