//! Files and functions that a person can hold in the head.

use crate::assert_none;
use crate::sources::{Source, rust_below};

/// Where a file ends at the latest; near 300 is the aim.
const FILE_LINES_MAX: usize = 450;
/// Where a function is pointed at; near 40 is the aim.
const FUNCTION_LINES_WARN: usize = 80;
/// Where it is refused.
const FUNCTION_LINES_MAX: usize = 120;

const OURS: &[&str] = &["server/", "crates/", "sdk/", "plugins/", "xtask/", "tests/", "examples/"];

/// Line, name and length of each function. Formatted code closes a function with a brace that is
/// indented like its first line.
fn functions(source: &Source) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(at) = code.find("fn ").filter(|at| is_qualifier(&code[..*at])) else { continue };
        let name: String =
            code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let indent = &line[..line.len() - code.len()];
        let end = lines[index..].iter().position(|later| *later == format!("{indent}}}"));
        let declared = lines[index..].iter().position(|later| later.trim_end().ends_with(';'));
        let open = lines[index..].iter().position(|later| later.trim_end().ends_with('{'));
        // A declaration in a trait ends before any body begins.
        if let (Some(end), Some(open)) = (end, open)
            && declared.is_none_or(|declared| open <= declared)
        {
            found.push((index + 1, name, end + 1));
        }
    }
    found
}

/// What may stand before `fn`: `pub(crate) async` and the like.
fn is_qualifier(text: &str) -> bool {
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
    text.split_whitespace().all(|word| words.contains(&word))
}

#[test]
fn files_end_in_time() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        let what = format!("{lines} lines, {FILE_LINES_MAX} at most: is there one thing in it?");
        (lines > FILE_LINES_MAX).then(|| source.at(1, &what))
    };
    let findings: Vec<_> = rust_below(OURS).iter().filter_map(long).collect();
    assert_none("files are near 300 lines", &findings);
}

#[test]
fn functions_end_in_time() {
    let mut findings = Vec::new();
    for source in rust_below(OURS) {
        for (line, name, lines) in functions(&source) {
            let what = format!("fn {name} has {lines} lines");
            if lines > FUNCTION_LINES_MAX {
                findings.push(source.at(line, &what));
            } else if lines > FUNCTION_LINES_WARN {
                eprintln!("{}", source.at(line, &what));
            }
        }
    }
    assert_none("functions are near 40 lines", &findings);
}

#[test]
fn functions_are_measured() {
    let text = "trait T {\n    fn declared(&self);\n    fn two() {\n    }\n}\n\npub(crate) async fn three(\n) {\n}\n";
    let source = Source { path: "x.rs".to_owned(), text: text.to_owned() };
    let measured = functions(&source);
    assert_eq!(measured, [(3, "two".to_owned(), 2), (7, "three".to_owned(), 3)]);
}
