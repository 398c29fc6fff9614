//! The result of one check of a plugin.

use antar_json::Document;

/// Outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Passed,
    /// Does not apply to this plugin.
    Skipped,
    Failed,
}

/// One check of a plugin.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) suite: &'static str,
    pub(super) name: String,
    pub(super) ended: Ended,
    /// What was observed, or the reason.
    pub(super) detail: String,
    /// For a failed fixture: the expected answer and the actual one.
    pub(super) answers: Option<(Document, Document)>,
}

impl Check {
    pub(super) fn new(
        suite: &'static str,
        name: &str,
        ended: Ended,
        detail: impl Into<String>,
    ) -> Check {
        Check { suite, name: name.to_owned(), ended, detail: detail.into(), answers: None }
    }

    /// A check that every plugin must pass.
    pub(super) fn of(name: &str, result: Result<String, String>) -> Check {
        match result {
            Ok(detail) => Check::new("conformance", name, Ended::Passed, detail),
            Err(reason) => Check::new("conformance", name, Ended::Failed, reason),
        }
    }

    pub(super) fn skipped(name: &str, why: &str) -> Check {
        Check::new("conformance", name, Ended::Skipped, why)
    }
}
