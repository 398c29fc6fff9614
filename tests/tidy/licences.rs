//! Licences of everything that is compiled in, or used to build and test. Needs no network once
//! the packages are there.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::assert_none;
use crate::sources::root;

/// Permissive licences by their SPDX names; `deny.toml` has the same list.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression can be satisfied by what is allowed. `/` is the old way to write OR.
fn satisfied(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = either(&mut rest);
    result && rest.is_empty()
}

fn either(words: &mut &[&str]) -> bool {
    let mut result = both(words);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        result |= both(words);
    }
    result
}

fn both(words: &mut &[&str]) -> bool {
    let mut result = one(words);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        result &= one(words);
    }
    result
}

fn one(words: &mut &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let result = either(words);
        let closed = words.first() == Some(&")");
        *words = words.get(1..).unwrap_or_default();
        return result && closed;
    }
    if let ["WITH", exception, rest @ ..] = *words {
        *words = rest;
        // A licence without its exception asks for more, never for less.
        return ALLOWED.contains(&format!("{first} WITH {exception}").as_str())
            || ALLOWED.contains(first);
    }
    ALLOWED.contains(first)
}

/// `cargo metadata`: of all platforms where their packages can be had, else of this one.
fn metadata() -> Value {
    let run = |more: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["metadata", "--locked", "--format-version", "1"]).args(more);
        command.current_dir(root()).output().unwrap()
    };
    let mut output = run(&[]);
    if !output.status.success() {
        eprintln!("{}\nlooking at this platform alone", String::from_utf8_lossy(&output.stderr));
        output = run(&["--offline", "--filter-platform", &host()]);
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "cargo metadata lists {} packages", packages.len());
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none named");
        if !satisfied(licence) {
            let name = format!("{}@{}", package["name"], package["version"]).replace('"', "");
            refused.entry(licence.to_owned()).or_default().push(name);
        }
    }
    let findings: Vec<_> =
        refused.iter().map(|(licence, names)| format!("{licence}: {}", names.join(", "))).collect();
    assert_none("use another crate; the list of licences is in tests/tidy/licences.rs", &findings);
}

#[test]
fn deny_toml_has_the_same_list() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let missing: Vec<_> = ALLOWED
        .iter()
        .filter(|name| !text.contains(&format!("\"{name}\"")))
        .map(|name| (*name).to_owned())
        .collect();
    assert_none("deny.toml lacks", &missing);
}

#[test]
fn expressions_are_read() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    ] {
        assert!(satisfied(good), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-2.0",
        "(MIT OR GPL-3.0) AND LGPL-2.1",
        "none named",
        "",
        "MIT MIT",
        "(MIT",
    ] {
        assert!(!satisfied(bad), "{bad}");
    }
}
