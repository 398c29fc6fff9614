use antar_json::Document;
use antar_template::{ContentType, Limits, Place, Scope, Template, Unresolved};

use super::{Part, repeated};

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "templates: compiling many tags",
        size: 1_900,
        input: |size| compiling(format!("[{}]", vec!["\"{{data.a}}\""; size].join(","))),
    },
    Part {
        name: "templates: compiling a long text",
        size: 64_000,
        input: |size| compiling(format!("[\"{}\"]", "x\\n".repeat(size / 3))),
    },
    Part {
        name: "templates: compiling many blocks",
        size: 600,
        input: |size| {
            compiling(format!("[{}]", vec!["{{#if data.a}}1{{else}}2{{/if}}"; size].join(",")))
        },
    },
    Part {
        name: "templates: compiling many mistakes",
        size: 1_900,
        input: |size| {
            let text = "{{nothing data.a}}".repeat(size);
            Box::new(move || assert!(Template::compile(&text, &PLAIN, &Limits::default()).is_err()))
        },
    },
    Part {
        name: "templates: each",
        size: 9_000,
        input: |size| {
            rendering(
                "[{{#each data.l}}{{this}}{{#unless @last}},{{/unless}}{{/each}}]",
                list(size),
            )
        },
    },
    Part {
        name: "templates: each over what was split",
        size: 9_000,
        input: |size| {
            rendering("{{#each (split data.l \",\")}}{{this}};{{/each}}", text(size, "a,"))
        },
    },
    Part {
        name: "templates: join",
        size: 100_000,
        input: |size| rendering("{{join data.l \"-\"}}", list(size)),
    },
    Part {
        name: "templates: split and join",
        size: 100_000,
        input: |size| rendering("{{join (split data.l \",\") \"-\"}}", text(size, "a,")),
    },
    Part {
        name: "templates: replace",
        size: 400_000,
        input: |size| rendering("{{replace data.l \"a\" \"bb\"}}", text(size, "ax")),
    },
    Part {
        name: "templates: a value that is escaped",
        size: 400_000,
        input: |size| rendering("{\"a\":\"{{data.l}}\"}", text(size, "\\\"")),
    },
    Part {
        name: "templates: a whole value",
        size: 200_000,
        input: |size| rendering("{\"a\":{{data.l}}}", list(size)),
    },
];

const PLAIN: Place = Place::Body(ContentType::Text);

fn compiling(text: String) -> Box<dyn Fn()> {
    Box::new(move || {
        assert!(
            Template::compile(&text, &Place::Body(ContentType::Json), &Limits::default()).is_ok()
        )
    })
}

fn list(size: usize) -> String {
    format!("[{}]", repeated(size, ",", |n| n.to_string()))
}

fn text(size: usize, piece: &str) -> String {
    format!("\"{}\"", piece.repeat(size))
}

fn rendering(template: &str, value: String) -> Box<dyn Fn()> {
    let place = Place::Body(ContentType::of(None, template));
    let template = Template::compile(template, &place, &Limits::default()).ok();
    let event = format!("{{\"data\":{{\"l\":{value}}}}}").parse::<Document>();
    let (Some(template), Ok(event)) = (template, event) else { panic!("it is refused") };
    Box::new(move || {
        let antar = Document::empty_object();
        let scope = Scope { root: event.root(), antar: antar.root(), attempt: None };
        let rendered = template.render(&scope, Unresolved::Fail);
        assert!(rendered.is_ok(), "{rendered:?}");
    })
}
