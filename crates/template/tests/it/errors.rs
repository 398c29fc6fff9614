//! Checks that every refusal of a template reports the position, the mistake and what to do.

use antar_template::{ContentType, Limits, Place, Template};

use crate::support::error;

fn json() -> Place {
    Place::Body(ContentType::Json)
}

fn text() -> Place {
    Place::Body(ContentType::Text)
}

fn url() -> Place {
    Place::Url { hosts_allowed: Vec::new() }
}

/// Line, column, token, a part of the detail, a part of the suggestion ("" for
/// the one that its cause always has).
type Expected = (usize, usize, &'static str, &'static str, &'static str);

#[track_caller]
fn check(place: &Place, cases: &[(&str, Expected)]) {
    for (source, (line, column, token, detail, suggestion)) in cases {
        let error = error(place, source);
        assert_eq!(
            (error.line, error.column, error.token.as_str()),
            (*line, *column, *token),
            "{source}: {error}"
        );
        assert!(error.detail.contains(detail), "{source}: {error}");
        let given = error.suggestion.clone().unwrap_or_default();
        assert!(given.contains(suggestion) && !given.is_empty(), "{source}: {error}");
    }
}

#[test]
fn tags_that_are_no_tags() {
    check(
        &text(),
        &[
            ("a\né {{b", (2, 3, "{{b", "never closed", "}}")),
            ("{{#if a}}x", (1, 1, "{{#if a}}", "`{{#if}}` is never closed", "{{/if}}")),
            ("{{#if a}}x{{/each}}", (1, 11, "{{/each}}", "still open", "{{/if}}")),
            ("x{{/if}}", (1, 2, "{{/if}}", "no block is open", "")),
            ("{{else}}", (1, 1, "{{else}}", "outside", "")),
            ("{{#if a}}{{else}}{{else}}{{/if}}", (1, 18, "{{else}}", "last `else`", "")),
            ("{{}}", (1, 1, "{{}}", "empty", "")),
            ("{{> part}}", (1, 1, "{{> part}}", "partials", "")),
            ("{{#> part}}{{/part}}", (1, 1, "{{#> part}}", "partial blocks", "")),
            ("{{* deco}}", (1, 1, "{{* deco}}", "decorators", "")),
            ("{{#*inline \"a\"}}{{/inline}}", (1, 1, "{{#*inline \"a\"}}", "decorators", "")),
            ("{{{{raw}}}}{{{{/raw}}}}", (1, 1, "{{{{", "raw blocks", "space")),
            ("{{elsewhere}}", (1, 1, "{{elsewhere}}", "begin with `else`", "{{this.elsewhere}}")),
            ("a {{b..}} c", (1, 3, "{{b..}}", "can't be read", "path")),
            ("{{a}} {{b 007}}", (1, 7, "{{b 007}}", "can't be read", "path")),
            ("{{\"text\"}}", (1, 1, "{{\"text\"}}", "can't be read", "path")),
            ("{{data.a[0]}}", (1, 1, "{{data.a[0]}}", "can't be read", "`{{data.a.0}}`")),
            ("{{a[0].b[\"c d\"]}}", (1, 1, "{{a[0].b[\"c d\"]}}", "can't be", "{{a.0.b.[c d]}}")),
            ("{{upper a[0]}}", (1, 1, "{{upper a[0]}}", "can't be read", "`{{upper a.0}}`")),
            ("{{s | upper}}", (1, 1, "{{s | upper}}", "can't be read", "`{{upper s}}`")),
            ("{{s|upper}}", (1, 1, "{{s|upper}}", "can't be read", "`{{upper s}}`")),
            ("{{s | join: \"|\"}}", (1, 1, "{{s | join: \"|\"}}", "can't", "`{{join s \"|\"}}`")),
            ("{{data..s}}", (1, 1, "{{data..s}}", "can't be read", "`{{data.s}}`")),
            ("{{^if x}}a{{/if}}", (1, 1, "{{^if x}}", "`{{^`", "`{{#unless x}}")),
            ("{{^a}}b{{/a}}", (1, 1, "{{^a}}", "`{{^`", "`{{#unless a}}")),
            ("{{#if x}}{{^a}}b{{/a}}{{/if}}", (1, 10, "{{^a}}", "`{{^`", "`{{#unless a}}")),
            (
                "{{replace s \"\n\" \" \"}}",
                (1, 1, "{{replace s \"\n\" \" \"}}", "can't be read", "write `\\n`"),
            ),
        ],
    );
}

#[test]
fn names_that_mean_nothing() {
    check(
        &text(),
        &[
            ("{{uper a}}", (1, 1, "{{uper a}}", "no helper `uper`", "`upper`")),
            ("{{lower (uper a)}}", (1, 1, "{{lower (uper a)}}", "no helper `uper`", "`upper`")),
            ("{{#eahc a}}{{/eahc}}", (1, 1, "{{#eahc a}}", "no block `eahc`", "{{#each …}}")),
            ("{{#user}}{{/user}}", (1, 1, "{{#user}}", "no block `user`", "{{#if user}}")),
            ("{{if a b}}", (1, 1, "{{if a b}}", "is a block", "")),
            ("{{#if}}{{/if}}", (1, 1, "{{#if}}", "one argument", "")),
            ("{{#if a b}}{{/if}}", (1, 1, "{{#if a b}}", "one argument", "")),
            ("{{#if a x=1}}{{/if}}", (1, 1, "{{#if a x=1}}", "includeZero", "")),
            ("{{#each a x=1}}{{/each}}", (1, 11, "x=1", "`each` has no option `x`", "join=")),
            ("{{#each a join=b}}{{/each}}", (1, 11, "join=b", "a text in quotes", "join=\",\"")),
            (
                "{{#each a join=(upper b)}}{{/each}}",
                (1, 11, "join=(upper", "a text in quotes", "join="),
            ),
            ("{{#each a join=1 }}{{/each}}", (1, 11, "join=1", "a text in quotes", "join=")),
            ("{{#each a \",\"}}{{/each}}", (1, 1, "{{#each a \",\"}}", "one argument", "join=")),
            ("{{#if a join=\",\"}}{{/if}}", (1, 9, "join=\",\"", "belongs to `each`", "{{#each")),
            (
                "{{#unless a join=','}}{{/unless}}",
                (1, 13, "join=','", "belongs to `each`", "{{#each"),
            ),
            (
                "{{#with a join=\",\"}}{{/with}}",
                (1, 11, "join=\",\"", "belongs to `each`", "{{#each"),
            ),
            ("{{#with a x=1}}{{/with}}", (1, 11, "x=1", "`with` has no options", "")),
            ("{{json a b}}", (1, 1, "{{json a b}}", "`json` takes one argument, not 2", "")),
            ("{{json a b=1}}", (1, 1, "{{json a b=1}}", "no option `b`", "")),
            ("{{foo a}}", (1, 1, "{{foo a}}", "no helper `foo`", "the page on templates")),
            ("{{log a}}", (1, 1, "{{log a}}", "no helper `log`", "the page on templates")),
            ("{{uppercase a}}", (1, 1, "{{uppercase a}}", "no helper", "did you mean `upper`?")),
            (
                "{{toLowerCase a}}",
                (1, 1, "{{toLowerCase a}}", "no helper", "did you mean `lower`?"),
            ),
            ("{{trunc a 3}}", (1, 1, "{{trunc a 3}}", "no helper", "did you mean `truncate`?")),
            ("{{upper a b}}", (1, 1, "{{upper a b}}", "one argument, not 2", "")),
            (
                "{{hash}} {{replace a \"b\"}}",
                (1, 10, "{{replace a \"b\"}}", "3 arguments, not 2", ""),
            ),
            ("{{join a sep=\"-\"}}", (1, 1, "{{join a sep=\"-\"}}", "no option `sep`", "")),
            ("{{hash a \"md5\"}}", (1, 1, "{{hash a \"md5\"}}", "sha1, sha256, sha512", "")),
            (
                "{{hmac a \"k\" \"sha1\" \"hexx\"}}",
                (1, 1, "{{hmac a \"k\" \"sha1\" \"hexx\"}}", "hex, base64", ""),
            ),
            ("{{date a \"soon\"}}", (1, 1, "{{date a \"soon\"}}", "pattern", "")),
            ("{{date a \"%!\"}}", (1, 1, "{{date a \"%!\"}}", "pattern", "")),
            (
                "{{date a \"iso\" \"Asia/Jakata\"}}",
                (1, 1, "{{date a \"iso\" \"Asia/Jakata\"}}", "time zone", ""),
            ),
            ("{{truncate a \"x\"}}", (1, 1, "{{truncate a \"x\"}}", "whole number", "")),
            ("{{split a \"\"}}", (1, 1, "{{split a \"\"}}", "not empty", "")),
            ("{{number a 1.5}}", (1, 1, "{{number a 1.5}}", "0 to 100", "")),
            ("{{phone a \"Indonesia\"}}", (1, 1, "{{phone a \"Indonesia\"}}", "calling code", "")),
            (
                "{{antar.evnt_id}}",
                (1, 3, "antar.evnt_id", "no `antar.evnt_id`", "`antar.event_id`"),
            ),
            ("{{antar.tenant.x}}", (1, 3, "antar.tenant.x", "nothing below", "")),
            ("{{antar.secret}}", (1, 3, "antar.secret", "antar.secret.NAME", "")),
            (
                "{{upper antar.secret.a}}",
                (1, 1, "{{upper antar.secret.a}}", "no helper or block", ""),
            ),
            ("a {{ ../b }}", (1, 6, "../b", "out of the template", "")),
            ("{{@index}}", (1, 3, "@index", "outside of any `each`", "")),
            ("{{#each a}}{{@odd}}{{/each}}", (1, 14, "@odd", "no `@odd`", "")),
            ("{{#each a}}{{@key.b}}{{/each}}", (1, 14, "@key.b", "nothing below", "")),
        ],
    );
}

#[test]
fn json_that_is_none() {
    check(
        &json(),
        &[
            (
                "{\"a\": {{b}},\n }",
                (2, 2, "}", "comma stands right before `}`", "take the comma out"),
            ),
            ("[{{#each a}}{{this}},{{/each}}]", (1, 31, "]", "there can be a comma", "join=")),
            ("[{{#each a}}{{this}}{{/each}}]", (1, 13, "{{this}}", "later turn", "join=")),
            (
                "[{{#each a join=\"; \"}}{{this}}{{/each}}]",
                (1, 12, "join=\"; \"", "between two turns: `;`", ""),
            ),
            (
                "[{{#each a join=\",\"}}{{this}}, {{/each}}]",
                (1, 12, "join=\",\"", "between two turns: `,`", ""),
            ),
            (
                "[{{#each a join=\",\"}} {{#if b}}1{{/if}}{{/each}}]",
                (1, 12, "join=\",\"", "between two turns", ""),
            ),
            (
                "[[{{#each a join=\"],[\"}}{{this}}{{/each}}]]",
                (1, 13, "join=\"],[\"", "brackets", "body"),
            ),
            ("[{{#each a join=\",\"}}{{this}}{{/each}},1]", (1, 39, ",", "in every case", "")),
            ("{ {{a}}: 1 }", (1, 3, "{{a}}", "key in double quotes", "\"{{a}}\"")),
            ("{\"a\": 1{{b}}}", (1, 8, "{{b}}", "continue a number", "whole number")),
            ("[1 {{b}}]", (1, 4, "{{b}}", "without a comma", "put a comma between")),
            ("{\"a\" {{b}}}", (1, 6, "{{b}}", "key is followed by a tag", "`:`")),
            ("\"a\\{{b}}", (1, 8, "}", "inside a string", "add")),
            ("\"a\\\\{{b}}\"", (1, 5, "{{b}}", "backslash", "three")),
            ("\"\\\\u{{b}}\"x", (1, 11, "x", "the end of the text", "")),
            ("{'a': 1}", (1, 2, "'", "key in double quotes", "keys like")),
            ("{\"a\": 'b'}", (1, 7, "'", "needs a value", "double quotes")),
            ("{\"a\": {{b}}", (1, 11, "}", "inside an object", "add `}`")),
            ("[\"a]", (1, 4, "]", "inside a string", "add")),
            ("{{#if a}}{\"b\": 1}{{/if}}", (1, 24, "}", "without a JSON value", "null")),
            ("[{{#if a}}1,{{/if}}]", (1, 20, "]", "there can be a comma", "the comma before it")),
            (
                "[{{#each a}}{{#if @first}}1{{else if @last}},{{/if}}{{/each}}]",
                (1, 62, "]", "there can be a comma", "join="),
            ),
            ("[{{#if a}}1{{/if}},2]", (1, 19, ",", "in every case", "")),
            ("[{{#if a}}\"{{else}}2{{/if}}]", (1, 2, "{{#if a}}", "different states", "")),
            ("{{#if a}}[{{else}}1{{/if}}", (1, 1, "{{#if a}}", "different depths", "")),
            ("[{{#each a}}[{{/each}}]", (1, 2, "{{#each a}}", "different depths", "")),
            ("{\"a\": \"line\nbreak\"}", (1, 12, "\n", "line break", "\\n")),
            ("[nul]", (1, 5, "]", "true", "")),
            ("[01]", (1, 3, "1", "`,` or `]`", "")),
            ("[\"\\ud83d\"]", (1, 9, "\"", "surrogate", "")),
            ("{{a}}{{b}}", (1, 6, "{{b}}", "without a comma", "put a comma between")),
            ("", (1, 1, "", "the body is empty", "null")),
            ("{{! nothing }}\n", (1, 15, "\n", "the body is empty", "null")),
            ("{\"a\":{{#if x}}1{{/if}} }", (1, 24, "}", "in every case", "{{else}}null")),
            ("{\"a\":{{#if x}}1{{/if}}}", (1, 23, "}", "in every case", "{{else}}null")),
            ("{\"a\": {{b}} {{!c}} \"d\"}", (1, 20, "\"", "`,` or `}`", "comma")),
            ("[{{#if a}}{{#if @root}}1{{/if}}{{/if}} 2]", (1, 40, "2", "in every case", "")),
        ],
    );
}

#[test]
fn urls_and_markup_that_leak() {
    check(
        &url(),
        &[
            ("{{a}}/b", (1, 1, "{{a}}", "scheme and host", "https://")),
            ("https://{{a}}.example/", (1, 9, "{{a}}", "could send data anywhere", "allowed")),
            ("https://a.example{{b}}", (1, 18, "{{b}}", "could send data anywhere", "allowed")),
            (
                "https://a{{#if b}}/c{{/if}}{{d}}",
                (1, 28, "{{d}}", "could send data anywhere", "allowed"),
            ),
            ("ftp://a", (1, 1, "f", "begins with `https://`", "")),
            ("", (1, 1, "", "begins with `https://`", "")),
            ("https://a/b c", (1, 12, " ", "no spaces", "")),
            ("https://a/{{split b \",\"}}", (1, 11, "{{split b \",\"}}", "list", "join")),
            ("{{#if a}}https://b{{/if}}", (1, 1, "{{#if a}}", "scheme and host, or none", "")),
        ],
    );
    check(
        &Place::Body(ContentType::Html),
        &[
            ("<a href={{b}}>", (1, 9, "{{b}}", "inside a markup tag", "name=")),
            ("<{{b}}>", (1, 2, "{{b}}", "inside a markup tag", "name=")),
            ("<!-- {{b}} -->", (1, 6, "{{b}}", "comment", "")),
            ("<![CDATA[{{b}}]]>", (1, 10, "{{b}}", "CDATA", "leave")),
            ("<script>{{b}}</script>", (1, 9, "{{b}}", "script", "data-")),
            ("<a b=\"{{c}}>", (1, 12, ">", "ends inside", "")),
            ("{{#if a}}<b c=\"{{/if}}", (1, 1, "{{#if a}}", "different states", "")),
        ],
    );
}

#[test]
fn all_mistakes_of_names_are_told_at_once() {
    let errors =
        Template::compile("{{uper a}} {{lwoer b}} {{@index}}", &text(), &Limits::default());
    assert_eq!(errors.unwrap_err().len(), 3);
}

#[test]
fn what_is_odd_is_refused_and_never_a_panic() {
    let deep = |open: &str, n: usize| format!("{{{{a {}", open.repeat(n));
    for source in [
        deep("(a ", 5_000),
        deep("[", 5_000),
        deep("{\"a\":", 5_000),
        "{{#if a}}".repeat(1_500),
        "{{".repeat(900),
        "{{else if a}}".into(),
        "{{#if a}}{{else if}}{{/if}}".into(),
        "{{#if a}}{{~else if (eq b 1)~}}{{/if}}{{/if}}".into(),
        "{{(a)}}{{((a))}}{{(".into(),
        "{{a b=}}".into(),
        "{{as}}{{a as |b|}}".into(),
        format!("{}1{}", "[".repeat(40), "]".repeat(40)),
    ] {
        assert!(Template::compile(&source, &json(), &Limits::default()).is_err(), "{source:.60}");
    }
}

#[test]
fn nested_loops_are_proved_or_refused_in_bounded_time() {
    let nested = |n: usize| {
        format!(
            "{}1{}",
            "[{{#each this}}".repeat(n),
            "{{#unless @last}},{{/unless}}{{/each}}]".repeat(n)
        )
    };
    assert!(Template::compile(&nested(3), &json(), &Limits::default()).is_ok());
    let error = error(&json(), &nested(20));
    assert!(error.detail.contains("too large to be proved"), "{error}");
}

#[test]
fn an_error_prints_as_one_sentence() {
    assert_eq!(
        error(&text(), "{{uper a}}").to_string(),
        "line 1, column 1: there is no helper `uper` (did you mean `upper`?)"
    );
}

#[test]
fn what_nests_as_deep_as_allowed_compiles() {
    let arguments = format!("{{{{default a {}b{}}}}}", "(default a ".repeat(30), ")".repeat(30));
    let deep = format!("{}{arguments}{}", "{{#if a}}".repeat(32), "{{/if}}".repeat(32));
    assert!(Template::compile(&deep, &text(), &Limits::default()).is_ok());
    let deeper = format!("{{{{#if a}}}}{deep}{{{{/if}}}}");
    assert!(error(&text(), &deeper).detail.contains("nest too deeply"));
}
