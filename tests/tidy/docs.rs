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

#[test]
fn every_page_is_linked_from_the_readme_or_the_architecture() {
    let pages = pages();
    let entrances =
        pages.iter().filter(|page| ["README.md", "ARCHITECTURE.md"].contains(&page.path.as_str()));
    let linked: Vec<String> = entrances.flat_map(|page| links(&page.text)).collect();
    let lost = pages.iter().filter(|page| page.path.starts_with("docs/"));
    let lost =
        lost.filter(|page| !linked.iter().any(|link| link.trim_start_matches("./") == page.path));
    let findings: Vec<_> = lost.map(|page| page.path.clone()).collect();
    assert_none("link it from README.md or ARCHITECTURE.md", &findings);
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
