//! A filter written as text, to which a test can add what no compiler would produce.

use crate::from_text;

/// A filter that passes everything, with `more` in its core module, whose memory is `$memory`.
///
/// # Panics
/// When the text is wrong.
#[must_use]
pub fn filter(pages: u32, more: &str) -> Vec<u8> {
    let text = FILTER.replace("PAGES", &pages.to_string()).replace("MORE", more);
    from_text(&text)
}

const FILTER: &str = r#"(component
    (core module $m
        (memory (export "memory") PAGES)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "describe") (result i32) (i32.const 16))
        (func (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
            (result i32) (i32.const 16))
        MORE)
    (core instance $i (instantiate $m))
    (type $event' (record (field "id" string) (field "event-type" string) (field "tenant" string)
        (field "timestamp" string) (field "attributes" (list (tuple string string))) (field "data" string)))
    (type $about' (record (field "description" string) (field "config-schema" string)))
    (type $verdict' (variant (case "pass") (case "drop" string)))
    (type $problem' (variant (case "retry" string) (case "fail" string)))
    (import "antar:plugin/types@1.0.0" (instance $types
        (export "event" (type (eq $event'))) (export "about" (type (eq $about')))
        (export "verdict" (type (eq $verdict'))) (export "problem" (type (eq $problem')))))
    (alias export $types "event" (type $event)) (alias export $types "about" (type $about))
    (alias export $types "verdict" (type $verdict)) (alias export $types "problem" (type $problem))
    (func $describe (result $about)
        (canon lift (core func $i "describe") (memory $i "memory")))
    (func $run (param "event" $event) (param "config" string) (result (result $verdict (error $problem)))
        (canon lift (core func $i "run") (memory $i "memory") (realloc (func $i "realloc"))))
    (instance (export "antar:plugin/filter@1.0.0")
        (export "describe" (func $describe)) (export "run" (func $run))))"#;
