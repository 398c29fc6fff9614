//! Checks that every cause refuses a template, with position, token and advice.

use antar_template::{Cause, ContentType, Limits, Place, Template};

/// One refused template for each cause: J(SON), T(ext), U(RL), F(orm), H(TML), X(ML), or an unknown type.
const REFUSED: &[(Cause, char, &str)] = &[
    (Cause::TagNotClosed, 'T', "a {{b"),
    (Cause::EmptyTag, 'T', "{{}}"),
    (Cause::Unreadable, 'T', "{{b..}}"),
    (Cause::Unsupported, 'T', "{{> footer}}"),
    (Cause::BlockNotClosed, 'T', "{{#if a}}x"),
    (Cause::CloseWithoutBlock, 'T', "x{{/if}}"),
    (Cause::WrongClose, 'T', "{{#if a}}x{{/each}}"),
    (Cause::ElseOutside, 'T', "{{else}}"),
    (Cause::SecondElse, 'T', "{{#if a}}{{else}}{{else}}{{/if}}"),
    (Cause::ElseName, 'T', "{{elsewhere}}"),
    (Cause::UnknownHelper, 'T', "{{uper a}}"),
    (Cause::UnknownBlock, 'T', "{{#user}}{{/user}}"),
    (Cause::UnknownOption, 'T', "{{join a sep=\"-\"}}"),
    (Cause::BlockAsTag, 'T', "{{if a b}}"),
    (Cause::BlockArguments, 'T', "{{#if a b}}{{/if}}"),
    (Cause::ArgumentCount, 'T', "{{upper a b}}"),
    (Cause::ArgumentValue, 'T', "{{hash a \"md5\"}}"),
    (Cause::JoinOutsideEach, 'T', "{{#if a join=\",\"}}{{/if}}"),
    (Cause::JoinNotConstant, 'T', "{{#each a join=b}}{{/each}}"),
    (Cause::JoinWithBrackets, 'J', "[[{{#each a join=\"],[\"}}{{this}}{{/each}}]]"),
    (Cause::AboveRoot, 'T', "{{../b}}"),
    (Cause::UnknownLocal, 'T', "{{#each a}}{{@odd}}{{/each}}"),
    (Cause::OutsideEach, 'T', "{{@index}}"),
    (Cause::NothingBelow, 'T', "{{#each a}}{{@key.b}}{{/each}}"),
    (Cause::UnknownMeta, 'T', "{{antar.evnt_id}}"),
    (Cause::AttemptOutsideHeader, 'T', "{{antar.attempt}}"),
    (Cause::SecretName, 'T', "{{antar.secret}}"),
    (Cause::SecretRead, 'T', "{{upper antar.secret.a}}"),
    (Cause::ListInUrlOrHeader, 'U', "https://a/{{split b \",\"}}"),
    (
        Cause::NeverReached,
        'T',
        "{{#each a}}{{#if @first}}{{#unless @first}}x{{/unless}}{{/if}}{{/each}}",
    ),
    (
        Cause::TwoMeanings,
        'J',
        "[{{#each a}}{{#if @first}}1{{else}},\"{{/if}},{{#if @first}}2{{else}}\"{{/if}}{{/each}}]",
    ),
    (Cause::DifferentDepths, 'J', "[{{#each a}}[{{/each}}]"),
    (Cause::DifferentStates, 'J', "[{{#if a}}\"{{else}}2{{/if}}]"),
    (Cause::NotJson, 'J', "<a>"),
    (Cause::TrailingComma, 'J', "[{{a}},]"),
    (Cause::MissingComma, 'J', "[{{#each a}}{{this}}{{/each}}]"),
    (Cause::MissingColon, 'J', "{\"a\" {{b}} }"),
    (Cause::KeyWithoutQuotes, 'J', "{ {{a}}: 1 }"),
    (Cause::ControlInString, 'J', "[\"a\nb\"]"),
    (Cause::TagAfterBackslash, 'J', "[\"\\\\{{b}}\"]"),
    (Cause::TagInNumber, 'J', "[1{{b}}]"),
    (Cause::TagInWord, 'J', "[nu{{b}}]"),
    (Cause::NoValue, 'J', "{{#if a}}1{{/if}}"),
    (Cause::EndsInString, 'J', "[\"a"),
    (Cause::EndsInBrackets, 'J', "[1"),
    (Cause::EndsInValue, 'J', "nul"),
    (Cause::UrlScheme, 'U', "ftp://a"),
    (Cause::UrlCharacter, 'U', "https://a/b c"),
    (Cause::TagInScheme, 'U', "{{a}}/b"),
    (Cause::TagInHost, 'U', "https://{{a}}.example/"),
    (Cause::SecretInHost, 'U', "https://{{antar.secret.a}}/"),
    (Cause::SchemeInBranch, 'U', "{{#if a}}https://b{{/if}}"),
    (Cause::TagInMarkupTag, 'H', "<a href={{b}}>"),
    (Cause::TagInComment, 'H', "<!-- {{b}} -->"),
    (Cause::TagInCdata, 'H', "<![CDATA[{{b}}]]>"),
    (Cause::TagInScript, 'H', "<script>{{b}}</script>"),
    (Cause::EndsInMarkup, 'H', "<a b=\"{{c}}>"),
    (Cause::ContentTypeUnknown, '?', "{\"a\": {{b}} }"),
    (Cause::NotXml, 'X', "<a b>"),
    (Cause::OutsideRootElement, 'X', "{\"a\": 1}"),
    (Cause::NoRootElement, 'X', "<!-- a -->"),
    (Cause::EndTagMismatch, 'X', "<a></b>"),
    (Cause::EndsInElement, 'X', "<a>{{b}}"),
    (Cause::MarkupReference, 'X', "<a>b & c</a>"),
    (Cause::AttributeTwice, 'X', "<a b='1' {{#each c}}d='{{this}}' {{/each}}/>"),
    (Cause::FormCharacter, 'F', "{\"a\": {{b}} }"),
    (Cause::PercentUnfinished, 'F', "a=1%{{b}}"),
    (Cause::DotSegment, 'U', "https://a/b/../{{c}}"),
    (Cause::NoHost, 'U', "https:///{{c}}"),
];

/// Causes that need a long template.
fn large() -> Vec<(Cause, char, String)> {
    let nested = format!(
        "{}1{}",
        "[{{#each this}}".repeat(20),
        "{{#unless @last}},{{/unless}}{{/each}}]".repeat(20)
    );
    vec![
        (Cause::SourceTooLong, 'T', "a".repeat(70_000)),
        (Cause::TooManyTags, 'T', "{{a}}".repeat(2_001)),
        (Cause::TagTooDeep, 'T', format!("{{{{a {}", "(a ".repeat(50))),
        (Cause::BlocksTooDeep, 'T', "{{#if a}}".repeat(33)),
        (Cause::ProofTooLarge, 'J', nested),
        (Cause::MarkupTooDeep, 'X', "<a>".repeat(40)),
        (Cause::JsonTooDeep, 'J', format!("{}1{}", "[".repeat(40), "]".repeat(40))),
    ]
}

#[test]
fn every_cause_is_produced_and_every_error_is_complete() {
    let mut produced = Vec::new();
    let small = REFUSED.iter().map(|(cause, place, text)| (*cause, *place, (*text).to_owned()));
    for (cause, place, source) in small.chain(large()) {
        let place = match place {
            'J' => Place::Body(ContentType::Json),
            'F' => Place::Body(ContentType::Form),
            'H' => Place::Body(ContentType::Html),
            'X' => Place::Body(ContentType::Xml),
            '?' => Place::Body(ContentType::Unknown),
            'U' => Place::Url { hosts_allowed: Vec::new() },
            _ => Place::Body(ContentType::Text),
        };
        let errors = Template::compile(&source, &place, &Limits::default()).unwrap_err();
        let error = &errors[0];
        assert_eq!(error.cause, cause, "{source:.80}: {error}");
        let line = source.lines().nth(error.line - 1).unwrap();
        assert!(error.column <= line.chars().count() + 1, "{source:.80}: {error}");
        assert!(
            !error.token.is_empty() && source.contains(&error.token),
            "{source:.80}: {error:?}"
        );
        assert!(error.suggestion.as_ref().is_some_and(|text| !text.is_empty()), "{source:.80}");
        produced.push(cause);
    }
    for cause in Cause::ALL {
        assert!(produced.contains(cause), "{cause:?} is never produced");
    }
}
