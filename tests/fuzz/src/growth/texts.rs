use antar::store::Place;
use antar_json::{Document, Limits};

use super::{Part, repeated};

const LIMITS: Limits = Limits { bytes_max: 64 << 20, depth_max: 64 };

pub(super) const PARTS: &[Part] = &[
    Part {
        name: "json: an array of numbers",
        size: 800_000,
        input: |size| json(format!("[{}]", repeated(size, ",", |n| n.to_string()))),
    },
    Part {
        name: "json: an object of different names",
        size: 200_000,
        input: |size| json(object(size, "name")),
    },
    Part {
        name: "json: an object of the same name",
        size: 400_000,
        input: |size| json(format!("{{{}}}", repeated(size, ",", |n| format!("\"a\":{n}")))),
    },
    Part {
        name: "json: a text of escapes",
        size: 600_000,
        input: |size| json(format!("[\"{}\"]", "\\n\\u00e9".repeat(size / 2))),
    },
    Part {
        name: "json: arrays in arrays",
        size: 60_000,
        input: |size| {
            json(format!(
                "[{}]",
                vec![format!("{}{}", "[".repeat(60), "]".repeat(60)); size / 60].join(",")
            ))
        },
    },
    Part { name: "json: a path of many dots into many names", size: 100_000, input: dotted },
    Part {
        name: "json: a mistake at the end of many lines",
        size: 1_000_000,
        input: |size| json(format!("[{}1 2]", "\n1,".repeat(size / 3))),
    },
    Part { name: "cursors: a long one", size: 1 << 20, input: cursor },
    Part { name: "patches: other names than those that are there", size: 100_000, input: patch },
    Part {
        name: "previews: the difference of objects with other names",
        size: 100_000,
        input: difference,
    },
];

/// An object whose names begin with `prefix`.
pub(super) fn object(size: usize, prefix: &str) -> String {
    format!("{{{}}}", repeated(size, ",", |n| format!("\"{prefix}{n}\":{n}")))
}

fn json(text: String) -> Box<dyn Fn()> {
    Box::new(move || {
        if let Ok(document) = Document::parse(text.as_bytes(), LIMITS) {
            let _ = document.root().to_serde();
            let _ = document.root().elements().filter_map(antar_json::Value::as_str).count();
        }
    })
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes(), LIMITS).unwrap_or_else(|_| Document::empty_object())
}

/// Each of the names is a beginning of the path up to a dot, or has nothing to do with it.
fn dotted(size: usize) -> Box<dyn Fn()> {
    let path = vec!["a"; size / 2].join(".");
    let begins = repeated(300, ",", |n| format!("\"{}\":1", vec!["a"; n + 1].join(".")));
    let document = document(&format!("{{{begins},{}", &object(size, "name")[1..]));
    Box::new(move || assert!(document.root().at(&path).is_none()))
}

fn cursor(size: usize) -> Box<dyn Fn()> {
    let cursor = Place { at: antar::model::Millis(0), tie: "x".repeat(size) }.cursor();
    Box::new(move || drop(Place::parse(&cursor)))
}

fn patch(size: usize) -> Box<dyn Fn()> {
    let (target, patch) = (document(&object(size, "a")), document(&object(size, "b")));
    Box::new(move || drop(antar::http::merge(target.root(), patch.root())))
}

fn difference(size: usize) -> Box<dyn Fn()> {
    let (before, after) = (document(&object(size, "a")), document(&object(size, "b")));
    Box::new(move || drop(antar::pipeline::inspect::diff::diff(before.root(), after.root())))
}
