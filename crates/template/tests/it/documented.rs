//! Runs every example of the integrator's page.
//!
//! An example is a table row with three columns of code: template, event, result. The last word of the
//! heading above is the template's place: `JSON`, `text`, `URL`, `header`.

use antar_template::{ContentType, Place, Unresolved};

use crate::support::{error, render};

const PAGE: &str = include_str!("../../../../docs/templates.md");

/// The code spans of a table row, with `\|` read as a bar.
fn cells(row: &str) -> Vec<String> {
    let row = row.replace("\\|", "\u{1}");
    row.split('|')
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .map(|cell| {
            let inner = cell.strip_prefix("`` ").and_then(|cell| cell.strip_suffix(" ``"));
            let inner =
                inner.or_else(|| cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')));
            inner.unwrap_or(cell).replace('\u{1}', "|")
        })
        .collect()
}

fn place(words: &str) -> Option<Place> {
    Some(match words {
        "JSON" => Place::Body(ContentType::Json),
        "text" => Place::Body(ContentType::Text),
        "XML" => Place::Body(ContentType::Xml),
        "form" => Place::Body(ContentType::Form),
        "URL" => Place::Url { hosts_allowed: Vec::new() },
        "header" => Place::Header,
        _ => return None,
    })
}

fn policy(word: &str) -> Option<Unresolved> {
    serde_json::from_str(&antar_json::quote(word)).ok()
}

#[test]
fn every_example_of_the_page_runs() {
    let mut ran = 0;
    for row in PAGE.lines().filter(|line| line.starts_with('|')) {
        match cells(row).as_slice() {
            [place_word, template, event, result] => {
                let (place_word, policy_word) =
                    place_word.split_once(", ").unwrap_or((place_word, "omit"));
                let (Some(place), Some(policy)) = (place(place_word), policy(policy_word)) else {
                    continue;
                };
                let rendered = render(&place, template, event, policy).unwrap();
                let given =
                    if rendered.omitted { "(left out)".to_owned() } else { rendered.masked() };
                assert_eq!(&given, result, "{template}");
                ran += 1;
            }
            [place_word, template, detail] => {
                let Some(place) = place(place_word) else { continue };
                let error = error(&place, template);
                assert!(error.to_string().contains(detail.as_str()), "{template}: {error}");
                ran += 1;
            }
            _ => {}
        }
    }
    assert!(ran > 60, "{ran} examples");
}

#[test]
fn every_helper_has_an_example() {
    for helper in antar_template::helper_names().chain(["if", "unless", "each", "with", "json"]) {
        let forms = [format!("{{{{{helper} "), format!("{{{{#{helper} "), format!("({helper} ")];
        assert!(forms.iter().any(|form| PAGE.contains(form)), "{helper} is not on the page");
    }
}
