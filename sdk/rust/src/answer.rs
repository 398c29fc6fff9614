//! Answers of plugins: verdicts, outcomes and problems.

use std::any::Any;

use serde::Serialize;

use crate::Json;

/// A filter's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// With a reason that is shown in the delivery's record.
    Drop(String),
}

/// A transform's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The event continues unchanged.
    Unchanged,
    Replace(Replacement),
    /// The event is replaced by several, at least one. At intake only.
    Split(Vec<Replacement>),
    /// The event is dropped, with a reason that is shown in the delivery's record.
    Drop(String),
}

/// New data, and the other changes that the plugin's place permits.
#[derive(Clone, Debug, PartialEq)]
pub struct Replacement {
    /// A JSON object.
    pub data: Json,
    /// At intake only.
    pub event_type: Option<String>,
    /// At intake only. Each replaces the attribute of its name; the others stay.
    pub attributes: Vec<(String, String)>,
    /// Per webhook only. Headers of the request.
    pub headers: Vec<(String, String)>,
}

/// Why a plugin returns no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Handled by `on_error` of the plugin's use: retried, skipped, dropped or failed.
    Retry(String),
    /// Gives up at once, regardless of `on_error`.
    Fail(String),
}

impl Verdict {
    /// Drops the event, for this reason.
    pub fn drop(reason: impl Into<String>) -> Verdict {
        Verdict::Drop(reason.into())
    }
}

impl Outcome {
    /// New data: a [`Json`], or any type that serde writes as an object.
    ///
    /// # Panics
    /// If the type can't be written as JSON, such as a map whose keys are not strings. Inside Antar
    /// a panic is reported with its message.
    pub fn replace(data: impl Serialize + 'static) -> Outcome {
        Outcome::Replace(Replacement::new(data))
    }

    /// Drops the event, for this reason.
    pub fn drop(reason: impl Into<String>) -> Outcome {
        Outcome::Drop(reason.into())
    }

    /// Replaces the event by these. At intake only.
    pub fn split(parts: impl IntoIterator<Item = impl Into<Replacement>>) -> Outcome {
        Outcome::Split(parts.into_iter().map(Into::into).collect())
    }
}

impl Replacement {
    /// # Panics
    /// As [`Outcome::replace`].
    #[expect(clippy::panic, reason = "in a guest it becomes a trap that the host reports")]
    pub fn new(data: impl Serialize + 'static) -> Replacement {
        // A `Json` already has its text; only other types have to be written.
        let mut given = Some(data);
        let json = (&mut given as &mut dyn Any).downcast_mut::<Option<Json>>();
        let data = match json.and_then(Option::take) {
            Some(json) => json,
            None => Json::of(&given).unwrap_or_else(|e| panic!("this is no JSON: {e}")),
        };
        Replacement { data, event_type: None, attributes: Vec::new(), headers: Vec::new() }
    }

    /// Sets a new event type. At intake only.
    #[must_use]
    pub fn with_type(mut self, event_type: impl Into<String>) -> Replacement {
        self.event_type = Some(event_type.into());
        self
    }

    /// Sets an attribute. At intake only.
    #[must_use]
    pub fn with_attribute(mut self, name: &str, value: impl Into<String>) -> Replacement {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Sets a header of the request. Per webhook only.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Replacement {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Problem {
    /// Handled by `on_error` of the plugin's use.
    pub fn retry(reason: impl Into<String>) -> Problem {
        Problem::Retry(reason.into())
    }

    /// Gives up at once, for failures that no later attempt can fix.
    pub fn fail(reason: impl Into<String>) -> Problem {
        Problem::Fail(reason.into())
    }
}

/// Lets `?` work on any error, which `on_error` then handles.
impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Problem {
        Problem::Retry(error.to_string())
    }
}

impl From<Json> for Replacement {
    fn from(data: Json) -> Replacement {
        Replacement::new(data)
    }
}

impl From<Json> for Outcome {
    fn from(data: Json) -> Outcome {
        Outcome::replace(data)
    }
}

impl From<Replacement> for Outcome {
    fn from(replacement: Replacement) -> Outcome {
        Outcome::Replace(replacement)
    }
}

/// What the function of a filter may return: a verdict, or a result of one.
#[diagnostic::on_unimplemented(
    message = "a filter can't return `{Self}`",
    note = "return a `Verdict`, or a `Result<Verdict, Problem>`"
)]
pub trait IntoVerdict {
    /// The answer.
    fn into_verdict(self) -> Result<Verdict, Problem>;
}

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Result<Verdict, Problem> {
        Ok(self)
    }
}

impl<E: Into<Problem>> IntoVerdict for Result<Verdict, E> {
    fn into_verdict(self) -> Result<Verdict, Problem> {
        self.map_err(Into::into)
    }
}

/// What the function of a transform may return: an outcome, new data, or a result of either.
#[diagnostic::on_unimplemented(
    message = "a transform can't return `{Self}`",
    note = "return an `Outcome` or the new data as `Json`, or a `Result` of either"
)]
pub trait IntoOutcome {
    /// The answer.
    fn into_outcome(self) -> Result<Outcome, Problem>;
}

impl<T: Into<Outcome>> IntoOutcome for T {
    fn into_outcome(self) -> Result<Outcome, Problem> {
        Ok(self.into())
    }
}

impl<T: Into<Outcome>, E: Into<Problem>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, Problem> {
        self.map(Into::into).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Contact {
        name: String,
        id: u64,
    }

    #[test]
    fn a_type_is_written_and_json_is_taken_as_it_is() {
        let contact = Contact { name: "Ayu".into(), id: 8_202_522_731_445_525_542 };
        let text = r#"{"name":"Ayu","id":8202522731445525542}"#;
        let json = |outcome| match outcome {
            Outcome::Replace(replacement) => replacement.data.into_text(),
            other => panic!("{other:?}"),
        };
        assert_eq!(json(Outcome::replace(contact)), text);
        let posted = r#"{"b":1.10,"a":"\u0041"}"#;
        assert_eq!(json(Outcome::replace(posted.parse::<Json>().unwrap())), posted);
    }

    #[test]
    fn errors_of_other_crates_are_left_to_on_error() {
        fn number(text: &str) -> Result<Outcome, Problem> {
            let number: u8 = text.parse()?;
            Ok(Outcome::drop(number.to_string()))
        }
        assert_eq!(number("7").into_outcome(), Ok(Outcome::drop("7")));
        assert!(matches!(number("x").into_outcome(), Err(Problem::Retry(_))));
    }
}
