//! Dependencies point one way: who may import whom inside the server.

use std::collections::BTreeSet;

use crate::assert_none;
use crate::sources::{Source, rust_below};

/// A module of `server/src`, or one file of it, and the others that it may name. What is said of a
/// file counts before what is said of its module.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("fault", &[]),
    ("plugin", &[]),
    ("config", &["plugin"]),
    ("seal", &["model"]),
    ("store", &["model", "clock", "config", "fault"]),
    ("pipeline", &["model", "plugin", "config"]),
    // The order of the stages, and what they commit: values go in and come out here.
    ("pipeline/mod.rs", &["model", "plugin", "config", "clock", "store", "seal", "fault"]),
    ("pipeline/accept/answers.rs", &["model", "store"]),
    ("pipeline/accept/batch.rs", &["store"]),
    ("pipeline/accept/ordering_keys.rs", &["model", "store"]),
    ("pipeline/attempt/outcome.rs", &["model", "store", "seal"]),
    ("pipeline/accept/new_deliveries.rs", &["model", "store"]),
    ("registry", &["model", "store", "pipeline", "plugin", "config", "clock", "seal"]),
    (
        "worker",
        &["model", "store", "pipeline", "plugin", "registry", "live", "config", "clock", "fault"],
    ),
    ("data_folder", &["model", "store", "registry", "config", "seal"]),
    ("live", &["model"]),
    ("replay", &["model", "store", "pipeline", "registry", "worker", "config", "clock"]),
    ("retention", &["model", "store", "pipeline", "registry", "config"]),
    (
        "app",
        &[
            "model", "store", "pipeline", "plugin", "registry", "worker", "replay", "live",
            "config", "clock",
        ],
    ),
    (
        "http",
        &[
            "app", "model", "store", "pipeline", "plugin", "registry", "worker", "replay", "live",
            "config", "clock", "seal",
        ],
    ),
    // Plugins are tried out by the host that the server has.
    ("cli", &["model", "store", "config", "data_folder", "fault", "plugin"]),
];

/// Files that put the parts together; they may name all.
const TOP: &[&str] = &["main", "lib", "server"];

/// Crates that only these modules may name. What is missing here anybody may.
const CRATES: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("diesel_migrations", &["store"]),
    ("actix_web", &["http", "server", "cli"]),
    ("wasmtime", &["plugin"]),
    ("hyper_rustls", &["pipeline", "cli"]),
    ("clap", &["cli", "main"]),
];

/// Stages are values in, values out: these files know no time, database or network.
const PURE_STAGES: &[&str] = &[
    "attempt/render",
    "attempt/sign",
    "attempt/retry",
    "attempt/receiver_hints",
    "attempt/backoff",
    "attempt/health",
    "compiled/subscription",
    "attempt/success",
    "attempt/secrets",
];
const IMPURE: &[&str] = &[
    "tokio::",
    "hyper",
    "diesel",
    "std::net",
    "std::fs",
    "SystemTime",
    "Instant::now",
    "crate::clock",
];

/// The module below `server/src` that a file belongs to: `http` for `http/error.rs`.
fn module(path: &str) -> &str {
    let below = path.strip_prefix("server/src/").unwrap_or(path);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

/// How many `super` lead from a file's own level to the crate's root.
fn depth(path: &str) -> usize {
    let parts = path.trim_start_matches("server/src/").split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// Modules of ours that a line names with `crate::` or with `super::` up to the root.
fn named(line: &str, depth: usize) -> BTreeSet<String> {
    let code = line.split("//").next().unwrap_or_default();
    let up = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for prefix in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            // `mycrate::` and `$crate::` are something else; so is one `super::` more or less.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(list) => found.extend(names_of_list(list)),
                None => found.extend(name(rest)),
            }
        }
    }
    found.remove("super");
    found
}

fn name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first names of `a::b, c::{d, e}}`.
fn names_of_list(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut level, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                names.extend(name(list[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// A `use` that goes over several lines, put on one.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in source.lines() {
        let trimmed = line.trim();
        match statements.last_mut() {
            Some((_, text)) if open => text.push_str(trimmed),
            _ => {
                open = trimmed.starts_with("use ") || trimmed.starts_with("pub use ");
                statements.push((number, trimmed.to_owned()));
            }
        }
        open = open && !trimmed.ends_with(';');
    }
    statements
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let modules: BTreeSet<_> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for source in rust_below(&["server/src/"]) {
        let own = module(&source.path);
        if TOP.contains(&own) {
            continue;
        }
        let file = source.path.trim_start_matches("server/src/");
        let of = |wanted| MAY_IMPORT.iter().find(|(name, _)| *name == wanted);
        let Some((_, allowed)) = of(file).or_else(|| of(own)) else {
            findings.push(
                source.at(1, "a new module: say in tests/tidy/imports.rs what it may import"),
            );
            continue;
        };
        for (line, text) in statements(&source) {
            for other in named(&text, depth(&source.path)) {
                let ours = modules.contains(other.as_str());
                if ours && other != own && !allowed.contains(&other.as_str()) {
                    findings.push(source.at(line, &format!("`{own}` may not import `{other}`")));
                }
            }
        }
    }
    assert_none(
        "the table MAY_IMPORT in tests/tidy/imports.rs says who may import whom",
        &findings,
    );
}

#[test]
fn big_libraries_stay_in_their_modules() {
    let mut findings = Vec::new();
    for source in rust_below(&["server/src/"]) {
        let own = module(&source.path);
        for (line, text) in source.lines() {
            let code = text.split("//").next().unwrap_or_default();
            for (library, allowed) in CRATES {
                let named = code.match_indices(&format!("{library}::")).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if named && !allowed.contains(&own) {
                    findings.push(source.at(line, &format!("only {allowed:?} may name {library}")));
                }
            }
        }
    }
    assert_none("the table CRATES in tests/tidy/imports.rs", &findings);
}

#[test]
fn pure_stages_know_no_clock_no_database_and_no_network() {
    let is_pure = |path: &str| {
        let below = path.strip_prefix("server/src/pipeline/").unwrap_or_default();
        PURE_STAGES.contains(&below.trim_end_matches(".rs"))
    };
    let mut findings = Vec::new();
    for source in rust_below(&["server/src/pipeline/"]).iter().filter(|s| is_pure(&s.path)) {
        for (line, text) in source.lines() {
            let code = text.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                findings.push(source.at(line, &format!("a pure stage names `{word}`")));
            }
        }
    }
    assert_none("now, secrets and answers are arguments of a stage", &findings);
}

#[test]
fn names_are_read_from_lists_and_paths() {
    let names = |line, depth| named(line, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(names("use crate::{http::{a, b}, model::C, store};", 1), ["http", "model", "store"]);
    assert_eq!(names("let x = crate::clock::now(); // crate::http", 1), ["clock"]);
    assert_eq!(names("use super::super::worker::Due;", 2), ["worker"]);
    assert_eq!(
        names("use super::model::X; mycrate::http::y(); $crate::cli::z()", 2),
        Vec::<String>::new()
    );
    assert_eq!(names("use super::model::X;", 1), ["model"]);
    assert_eq!(depth("server/src/clock.rs"), 1);
    assert_eq!(depth("server/src/http/mod.rs"), 1);
    assert_eq!(depth("server/src/http/error.rs"), 2);
}
