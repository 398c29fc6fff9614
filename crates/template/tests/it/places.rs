//! Tests how each place writes a value.

use crate::support::{self, body, compile, error, header, render, url};
use antar_template::{
    ContentType, Limits, Piece, Place, RenderError, Template, Unresolved, resolve,
};

const EVENT: &str = r#"{
    "name": "O'Neil \"Bob\" <b@x>\n", "n": 9007199254740993, "price": 1.50, "yes": true, "no": false,
    "nothing": null, "empty": "", "emoji": "né 😀", "user": {"b": 1, "a": [1.0, 2e3], "s": "x\ny"},
    "tags": ["vip", "new"], "none": [], "dots": {"a.b": 7}, "path": "../../admin", "dot": "..",
    "crlf": "a\r\nX-Evil: 1\u0000b"
}"#;

fn json(template: &str) -> String {
    body(ContentType::Json, template, EVENT, Unresolved::Fail)
}

#[test]
fn a_json_value_keeps_type_text_and_order() {
    assert_eq!(json("{{n}}"), "9007199254740993");
    assert_eq!(json("[{{price}},{{yes}},{{nothing}}]"), "[1.50,true,null]");
    assert_eq!(json("{\"u\": {{user}} }"), r#"{"u": {"b":1,"a":[1.0,2e3],"s":"x\ny"} }"#);
    assert_eq!(json("{{name}}"), r#""O'Neil \"Bob\" <b@x>\n""#);
}

#[test]
fn a_json_string_is_escaped_and_takes_everything_as_text() {
    assert_eq!(json(r#"{"a": "hi {{name}}!"}"#), r#"{"a": "hi O'Neil \"Bob\" <b@x>\n!"}"#);
    assert_eq!(
        json(r#""{{n}} {{price}} {{yes}} [{{nothing}}]""#),
        r#""9007199254740993 1.50 true []""#
    );
    assert_eq!(json(r#""{{user}}""#), r#""{\"b\":1,\"a\":[1.0,2e3],\"s\":\"x\\ny\"}""#);
    assert_eq!(json(r#"{"{{name}}": 1}"#), r#"{"O'Neil \"Bob\" <b@x>\n": 1}"#);
}

#[test]
fn triple_braces_ampersand_and_json_change_nothing() {
    for token in
        ["{{name}}", "{{{name}}}", "{{&name}}", "{{json name}}", "{{{json name}}}", "{{~name~}}"]
    {
        assert_eq!(json(&format!("[\"{token}\"]")), r#"["O'Neil \"Bob\" <b@x>\n"]"#, "{token}");
        assert_eq!(
            body(ContentType::Html, &format!("<b>{token}</b>"), EVENT, Unresolved::Fail),
            "<b>O&#39;Neil &quot;Bob&quot; &lt;b@x&gt;\n</b>"
        );
    }
}

#[test]
fn other_bodies_follow_their_type() {
    assert_eq!(
        body(ContentType::Form, "name={{name}}&u={{emoji}}", EVENT, Unresolved::Fail),
        "name=O%27Neil+%22Bob%22+%3Cb%40x%3E%0A&u=n%C3%A9+%F0%9F%98%80"
    );
    assert_eq!(
        body(ContentType::Html, "<a t=\"{{name}}\">{{user}}</a>", EVENT, Unresolved::Fail),
        "<a t=\"O&#39;Neil &quot;Bob&quot; &lt;b@x&gt;&#10;\">{&quot;b&quot;:1,&quot;a&quot;:[1.0,2e3],&quot;s&quot;:&quot;x\\ny&quot;}</a>"
    );
    assert_eq!(body(ContentType::Text, "{{crlf}}", EVENT, Unresolved::Fail), "a\r\nX-Evil: 1\0b");
}

#[test]
fn a_header_is_one_line_and_scalar() {
    assert_eq!(header("v={{crlf}}", EVENT, Unresolved::Fail), "v=a X-Evil: 1 b");
    assert_eq!(header("one\n  two {{n}}\n", EVENT, Unresolved::Fail), "one   two 9007199254740993");
    assert!(matches!(
        render(&Place::Header, "{{user}}", EVENT, Unresolved::Literal),
        Err(RenderError::NotScalar { token }) if token == "{{user}}"
    ));
}

#[test]
fn a_url_keeps_its_parts() {
    let sent =
        url("https://x.example/c/{{name}}?q={{emoji}}&r={{path}}#{{n}}", EVENT, Unresolved::Fail);
    assert_eq!(
        sent,
        "https://x.example/c/O%27Neil%20%22Bob%22%20%3Cb%40x%3E%0A?q=n%C3%A9%20%F0%9F%98%80\
         &r=..%2F..%2Fadmin#9007199254740993"
    );
    let place = Place::Url { hosts_allowed: Vec::new() };
    for template in ["https://x/{{dot}}/y", "https://x/.{{empty}}./y", "https://x/%2e{{empty}}/y"] {
        let result = render(&place, template, EVENT, Unresolved::Fail);
        assert!(matches!(result, Err(RenderError::PathSegment { .. })), "{template}: {result:?}");
    }
    assert_eq!(
        url("https://x/a{{dot}}/y?d={{dot}}", EVENT, Unresolved::Fail),
        "https://x/a../y?d=.."
    );
}

#[test]
fn a_host_comes_only_from_the_allowed_ones() {
    let place = Place::Url { hosts_allowed: vec!["eu.crm.example".into(), "*.crm.test".into()] };
    let at = |host: &str| {
        let event = format!("{{\"h\": {}}}", antar_json::quote(host));
        render(&place, "https://{{h}}:8443/p", &event, Unresolved::Literal)
    };
    assert!(
        at("eu.crm.example").is_ok() && at("a.b.crm.test").is_ok() && at("EU.crm.example").is_ok()
    );
    for host in [
        "evil.example",
        "crm.test",
        "eu.crm.example@evil.example",
        "evil.example/.crm.test",
        "evil.example?.crm.test",
        "evil.example#x.crm.test",
        "",
        "x:1.crm.test",
        "evil\\.crm.test",
    ] {
        assert!(matches!(at(host), Err(RenderError::Host { .. })), "{host}");
    }
    let missing = render(&place, "https://{{h}}/p", "{}", Unresolved::Literal);
    assert!(matches!(missing, Err(RenderError::Host { .. })));
}

#[test]
fn unresolved_tokens_four_ways_in_json() {
    let template =
        r#"{"a": {{x.y}}, "b": "{{ x }}", "c": "<{{x}}>", "d": [{{x}}, {{nothing}}, 1]}"#;
    let all = |policy| body(ContentType::Json, template, EVENT, policy);
    assert_eq!(
        all(Unresolved::Literal),
        r#"{"a": "{{x.y}}", "b": "{{ x }}", "c": "<{{x}}>", "d": ["{{x}}", null, 1]}"#
    );
    assert_eq!(all(Unresolved::Empty), r#"{"a": null, "b": "", "c": "<>", "d": [null, null, 1]}"#);
    assert_eq!(all(Unresolved::Omit), r#"{ "c": "<>", "d": [ 1]}"#);
    let place = Place::Body(ContentType::Json);
    let failed = render(&place, template, EVENT, Unresolved::Fail);
    assert!(matches!(failed, Err(RenderError::Unresolved { token }) if token == "{{x.y}}"));
    let rendered = render(&place, template, EVENT, Unresolved::Omit).unwrap();
    assert_eq!(rendered.unresolved, ["{{x.y}}", "{{ x }}", "{{x}}"]);
}

#[test]
fn a_quote_in_a_literal_token_is_escaped() {
    let template = r#"{"a": "{{upper [a"b]}}", "b": {{truncate x 2 end='"'}} }"#;
    assert_eq!(
        body(ContentType::Json, template, "{}", Unresolved::Literal),
        r#"{"a": "{{upper [a\"b]}}", "b": "{{truncate x 2 end='\"'}}" }"#
    );
}

#[test]
fn omit_takes_the_comma_along_wherever_it_stands() {
    let omit = |template: &str| body(ContentType::Json, template, EVENT, Unresolved::Omit);
    assert_eq!(omit(r#"{"a":1,"b":{{x}}}"#), r#"{"a":1}"#);
    assert_eq!(omit(r#"{"a":{{x}},"b":2}"#), r#"{"b":2}"#);
    assert_eq!(omit(r#"{"a":{{x}}}"#), "{}");
    assert_eq!(omit(r#"{"a":"{{nothing}}","b":{{nothing}},"c":[{{x}},{{y}}]}"#), r#"{"c":[]}"#);
    assert_eq!(omit(r#"{"a":{{x}}{{#if yes}},"b":{{x}},"c":3{{/if}}}"#), r#"{"c":3}"#);
    assert_eq!(omit("{{x}}"), "null");
    assert_eq!(omit(r#""{{x}}""#), r#""""#);
    assert_eq!(omit(r#"{"a, {b": {{x}}, "c": ",]}{{x}}"}"#), r#"{ "c": ",]}"}"#);
    let list = r#"[{{#each this}}{{this}}{{#unless @last}},{{/unless}}{{/each}}]"#;
    let over = |event| body(ContentType::Json, list, event, Unresolved::Omit);
    assert_eq!(over("[null,1,null,null,2,null]"), "[1,2]");
    assert_eq!(over("[null,null]"), "[]");
    let first = r#"[{{#each this}}{{#unless @first}},{{/unless}}{{this}}{{/each}}]"#;
    assert_eq!(body(ContentType::Json, first, "[null,1,null,2,null]", Unresolved::Omit), "[1,2]");
}

#[test]
fn omit_in_queries_forms_and_headers() {
    let omit = |template: &str| url(template, EVENT, Unresolved::Omit);
    assert_eq!(
        omit("https://x/p?a={{x}}&b={{n}}&c={{nothing}}#f"),
        "https://x/p?b=9007199254740993#f"
    );
    assert_eq!(omit("https://x/p?a={{x}}"), "https://x/p");
    assert_eq!(omit("https://x/p?a={{x}}-&b=1"), "https://x/p?a=-&b=1");
    assert_eq!(omit("https://x/{{x}}?y=1{{#if yes}}&z={{x}}{{/if}}"), "https://x/?y=1");
    assert_eq!(omit("https://x/p{{#if yes}}?a={{x}}&b=2{{/if}}"), "https://x/p?b=2");
    assert_eq!(omit("https://x/p?a={{x}}{{#if yes}}1{{/if}}"), "https://x/p?a=1");
    let form =
        body(ContentType::Form, "a={{x}}&b=1&c={{nothing}}&d={{x}}#", EVENT, Unresolved::Omit);
    assert_eq!(form, "b=1&d=#");
    let rendered = render(&Place::Header, " {{x}} ", EVENT, Unresolved::Omit).unwrap();
    assert!(rendered.omitted);
    assert!(!render(&Place::Header, "a{{x}}", EVENT, Unresolved::Omit).unwrap().omitted);
    assert!(!render(&Place::Header, "{{x}}", EVENT, Unresolved::Empty).unwrap().omitted);
    assert_eq!(header("{{x}}", EVENT, Unresolved::Literal), "{{x}}");
    assert_eq!(url("https://x/{{x.y}}", EVENT, Unresolved::Literal), "https://x/%7B%7Bx.y%7D%7D");
}

#[test]
fn paths_reach_everything_and_a_bare_name_is_a_path() {
    assert_eq!(
        json("[{{user.a.1}},{{user/b}},{{[user].[s]}},{{dots.a.b}},{{dots.[a.b]}}]"),
        r#"[2e3,1,"x\ny",7,7]"#
    );
    let event = r#"{"upper": "u", "date": {"x": 1}, "this-one": 3, "Größe": "L"}"#;
    assert_eq!(
        body(
            ContentType::Json,
            "[{{upper}},{{date.x}},{{this-one}},{{Größe}}]",
            event,
            Unresolved::Fail
        ),
        r#"["u",1,3,"L"]"#
    );
    assert_eq!(body(ContentType::Json, "{{a}}", r#"{"a":1,"a":2}"#, Unresolved::Fail), "2");
}

#[test]
fn blocks_and_their_scopes() {
    let text = |template: &str| body(ContentType::Text, template, EVENT, Unresolved::Empty);
    assert_eq!(
        text("{{#if tags}}y{{else}}n{{/if}}{{#if none}}y{{else}}n{{/if}}{{#if user}}y{{/if}}"),
        "yny"
    );
    assert_eq!(text("{{#if x}}a{{else if no}}b{{else if yes}}c{{else}}d{{/if}}"), "c");
    assert_eq!(text("{{#if x}}a{{else if no}}b{{else}}d{{/if}}"), "d");
    assert_eq!(text("{{#unless x}}a{{else}}b{{/unless}}"), "a");
    assert_eq!(
        text("{{#each tags}}{{@index}}{{this}}{{@first}}{{@last}};{{/each}}"),
        "0viptruefalse;1newfalsetrue;"
    );
    assert_eq!(text("{{#each user}}{{@key}}={{this}} {{/each}}"), "b=1 a=[1.0,2e3] s=x\ny ");
    assert_eq!(
        text("{{#each tags as |tag at|}}{{at}}{{tag}}{{../n}}{{/each}}"),
        "0vip90071992547409931new9007199254740993"
    );
    assert_eq!(
        text("{{#each none}}x{{else}}nobody{{/each}}{{#each x}}x{{else}}!{{/each}}"),
        "nobody!"
    );
    assert_eq!(
        text("{{#with user}}{{b}}{{@root.n}}{{#each a}}{{../b}}{{/each}}{{else}}?{{/with}}"),
        "1900719925474099311"
    );
    assert_eq!(
        text("{{#with (upper name)}}{{this}}{{/with}}{{#with x}}?{{else}}-{{/with}}"),
        "O'NEIL \"BOB\" <B@X>\n-"
    );
    assert_eq!(
        text("{{#each tags}}{{#each ../tags}}{{@../index}}{{@index}} {{/each}}{{/each}}"),
        "00 01 10 11 "
    );
    assert_eq!(text("{{#each (split \"a-b\" \"-\")}}[{{this}}]{{/each}}"), "[a][b]");
    assert_eq!(text("a{{! no }}b{{!-- {{no}} --}}c \\{{d}} {{~n}}"), "abc {{d}}9007199254740993");
    assert_eq!(
        text("{{antar.event_id}} {{#each tags}}{{antar.attributes.channel}}{{/each}}"),
        "evt_1 wawa"
    );
}

#[test]
fn secrets_are_markers_until_they_are_put_in() {
    let template = compile(
        &Place::Body(ContentType::Json),
        r#"{"k": {{antar.secret.api_key}}, "h": "Bearer {{antar.secret.token}}"}"#,
    );
    assert_eq!(template.secrets(), ["api_key", "token"]);
    let rendered = support::run(&template, EVENT, Unresolved::Fail).unwrap();
    assert_eq!(rendered.masked(), r#"{"k": "•••", "h": "Bearer •••"}"#);
    let sent = resolve(&rendered.pieces, |name| Some(format!("{name}\"x"))).unwrap();
    assert_eq!(sent, r#"{"k": "api_key\"x", "h": "Bearer token\"x"}"#);
    assert_eq!(resolve(&rendered.pieces, |_| None).unwrap_err().name, "api_key");
    let stored = serde_json::to_string(&rendered.pieces).unwrap();
    assert!(
        stored.starts_with(r#"["{\"k\": ",{"secret":"api_key","escape":"json_value"},"#),
        "{stored}"
    );
    assert_eq!(serde_json::from_str::<Vec<Piece>>(&stored).unwrap(), rendered.pieces);
}

#[test]
fn secrets_in_urls_and_headers() {
    let place = Place::Url { hosts_allowed: Vec::new() };
    let put = |place: &Place, template: &str, value: &str| {
        let rendered = render(place, template, EVENT, Unresolved::Fail).unwrap();
        resolve(&rendered.pieces, |_| Some(value.to_owned())).unwrap()
    };
    assert_eq!(put(&place, " {{antar.secret.hook}} ", "https://h/x?y=1\n"), "https://h/x?y=1");
    assert_eq!(
        put(&place, "https://h/{{antar.secret.k}}/p?t={{antar.secret.k}}", "a/b&c"),
        "https://h/a%2Fb%26c/p?t=a%2Fb%26c"
    );
    assert_eq!(put(&Place::Header, "Bearer {{antar.secret.k}}", "x\r\ny: z"), "Bearer x y: z");
    assert!(
        error(&place, "https://{{antar.secret.k}}/x")
            .detail
            .contains("secret can't stand in the host")
    );
    assert!(error(&place, "{{antar.secret.k}}/x").detail.contains("scheme"));
    assert!(error(&Place::Header, "{{hash antar.secret.k}}").detail.contains("no helper"));
    assert!(
        error(&Place::Header, "{{#if antar.secret.k}}a{{/if}}")
            .detail
            .contains("no helper or block")
    );
}

#[test]
fn the_attempt_is_for_headers() {
    let template = compile(&Place::Header, "{{antar.attempt}}");
    assert!(template.uses_attempt());
    assert_eq!(header("try {{antar.attempt}}", EVENT, Unresolved::Fail), "try 3");
    assert!(!compile(&Place::Header, "{{n}}").uses_attempt());
    assert!(error(&Place::Body(ContentType::Json), "{{antar.attempt}}").detail.contains("header"));
}

#[test]
fn limits_end_every_rendering() {
    let compile = |source: &str, limits: Limits| {
        Template::compile(source, &Place::Body(ContentType::Text), &limits).unwrap()
    };
    let render =
        |template: &Template| support::run(template, EVENT, Unresolved::Empty).unwrap_err();
    let limits = Limits { output_bytes_max: 10, ..Limits::default() };
    assert_eq!(render(&compile("{{user}}", limits.clone())), RenderError::TooLong { limit: 10 });
    assert_eq!(
        render(&compile("{{#if (replace name \"O\" name)}}{{/if}}", limits)),
        RenderError::TooLong { limit: 10 }
    );
    let limits = Limits { turns_max: 3, ..Limits::default() };
    let loops = "{{#each tags}}{{#each ../tags}}{{/each}}{{/each}}";
    assert_eq!(render(&compile(loops, limits)), RenderError::TooManyTurns { limit: 3 });
    let limits = Limits { work_max: 50, ..Limits::default() };
    assert_eq!(
        render(&compile("{{hash (hash (hash name))}}", limits)),
        RenderError::TooMuchWork { limit: 50 }
    );
    let limits = Limits { source_bytes_max: 3, tags_max: 1, ..Limits::default() };
    let place = Place::Body(ContentType::Text);
    assert!(Template::compile("{{a}}", &place, &limits).unwrap_err()[0].detail.contains("3 bytes"));
    let limits = Limits { source_bytes_max: 99, ..limits };
    assert!(
        Template::compile("{{a}}{{b}}", &place, &limits).unwrap_err()[0].detail.contains("1 tags")
    );
}

#[test]
fn the_content_type_is_what_the_header_says_or_the_text_looks_like() {
    let of = ContentType::of;
    assert_eq!(of(Some("application/vnd.api+json; charset=utf-8"), "x"), ContentType::Json);
    assert_eq!(of(Some("Application/X-WWW-Form-Urlencoded"), "{"), ContentType::Form);
    assert_eq!(of(Some("text/html"), "{"), ContentType::Html);
    assert_eq!(of(Some("application/soap+xml"), "{"), ContentType::Xml);
    assert_eq!(of(Some("text/markdown; charset=utf-8"), "{"), ContentType::Text);
    assert_eq!(of(Some(" "), "{"), ContentType::Json);
    for unknown in [
        "application/x-ndjson",
        "application/jsonl",
        "application/json-seq",
        "application/json5",
        "application/graphql",
        "application/javascript",
        "text/javascript",
        "application/yaml",
        "text/yaml",
        "text/csv",
        "multipart/form-data; boundary=x",
        "{{type}}+json",
        "application/json, text/csv",
    ] {
        assert_eq!(of(Some(unknown), "{"), ContentType::Unknown, "{unknown}");
    }
    for json in [
        " {\"a\": 1}",
        "[1]",
        "{{a}}",
        " {{ upper a }}\n",
        "{{#if a}}{\"b\":1}{{/if}}",
        "{{! c }}[]",
        "{{{a}}}",
    ] {
        assert_eq!(of(None, json), ContentType::Json, "{json}");
    }
    for text in ["", "a", "{{a}} {{b}}", "{{#if a}}x{{/if}}", "{{a", "{{a}}!", "\"{{a}}\""] {
        assert_eq!(of(None, text), ContentType::Text, "{text}");
    }
}

#[test]
fn a_helper_tells_what_the_event_made_it_do() {
    let place = Place::Body(ContentType::Text);
    let event = r#"{"zone": "Mars/Base", "by": "md5", "n": -1, "at": "2026-01-01"}"#;
    for (template, detail) in [
        ("{{date at \"iso\" zone}}", "knows no time zone \"Mars/Base\""),
        ("{{hash at by}}", "knows sha1, sha256, sha512, not \"md5\""),
        ("{{truncate at n}}", "whole number"),
        ("{{split at (trim \" \")}}", "not empty"),
    ] {
        let failed = render(&place, template, event, Unresolved::Empty).unwrap_err().to_string();
        assert!(failed.starts_with(template) && failed.contains(detail), "{failed}");
    }
}

#[test]
fn what_a_helper_cannot_read_is_unresolved() {
    let event = r#"{"bad": "n/a", "list": [1], "none": null}"#;
    let template = r#"[{{date bad}}, {{number bad}}, {{phone bad}}, {{upper list}}, {{join x}}, {{upper none}}]"#;
    let place = Place::Body(ContentType::Json);
    let rendered = render(&place, template, event, Unresolved::Empty).unwrap();
    assert_eq!(rendered.masked(), "[null, null, null, null, null, null]");
    assert_eq!(
        rendered.unresolved,
        ["{{date bad}}", "{{number bad}}", "{{phone bad}}", "{{upper list}}", "{{join x}}"]
    );
}

#[test]
fn a_missing_operand_is_not_unresolved() {
    let template = "{{#if a}}{{/if}}{{#unless a}}{{/unless}}{{#each a}}{{/each}}{{#with a}}{{/with}}{{default a 1}}{{eq a 2}}{{not a}}";
    let rendered =
        render(&Place::Body(ContentType::Text), template, "{}", Unresolved::Fail).unwrap();
    assert_eq!((rendered.masked().as_str(), rendered.unresolved.len()), ("1falsetrue", 0));
}

#[test]
fn a_template_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(&Place::Header, "{{a}}"));
}
