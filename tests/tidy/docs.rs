//! Pages that nobody can find are not there.

use std::path::Path;

use crate::assert_none;
use crate::sources::{Source, all, root};

fn pages() -> Vec<Source> {
    let is_page = |source: &Source| Path::new(&source.path).extension().is_some_and(|e| e == "md");
    all().into_iter().filter(is_page).collect()
}

/// Targets of `[text](target)`, without anchors and addresses elsewhere.
fn links(text: &str) -> Vec<String> {
    let targets = text.match_indices("](").filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        let target = &rest[..rest.find([')', ' '])?];
        Some(target.split('#').next().unwrap_or_default().to_owned())
    });
    targets
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
        })
        .collect()
}

/// Pages by which all others are found.
const ENTRANCES: &[&str] = &["README.md", "ARCHITECTURE.md", "docs/decisions/README.md"];

#[test]
fn every_page_is_linked_from_an_entrance() {
    let pages = pages();
    let entrances = pages.iter().filter(|page| ENTRANCES.contains(&page.path.as_str()));
    let linked: Vec<_> = entrances
        .flat_map(|page| {
            let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
            links(&page.text).into_iter().map(|link| folder.join(link.trim_start_matches("./")))
        })
        .collect();
    let lost = pages.iter().filter(|page| page.path.starts_with("docs/"));
    let lost = lost.filter(|page| !linked.iter().any(|link| link == Path::new(&page.path)));
    let findings: Vec<_> = lost.map(|page| page.path.clone()).collect();
    assert_none(&format!("link it from one of {ENTRANCES:?}"), &findings);
}

#[test]
fn links_lead_somewhere() {
    let mut findings = Vec::new();
    for page in pages() {
        let folder = root().join(&page.path).parent().unwrap().to_owned();
        for link in links(&page.text) {
            if !folder.join(&link).exists() {
                findings.push(format!("{}: {link}", page.path));
            }
        }
    }
    assert_none("these files are not there", &findings);
}

#[test]
fn links_are_found() {
    let text = "[a](docs/a.md), [b](https://x/y) [c](#here) [d](docs/d.md#part)";
    assert_eq!(links(text), ["docs/a.md", "docs/d.md"]);
}
