//! Style as a test: what a reviewer should not have to look for. Each rule names file and line,
//! and what to do.

mod docs;
mod imports;
mod length;
mod licences;
mod migrations;
mod names;
mod paths;
mod rooms;
mod sources;
mod words;

/// Fails with one line for each finding.
#[track_caller]
fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
