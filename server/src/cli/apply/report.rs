//! Report of changes, resource by resource: prose with diffs, or JSON lines.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::change::{self, Line};
use super::manifest::{Kind, Resource};
use crate::cli::client::api::{CallError, FieldProblem};
use crate::cli::client::request;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};

/// On a terminal, a diff that consists of new lines only is cut after this many.
const NEW_LINES_MAX: usize = 12;

/// Outcome for a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Outcome {
    Created,
    Updated,
    /// A secret, whose value can't be compared.
    Written,
    Deleted,
    Unchanged,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Updated => "updated",
            Outcome::Written => "written",
            Outcome::Deleted => "deleted",
            Outcome::Unchanged => "unchanged",
            Outcome::Failed => "failed",
        }
    }

    fn style(self) -> &'static str {
        match self {
            Outcome::Created | Outcome::Written => GREEN,
            Outcome::Updated => YELLOW,
            Outcome::Deleted | Outcome::Failed => RED,
            Outcome::Unchanged => DIM,
        }
    }
}

/// A completed step.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) diff: Vec<Line>,
    /// Parts of the server's response worth showing: `id`, `secret`, `url`, …
    pub(super) told: Map<String, Json>,
}

impl Done {
    pub(super) fn new(outcome: Outcome) -> Done {
        Done { outcome, diff: Vec::new(), told: Map::new() }
    }
}

/// Kind, tenant and name.
type About<'a> = (Kind, Option<&'a str>, &'a str);

pub(super) struct Report {
    screen: Screen,
    dry_run: bool,
    counts: BTreeMap<Outcome, usize>,
}

impl Report {
    pub(super) fn new(screen: Screen, dry_run: bool) -> Report {
        Report { screen, dry_run, counts: BTreeMap::new() }
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    pub(super) fn failed(&self) -> usize {
        self.counts.get(&Outcome::Failed).copied().unwrap_or_default()
    }

    pub(super) fn done(&mut self, resource: &Resource, done: Done) {
        self.report_one((resource.kind, resource.tenant.as_deref(), &resource.name), done);
    }

    pub(super) fn report_one(&mut self, about: About<'_>, done: Done) {
        *self.counts.entry(done.outcome).or_default() += 1;
        if !self.screen.is_text() {
            let mut line = line(about, done.outcome, self.dry_run);
            if !done.diff.is_empty() {
                line.insert("diff".to_owned(), change::text(&done.diff).into());
            }
            line.extend(done.told);
            return self.screen.json(&Json::Object(line));
        }
        self.head(about, done.outcome, "");
        self.diff(done.outcome, &done.diff);
        for (name, told) in &done.told {
            let value = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
            match name.as_str() {
                "secret" => {
                    let note = self.screen.paint(DIM, "shown this once");
                    self.screen
                        .line(&format!("    secret {}  {note}", self.screen.paint(BOLD, &value)));
                }
                "url" | "public_key" => self.screen.line(&format!("    {name} {value}")),
                "warnings" => self.warnings(told),
                _ => {}
            }
        }
    }

    /// Prints warnings about likely mistakes in a saved webhook.
    fn warnings(&self, warnings: &Json) {
        for warning in warnings.as_array().into_iter().flatten() {
            let line = format!("    {}", request::warning(warning));
            self.screen.line(&self.screen.paint(YELLOW, &line));
        }
    }

    /// Reports a document that was not applied, with every error of the server and its line.
    pub(super) fn failure(&mut self, resource: &Resource, error: &anyhow::Error) {
        let about = (resource.kind, resource.tenant.as_deref(), resource.name.as_str());
        let errors = match error.downcast_ref::<CallError>() {
            Some(CallError::Problem(problem)) => problem.errors.as_slice(),
            _ => &[],
        };
        let line_of = |error: &FieldProblem| {
            // In the manifest, `secret_from` names the source of the secret.
            let pointer = if error.pointer == "/secret" { "/secret_from" } else { &error.pointer };
            resource.origin.line(pointer)
        };
        if !self.screen.is_text() {
            let errors: Vec<Json> = errors
                .iter()
                .map(|error| {
                    json!({"pointer": error.pointer, "detail": error.detail, "line": line_of(error),
                    "text_line": error.line, "text_column": error.column, "suggestion": error.suggestion})
                })
                .collect();
            let more = json!({"file": resource.origin.file, "document": resource.origin.number,
                "line": resource.origin.line(""), "error": summary(error), "errors": errors});
            return self.not_done(about, &more);
        }
        *self.counts.entry(Outcome::Failed).or_default() += 1;
        let place = format!("{} (document {})", resource.origin.at(""), resource.origin.number);
        self.head(about, Outcome::Failed, &place);
        self.screen.line(&format!("    {}", summary(error)));
        for error in errors {
            let place = format!("{}:{}", resource.origin.file, line_of(error));
            self.screen.line(&format!("    {place}: {}", error.sentence()));
        }
    }

    pub(super) fn not_deleted(&mut self, about: About<'_>, error: &anyhow::Error) {
        if !self.screen.is_text() {
            return self.not_done(about, &json!({"error": format!("{error:#}")}));
        }
        *self.counts.entry(Outcome::Failed).or_default() += 1;
        self.head(about, Outcome::Failed, "not deleted");
        self.screen.line(&format!("    {error:#}"));
    }

    /// `3 created, 1 updated, 5 unchanged`
    pub(super) fn summary(&self) {
        let counts = self.counts.iter();
        if self.screen.is_text() {
            let parts: Vec<_> =
                counts.map(|(outcome, count)| format!("{count} {}", outcome.as_str())).collect();
            let parts =
                if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
            let note = if self.dry_run { " (dry run: nothing was changed)" } else { "" };
            return self.screen.line(&format!("{}{note}", self.screen.paint(BOLD, &parts)));
        }
        let mut line: Map<String, Json> =
            counts.map(|(outcome, count)| (outcome.as_str().to_owned(), (*count).into())).collect();
        line.insert("kind".to_owned(), "summary".into());
        line.insert("dry_run".to_owned(), self.dry_run.into());
        self.screen.json(&Json::Object(line));
    }

    fn not_done(&mut self, about: About<'_>, more: &Json) {
        *self.counts.entry(Outcome::Failed).or_default() += 1;
        let mut line = line(about, Outcome::Failed, self.dry_run);
        line.extend(more.as_object().cloned().unwrap_or_default());
        self.screen.json(&Json::Object(line));
    }

    fn head(&self, (kind, tenant, name): About<'_>, outcome: Outcome, note: &str) {
        let word = self.screen.paint(outcome.style(), &format!("{:<9}", outcome.as_str()));
        let tenant = tenant.map(|tenant| format!("{tenant}/")).unwrap_or_default();
        let line = format!("{word} {:<10} {tenant}{name}  {note}", kind.as_str());
        self.screen.line(line.trim_end());
    }

    fn diff(&self, outcome: Outcome, lines: &[Line]) {
        let shown = if outcome == Outcome::Created { NEW_LINES_MAX } else { lines.len() };
        for line in lines.iter().take(shown) {
            let style = match line.sign {
                '+' => GREEN,
                '-' => RED,
                _ => DIM,
            };
            self.screen.line(&self.screen.paint(style, &format!("  {} {}", line.sign, line.text)));
        }
        if lines.len() > shown {
            let rest = format!("  … {} more lines", lines.len() - shown);
            self.screen.line(&self.screen.paint(DIM, &rest));
        }
    }
}

fn line((kind, tenant, name): About<'_>, outcome: Outcome, dry_run: bool) -> Map<String, Json> {
    let mut line = Map::new();
    line.insert("kind".to_owned(), kind.as_str().into());
    if let Some(tenant) = tenant {
        line.insert("tenant".to_owned(), tenant.into());
    }
    line.insert("name".to_owned(), name.into());
    line.insert("outcome".to_owned(), outcome.as_str().into());
    if dry_run {
        line.insert("dry_run".to_owned(), true.into());
    }
    line
}

/// The error without its list of field errors, which is shown separately.
fn summary(error: &anyhow::Error) -> String {
    match error.downcast_ref::<CallError>() {
        Some(CallError::Problem(problem)) => problem.summary(),
        _ => format!("{error:#}"),
    }
}
