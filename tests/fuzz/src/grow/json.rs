//! JSON texts: mostly small, with what readers stumble over.

use crate::dice::Dice;

/// Names of members; some of them lead through each other's dots and brackets.
pub const NAMES: &[&str] = &[
    "a",
    "b",
    "id",
    "type",
    "data",
    "a.b",
    "b.c",
    "",
    "name",
    "labels",
    "next",
    "$ref",
    "0",
    "[]",
    "items",
    "é",
    "\\u0061",
    "\\\"",
    "__proto__",
    "attributes",
    "A",
];

const TEXTS: &[&str] = &[
    "",
    "x",
    "xy",
    "vip",
    "conversation.created",
    "straße",
    "10.0.0.1",
    "2001:db8::1",
    "\\n",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud800",
    "{{data.a}}",
    "2026-03-10T12:00:00Z",
    "https://crm.example/x?y=1",
    "*",
    "\\\\",
    "+62 812-3456-7890",
    "%2F",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1e3",
    "1E+400",
    "1e-400",
    "123456789012345678901234567890",
    "0.1",
    "5e-324",
    "9007199254740993",
    "18446744073709551616",
];

/// A value with at most about `size` parts.
pub fn value(dice: &mut Dice, size: &mut usize, depth: usize) -> String {
    *size = size.saturating_sub(1);
    if depth == 0 || *size == 0 {
        return scalar(dice);
    }
    match dice.below(6) {
        0 | 1 => scalar(dice),
        2 | 3 => {
            let count = dice.count(200).min(*size);
            let elements: Vec<_> = (0..count).map(|_| value(dice, size, depth - 1)).collect();
            format!("[{}]", elements.join(","))
        }
        _ => object(dice, size, depth),
    }
}

pub fn object(dice: &mut Dice, size: &mut usize, depth: usize) -> String {
    let count = dice.count(60).min(*size);
    let member = |_| {
        let name = name(dice);
        let value = value(dice, size, depth.saturating_sub(1));
        format!("{name}:{value}")
    };
    format!("{{{}}}", (0..count).map(member).collect::<Vec<_>>().join(","))
}

/// A key with its quotes.
pub fn name(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => format!("\"k{}\"", dice.below(1_000)),
        _ => format!("\"{}\"", dice.pick(NAMES)),
    }
}

/// A string with its quotes.
pub fn text(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => format!("\"{}\"", dice.pick(TEXTS).repeat(1 + dice.count(300))),
        1 => format!("\"{}\"", dice.below(10_000)),
        _ => format!("\"{}\"", dice.pick(TEXTS)),
    }
}

pub fn scalar(dice: &mut Dice) -> String {
    match dice.below(6) {
        0 | 1 => dice.pick(NUMBERS).to_owned(),
        2 => dice.pick(&["null", "true", "false"]).to_owned(),
        _ => text(dice),
    }
}

/// A whole document, now and then very deep or very wide.
pub fn document(dice: &mut Dice) -> String {
    let mut size = 1 + dice.count(3_000);
    match dice.below(24) {
        0 => {
            let levels = dice.below(400);
            let (open, close) = if dice.one_in(2) { ("[", "]") } else { ("{\"a\":", "}") };
            format!("{}1{}", open.repeat(levels), close.repeat(levels))
        }
        1 => {
            let one = scalar(dice);
            format!("[{}]", vec![one.as_str(); 1 + dice.count(4_000)].join(","))
        }
        2 => {
            let members: Vec<_> =
                (0..dice.count(3_000)).map(|n| format!("\"{n:x}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        }
        _ => value(dice, &mut size, 12),
    }
}

/// An event in Antar's own format; its parts are wrong now and then.
pub fn event(dice: &mut Dice) -> String {
    let mut size = 1 + dice.count(600);
    let mut members = vec![format!(
        "\"type\":\"{}\"",
        dice.pick(&["a.b", "conversation.created", "x", "antar.own", "a b"])
    )];
    if dice.one_in(2) {
        members.push(format!("\"id\":\"{}\"", dice.pick(&["e-1", "A1", "same", "x y", ""])));
    }
    if dice.one_in(3) {
        let time = dice.pick(&[
            "2026-03-10T12:00:00Z",
            "9999-12-31T23:59:60Z",
            "-009999-01-01T00:00:00+23:59",
            "now",
        ]);
        members.push(format!("\"timestamp\":\"{time}\""));
    }
    if dice.one_in(2) {
        let attributes: Vec<_> =
            (0..dice.count(50)).map(|_| format!("{}:{}", name(dice), text(dice))).collect();
        members.push(format!("\"attributes\":{{{}}}", attributes.join(",")));
    }
    if dice.one_in(12) {
        members.push(format!("{}:{}", name(dice), scalar(dice)));
    }
    let data = match dice.below(10) {
        0 => value(dice, &mut size, 8),
        _ => object(dice, &mut size, 10),
    };
    members.push(format!("\"data\":{data}"));
    format!("{{{}}}", members.join(","))
}
