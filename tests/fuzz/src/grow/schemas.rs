//! JSON Schemas that refer to themselves and to each other.

use super::json::{self, NAMES};
use crate::dice::Dice;

pub fn schema(dice: &mut Dice) -> String {
    let mut size = 4 + dice.count(300);
    let mut members = keywords(dice, &mut size, 5);
    if dice.one_in(2) {
        let definitions: Vec<_> =
            (0..=dice.count(30)).map(|n| format!("\"{n}\":{}", part(dice, &mut size, 4))).collect();
        members.push(format!("\"$defs\":{{{}}}", definitions.join(",")));
    }
    if dice.one_in(6) {
        members.push(format!(
            "\"$schema\":\"{}\"",
            dice.pick(&[
                "https://json-schema.org/draft/2020-12/schema",
                "http://json-schema.org/draft-07/schema#",
                "http://json-schema.org/draft-04/schema#",
                "https://json-schema.org/draft/2019-09/schema",
                "urn:none",
            ])
        ));
    }
    format!("{{{}}}", members.join(","))
}

fn part(dice: &mut Dice, size: &mut usize, depth: usize) -> String {
    *size = size.saturating_sub(1);
    if depth == 0 || *size == 0 || dice.one_in(8) {
        return dice
            .pick(&[
                "true",
                "false",
                "{}",
                "{\"type\":\"string\"}",
                "{\"$ref\":\"#\"}",
                "{\"const\":1}",
            ])
            .to_owned();
    }
    format!("{{{}}}", keywords(dice, size, depth).join(","))
}

fn keywords(dice: &mut Dice, size: &mut usize, depth: usize) -> Vec<String> {
    (0..=dice.count(8)).map(|_| keyword(dice, size, depth)).collect()
}

fn keyword(dice: &mut Dice, size: &mut usize, depth: usize) -> String {
    let below = depth.saturating_sub(1);
    match dice.below(17) {
        0 => format!("\"$ref\":\"{}\"", reference(dice)),
        1 | 2 => {
            let name = dice.pick(&["allOf", "anyOf", "oneOf", "prefixItems", "items"]);
            let parts: Vec<_> = (0..=dice.count(10)).map(|_| part(dice, size, below)).collect();
            format!("\"{name}\":[{}]", parts.join(","))
        }
        3 | 4 => {
            let name = dice.pick(&[
                "properties",
                "patternProperties",
                "dependentSchemas",
                "dependencies",
                "definitions",
            ]);
            let parts: Vec<_> = (0..=dice.count(20))
                .map(|_| format!("\"{}\":{}", dice.pick(NAMES), part(dice, size, below)))
                .collect();
            format!("\"{name}\":{{{}}}", parts.join(","))
        }
        5 | 6 => {
            let name = dice.pick(&[
                "items",
                "additionalProperties",
                "unevaluatedProperties",
                "unevaluatedItems",
                "contains",
                "propertyNames",
                "not",
                "if",
                "then",
                "else",
                "additionalItems",
            ]);
            format!("\"{name}\":{}", part(dice, size, below))
        }
        7 => "\"uniqueItems\":true".to_owned(),
        8 => format!(
            "\"enum\":[{}]",
            (0..=dice.count(60)).map(|_| json::scalar(dice)).collect::<Vec<_>>().join(",")
        ),
        9 => format!("\"const\":{}", json::value(dice, size, 3)),
        10 => format!("\"pattern\":\"{}\"", pattern(dice)),
        11 => format!(
            "\"format\":\"{}\"",
            dice.pick(&["date-time", "email", "uri", "ipv6", "regex", "hostname", "none"])
        ),
        12 => format!(
            "\"type\":\"{}\"",
            dice.pick(&["object", "array", "string", "number", "integer", "null", "what"])
        ),
        13 => format!(
            "\"required\":[{}]",
            (0..dice.count(9)).map(|_| json::name(dice)).collect::<Vec<_>>().join(",")
        ),
        14 => format!(
            "\"{}\":{}",
            dice.pick(&["minLength", "maxItems", "minimum", "multipleOf", "minContains"]),
            json::scalar(dice)
        ),
        15 => format!(
            "\"{}\":\"{}\"",
            dice.pick(&["$id", "$anchor", "$dynamicAnchor", "$dynamicRef"]),
            dice.pick(&["x", "#x", "https://e.example/s"])
        ),
        _ => format!("\"{}\":{}", dice.pick(NAMES), json::scalar(dice)),
    }
}

fn reference(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => dice
            .pick(&[
                "#x",
                "x",
                "https://e.example/s",
                "#/properties/a",
                "#/%24defs/0",
                "#/allOf/0",
                "other.json#/a",
            ])
            .to_owned(),
        1 => "#".to_owned(),
        _ => format!("#/$defs/{}", dice.below(12)),
    }
}

fn pattern(dice: &mut Dice) -> String {
    const PIECES: &[&str] = &[
        "a",
        ".",
        "a*",
        "(a+)+",
        "(a|aa)*",
        "[^x]",
        "\\\\d{1,30}",
        "^",
        "$",
        "x{0,999}",
        "(?i)",
        "\\\\p{L}",
        "(?=a)",
        "\\\\1",
    ];
    (0..=dice.count(12)).map(|_| dice.pick(PIECES)).collect()
}
