//! Dependencies point one way: which part of the server may name which, by path.

use std::collections::BTreeSet;

use crate::assert_none;
use crate::paths::Crate;
use crate::sources::{Source, rust_below};

const ROOT: &str = "server/src/";

type MayImport<'a> = &'a [(&'a str, &'a [&'a str])];

/// A file or folder below `server/src`, and the top-level modules that it may name besides its own. The
/// longest row that fits a file counts.
const MAY_IMPORT: MayImport<'_> = &[
    ("model", &[]),
    ("clock.rs", &["model"]),
    ("fault.rs", &[]),
    ("plugin", &[]),
    ("config", &["plugin"]),
    ("seal.rs", &["model"]),
    ("work_pool.rs", &["model", "config"]),
    ("budget.rs", &["model"]),
    ("content_coding.rs", &[]),
    ("exact_json.rs", &[]),
    ("yaml.rs", &["exact_json"]),
    ("media_type.rs", &[]),
    ("store", &["model", "clock", "config", "fault", "budget"]),
    // What stages work with and make: values in, values out.
    ("pipeline", &["model", "plugin", "config", "media_type", "content_coding"]),
    // The order of the stages, and what they commit: values go in and come out here.
    (
        "pipeline/mod.rs",
        &["model", "plugin", "config", "clock", "store", "seal", "fault", "work_pool"],
    ),
    ("pipeline/inspect", &["model", "plugin", "config", "work_pool"]),
    ("pipeline/large_work.rs", &["model", "work_pool"]),
    ("pipeline/accept/answers.rs", &["model", "store"]),
    ("pipeline/accept/batch.rs", &["model", "config", "store"]),
    ("pipeline/accept/new_deliveries.rs", &["model", "store"]),
    ("pipeline/accept/ordering_keys.rs", &["model", "store"]),
    ("pipeline/attempt/job.rs", &["model", "store"]),
    ("pipeline/attempt/no_request.rs", &["model", "work_pool"]),
    ("pipeline/attempt/outcome.rs", &["model", "store"]),
    ("pipeline/attempt/request_memory.rs", &["model", "config", "budget"]),
    (
        "registry",
        &["model", "store", "pipeline", "plugin", "config", "clock", "seal", "fault", "yaml"],
    ),
    (
        "worker",
        &[
            "model",
            "store",
            "pipeline",
            "plugin",
            "registry",
            "live_stream",
            "config",
            "clock",
            "fault",
        ],
    ),
    ("rejections.rs", &["model", "clock", "config", "store"]),
    ("data_folder.rs", &["model", "store", "registry", "config", "seal"]),
    ("live_stream", &["model"]),
    (
        "replay",
        &["model", "store", "pipeline", "registry", "worker", "config", "clock", "work_pool"],
    ),
    ("retention.rs", &["model", "store", "pipeline", "registry", "config"]),
    (
        "app.rs",
        &[
            "model",
            "store",
            "pipeline",
            "plugin",
            "registry",
            "worker",
            "replay",
            "live_stream",
            "rejections",
            "config",
            "clock",
        ],
    ),
    (
        "http",
        &[
            "app",
            "model",
            "store",
            "pipeline",
            "plugin",
            "registry",
            "worker",
            "replay",
            "live_stream",
            "config",
            "clock",
            "seal",
            "work_pool",
            "budget",
            "media_type",
            "rejections",
        ],
    ),
    // Plugins are tried out by the host that the server has.
    (
        "cli",
        &[
            "model",
            "store",
            "config",
            "data_folder",
            "fault",
            "plugin",
            "lib",
            "exact_json",
            "yaml",
        ],
    ),
    // These put the parts together and may name all.
    ("main.rs", &["*"]),
    ("lib.rs", &["*"]),
    ("server.rs", &["*"]),
];

/// Crates that only these parts may name. Whoever is not here, anybody may.
const CRATES: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("diesel_migrations", &["store"]),
    ("actix_web", &["http", "server.rs", "cli"]),
    ("wasmtime", &["plugin"]),
    ("hyper_rustls", &["pipeline/client", "cli"]),
    ("tokio_rustls", &["pipeline/client"]),
    ("hickory_resolver", &["pipeline/client/dns"]),
    ("resolv_conf", &["pipeline/client/dns"]),
    ("clap", &["cli", "main.rs"]),
];

/// Stages are values in, values out: these files know no time, database or network.
const PURE: &[&str] = &[
    "pipeline/attempt/backoff.rs",
    "pipeline/attempt/health.rs",
    "pipeline/attempt/outcome.rs",
    "pipeline/attempt/receiver_hints.rs",
    "pipeline/attempt/render.rs",
    "pipeline/attempt/retry.rs",
    "pipeline/attempt/secrets.rs",
    "pipeline/attempt/sign.rs",
    "pipeline/attempt/success.rs",
    "pipeline/compiled",
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

/// Whether a row names a file, or a module: its folder, and the file beside that.
fn fits(row: &str, path: &str) -> bool {
    let below = path.strip_prefix(ROOT).and_then(|below| below.strip_prefix(row));
    below.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

/// The top-level module of a file: `http` for `server/src/http/error.rs`.
fn module(path: &str) -> &str {
    let below = path.strip_prefix(ROOT).unwrap_or(path);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

/// Rows that match no file: they check nothing.
fn idle<'a>(rows: impl Iterator<Item = &'a str>, sources: &[Source]) -> Vec<String> {
    let unused = rows.filter(|row| !sources.iter().any(|source| fits(row, &source.path)));
    unused.map(|row| format!("the row `{row}` matches no file")).collect()
}

fn forbidden(may_import: MayImport<'_>, sources: &[Source]) -> Vec<String> {
    let all = Crate::new(ROOT, sources);
    let mut findings = idle(may_import.iter().map(|(row, _)| *row), sources);
    for source in sources {
        let own = module(&source.path);
        let rows = may_import.iter().filter(|(row, _)| fits(row, &source.path));
        let Some((_, allowed)) = rows.max_by_key(|(row, _)| row.len()) else {
            findings.push(source.at(1, "a new module: say what it may import"));
            continue;
        };
        let mut seen = BTreeSet::new();
        for import in all.imports(source) {
            let other = module(&import.file);
            let may = other == own || allowed.contains(&other) || allowed.contains(&"*");
            if !may && seen.insert((import.line, other.to_owned())) {
                findings.push(source.at(import.line, &format!("may not import `{other}`")));
            }
        }
    }
    findings
}

/// Places where a crate is named by a part that may not.
fn misplaced(crates: &[(&str, &[&str])], sources: &[Source]) -> Vec<String> {
    let parts = crates.iter().flat_map(|(_, parts)| parts.iter().copied());
    let mut findings = idle(parts, sources);
    for source in sources {
        for (line, text) in source.lines() {
            let code = text.split("//").next().unwrap_or_default();
            for (library, parts) in crates {
                let named = code.match_indices(&format!("{library}::")).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if named && !parts.iter().any(|part| fits(part, &source.path)) {
                    findings.push(source.at(line, &format!("only {parts:?} may name {library}")));
                }
            }
        }
    }
    findings
}

fn impure(pure: &[&str], sources: &[Source]) -> Vec<String> {
    let mut findings = idle(pure.iter().copied(), sources);
    for source in sources.iter().filter(|s| pure.iter().any(|row| fits(row, &s.path))) {
        for (line, text) in source.lines() {
            let code = text.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                findings.push(source.at(line, &format!("a pure stage names `{word}`")));
            }
        }
    }
    findings
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let findings = forbidden(MAY_IMPORT, &rust_below(&[ROOT]));
    assert_none(
        "the table MAY_IMPORT in tests/tidy/imports.rs says who may import whom",
        &findings,
    );
}

#[test]
fn big_libraries_stay_in_their_modules() {
    let findings = misplaced(CRATES, &rust_below(&[ROOT]));
    assert_none("the table CRATES in tests/tidy/imports.rs", &findings);
}

#[test]
fn pure_stages_know_no_clock_no_database_and_no_network() {
    let findings = impure(PURE, &rust_below(&[ROOT]));
    assert_none("now, secrets and answers are arguments of a stage", &findings);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> Vec<Source> {
        let file = |path: &str, text: &str| Source {
            path: format!("{ROOT}{path}"),
            text: text.to_owned(),
        };
        vec![file(path, text), file("clock.rs", ""), file("store/mod.rs", ""), file("lib.rs", "")]
    }

    const ROWS: MayImport<'_> = &[
        ("pipeline", &[]),
        ("pipeline/mod.rs", &["store"]),
        ("clock.rs", &[]),
        ("store", &[]),
        ("lib.rs", &["*"]),
    ];

    #[test]
    fn a_forbidden_import_is_found_by_the_longest_row() {
        let found = |path, text| {
            let mut findings = forbidden(ROWS, &planted(path, text));
            findings.retain(|finding| !finding.contains("matches no file"));
            findings
        };
        let text = "use crate::store::Store;";
        assert_eq!(
            found("pipeline/attempt/render.rs", text),
            ["server/src/pipeline/attempt/render.rs:1: may not import `store`"]
        );
        assert_eq!(found("pipeline/mod.rs", text), Vec::<String>::new());
        assert_eq!(
            found("new.rs", text),
            ["server/src/new.rs:1: a new module: say what it may import"]
        );
    }

    #[test]
    fn a_row_that_matches_no_file_is_found_in_every_table() {
        let sources = planted("pipeline/mod.rs", "");
        let row = "the row `gone` matches no file".to_owned();
        assert!(forbidden(&[("gone", &[])], &sources).contains(&row));
        assert!(misplaced(&[("diesel", &["gone"])], &sources).contains(&row));
        assert!(impure(&["gone"], &sources).contains(&row));
        // Half a name is no row.
        assert!(!fits("pipe", "server/src/pipeline/mod.rs"));
    }

    #[test]
    fn a_library_out_of_its_place_is_found() {
        let crates: &[(&str, &[&str])] = &[("diesel", &["store"])];
        assert_eq!(
            misplaced(crates, &planted("pipeline/mod.rs", "use diesel::prelude::*;")),
            ["server/src/pipeline/mod.rs:1: only [\"store\"] may name diesel"]
        );
        assert!(misplaced(crates, &planted("store/db/x.rs", "use diesel::sql;")).is_empty());
    }

    #[test]
    fn a_stage_that_asks_for_the_time_is_found() {
        let sources = planted("pipeline/attempt/render.rs", "\nlet now = Instant::now();");
        let found = ["server/src/pipeline/attempt/render.rs:2: a pure stage names `Instant::now`"];
        assert_eq!(impure(&["pipeline/attempt/render.rs"], &sources), found);
        assert_eq!(impure(&["pipeline/attempt"], &sources), found);
    }
}
