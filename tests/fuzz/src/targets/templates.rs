use antar_json::{Document, Limits as JsonLimits};
use antar_template::{ContentType, Limits, Place, Scope, Template, Unresolved, resolve};

use super::{halves, joined};
use crate::dice::Dice;
use crate::grow;

const EVENT: &str =
    r#"{"data":{"a":"x,y","b":"\"<&%","n":1.50,"items":[{"name":"a"},{"name":"b"}]},"a.b":1}"#;

/// A fraction of the server's defaults, so that a case takes milliseconds.
fn limits() -> Limits {
    Limits { output_bytes_max: 256 << 10, work_max: 1 << 20, ..Limits::default() }
}

pub(super) fn corpus() -> Vec<Vec<u8>> {
    [
        r#"{"a":"{{data.a}}","l":[{{#each data.items}}{{name}}{{#unless @last}},{{/unless}}{{/each}}]}"#,
        "https://crm.example/{{data.a}}?x={{data.b}}",
        "<a x=\"{{data.a}}\">{{#if data.b}}{{data.b}}{{else}}-{{/if}}</a>",
        "a={{data.a}}&b={{join (split data.a \",\") \"+\"}}",
        "{{#with data}}{{../a}}{{lookup items 0}}{{/with}}",
    ]
    .map(|template| joined(template, EVENT))
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    let event = if dice.one_in(2) { EVENT.to_owned() } else { grow::json::document(dice) };
    joined(&grow::templates::template(dice), &event)
}

/// Whatever compiles renders the same each time, within its limits; a JSON template renders JSON.
pub(super) fn read(input: &[u8]) {
    let (text, event) = halves(input);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(event) = Document::parse(event, JsonLimits::default()) else { return };
    let limits = limits();
    let antar = Document::empty_object();
    let scope = Scope { root: event.root(), antar: antar.root(), attempt: Some(1) };
    let body = Place::Body(ContentType::of(None, text));
    let places = [
        body,
        Place::Body(ContentType::Json),
        Place::Body(ContentType::Form),
        Place::Body(ContentType::Xml),
        Place::Body(ContentType::Html),
        Place::Header,
        Place::Url { hosts_allowed: vec!["*.example".to_owned()] },
    ];
    for place in places {
        match Template::compile(text, &place, &limits) {
            Ok(template) => render(&template, &place, &scope, &limits),
            Err(errors) => assert!(!errors.is_empty(), "refused without a reason"),
        }
    }
}

fn render(template: &Template, place: &Place, scope: &Scope<'_>, limits: &Limits) {
    for unresolved in [Unresolved::Omit, Unresolved::Literal, Unresolved::Fail] {
        let Ok(rendered) = template.render(scope, unresolved) else { continue };
        assert!(
            template.render(scope, unresolved).is_ok_and(|again| again.pieces == rendered.pieces)
        );
        let Ok(text) = resolve(&rendered.pieces, |_| Some("s".to_owned())) else { continue };
        assert!(text.len() <= limits.output_bytes_max + limits.source_bytes_max);
        if *place == Place::Body(ContentType::Json) && !rendered.omitted {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            assert!(read.is_ok(), "{read:?}: {text}");
        }
    }
}
