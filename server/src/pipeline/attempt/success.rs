//! Decides whether a response is a success.

use antar_json::{OutOfSteps, Steps};

use super::retry::Verdict;
use crate::model::Response;
use crate::pipeline::compiled::webhook::Webhook;

/// The verdict on a response, and the error message if it is not a success. A `success` pattern that takes more
/// than `steps_max` steps counts as not met.
pub(crate) fn check_success(
    webhook: &Webhook,
    answer: Result<&Response, String>,
    steps_max: u64,
) -> (Verdict, Option<String>) {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return (Verdict::NoAnswer, Some(error)),
    };
    let status = response.status;
    let met = match &webhook.plan.success {
        None => Ok((200..300).contains(&status)),
        Some(pattern) => {
            pattern.matches_within(answer_document(response).root(), &Steps::new(steps_max))
        }
    };
    if met == Ok(true) {
        return (Verdict::Success, None);
    }
    let location = response.headers.get("location");
    let error = match (status, location) {
        _ if met == Err(OutOfSteps) => format!(
            "the receiver answered {status}, and comparing that with `success` takes more than {steps_max} steps \
             (work.steps_at_once_max)"
        ),
        (300..400, Some(location)) => {
            format!("the receiver answered {status}: redirects are not followed; use {location}")
        }
        (200..300, _) => format!("the receiver answered {status}, but not what `success` asks for"),
        _ => format!("the receiver answered {status}"),
    };
    (Verdict::Status(status), Some(error))
}

/// `{"status", "headers", "body"}` for `success` patterns; a JSON body is parsed.
fn answer_document(response: &Response) -> antar_json::Document {
    let mut out = antar_json::Builder::new();
    out.object().key("status").number(response.status.into());
    out.key("headers").object();
    for (name, value) in response.headers.iter() {
        out.key(name).string(value);
    }
    out.end().key("body");
    match response.body.parse::<antar_json::Document>() {
        Ok(body) => out.copy(body.root()),
        Err(_) => out.string(&response.body),
    };
    out.end();
    out.finish()
}
