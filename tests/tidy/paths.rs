//! Which files of a crate a file names: `use` declarations and paths, resolved to files.

use std::collections::BTreeSet;

use crate::sources::Source;

/// The files of one crate, by which paths are resolved.
pub(crate) struct Crate<'a> {
    /// The folder of its sources, with a slash at the end: `server/src/`.
    root: &'a str,
    files: BTreeSet<&'a str>,
}

/// A file that another one names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Import {
    pub(crate) line: usize,
    /// From the repository's root.
    pub(crate) file: String,
}

impl<'a> Crate<'a> {
    pub(crate) fn new(root: &'a str, sources: &'a [Source]) -> Crate<'a> {
        let files = sources.iter().map(|source| source.path.as_str());
        Crate { root, files: files.filter(|path| path.starts_with(root)).collect() }
    }

    /// The files that a file names, itself excluded.
    pub(crate) fn imports(&self, source: &Source) -> Vec<Import> {
        let mut found = Vec::new();
        for (line, text) in statements(source) {
            for path in paths(&text) {
                let Some(path) = absolute(&self.module(&source.path), &path, inline(source, line))
                else {
                    continue;
                };
                let file = self.file(&path).filter(|file| *file != source.path);
                found.extend(file.map(|file| Import { line, file }));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// `["store", "db", "conn"]` for `server/src/store/db/conn.rs`.
    fn module(&self, path: &str) -> Vec<String> {
        let below = path.strip_prefix(self.root).unwrap_or(path).trim_end_matches(".rs");
        let mut parts: Vec<_> = below.split('/').map(str::to_owned).collect();
        let last = parts.last().map(String::as_str);
        if last == Some("mod") || parts.len() == 1 && matches!(last, Some("lib" | "main")) {
            parts.pop();
        }
        parts
    }

    /// The file of the longest part of a path that is a module.
    fn file(&self, path: &[String]) -> Option<String> {
        (0..=path.len()).rev().find_map(|length| {
            let module = path[..length].join("/");
            let names = match length {
                0 => ["lib.rs".to_owned(), "main.rs".to_owned()],
                _ => [format!("{module}.rs"), format!("{module}/mod.rs")],
            };
            names
                .into_iter()
                .map(|name| format!("{}{name}", self.root))
                .find(|name| self.files.contains(name.as_str()))
        })
    }
}

/// A path without its `crate`, `super` and `self`; none for names of other crates.
fn absolute(module: &[String], path: &[String], inline: usize) -> Option<Vec<String>> {
    let first = path.first()?.as_str();
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    let ups = path.iter().take_while(|part| *part == "super").count();
    if ups == 0 && first != "self" {
        return None;
    }
    // Inside of `mod tests { … }` the first `super` is the file itself.
    let base = module.len().checked_sub(ups.saturating_sub(inline))?;
    let names = path.iter().skip_while(|part| matches!(part.as_str(), "super" | "self"));
    Some(module[..base].iter().chain(names).cloned().collect())
}

/// How many modules are open around a line: `mod tests {` begins at the margin.
fn inline(source: &Source, line: usize) -> usize {
    let before = source.text.lines().take(line.saturating_sub(1));
    let open = before.fold(false, |open, text| {
        let begins = text.starts_with("mod ") && text.ends_with('{');
        begins || open && text != "}"
    });
    usize::from(open)
}

/// Lines of code without comments; a `use` over several lines is put on its first.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in source.lines() {
        let code = line.split("//").next().unwrap_or_default().trim();
        match statements.last_mut() {
            Some((_, text)) if open => text.push_str(code),
            _ => statements.push((number, code.to_owned())),
        }
        let text = statements.last().map_or("", |(_, text)| text.as_str());
        let is_use = text.starts_with("use ")
            || text.starts_with("pub") && text.split(' ').any(|word| word == "use");
        open = is_use && !code.ends_with(';');
    }
    statements
}

/// Paths that begin with `crate`, `super` or `self`; lists are written out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            // `mycrate::` is something else, and so is the second `super` of a path.
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                found.extend(written_out(Vec::new(), &code[at..]));
            }
        }
    }
    found
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn written_out(mut path: Vec<String>, mut code: &str) -> Vec<Vec<String>> {
    loop {
        if let Some(list) = code.strip_prefix('{') {
            let parts = parts_of_list(list);
            return parts.iter().flat_map(|part| written_out(path.clone(), part)).collect();
        }
        let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
        match &code[..end] {
            "" => return vec![path],
            // `{self, …}` in a list is the path before it.
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        match code[end..].strip_prefix("::") {
            Some(rest) => code = rest,
            None => return vec![path],
        }
    }
}

/// The parts of `a::b, c::{d, e}}…` up to the brace that closes the list.
fn parts_of_list(list: &str) -> Vec<&str> {
    let (mut parts, mut level, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports_of(text: &str) -> Vec<(usize, String)> {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let sources = [
            file("s/src/lib.rs", ""),
            file("s/src/clock.rs", ""),
            file("s/src/store/mod.rs", ""),
            file("s/src/store/db/mod.rs", ""),
            file("s/src/store/db/conn.rs", text),
            file("s/src/store/db/rows.rs", ""),
        ];
        let all = Crate::new("s/src/", &sources);
        all.imports(&sources[4]).into_iter().map(|import| (import.line, import.file)).collect()
    }

    fn expect(text: &str, wanted: &[(usize, &str)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(line, file)| (*line, format!("s/src/{file}"))).collect();
        assert_eq!(imports_of(text), wanted, "{text}");
    }

    #[test]
    fn paths_lead_to_files() {
        expect("use crate::clock::{self, Clock};", &[(1, "clock.rs")]);
        expect("let x = crate::clock::now(); // crate::store", &[(1, "clock.rs")]);
        expect("use super::rows::Rows;", &[(1, "store/db/rows.rs")]);
        expect("use super::super::Store;", &[(1, "store/mod.rs")]);
        expect(
            "\nuse crate::{\n    clock::Clock,\n    store::{db::rows, Store},\n};",
            &[(2, "clock.rs"), (2, "store/db/rows.rs"), (2, "store/mod.rs")],
        );
        expect("pub(super) use super::rows::{\n    Row,\n};", &[(1, "store/db/rows.rs")]);
        expect("use crate::DEFAULT;", &[(1, "lib.rs")]);
    }

    #[test]
    fn other_crates_and_the_file_itself_are_no_imports() {
        expect("use tokio::sync; mycrate::clock::x(); self::open();", &[]);
        expect(
            "mod tests {\n    use super::*;\n    use super::super::rows::Row;\n}",
            &[(3, "store/db/rows.rs")],
        );
    }
}
