//! Each limit of sizes accepts what just fits and refuses one more, by name.

use super::super::Limits;
use super::sizes::check;
use super::*;

/// One limit: its name, the limits with `most` in it, and the text of an upload with so many.
type Case = (&'static str, fn(&mut Limits, usize), fn(usize) -> String);

fn repeated(text: &str, count: usize) -> String {
    text.repeat(count)
}

/// A module with this function.
fn function(text: &str) -> String {
    format!("(module (func $first) (func $named {text}))")
}

/// So many blocks in one another.
fn nested(count: usize) -> String {
    function(&format!("{} {}", repeated("(block ", count), repeated(")", count)))
}

const CASES: &[Case] = &[
    (
        "upload_modules_max",
        |l, n| l.upload_modules_max = n,
        |n| format!("(component {})", repeated("(core module)", n)),
    ),
    (
        "upload_functions_max",
        |l, n| l.upload_functions_max = n,
        |n| format!("(module {})", repeated("(func)", n)),
    ),
    (
        "upload_functions_max",
        |l, n| l.upload_functions_max = n,
        |n| format!("(module {})", repeated(r#"(import "a" "b" (func))"#, n)),
    ),
    (
        "upload_locals_max",
        |l, n| l.upload_locals_max = n,
        |n| {
            // The first has a parameter and the second a local; the rest are in the third.
            let rest = repeated("i32 ", n - 2);
            format!("(module (func (param i32)) (func (local i32)) (func (local {rest})))")
        },
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| {
            let types: String = (0..n).map(|_| "(type (func))").collect();
            format!("(module {types})")
        },
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module (rec {}))", repeated("(type (func))", n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module {})", repeated(r#"(import "a" "b" (global i32))"#, n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| {
            let exports: String = (0..n).map(|n| format!(r#"(export "{n}" (memory 0))"#)).collect();
            format!("(module (memory 1) {exports})")
        },
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module {})", repeated("(global i32 (i32.const 0))", n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module {})", repeated("(table 1 funcref)", n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module {})", repeated("(memory 1)", n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module (memory 1) {})", repeated(r#"(data "a")"#, n)),
    ),
    (
        "upload_items_max",
        |l, n| l.upload_items_max = n,
        |n| format!("(module (table 1 funcref) {})", repeated("(elem func)", n)),
    ),
    (
        "upload_elements_max",
        |l, n| l.upload_elements_max = n,
        |n| {
            let elements = repeated("$f ", n - 1);
            format!("(module (func $f) (elem func {elements}) (elem funcref (ref.func $f)))")
        },
    ),
    (
        "upload_core_instances_max",
        |l, n| l.upload_core_instances_max = n,
        |n| {
            format!(
                "(component (core module $m) {})",
                repeated("(core instance (instantiate $m))", n)
            )
        },
    ),
    (
        "component_items_max",
        |l, n| l.component_items_max = n,
        |n| format!("(component (component {}))", repeated("(type (func))", n)),
    ),
    (
        "component_depth_max",
        |l, n| l.component_depth_max = n,
        |n| format!("{}{}", repeated("(component ", n), repeated(")", n)),
    ),
    (
        "type_values_max",
        |l, n| l.type_values_max = n,
        |n| format!("(module (type (func (param {}) (result i32))))", repeated("i32 ", n - 1)),
    ),
    (
        "function_locals_max",
        |l, n| l.function_locals_max = n,
        |n| function(&format!("(param i32) (local {})", repeated("i32 ", n - 1))),
    ),
    (
        "function_blocks_max",
        |l, n| l.function_blocks_max = n,
        |n| function(&repeated("(block)", n)),
    ),
    (
        "function_blocks_max",
        |l, n| l.function_blocks_max = n,
        |n| function(&repeated("(br_if 0 (i32.const 0))", n)),
    ),
    (
        "function_targets_max",
        |l, n| l.function_targets_max = n,
        |n| {
            // The default target is not counted: there is one for each instruction.
            function(&format!("(br_table {} 0 (i32.const 0))", repeated("0 ", n)))
        },
    ),
    // The function itself is the outermost block.
    ("function_depth_max", |l, n| l.function_depth_max = n, |n| nested(n - 1)),
    (
        "function_loop_depth_max",
        |l, n| l.function_loop_depth_max = n,
        |n| function(&format!("(loop) {} (block) {}", "(loop ".repeat(n), ")".repeat(n))),
    ),
    (
        "function_operands_max",
        |l, n| l.function_operands_max = n,
        |n| function(&format!("{}{}", repeated("i32.const 0 ", n), repeated("drop ", n))),
    ),
    (
        "function_operands_max",
        |l, n| l.function_operands_max = n,
        |n| {
            // Operands stay on the stack below a block, and come back after a branch out of it.
            let push = repeated("i32.const 0 ", n - 2);
            let pop = repeated("drop ", n);
            function(&format!(
                "i32.const 0 (block (result i32) {push} br 0) drop i32.const 0 {push} {pop}"
            ))
        },
    ),
    (
        "function_values_max",
        |l, n| l.function_values_max = n,
        |n| {
            function(&repeated("global.get 0 ", n))
                .replace("(func $first)", "(global i32 (i32.const 0))")
        },
    ),
    (
        "function_weight_max",
        |l, n| l.function_weight_max = n,
        |n| function(&format!("(local {}) ", repeated("i32 ", n))),
    ),
];

fn with(set: fn(&mut Limits, usize), most: usize) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits, most);
    limits
}

#[test]
fn each_limit_accepts_what_just_fits_and_refuses_one_more() {
    const MOST: usize = 9;
    for (number, (name, set, text)) in CASES.iter().enumerate() {
        let fits = wat::parse_str(text(MOST)).unwrap_or_else(|e| panic!("{number}: {e}"));
        let result = check(&fits, &with(*set, MOST));
        assert!(result.is_ok(), "{number} {name}: {}", result.unwrap_err());
        let more = wat::parse_str(text(MOST + 1)).unwrap();
        let error = check(&more, &with(*set, MOST)).unwrap_err();
        let UploadError::Exceeds { found, limit, most: MOST } = &error else { panic!("{error}") };
        assert_eq!(limit, name, "{number}: {error}");
        assert!(found.contains(" has 10 "), "{number}: {error}");
    }
}

#[test]
fn a_function_is_named_by_its_index_and_name() {
    let text = function(&"nop ".repeat(200));
    let within = format!("(component (core module) (core module {}", &text["(module".len()..]);
    for text in [text, within + ")"] {
        let wasm = wat::parse_str(text).unwrap();
        let error = check(&wasm, &with(|l, n| l.function_bytes_max = n, 150)).unwrap_err();
        let said = "function 1 (named) has 202 bytes, and plugins.function_bytes_max is 150";
        assert_eq!(error.to_string(), said);
    }
    let unnamed = wat::parse_str(r#"(module (import "a" "b" (func)) (func nop nop))"#).unwrap();
    let error = check(&unnamed, &with(|l, n| l.function_bytes_max = n, 3)).unwrap_err();
    assert!(error.to_string().starts_with("function 1 has 4 bytes"), "{error}");
}

/// A few bytes declare all of them.
#[test]
fn locals_are_counted_and_not_their_bytes() {
    let locals = [
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x0a\x01\x08\x01".as_slice(),
        b"\xff\xff\xff\xff\x0f\x7f",
        b"\x0b",
    ];
    let error = check(&locals.concat(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("has 4294967295 locals"), "{error}");
}

#[test]
fn what_is_cut_off_is_refused() {
    let wasm = wat::parse_str(nested(20)).unwrap();
    for length in 8..wasm.len() {
        // The names at the end may be cut, and a module may end after any section.
        if let Err(error) = check(&wasm[..length], &Limits::default()) {
            assert!(matches!(error, UploadError::Component(_)), "{length}: {error}");
        }
    }
}

#[test]
fn the_kind_of_a_module_is_in_its_names() {
    let kind = |export: &str| {
        let text = format!(r#"(module (import "m" "f" (func)) (func (export "{export}")))"#);
        at_first_sight(&wat::parse_str(text).unwrap())
    };
    for export in ["antar:plugin/filter@1.0.0#run", "cm32p2|antar:plugin/filter@1|run"] {
        let filter = kind(export).unwrap();
        assert_eq!((filter.kind, &filter.imports[..]), (Kind::Filter, &["m".to_owned()][..]));
        assert_eq!(filter.exports, [bindings::FILTER]);
    }
    assert_eq!(kind("antar:plugin/transform@1.0.0#describe").unwrap().kind, Kind::Transform);
    for other in ["antar:plugin/filter@1.0.01#run", "cm32p2|antar:plugin/filter@10|run", "run"] {
        assert!(matches!(kind(other), Err(UploadError::Module(_))), "{other}");
    }
}
