//! Words that don't belong where they stand.

use crate::assert_none;
use crate::sources::{Source, all, rust_below};

/// Platforms are files in `examples/`: a sixth one is one more file, and no code.
const PLATFORMS: &[&str] = &["chatthing", "sahut", "cekat", "carik", "caleida"];

/// Put together here, so that this file does not contain them.
fn foreign() -> Vec<String> {
    [
        ("/wor", "k/"),
        ("/far", "m/"),
        (".libr", "ary/"),
        ("arti", "factory"),
        ("sub", "agent"),
        ("DEVEL", "OPERS.md"),
        ("before", "-stop"),
        ("/tmp/", "antar-notes"),
        ("index.crat", "es.io"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
    .to_vec()
}

/// Names that say nothing of what is in a file.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "types"];
/// Helpers are a word of the template language.
const NAMED_RIGHT: &[&str] = &["crates/template/src/helpers.rs"];

#[test]
fn no_platform_in_the_code() {
    let mut findings = Vec::new();
    for source in rust_below(&["server/", "crates/", "sdk/", "plugins/", "xtask/"]) {
        for (line, text) in source.lines() {
            let lower = text.to_lowercase();
            findings.extend(
                PLATFORMS
                    .iter()
                    .filter(|name| lower.contains(**name))
                    .map(|name| source.at(line, name)),
            );
        }
    }
    assert_none("a platform is a profile in examples/platforms", &findings);
}

#[test]
fn words_and_paths_are_the_projects_own() {
    let foreign = foreign();
    let mut findings = Vec::new();
    for source in all() {
        for (line, text) in source.lines() {
            findings.extend(
                foreign
                    .iter()
                    .filter(|word| text.contains(*word))
                    .map(|word| source.at(line, word)),
            );
        }
    }
    assert_none("these name somebody's machine or workplace", &findings);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let attribute = ["#[al", "low(", "#![al", "low("].concat();
    let (outer, inner) = attribute.split_at(8);
    let mut findings = Vec::new();
    for source in rust_below(&[""]) {
        for (line, text) in source.lines() {
            let code = text.trim_start();
            if code.starts_with(outer) || code.starts_with(inner) {
                findings.push(source.at(line, "write #[expect(lint, reason = \"…\")]"));
            }
        }
    }
    assert_none("an exception says why, and goes when it is not needed", &findings);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TO", "DO"].concat();
    let words = [marks.as_str(), "FIXME", "XXX", "unimplemented!("];
    let own = |source: &Source| source.path.starts_with("tests/tidy/");
    let mut findings = Vec::new();
    for source in rust_below(&[""]).iter().filter(|source| !own(source)) {
        for (line, text) in source.lines() {
            findings.extend(
                words.iter().filter(|word| text.contains(*word)).map(|word| source.at(line, word)),
            );
        }
    }
    assert_none("finish it, or take it out", &findings);
}

#[test]
fn files_are_named_after_what_is_in_them() {
    let empty = |source: &Source| {
        let stem = std::path::Path::new(&source.path).file_stem()?.to_str()?.to_owned();
        let right = NAMED_RIGHT.contains(&source.path.as_str());
        (EMPTY_NAMES.contains(&stem.as_str()) && !right).then(|| source.path.clone())
    };
    let findings: Vec<_> = rust_below(&[""]).iter().filter_map(empty).collect();
    assert_none("a file is named after the one thing in it", &findings);
}

/// A host that had nothing to do stops its ticker, by the machine's clock and no other.
const MAY_SLEEP: &[&str] = &["server/src/plugin/tests/hostile.rs"];

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    let call = ["sleep", "("].concat();
    let is_test = |source: &&Source| {
        let is_test = source.path.starts_with("tests/it/") || source.path.contains("/tests");
        is_test && !MAY_SLEEP.contains(&source.path.as_str())
    };
    let mut findings = Vec::new();
    for source in rust_below(&["tests/it/", "server/", "crates/", "sdk/"]).iter().filter(is_test) {
        for (line, text) in source.lines() {
            if text.contains(&call) {
                findings.push(source.at(line, "wait for a condition, or move the manual clock"));
            }
        }
    }
    assert_none("a test that sleeps is slow, and fails on a slow machine", &findings);
}
