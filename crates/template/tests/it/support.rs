//! Shortcuts to compile and render in tests.

use antar_json::Document;
use antar_template::{
    ContentType, Limits, Place, RenderError, Rendered, Scope, Template, TemplateError, Unresolved,
};

pub(crate) fn compile(place: &Place, source: &str) -> Template {
    Template::compile(source, place, &Limits::default())
        .unwrap_or_else(|errors| panic!("{source}: {errors:?}"))
}

/// The first error of a template that must be refused.
pub(crate) fn error(place: &Place, source: &str) -> TemplateError {
    match Template::compile(source, place, &Limits::default()) {
        Ok(_) => panic!("accepted: {source}"),
        Err(errors) => errors[0].clone(),
    }
}

pub(crate) fn run(
    template: &Template,
    event: &str,
    unresolved: Unresolved,
) -> Result<Rendered, RenderError> {
    let root: Document = event.parse().unwrap();
    let antar: Document =
        r#"{"delivery_id": "dlv_1", "event_id": "evt_1", "event_type": "conversation.started",
        "timestamp": "2026-03-10T12:00:00.000Z", "tenant": "acme", "webhook": "crm",
        "attributes": {"channel": "wa", "a.b": "dotted"}}"#
            .parse()
            .unwrap();
    let scope = Scope { root: root.root(), antar: antar.root(), attempt: Some(3) };
    template.render(&scope, unresolved)
}

pub(crate) fn render(
    place: &Place,
    source: &str,
    event: &str,
    unresolved: Unresolved,
) -> Result<Rendered, RenderError> {
    run(&compile(place, source), event, unresolved)
}

pub(crate) fn body(kind: ContentType, source: &str, event: &str, unresolved: Unresolved) -> String {
    render(&Place::Body(kind), source, event, unresolved).unwrap().masked()
}

pub(crate) fn header(source: &str, event: &str, unresolved: Unresolved) -> String {
    render(&Place::Header, source, event, unresolved).unwrap().masked()
}

pub(crate) fn url(source: &str, event: &str, unresolved: Unresolved) -> String {
    let place = Place::Url { hosts_allowed: Vec::new() };
    render(&place, source, event, unresolved).unwrap().masked()
}
