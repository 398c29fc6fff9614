//! A folder is a room with one concern. Rooms stand in one order, and each uses only those below it.

use std::collections::BTreeMap;

use crate::assert_none;
use crate::paths::Crate;
use crate::sources::{Source, rust_below};

/// Source files that a folder has at most. About ten is the aim.
const FOLDER_FILES_MAX: usize = 20;

/// Folders whose parts stand in one order, the topmost first. A part is a file or a folder.
const ORDER: &[(&str, &[&str])] = &[
    (
        "server/src/pipeline/",
        &["inspect", "large_work.rs", "mod.rs", "accept", "attempt", "compiled", "client"],
    ),
    (
        "server/src/store/",
        &[
            "mod.rs",
            "rejections.rs",
            "replays",
            "configuration",
            "writer",
            "queue",
            "history",
            "db",
        ],
    ),
    (
        "server/src/http/",
        &[
            "mod.rs",
            "operations.rs",
            "openapi.rs",
            "events",
            "deliveries",
            "webhooks",
            "configuration",
            "edge",
        ],
    ),
    (
        "server/src/cli/",
        &["mod.rs", "apply", "plugin", "receive", "serve", "client", "offline", "terminal"],
    ),
];

/// Crates whose files may not name each other in a circle.
const ROOTS: &[&str] =
    &["server/src/", "crates/json/src/", "crates/rules/src/", "crates/template/src/"];

/// Pairs of files that name each other all the same. The module comment of the first says why.
const CIRCLES: &[(&str, &str)] = &[];

type Order<'a> = &'a [(&'a str, &'a [&'a str])];

/// Whether a file is tests of the file or folder that it stands below. It may name anything, and be named
/// by other tests.
fn is_tests(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The place of a file in the order of the folder, from 0 for the topmost.
fn place(folder: &str, parts: &[&str], path: &str) -> Option<usize> {
    let below = path.strip_prefix(folder)?;
    let part = below.split('/').next().unwrap_or(below);
    parts.iter().position(|known| *known == part)
}

/// Imports that run up, files without a place, and parts without a file.
fn out_of_order(order: Order<'_>, root: &str, sources: &[Source]) -> Vec<String> {
    let all = Crate::new(root, sources);
    let mut findings = Vec::new();
    for (folder, parts) in order {
        let inside: Vec<_> =
            sources.iter().filter(|s| s.path.starts_with(folder) && !is_tests(&s.path)).collect();
        for (at, part) in parts.iter().enumerate() {
            if !inside.iter().any(|source| place(folder, parts, &source.path) == Some(at)) {
                findings.push(format!("{folder}{part} is in the order, but not in the tree"));
            }
        }
        for source in inside {
            let Some(own) = place(folder, parts, &source.path) else {
                findings.push(source.at(1, "has no place in the order of its folder"));
                continue;
            };
            for import in all.imports(source) {
                let other = place(folder, parts, &import.file);
                if let Some(other) = other.filter(|other| *other < own) {
                    let what = format!("`{}` is below `{}`", parts[own], parts[other]);
                    findings.push(source.at(import.line, &format!("{what}: {}", import.file)));
                }
            }
        }
    }
    findings
}

/// Folders with more files than a person takes in at a glance.
fn too_full(sources: &[Source], files_max: usize) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *folders.entry(folder).or_default() += 1;
    }
    let full = folders.into_iter().filter(|(_, files)| *files > files_max);
    full.map(|(folder, files)| format!("{folder} has {files} files")).collect()
}

/// Whether one of two files declares the other: a folder's `mod.rs`, or `x.rs` beside `x/`.
fn is_parent(parent: &str, child: &str) -> bool {
    let folder = match parent.strip_suffix("mod.rs").or_else(|| parent.strip_suffix("lib.rs")) {
        Some(folder) => folder.to_owned(),
        None => format!("{}/", parent.trim_end_matches(".rs")),
    };
    child.starts_with(&folder)
}

/// Files that name each other, and are not parent and child.
fn circles(root: &str, sources: &[Source]) -> Vec<(String, String)> {
    let all = Crate::new(root, sources);
    let inside = sources.iter().filter(|source| source.path.starts_with(root));
    let edges: Vec<(&str, String)> = inside
        .flat_map(|source| all.imports(source).into_iter().map(|i| (source.path.as_str(), i.file)))
        .collect();
    let mut found: Vec<_> = edges
        .iter()
        .filter(|(from, to)| *from < to.as_str() && !is_parent(from, to) && !is_parent(to, from))
        .filter(|(from, to)| edges.iter().any(|(f, t)| f == to && t == from))
        .map(|(from, to)| ((*from).to_owned(), to.clone()))
        .collect();
    found.dedup();
    found
}

/// Circles that nobody gave a reason for, and reasons that no circle needs.
fn unexplained(root: &str, sources: &[Source], known: &[(&str, &str)]) -> Vec<String> {
    let found = circles(root, sources);
    let has = |(a, b): &(String, String)| known.contains(&(a.as_str(), b.as_str()));
    let mut findings: Vec<_> = found
        .iter()
        .filter(|pair| !has(pair))
        .map(|(a, b)| format!("{a} and {b} name each other"))
        .collect();
    for (a, b) in known.iter().filter(|(a, _)| a.starts_with(root)) {
        let comment = sources.iter().find(|source| source.path == *a).map(|source| {
            source.text.lines().take_while(|line| line.starts_with("//!")).collect::<String>()
        });
        let stem = b.rsplit('/').next().unwrap_or(b);
        if !found.iter().any(|(x, y)| x == a && y == b) {
            findings.push(format!("{a} and {b} don't name each other: take the row out"));
        } else if !comment.is_some_and(|comment| comment.contains(stem)) {
            findings
                .push(format!("{a}: say in the module comment why it and {stem} name each other"));
        }
    }
    findings
}

#[test]
fn rooms_use_only_those_below_them() {
    let findings = out_of_order(ORDER, "server/src/", &rust_below(&["server/src/"]));
    assert_none("the order of rooms is the table ORDER in tests/tidy/rooms.rs", &findings);
}

#[test]
fn folders_can_be_taken_in_at_a_glance() {
    let findings = too_full(&rust_below(&[""]), FOLDER_FILES_MAX);
    assert_none("make rooms: a folder has one concern and about ten files", &findings);
}

#[test]
fn files_do_not_name_each_other() {
    let sources = rust_below(ROOTS);
    let findings: Vec<_> =
        ROOTS.iter().flat_map(|root| unexplained(root, &sources, CIRCLES)).collect();
    let rule = "move what both need into the lower file, or into a third; a circle that has to stay \
                is a row of CIRCLES in tests/tidy/rooms.rs";
    assert_none(rule, &findings);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: Order<'_> = &[("s/src/store/", &["mod.rs", "writer", "db"])];

    fn house(files: &[(&str, &str)]) -> Vec<Source> {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("s/src/{path}"),
            text: (*text).to_owned(),
        };
        files.iter().map(source).collect()
    }

    #[test]
    fn an_import_that_runs_up_is_found() {
        let with = |text| {
            let files = [
                ("store/mod.rs", ""),
                ("store/writer/commit.rs", ""),
                ("store/db/conn.rs", text),
                ("store/db/rows.rs", ""),
            ];
            out_of_order(PLANTED, "s/src/", &house(&files))
        };
        assert_eq!(with("use super::rows;"), Vec::<String>::new());
        let up = "s/src/store/db/conn.rs:1: `db` is below";
        assert_eq!(
            with("use crate::store::writer::commit::Job;"),
            [format!("{up} `writer`: s/src/store/writer/commit.rs")]
        );
        assert_eq!(
            with("use super::super::Store;"),
            [format!("{up} `mod.rs`: s/src/store/mod.rs")]
        );
    }

    #[test]
    fn a_row_without_a_file_and_a_file_without_a_row_are_found() {
        let files = [("store/mod.rs", ""), ("store/db/conn.rs", ""), ("store/new.rs", "")];
        assert_eq!(
            out_of_order(PLANTED, "s/src/", &house(&files)),
            [
                "s/src/store/writer is in the order, but not in the tree",
                "s/src/store/new.rs:1: has no place in the order of its folder",
            ]
        );
    }

    #[test]
    fn a_full_folder_is_found() {
        let files = [("a/x.rs", ""), ("a/y.rs", ""), ("b/z.rs", "")];
        assert_eq!(too_full(&house(&files), 1), ["s/src/a has 2 files"]);
        assert_eq!(too_full(&house(&files), 2), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_found_and_one_with_a_reason_is_not() {
        let two = |a: &str| {
            house(&[("a.rs", a), ("b.rs", "use super::a::A;"), ("b/c.rs", "use super::B;")])
        };
        let sources = two("use crate::b::B;");
        assert_eq!(
            unexplained("s/src/", &sources, &[]),
            ["s/src/a.rs and s/src/b.rs name each other"]
        );
        let row = [("s/src/a.rs", "s/src/b.rs")];
        assert_eq!(
            unexplained("s/src/", &sources, &row),
            ["s/src/a.rs: say in the module comment why it and b.rs name each other"]
        );
        let sources = two("//! Stands beside `b.rs`, because of this.\nuse crate::b::B;");
        assert_eq!(unexplained("s/src/", &sources, &row), Vec::<String>::new());
        assert_eq!(
            unexplained("s/src/", &two(""), &row),
            ["s/src/a.rs and s/src/b.rs don't name each other: take the row out"]
        );
    }
}
