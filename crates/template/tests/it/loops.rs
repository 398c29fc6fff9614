//! Tests paths through blocks, and separators between the turns of a loop.

use antar_template::{ContentType, Limits, Place, Template, Unresolved};

use crate::support::{body, compile, render, url};

#[test]
fn variables_are_paths_from_the_root_with_their_places() {
    let source = "https://x/{{user.id}}?n={{default user.nick\n user.name}}&{{#each items as |item|}}{{item.sku}}{{../n}}{{#if ok}}1{{/if}}{{/each}}{{antar.tenant}}";
    let template = compile(&Place::Url { hosts_allowed: Vec::new() }, &source.replace('\n', ""));
    let found: Vec<_> = template.variables().into_iter().map(|v| (v.path, v.scalar_only)).collect();
    let expected = [
        ("user.id", true),
        ("user.nick", true),
        ("user.name", true),
        ("items", false),
        ("items[].sku", true),
        ("n", true),
        ("items[].ok", false),
    ];
    let expected: Vec<_> = expected.map(|(path, scalar)| (path.to_owned(), scalar)).into();
    assert_eq!(found, expected);
    let template = compile(&Place::Body(ContentType::Text), "é\n {{upper  user.name}}");
    let variable = &template.variables()[0];
    assert_eq!((variable.line, variable.column, variable.token.as_str()), (2, 11, "user.name"));
}

#[test]
fn steps_tell_keys_with_dots_from_members() {
    let source = r#"{{data.[x.y]}}{{data.x.y}}{{this}}{{#each rows}}{{[a b].c}}{{/each}}{{join items key="k.l"}}"#;
    let template = compile(&Place::Body(ContentType::Text), source);
    let found: Vec<_> = template.variables().into_iter().map(|v| (v.path, v.steps)).collect();
    let expected: [(&str, &[&str]); 7] = [
        ("data.x.y", &["data", "x.y"]),
        ("data.x.y", &["data", "x", "y"]),
        ("", &[]),
        ("rows", &["rows"]),
        ("rows[].a b.c", &["rows", "[]", "a b", "c"]),
        ("items", &["items"]),
        ("items[].k.l", &["items", "[]", "k.l"]),
    ];
    let owned = |steps: &[&str]| steps.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected: Vec<_> =
        expected.iter().map(|(path, steps)| ((*path).to_owned(), owned(steps))).collect();
    assert_eq!(found, expected);
}

#[test]
fn only_what_can_be_placed_has_to_be_scalar() {
    let source = "https://x/{{#if a}}{{/if}}{{#unless b}}{{/unless}}{{#each c}}{{/each}}{{#with d}}{{/with}}{{lookup e \"k\"}}{{and f g}}{{upper (default h i)}}{{default j k}}";
    let template = compile(&Place::Url { hosts_allowed: Vec::new() }, source);
    let scalar = |v: &antar_template::Variable| v.scalar_only;
    let found: Vec<_> = template.variables().into_iter().filter(scalar).map(|v| v.path).collect();
    assert_eq!(found, ["e.k", "g", "j", "k"]);
    // The value that `default` chooses is written into the URL, which can't contain an object.
    let place = Place::Url { hosts_allowed: Vec::new() };
    let sent = |source: &str| render(&place, source, r#"{"o": {"a": 1}}"#, Unresolved::Empty);
    assert!(sent("https://x/{{default o \"x\"}}").is_err());
    assert_eq!(sent("https://x/{{and o \"x\"}}").unwrap().masked(), "https://x/x");
}

#[test]
fn variables_resolve_blocks_and_constant_keys() {
    let source = r#"{{#with user}}{{#each ../items}}{{sku}}{{../name}}{{@root.firm}}{{#each this.rows as |row|}}{{row.id}}{{this}}{{/each}}{{/each}}{{/with}}
{{#with (lookup a b)}}{{hidden}}{{@root.seen}}{{/with}}{{lookup user "email"}} {{join items "," key="sku"}}{{default "name" name}}{{upper upper}}{{eq a a}}"#;
    let template = compile(&Place::Body(ContentType::Text), source);
    let found: Vec<_> = template
        .variables()
        .into_iter()
        .map(|v| {
            let line = source.lines().nth(v.line - 1).unwrap();
            assert!(line[v.column - 1..].starts_with(&v.token), "{v:?}");
            (v.path, v.token, v.line, v.relative)
        })
        .collect();
    let expected = [
        ("user", "user", 1, false),
        ("items", "../items", 1, false),
        ("items[].sku", "sku", 1, true),
        ("user.name", "../name", 1, true),
        ("firm", "@root.firm", 1, false),
        ("items[].rows", "this.rows", 1, true),
        ("items[].rows[].id", "row.id", 1, true),
        ("items[].rows[]", "this", 1, true),
        ("a", "a", 2, false),
        ("b", "b", 2, false),
        ("seen", "@root.seen", 2, false),
        ("user", "user", 2, false),
        ("user.email", "{{lookup user \"email\"}}", 2, false),
        ("items", "items", 2, false),
        ("items[].sku", "{{join items \",\" key=\"sku\"}}", 2, false),
        ("name", "name", 2, false),
        ("upper", "upper", 2, false),
        ("a", "a", 2, false),
        ("a", "a", 2, false),
    ];
    let expected: Vec<_> = expected
        .map(|(path, token, line, relative)| (path.to_owned(), token.to_owned(), line, relative))
        .into();
    assert_eq!(found, expected);
}

#[test]
fn join_stands_between_the_turns_that_wrote() {
    let omit =
        |template: &str, event: &str| body(ContentType::Json, template, event, Unresolved::Omit);
    let list =
        r#"[0{{#if a}},{{#each a join=","}}{{#if this}}{{this}},{{../x}}{{/if}}{{/each}}{{/if}}]"#;
    assert!(Template::compile(list, &Place::Body(ContentType::Json), &Limits::default()).is_err());
    let filtered =
        r#"[{{#each this join=","}}{{#unless (eq this 0)}}{{this}}{{/unless}}{{/each}}]"#;
    for (event, sent) in [
        ("[0,0]", "[]"),
        ("[0,1,0,2,0]", "[1,2]"),
        ("[null,1,0,null,2]", "[1,2]"),
        ("[null,0,null]", "[]"),
        ("[1,null]", "[1]"),
        ("[0,null,0,3]", "[3]"),
    ] {
        assert_eq!(omit(filtered, event), sent, "{event}");
    }
    let nested = r#"{{#each this join=";"}}{{#each this join=","}}{{this}}{{/each}}{{/each}}"#;
    let text = |event| body(ContentType::Text, nested, event, Unresolved::Empty);
    assert_eq!(text("[[],[1,\"\",2],[\"\"],[3]]"), "1,2;3");
    let after = r#"[{{#each this join=","}}{{this}}{{else}}9{{/each}},{{x}},5]"#;
    assert!(Template::compile(after, &Place::Body(ContentType::Json), &Limits::default()).is_ok());
    assert_eq!(omit(after, "[null,1]"), "[1,5]");
    assert_eq!(omit(after, "[null]"), "[5]");
    let secret = r#"[{{#each this join=","}}{{#if this}}"{{antar.secret.s}}"{{/if}}{{/each}}]"#;
    assert_eq!(omit(secret, "[0,1,1]"), r#"["•••","•••"]"#);
    let query = "https://x/?{{#each this join=\"&\"}}a={{this}}{{/each}}#f";
    assert_eq!(url(query, "[null,1,null,2]", Unresolved::Omit), "https://x/?a=1&a=2#f");
    assert_eq!(url(query, "[null]", Unresolved::Omit), "https://x/#f");
}
