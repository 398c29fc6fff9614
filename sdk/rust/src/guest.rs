//! Connects the exports of a component to the author's function.

use std::any::{Any, TypeId};

use serde::de::DeserializeOwned;

use crate::{
    Config, Event, IntoOutcome, IntoVerdict, Json, Outcome, Problem, Verdict,
    config::{self, NoConfig},
};

/// Every export calls this first. Sends the message of a panic to the log; otherwise all that is
/// reported of it is that an unreachable instruction was reached.
pub fn prepare() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string())));
}

/// The function of a plugin, with or without a config.
#[diagnostic::on_unimplemented(
    message = "this function can't be a plugin",
    note = "write it as `fn name(event: Event)` or `fn name(event: Event, config: C)`, where `C` has \
            `#[derive(Config)]`"
)]
pub trait Function<Arguments> {
    /// The type of the event's data.
    type Data: DeserializeOwned + 'static;
    type Config: Config;
    type Answer;

    fn ask(&self, event: Event<Self::Data>, config: Self::Config) -> Self::Answer;
}

impl<F, D, C, R> Function<(Event<D>, C)> for F
where
    F: Fn(Event<D>, C) -> R,
    D: DeserializeOwned + 'static,
    C: Config,
{
    type Data = D;
    type Config = C;
    type Answer = R;

    fn ask(&self, event: Event<D>, config: C) -> R {
        self(event, config)
    }
}

impl<F, D, R> Function<(Event<D>,)> for F
where
    F: Fn(Event<D>) -> R,
    D: DeserializeOwned + 'static,
{
    type Data = D;
    type Config = NoConfig;
    type Answer = R;

    fn ask(&self, event: Event<D>, _: NoConfig) -> R {
        self(event)
    }
}

/// The JSON Schema of the config that `plugin` takes, "" if it takes none.
pub fn config_schema<A, F: Function<A>>(plugin: F) -> String {
    // Only its type is needed.
    let _ = plugin;
    if TypeId::of::<F::Config>() == TypeId::of::<NoConfig>() {
        return String::new();
    }
    serde_json::to_string(&schemars::schema_for!(F::Config)).unwrap_or_default()
}

/// Parses event and config and calls the function.
pub fn filter<A, F>(plugin: F, event: Event<String>, config: &str) -> Result<Verdict, Problem>
where
    F: Function<A, Answer: IntoVerdict>,
{
    plugin.ask(read_event(event)?, read_config(config)?).into_verdict()
}

/// Parses event and config and calls the function.
pub fn transform<A, F>(plugin: F, event: Event<String>, config: &str) -> Result<Outcome, Problem>
where
    F: Function<A, Answer: IntoOutcome>,
{
    plugin.ask(read_event(event)?, read_config(config)?).into_outcome()
}

/// A config or event that can't be parsed is not a final failure: the config can be corrected, and
/// `on_error` decides about events with unexpected data.
fn read_config<C: Config>(text: &str) -> Result<C, Problem> {
    if let Some(none) = as_other(|| NoConfig) {
        return Ok(none);
    }
    serde_json::from_str(text).map_err(|e| config::problem("config", text, &e))
}

/// The result of `make`, if `Made` is the type `Wanted`.
fn as_other<Wanted: 'static, Made: 'static>(make: impl FnOnce() -> Made) -> Option<Wanted> {
    let mut wanted: Option<Wanted> = None;
    if let Some(made) = (&mut wanted as &mut dyn Any).downcast_mut::<Option<Made>>() {
        *made = Some(make());
    }
    wanted
}

fn read_event<D: DeserializeOwned + 'static>(
    mut event: Event<String>,
) -> Result<Event<D>, Problem> {
    // `Json` stores the text, and may never need to parse it.
    let data = match as_other(|| Json::unread(std::mem::take(&mut event.data))) {
        Some(data) => data,
        None => serde_json::from_str(&event.data)
            .map_err(|e| config::problem("data", &event.data, &e))?,
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
            |event: Event<Data>| Verdict::drop(format!("{} {}", event.data.id, event.data.nested)),
            event(r#"{"id": 8202522731445525542, "nested": {"b": 1.10, "a": 1}}"#),
            "{}",
        );
        assert_eq!(answer, Ok(Verdict::drop(r#"8202522731445525542 {"b":1.10,"a":1}"#)));
    }

    #[test]
    fn what_does_not_fit_is_left_to_on_error() {
        let plugin = |_: Event<Data>| Verdict::Pass;
        let answer = filter(plugin, event(r#"{"id": "x"}"#), "{}");
        assert!(matches!(&answer, Err(Problem::Retry(why)) if why.starts_with("data.id: ")));
        let plugin = |_: Event, _: Json| Verdict::Pass;
        let answer = filter(plugin, event("{}"), "{");
        assert!(matches!(&answer, Err(Problem::Retry(why)) if why.starts_with("config: ")));
    }
}
