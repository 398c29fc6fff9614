//! Checks that the literal text of a template must be valid for its place: XML, forms, URLs.

use antar_template::{ContentType, Limits, Place, Template, Unresolved};
use proptest::prelude::*;

use crate::support::{body, error, url};

fn compiles(place: &Place, source: &str) -> bool {
    Template::compile(source, place, &Limits::default()).is_ok()
}

#[test]
fn a_body_of_an_unknown_type_holds_no_values() {
    let place = Place::Body(ContentType::Unknown);
    let refused = error(&place, "{\"a\":\"{{s}}\"}\n");
    assert_eq!((refused.line, refused.column, refused.token.as_str()), (1, 7, "{{s}}"));
    assert!(refused.suggestion.unwrap().contains("application/json"));
    let sent = body(ContentType::Unknown, "a: [1\n", "{}", Unresolved::Fail);
    assert_eq!(sent, "a: [1\n");
    let branches = "{{#if a}}x{{else}}y{{/if}}";
    assert_eq!(body(ContentType::Unknown, branches, "{}", Unresolved::Fail), "y");
}

/// Each with a part of its error message, or "" if it is valid.
const XML: &[(&str, &str)] = &[
    ("<a/>", ""),
    ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a b = 'c' >{{x}}</a >\n<!-- c -->", ""),
    ("<?xml version='1.0'?><!DOCTYPE a SYSTEM \"x\"><a>{{x}}</a>", ""),
    ("<a>{{#if x}}<b>{{y}}</b>{{else}}<c/>{{/if}}</a>", ""),
    ("<a>{{#each l}}<b n=\"{{@index}}\">{{this}}</b>{{/each}}</a>", ""),
    ("<a{{#if x}} b=\"{{x}}\"{{/if}} c='1'>&lt;&#233;&#xE9;</a>", ""),
    ("<a>{{#if x}}]{{/if}}]</a>", ""),
    ("<a><![CDATA[ ]]]]><?p q?></a>", ""),
    ("{{#if x}}<a/>{{else}}<b/>{{/if}}", ""),
    ("{{x}}", "outside"),
    ("", "without an XML element"),
    ("{{#if x}}<a/>{{/if}}", "different elements"),
    ("<a/><b/>", "second element"),
    ("<a/>x", "outside"),
    ("<a>{{#if x}}<b>{{/if}}</a>", "different elements"),
    ("<a>{{#each x}}<b>{{/each}}</a>", "different elements"),
    ("<a>{{#each x}}</a>{{/each}}", "ends no element"),
    ("<a></b>", "`<a>` is still open"),
    ("</a>", "ends no element"),
    ("<a>", "inside the element `<a>`"),
    ("<a", "inside a markup tag"),
    ("<a b=\"<\"/>", "`<` can't stand"),
    ("<a b=c/>", "name="),
    ("<a b=\"1\"c=\"2\"/>", "can't stand here"),
    ("<a b=\"1\" b=\"2\"/>", "twice"),
    ("<a{{#if x}} b='1'{{/if}} b='2'/>", "twice"),
    ("<a{{#each x}} b='1'{{/each}}/>", "twice"),
    ("<a>&nbsp;</a>", "no reference `&nbsp;`"),
    ("<a>&#0;</a>", "no reference"),
    ("<a>&{{x}};</a>", "continue a reference"),
    ("<a>{{x}}></a>", "`]]`"),
    ("<a>]]></a>", "`]]`"),
    ("<a>1 < 2</a>", "begins a tag"),
    ("<a><!-- -- --></a>", "comment"),
    ("<a><!-- {{x}} --></a>", "comment"),
    ("<a {{x}}=\"1\"/>", "inside a markup tag"),
    (" <?xml version=\"1.0\"?><a/>", "very beginning"),
    ("<?xml version=\"1.0\" encoding=\"latin1\"?><a/>", "UTF-8"),
    ("<!DOCTYPE a [<!ENTITY b \"c\">]><a/>", "declarations of its own"),
    ("<!DOCTYPE a {{x}}><a/>", "declaration"),
    ("<a>\u{1}</a>", "control character"),
];

#[test]
fn xml_is_well_formed_or_refused() {
    let place = Place::Body(ContentType::Xml);
    for (source, wrong) in XML {
        if !wrong.is_empty() {
            let error = error(&place, source);
            assert!(error.detail.contains(wrong), "{source}: {error}");
            continue;
        }
        for event in ["{}", r#"{"x": "]]<&\u0000\"'", "y": [1], "l": ["a", {"b": "\u0001"}]}"#] {
            let sent = body(ContentType::Xml, source, event, Unresolved::Literal);
            let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
            let read = roxmltree::Document::parse_with_options(&sent, options);
            assert!(read.is_ok(), "{source}: {sent}: {read:?}");
        }
    }
}

#[test]
fn forms_are_written_percent_encoded() {
    let place = Place::Body(ContentType::Form);
    for (source, column, advice) in [
        ("{\"a\": {{b}} }", 1, "application/json"),
        ("a=b c", 4, "`+`"),
        ("a=1\n&b={{b}}", 4, "one line"),
        ("a=é", 3, "`%C3%A9`"),
        ("a=%2{{b}}", 5, "%25"),
        ("a=5%&b={{b}}", 5, "%25"),
        ("a={{#if b}}%{{/if}}41", 3, "%25"),
    ] {
        let error = error(&place, source);
        assert_eq!(error.column, column, "{source}: {error}");
        assert!(error.to_string().contains(advice), "{source}: {error}");
    }
    let sent =
        body(ContentType::Form, "\n a[0]=%41&b={{b}}\n", r#"{"b": "&\n"}"#, Unresolved::Fail);
    assert_eq!(sent, "a[0]=%41&b=%26%0A");
}

#[test]
fn urls_are_written_as_they_are_sent() {
    let place = Place::Url { hosts_allowed: Vec::new() };
    for (source, column, detail, advice) in [
        ("https://a/../{{b}}", 13, "`..`", ""),
        ("https://a/b/%2E%2e?{{b}}", 19, "`%2E%2e`", ""),
        ("https://a/b/.", 13, "`.`", ""),
        ("https://a/{{#if b}}../{{/if}}c", 22, "`..`", ""),
        ("https://a\\b/{{c}}", 10, "the host", "`/`"),
        ("https://a/b\\c", 12, "a URL", "`/`"),
        ("https://exämple/", 11, "the host", "xn--"),
        ("https://a%62c/", 10, "the host", "letters"),
        ("https://a/é", 11, "a URL", "`%C3%A9`"),
        ("https://a/{x}", 11, "a URL", "`%7B`"),
        ("https://a/?q=\"x\"", 14, "a URL", "`%22`"),
        ("https://a/?q='x'", 14, "a URL", "`%27`"),
        ("https://a/%2{{b}}", 13, "two hex digits", "%25"),
        ("https:///{{b}}", 9, "without a host", ""),
        ("https://", 8, "without a host", ""),
        ("https://{{#if b}}x{{/if}}/", 26, "without a host", ""),
    ] {
        let error = error(&place, source);
        assert_eq!(error.column, column, "{source}: {error}");
        assert!(error.detail.contains(detail), "{source}: {error}");
        assert!(error.suggestion.as_ref().unwrap().contains(advice), "{source}: {error}");
    }
    for source in [
        "https://a/...",
        "https://a/.{{b}}",
        "https://a/.well-known/x",
        "https://a/?p=../..&q=a/../b#/../",
        "https://a/{{#if b}}x{{/if}}../{{c}}",
        "http://127.0.0.1:8080/a|b",
    ] {
        assert!(compiles(&place, source), "{source}");
    }
    assert_eq!(url(" https://a/%7B%7D \n", "{}", Unresolved::Fail), "https://a/%7B%7D");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_url_that_is_accepted_is_read_as_it_is_written(
        tail in "[/?#]([a-z0-9.%/?#&='\"<>^`{}\\\\|~!$()*+,;:@\\[\\]é-]|%2e|\\.\\./|/){0,12}"
    ) {
        let place = Place::Url { hosts_allowed: Vec::new() };
        let source = format!("https://host.example{tail}");
        if compiles(&place, &source) {
            let read = url::Url::parse(&source).unwrap();
            let slash = source.replacen("example?", "example/?", 1).replacen("example#", "example/#", 1);
            prop_assert_eq!(read.as_str(), slash);
        }
    }

    #[test]
    fn xml_that_is_accepted_is_read(text in "(<a>|</a>|<b c='|<b|/>|'|\"| d=\"|&amp;|&|x|\\]|>|<!--|-->|-|<!\\[CDATA\\[|<\\?|\\?>|\n){0,8}") {
        let place = Place::Body(ContentType::Xml);
        for source in [text.clone(), format!("<a>{text}</a>")] {
            if compiles(&place, &source) {
                let read = roxmltree::Document::parse(&source);
                prop_assert!(read.is_ok(), "{}: {:?}", source, read);
            }
        }
    }
}
