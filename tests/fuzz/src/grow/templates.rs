//! Template texts: tags in any order, most of them well formed.

use super::json::NAMES;
use crate::dice::Dice;

const TAGS: &[&str] = &[
    "{{data.a}}",
    "{{{data.b}}}",
    "{{#if data.a}}",
    "{{else}}",
    "{{/if}}",
    "{{#each data.items}}",
    "{{/each}}",
    "{{this}}",
    "{{@index}}",
    "{{@key}}",
    "{{#with data}}",
    "{{/with}}",
    "{{lookup data \"a\"}}",
    "{{join data.items \",\"}}",
    "{{split data.a \",\"}}",
    "{{#each (split data.a \"\")}}",
    "{{replace data.a \"x\" \"xy\"}}",
    "{{default data.a \"n\"}}",
    "{{upper data.a}}",
    "{{json data}}",
    "{{date data.a \"YYYY\"}}",
    "{{sha256 data.a}}",
    "{{antar.event_id}}",
    "{{antar.secret.token}}",
    "{{antar.attempt}}",
    "{{!-- a comment --}}",
    "{{~data.a~}}",
    "{{../a}}",
    "{{#unless data.a}}",
    "{{/unless}}",
    "{{#each data as |v k|}}",
    "{{k}}{{v}}",
    "{{math 1 \"+\" data.n}}",
    "{{eq data.a \"x\"}}",
    "{{concat data.a data.b}}",
    "{{truncate data.a 9}}",
];

const TEXT: &[&str] = &[
    "{\"a\":\"",
    "\"",
    "}",
    "[",
    "]",
    ",",
    ":",
    "https://crm.example/",
    "?a=",
    "&b=",
    "<a x=\"",
    "\">",
    "</a>",
    "<![CDATA[",
    "]]>",
    "x=1&y=",
    "\\",
    "\\u00",
    "\n",
    "é",
    "null",
    "1",
    " ",
    "<!--",
    "-->",
    "%2",
    "#",
];

pub fn template(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..=dice.count(120) {
        match dice.below(8) {
            0..=2 => out.push_str(dice.pick(TAGS)),
            3 => out.push_str(&format!("{{{{data.{}}}}}", dice.pick(NAMES))),
            4 => balanced(dice, &mut out, 4),
            _ => out.push_str(dice.pick(TEXT)),
        }
    }
    out
}

/// A block that is closed again.
fn balanced(dice: &mut Dice, out: &mut String, depth: usize) {
    let (name, argument) = *dice.pick_of(&[
        ("each", "data.items"),
        ("if", "data.a"),
        ("with", "data"),
        ("unless", "data.b"),
    ]);
    out.push_str(&format!("{{{{#{name} {argument}}}}}"));
    for _ in 0..dice.count(3) {
        match dice.below(3) {
            0 if depth > 0 => balanced(dice, out, depth - 1),
            1 => out.push_str(dice.pick(TAGS)),
            _ => out.push_str(dice.pick(TEXT)),
        }
    }
    out.push_str(&format!("{{{{/{name}}}}}"));
}
