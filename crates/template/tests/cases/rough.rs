//! Generates templates that may be refused.

use super::dice::Dice;

const PIECES: [&str; 34] = [
    "1",
    "1",
    ",",
    ",",
    "[",
    "]",
    "\"",
    "{",
    "}",
    ":",
    "\"k\":",
    "{{this}}",
    "{{a}}",
    "{{~a~}}",
    "{{#if a}}",
    "{{/if}}",
    "{{else}}",
    "{{#each list}}",
    "{{#each list join=\",\"}}",
    "{{#each this join=\", \"}}",
    "{{/each}}",
    "{{#unless @last}},{{/unless}}",
    "{{#unless @first}},{{/unless}}",
    "{{#if @index}},{{/if}}",
    "{{#with b}}",
    "{{/with}}",
    "\"{{a}}\"",
    "{{antar.secret.s}}",
    "\\",
    "\\u00e9",
    " ",
    "-",
    "true",
    "{{! c }}",
];

/// Removes, doubles or inserts a piece after byte `from`.
pub(super) fn mutate(dice: &mut Dice, template: &mut String, from: usize) {
    for _ in 0..1 + dice.below(2) {
        let at = |dice: &mut Dice, text: &str| {
            text.floor_char_boundary(from + dice.below(text.len().saturating_sub(from) + 1))
                .max(from)
        };
        let (one, other) = (at(dice, template), at(dice, template));
        let (start, end) = (one.min(other), one.max(other));
        if start > template.len() {
            return;
        }
        match dice.below(3) {
            0 => template.insert_str(start, dice.pick(&PIECES)),
            1 => {
                template.replace_range(start..end.min(template.floor_char_boundary(start + 4)), "")
            }
            _ => {
                let piece =
                    template[start..end.min(template.floor_char_boundary(start + 12))].to_owned();
                template.insert_str(start, &piece);
            }
        }
    }
}

/// Random pieces of JSON in an array, in branches and loops that are closed.
pub(super) fn soup(dice: &mut Dice) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    let blocks = [
        ("{{#each list}}", "{{/each}}"),
        ("{{#each list join=\",\"}}", "{{/each}}"),
        ("{{#each ../this join=\",1,\"}}", "{{/each}}"),
        ("{{#if @last}}", "{{/if}}"),
        ("{{#if @first}}", "{{/if}}"),
        ("{{#if a}}", "{{/if}}"),
        ("{{#unless (and @first @last)}}", "{{/unless}}"),
        ("{{#if a}}", "{{else}}{{a}}{{/if}}"),
        ("[", "]"),
        ("{{#each b join=\"\"}}", "{{/each}}"),
        ("{{#if (or @last a)}}", "{{/if}}"),
        ("{{#if @index}}", "{{/if}}"),
    ];
    out.push_str("[{{#each list join=\",\"}}");
    for _ in 0..dice.below(9) {
        match dice.below(5) {
            0 | 1 => {
                let (begin, end) = dice.pick(&blocks);
                out.push_str(begin);
                open.push(end);
            }
            2 if !open.is_empty() => out.push_str(open.pop().unwrap_or_default()),
            3 => out.push_str(dice.pick(&[
                "{{a}}",
                "{{this}}",
                "1",
                "\"{{a}}\"",
                "{{antar.secret.s}}",
            ])),
            _ => out.push_str(dice.pick(&[
                ",",
                "{{#unless @last}},{{/unless}}",
                " ",
                "{{#if @index}},{{/if}}",
                "{{this}}",
            ])),
        }
    }
    while let Some(end) = open.pop() {
        out.push_str(end);
    }
    out.push_str(dice.pick(&[
        "{{/each}}]",
        "{{/each}},2]",
        "{{else}}{{a}}{{/each}}]",
        "{{/each}}{{#if b}},{{a}}{{/if}}]",
    ]));
    out
}
