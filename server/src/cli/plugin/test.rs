//! `antar plugin test`: runs a plugin's fixtures and the conformance checks.

use std::path::{Path, PathBuf};

use antar_json::{Builder, Document};
use anyhow::bail;
use similar::{ChangeTag, TextDiff};

use super::build::{progress, shown};
use super::check::{Check, Ended};
use super::conformance;
use super::fixture::{self, Fixture};
use super::local::Local;
use super::project::{WrittenKind, file_or_built};
use super::{duration, size};
use crate::cli::terminal::pretty::pretty;
use crate::cli::terminal::screen::{BOLD, DIM, GREEN, RED, Screen, YELLOW};

/// Runs a plugin's fixtures through the compiled file, and checks what every plugin has to hold.
///
/// A fixture is a file in the project's `fixtures`: {"event": {"type": …, "data": {…}}, "config":
/// {…}, "expect": "pass"}. `expect` is "pass", {"drop": "reason"}, {"data": {…}}, {"split": [{"data":
/// {…}}]}, {"retry": "reason"} or {"fail": "reason"}. Data is compared as text: key order and
/// numbers count, whitespace does not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A .wasm file of whatever origin. Left out: the project's, built when needed.
    file: Option<PathBuf>,
    /// Folder of fixtures. Left out: `fixtures` of the project.
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  antar plugin test
  antar plugin test other.wasm --fixtures examples
  antar plugin test --format json | jq 'select(.result == \"failed\")'";

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let (file, project) = file_or_built(arguments.file.as_deref(), &mut progress)?;
    let folder = match (&arguments.fixtures, &project) {
        (Some(folder), _) if !folder.is_dir() => {
            bail!("{}: there is no such folder", folder.display());
        }
        (Some(folder), _) => Some(folder.clone()),
        (None, Some(project)) => Some(project.fixtures()),
        (None, None) => None,
    };
    let local = Local::load(&file).await?;
    let kind = WrittenKind::of(local.plugin.kind());
    if let Some(project) = project.filter(|project| project.kind != kind) {
        bail!(
            "{} is a {}, and {} says `kind: {}`: correct one of them",
            shown(&file),
            kind.name(),
            shown(&project.folder.join(super::project::FILE)),
            project.kind.name()
        );
    }
    if screen.is_text() {
        let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let size = size(usize::try_from(bytes)?);
        screen.line(&format!("{}: a {}, {size}", screen.paint(BOLD, &shown(&file)), kind.name()));
    }
    let (mut fixtures, mut checks) = (Vec::new(), Vec::new());
    for path in folder.iter().flat_map(|folder| fixture::files(folder)) {
        let (check, fixture) = run_fixture(&local, &path).await;
        show(&check, checks.is_empty(), screen);
        checks.push(check);
        fixtures.extend(fixture);
    }
    if let Some(folder) = folder.filter(|_| checks.is_empty()) {
        let why = format!("no .json file in {}", shown(&folder));
        let check = Check::new("fixtures", "fixtures", Ended::Skipped, why);
        show(&check, true, screen);
    }
    for (index, check) in conformance::run(&local, &fixtures).await.into_iter().enumerate() {
        show(&check, index == 0, screen);
        checks.push(check);
    }
    finish(&checks, screen)
}

fn finish(checks: &[Check], screen: Screen) -> anyhow::Result<()> {
    let count = |wanted: Ended| checks.iter().filter(|check| check.ended == wanted).count();
    let (passed, skipped, failed) =
        (count(Ended::Passed), count(Ended::Skipped), count(Ended::Failed));
    if !screen.is_text() {
        let summary = serde_json::json!({"passed": passed, "skipped": skipped, "failed": failed});
        screen.json(&summary);
    } else if failed == 0 {
        screen.line(&screen.paint(GREEN, &format!("\n{passed} checks passed")));
    }
    if failed > 0 {
        let names: Vec<&str> = checks
            .iter()
            .filter(|check| check.ended == Ended::Failed)
            .map(|check| check.name.as_str())
            .collect();
        bail!("{failed} of {} checks failed: {}", checks.len(), names.join(", "));
    }
    Ok(())
}

/// Runs one fixture. Returns it, if it could be read, for the checks that use its event.
async fn run_fixture(local: &Local, path: &Path) -> (Check, Option<Fixture>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fixture = match Fixture::read(path) {
        Ok(fixture) => fixture,
        Err(why) => return (Check::new("fixtures", &name, Ended::Failed, why), None),
    };
    let report = local.call(&fixture.event, &fixture.config, fixture.place).await;
    let got = fixture::answer(&report.result);
    let mut check = if got == fixture.expect {
        Check::new("fixtures", &name, Ended::Passed, duration(report.took_us))
    } else {
        let why = format!("{}: it answers something else than `expect`", shown(path));
        let mut check = Check::new("fixtures", &name, Ended::Failed, why);
        check.answers = Some((fixture.expect.clone(), got));
        let lines = report.logs.iter();
        lines.for_each(|(level, line)| check.detail.push_str(&format!("\nlog {level:?}: {line}")));
        check
    };
    let problem = ["retry", "fail"].iter().any(|key| fixture.expect.root().get(key).is_some());
    let refused = fixture.config.parse().map(|config| local.config_errors(&config));
    if let Some(why) = refused.unwrap_or_default().first().filter(|_| !problem) {
        check.ended = Ended::Failed;
        check.detail =
            format!("{}: this config is refused when a webhook is saved: {why}", shown(path));
    }
    (check, Some(fixture))
}

fn show(check: &Check, is_first: bool, screen: Screen) {
    if !screen.is_text() {
        screen.line(json(check).text());
        return;
    }
    if is_first {
        screen.line(&screen.paint(BOLD, &format!("\n{}", check.suite)));
    }
    let (style, word) = match check.ended {
        Ended::Passed => (GREEN, "ok    "),
        Ended::Skipped => (YELLOW, "skip  "),
        Ended::Failed => (RED, "FAILED"),
    };
    let mut lines = check.detail.lines();
    let detail = screen.paint(DIM, lines.next().unwrap_or_default());
    screen.line(&format!("  {} {:24} {detail}", screen.paint(style, word), check.name));
    for line in lines {
        screen.line(&format!("         {line}"));
    }
    if let Some((expected, got)) = &check.answers {
        diff(expected, got, screen)
            .iter()
            .for_each(|line| screen.line(&format!("         {line}")));
    }
}

fn json(check: &Check) -> Document {
    let mut out = Builder::new();
    let result = match check.ended {
        Ended::Passed => "passed",
        Ended::Skipped => "skipped",
        Ended::Failed => "failed",
    };
    out.object().key("suite").string(check.suite).key("name").string(&check.name);
    out.key("result").string(result).key("detail").string(&check.detail);
    if let Some((expected, got)) = &check.answers {
        out.key("expected").copy(expected.root()).key("got").copy(got.root());
    }
    out.end();
    out.finish()
}

/// The lines in which two documents differ, with some context.
fn diff(expected: &Document, got: &Document, screen: Screen) -> Vec<String> {
    const LINES_AROUND: usize = 3;
    let (expected, got) = (pretty(expected), pretty(got));
    let (expected, got) = (format!("{expected}\n"), format!("{got}\n"));
    let diff = TextDiff::from_lines(&expected, &got);
    let mut lines =
        vec![format!("{} {}", screen.paint(RED, "- expected"), screen.paint(GREEN, "+ got"))];
    for (index, group) in diff.grouped_ops(LINES_AROUND).iter().enumerate() {
        if index > 0 {
            lines.push(screen.paint(DIM, "  …"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Equal => format!("  {line}"),
                ChangeTag::Delete => screen.paint(RED, &format!("- {line}")),
                ChangeTag::Insert => screen.paint(GREEN, &format!("+ {line}")),
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Format;

    #[test]
    fn a_difference_is_shown_by_lines() {
        let expected = r#"{"data":{"a":1,"b":8202522731445525542,"c":[1,2]}}"#.parse().unwrap();
        let got = r#"{"data":{"a":1,"b":8202522731445525000,"c":[1,2]}}"#.parse().unwrap();
        let lines = diff(&expected, &got, Screen::new(Some(Format::Text)));
        let shown: Vec<&str> = lines.iter().map(String::as_str).collect();
        let text = shown.join("\n");
        assert!(text.contains("-     \"b\": 8202522731445525542,"), "{text}");
        assert!(text.contains("+     \"b\": 8202522731445525000,"), "{text}");
        assert_eq!(text.matches("\n- ").count(), 1, "{text}");
    }
}
