//! Patterns in EventBridge's language, over the names that [`super::json`] writes.

use super::json::{self, NAMES};
use crate::dice::Dice;

pub fn pattern(dice: &mut Dice) -> String {
    object(dice, 4)
}

fn object(dice: &mut Dice, depth: usize) -> String {
    let mut members = Vec::new();
    for _ in 0..=dice.count(20) {
        let inner = depth > 0 && dice.one_in(3);
        let value = if inner { object(dice, depth - 1) } else { list(dice) };
        members.push(format!("\"{}\":{value}", dice.pick(NAMES)));
    }
    if depth > 0 && dice.one_in(4) {
        let branches: Vec<_> = (0..2 + dice.count(6)).map(|_| object(dice, depth - 1)).collect();
        members.push(format!("\"$or\":[{}]", branches.join(",")));
    }
    format!("{{{}}}", members.join(","))
}

fn list(dice: &mut Dice) -> String {
    let entries: Vec<_> = (0..=dice.count(40)).map(|_| entry(dice)).collect();
    format!("[{}]", entries.join(","))
}

fn entry(dice: &mut Dice) -> String {
    match dice.below(13) {
        0 => format!("{{\"prefix\":{}}}", json::text(dice)),
        1 => format!("{{\"suffix\":{{\"equals-ignore-case\":{}}}}}", json::text(dice)),
        2 => format!("{{\"equals-ignore-case\":{}}}", json::text(dice)),
        3 => format!("{{\"wildcard\":\"{}\"}}", wildcard(dice)),
        4 => {
            format!("{{\"numeric\":[\">=\",{},\"<\",{}]}}", json::scalar(dice), json::scalar(dice))
        }
        5 => format!(
            "{{\"numeric\":[\"{}\",{}]}}",
            dice.pick(&["=", "<", "<=", ">", ">="]),
            json::scalar(dice)
        ),
        6 => format!(
            "{{\"anything-but\":{}}}",
            if dice.one_in(2) { json::scalar(dice) } else { anything_but(dice) }
        ),
        7 => format!(
            "{{\"cidr\":\"{}\"}}",
            dice.pick(&["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::/129", "x/8"])
        ),
        8 => format!("{{\"exists\":{}}}", dice.pick(&["true", "false"])),
        9 => "null".to_owned(),
        _ => json::scalar(dice),
    }
}

fn anything_but(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => format!("{{\"prefix\":{}}}", json::text(dice)),
        1 => format!("{{\"wildcard\":\"{}\"}}", wildcard(dice)),
        2 => format!("{{\"equals-ignore-case\":[{},{}]}}", json::text(dice), json::text(dice)),
        _ => format!(
            "[{}]",
            (0..=dice.count(20)).map(|_| json::scalar(dice)).collect::<Vec<_>>().join(",")
        ),
    }
}

fn wildcard(dice: &mut Dice) -> String {
    (0..=dice.count(20))
        .map(|_| dice.pick(&["*", "x", "y", "xy", "*x", "\\\\*", "conv", "é"]))
        .collect()
}
