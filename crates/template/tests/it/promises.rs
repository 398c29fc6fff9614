//! Properties that must hold for every template that compiles and every event.

use antar_json::Document;
use antar_template::{ContentType, Limits, Place, RenderError, Template, Unresolved, resolve};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::support::{body, compile, header, run};

const POLICIES: [Unresolved; 4] =
    [Unresolved::Literal, Unresolved::Empty, Unresolved::Omit, Unresolved::Fail];

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Text that reveals wrong escaping.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        proptest::sample::select(vec![
            "\"",
            "\\",
            "\r\n",
            "\u{0}",
            "\u{7f}",
            "\u{2028}",
            "{{a}}",
            "}}",
            "],",
            "\",\"x\":1",
            "&x=1",
            "?",
            "#",
            "/",
            "..",
            ".",
            "%2e",
            "@evil.example",
            ":",
            "<b>",
            "]]>",
            "-->",
            "'",
            "X-Evil: 1",
            "😀",
            "\\u0000",
        ])
        .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e15f64..1e15).prop_map(Json::from),
        Just(Json::from(0)),
        nasty().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec!["a", "b", "c", "list", "name"]).prop_map(String::from),
        nasty()
    ]
}

/// An object that often contains the usual keys.
fn event() -> impl Strategy<Value = Json> {
    let member = (proptest::sample::select(vec!["a", "b", "c", "list", "name"]), value());
    proptest::collection::vec(member, 0..6).prop_map(|members| {
        Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

/// A JSON value as a template: mostly valid, with holes, branches and loops wherever JSON allows them, and
/// now and then a piece that breaks it.
fn json_template() -> impl Strategy<Value = String> {
    let path = || {
        proptest::sample::select(vec![
            "a", "b", "c", "list", "name", "this", "a.b", "list.0", "../a", "x",
        ])
    };
    let hole = path().prop_flat_map(|path| {
        proptest::sample::select(vec![
            "{{P}}",
            "{{{P}}}",
            "{{&P}}",
            "{{json P}}",
            "{{default P null}}",
            "{{upper P}}",
            "{{split P \",\"}}",
            "{{or P \"\\\"\"}}",
            "{{eq P 1}}",
            "{{~P~}}",
        ])
        .prop_map(move |tag| tag.replace('P', path))
    });
    let text = || {
        proptest::sample::select(vec![
            "x",
            "",
            "\\\"",
            "{{a}}",
            "{{list}}",
            "{{#if a}}y{{/if}}",
            "\\u00e9",
            "{{#each list}}{{this}},{{/each}}",
            " ",
            ",",
            "]",
            "{{! c }}",
            "\\\\\\{{name}}",
        ])
    };
    let string = (text(), text()).prop_map(|(one, two)| format!("\"{one}{two}\""));
    let leaf = prop_oneof![
        4 => hole,
        2 => string,
        2 => proptest::sample::select(vec!["1", "-0.5e3", "true", "null", "[]", "{}"]).prop_map(String::from),
        1 => proptest::sample::select(vec!["", ",", "1{{a}}", "\"", "}", "0{{#if a}}1{{/if}}"]).prop_map(String::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let comma = proptest::sample::select(vec![",", " ,\n ", "{{#if a}},{{/if}}", ""]);
        let member = (
            proptest::sample::select(vec!["\"k\"", "\"{{name}}\"", "\"a{{x}}\"", "\"\\\"\""]),
            inner.clone(),
        )
            .prop_map(|(key, value)| format!("{key}: {value}"));
        let guard = proptest::sample::select(vec![
            ("", "{{#unless @last}},{{/unless}}"),
            ("{{#unless @first}}, {{/unless}}", ""),
            ("{{#if @first}}{{else}},{{/if}}", ""),
            ("", "{{#if (not @last)}},{{/if}}"),
            ("", ","),
            ("", ""),
            ("1,", ""),
            ("", "{{#if @index}},{{/if}}"),
        ]);
        let block = proptest::sample::select(vec![
            ("{{#if a}}", "{{/if}}"),
            ("{{#unless b}}", "{{/unless}}"),
            ("{{#if a}}", "{{else}}null{{/if}}"),
            ("{{#if x}}1{{else if b}}", "{{else}}2{{/if}}"),
            ("{{#with a}}", "{{else}}0{{/with}}"),
            ("{{#with a}}", "{{/with}}"),
            ("{{#unless x}}", "{{else}}[]{{/unless}}"),
        ]);
        let open_member = (block.clone(), member.clone())
            .prop_map(|((open, close), member)| format!("{open},{member}{close}"));
        prop_oneof![
            (inner.clone(), comma.clone(), inner.clone())
                .prop_map(|(a, c, b)| format!("[{a}{c}{b}]")),
            (member.clone(), open_member).prop_map(|(a, b)| format!("{{{a}{b} }}")),
            (member.clone(), comma, member.clone()).prop_map(|(a, c, b)| format!("{{{a}{c}{b} }}")),
            (block, inner.clone())
                .prop_map(|((open, close), inner)| format!("{open}{inner}{close}")),
            (guard.clone(), inner.clone()).prop_map(|((before, after), inner)| {
                format!("[{{{{#each list}}}}{before}{inner}{after}{{{{/each}}}}]")
            }),
            (guard, member).prop_map(|((before, after), member)| {
                format!("{{ {{{{#each list}}}}{before}{member}{after}{{{{/each}}}}}}")
            }),
        ]
    })
}

/// Pieces of JSON in any order inside branches and loops: templates that compile by luck must be right too.
fn blind_template() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "1",
        "1",
        ",",
        ",",
        "[",
        "]",
        "\"",
        "{{this}}",
        "{{a}}",
        "{{#unless @last}},{{/unless}}",
        "{{#unless @first}},{{/unless}}",
    ]);
    let item = piece.prop_map(String::from).prop_recursive(2, 10, 3, |inner| {
        let conditions = vec!["@first", "@last", "(not @last)", "(and @first @last)", "(or @first @last)", "@index", "a"];
        let sequence = || proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| items.concat());
        prop_oneof![
            3 => (proptest::sample::select(conditions), sequence(), sequence())
                .prop_map(|(condition, then, otherwise)| format!("{{{{#if {condition}}}}}{then}{{{{else}}}}{otherwise}{{{{/if}}}}")),
            1 => sequence().prop_map(|body| format!("[{{{{#each ../list}}}}{body}{{{{/each}}}}]")),
        ]
    });
    proptest::collection::vec(item, 1..4)
        .prop_map(|items| format!("[{{{{#each list}}}}{}{{{{/each}}}}]", items.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..config() })]

    #[test]
    fn whatever_compiles_by_luck_renders_to_json(template in blind_template()) {
        let place = Place::Body(ContentType::Json);
        if let Ok(compiled) = Template::compile(&template, &place, &Limits::default()) {
            for list in ["[]", "[1]", "[null]", "[0,2]", "[null,\"\"]", "[1,null,3]", "[1,2,3,4]"] {
                for a in ["null", "1"] {
                    for policy in [Unresolved::Literal, Unresolved::Omit] {
                        let event = format!("{{\"list\": {list}, \"a\": {a}}}");
                        let text = run(&compiled, &event, policy).unwrap().masked();
                        prop_assert!(serde_json::from_str::<Json>(&text).is_ok(), "{policy:?} {template}\n{event}\n{text}");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_json_template_that_compiles_renders_to_json(template in json_template(), event in event()) {
        let place = Place::Body(ContentType::Json);
        if let Ok(compiled) = Template::compile(&template, &place, &Limits::default()) {
            for policy in POLICIES {
                match run(&compiled, &event.to_string(), policy) {
                    Ok(rendered) => {
                        let text = rendered.masked();
                        let parsed = serde_json::from_str::<Json>(&text);
                        prop_assert!(parsed.is_ok(), "{policy:?} {template}\n{event}\n{text}");
                    }
                    Err(RenderError::Unresolved { .. }) => prop_assert_eq!(policy, Unresolved::Fail),
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
        }
    }

    #[test]
    fn json_carries_every_value_unchanged(value in value(), text in nasty()) {
        // Parse the same text again, as serde_json does not read back every float it wrote.
        let event = serde_json::json!({"v": value, "t": text});
        let value = serde_json::from_str::<Json>(&value.to_string()).unwrap();
        let template = r#"{"v": {{v}}, "in": "<{{t}}>", "lone": "{{t}}", "{{t}}!": [{{json t}}]}"#;
        for policy in POLICIES {
            let sent: Json = serde_json::from_str(&body(ContentType::Json, template, &event.to_string(), policy)).unwrap();
            prop_assert_eq!(sent.get("v").unwrap_or(&Json::Null), &value);
            prop_assert_eq!(&sent["in"], &Json::from(format!("<{text}>")));
            prop_assert_eq!(&sent["lone"], &Json::from(text.clone()));
            prop_assert_eq!(&sent[&format!("{text}!")], &serde_json::json!([text]));
            prop_assert_eq!(sent.as_object().unwrap().len(), if value.is_null() && policy == Unresolved::Omit { 3 } else { 4 });
        }
    }

    #[test]
    fn omit_leaves_out_what_is_null_and_nothing_else(event in event()) {
        let template = r#"{"a":{{a}},"b":"{{b}}","in":{"c": {{c}} },
            "list":[{{#each list}}{{#if @index}},{{/if}}{{this}}{{/each}}], "text": "<{{x}}>", "x":{{x}}}"#;
        let sent = body(ContentType::Json, template, &event.to_string(), Unresolved::Omit);
        let sent: Json = serde_json::from_str(&sent).unwrap();
        let event: Json = serde_json::from_str(&event.to_string()).unwrap();
        let present = |key: &str| event.get(key).filter(|value| !value.is_null());
        let list: Vec<Json> = match present("list") {
            Some(Json::Array(list)) => list.clone(),
            Some(Json::Object(members)) => members.values().cloned().collect(),
            _ => Vec::new(),
        };
        prop_assert_eq!(sent.get("a"), present("a"));
        prop_assert_eq!(sent.get("b").is_some(), present("b").is_some());
        prop_assert_eq!(sent["in"].get("c"), present("c"));
        prop_assert_eq!(&sent["list"], &Json::from(list.into_iter().filter(|value| !value.is_null()).collect::<Vec<_>>()));
        prop_assert_eq!((&sent["text"], sent.get("x")), (&Json::from("<>"), None));
    }

    #[test]
    fn json_strings_carry_compact_json(value in value()) {
        let event = serde_json::json!({"v": value}).to_string();
        let sent = body(ContentType::Json, r#""{{v}}.""#, &event, Unresolved::Empty);
        let inner: String = serde_json::from_str(&sent).unwrap();
        if value.is_array() || value.is_object() {
            let posted: Document = event.parse().unwrap();
            prop_assert_eq!(inner, format!("{}.", posted.root().get("v").unwrap().raw()));
        }
    }

    #[test]
    fn a_header_is_always_one_line(value in value(), secret in nasty()) {
        let event = serde_json::json!({"v": value}).to_string();
        for policy in POLICIES {
            let template = compile(&Place::Header, "a {{v}} {{missing}}{{default v \"\\u000d\\u000ax: y\"}}\r\n {{antar.secret.s}}");
            if let Ok(rendered) = run(&template, &event, policy) {
                let line = resolve(&rendered.pieces, |_| Some(secret.clone())).unwrap();
                prop_assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn a_url_keeps_scheme_host_and_parts(one in nasty(), two in nasty(), secret in nasty()) {
        let event = serde_json::json!({"a": one, "b": two}).to_string();
        let place = Place::Url { hosts_allowed: Vec::new() };
        let template = compile(&place, "https://crm.example:8443/c/{{a}}/x{{b}}?q={{a}}&{{b}}={{missing}}&s={{antar.secret.s}}#{{b}}");
        for policy in POLICIES {
            let Ok(rendered) = run(&template, &event, policy) else { continue };
            let text = resolve(&rendered.pieces, |_| Some(secret.clone())).unwrap();
            let parsed = url::Url::parse(&text).unwrap();
            prop_assert_eq!((parsed.scheme(), parsed.host_str(), parsed.port()), ("https", Some("crm.example"), Some(8443)));
            prop_assert_eq!((parsed.username(), parsed.password()), ("", None));
            let segments: Vec<_> = parsed.path_segments().unwrap().collect();
            prop_assert_eq!((segments.len(), segments[0]), (3, "c"));
            let pairs: Vec<_> = parsed.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs.first(), Some(&("q".to_owned(), one.clone())));
            prop_assert_eq!(pairs.last(), Some(&("s".to_owned(), secret.clone())));
        }
    }

    #[test]
    fn an_allowed_host_is_the_host(host in nasty()) {
        let place = Place::Url { hosts_allowed: vec!["*.crm.example".to_owned()] };
        let event = serde_json::json!({"h": host}).to_string();
        let template = compile(&place, "https://{{h}}.crm.example/x");
        if let Ok(rendered) = run(&template, &event, Unresolved::Empty) {
            let parsed = url::Url::parse(&rendered.masked()).unwrap();
            prop_assert!(parsed.host_str().unwrap().ends_with(".crm.example") && parsed.username().is_empty());
        }
    }

    #[test]
    fn forms_and_markup_keep_their_shape(text in nasty()) {
        let event = serde_json::json!({"t": text}).to_string();
        let form = body(ContentType::Form, "a={{t}}&b=1", &event, Unresolved::Literal);
        let pairs: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        prop_assert_eq!(pairs, [("a".to_owned(), text), ("b".to_owned(), "1".to_owned())]);
        let markup = body(ContentType::Html, "{{{t}}}", &event, Unresolved::Literal);
        prop_assert!(!markup.contains(['<', '>', '"', '\'', '\0']), "{}", markup);
    }

    #[test]
    fn no_text_makes_the_compiler_panic(pieces in proptest::collection::vec(
        proptest::sample::select(vec!["{{", "}}", "{{{", "}}}", "#if ", "/if", "else", "a", "(", ")", "\"", "'", "\\", "~", "^", "!", "--",
            "&", ">", "*", "@", "[", "]", "|", "as |x|", "each ", "=", ".", "..", "/", " ", "\n", "é", "1", "{", "}", ":", ",", "this", "{{#if a}}", "{{/if}}",
            "{{else}}", "{{~^~}}", "{{else if b}}", "{{#each a}}", "{{/each}}", "lookup "]), 0..14)) {
        let text = pieces.concat();
        for place in [Place::Header, Place::Body(ContentType::Json), Place::Body(ContentType::Text), Place::Url { hosts_allowed: Vec::new() }] {
            if let Ok(template) = Template::compile(&text, &place, &Limits::default()) {
                let _ = run(&template, "{\"a\": [{\"b\": 1}]}", Unresolved::Omit);
            }
            let _ = ContentType::of(None, &text);
        }
    }
}

#[test]
fn the_generator_makes_templates_of_both_kinds() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let compiles = |template: String| {
        Template::compile(&template, &Place::Body(ContentType::Json), &Limits::default()).is_ok()
    };
    let built = (0..500)
        .filter(|_| compiles(json_template().new_tree(&mut runner).unwrap().current()))
        .count();
    assert!((100..450).contains(&built), "{built} of 500 compile");
    let blind = (0..500)
        .filter(|_| compiles(blind_template().new_tree(&mut runner).unwrap().current()))
        .count();
    assert!((10..450).contains(&blind), "{blind} of 500 compile");
}

#[test]
fn the_examples_of_a_platform_with_custom_payloads() {
    let event = r#"{"event": "conversation.started", "deliveryId": "d3c5a9e8", "conversation": {"id": "abc-123",
        "botName": "My \"Bot\"", "initialMessage": "What are your\nopening times?", "userData": {"email": "a@b.example"}}}"#;
    let documented =
        r#"{ "bot": "{{conversation.botName}}", "message": "{{conversation.initialMessage}}" }"#;
    assert_eq!(
        body(ContentType::Json, documented, event, Unresolved::Literal),
        r#"{ "bot": "My \"Bot\"", "message": "What are your\nopening times?" }"#
    );
    assert_eq!(
        body(
            ContentType::Json,
            r#"{"to": "{{conversation.userData.emial}}"}"#,
            event,
            Unresolved::Literal
        ),
        r#"{"to": "{{conversation.userData.emial}}"}"#
    );
    assert_eq!(header("{{conversation.id}}", event, Unresolved::Literal), "abc-123");
    let whole = body(
        ContentType::Json,
        r#"{"raw": {{conversation.userData}}, "text": "{{conversation.userData}}"}"#,
        event,
        Unresolved::Literal,
    );
    assert_eq!(whole, r#"{"raw": {"email":"a@b.example"}, "text": "{\"email\":\"a@b.example\"}"}"#);
    let refused = run(&compile(&Place::Header, "{{conversation}}"), event, Unresolved::Literal);
    assert!(matches!(refused, Err(RenderError::NotScalar { .. })));
}
