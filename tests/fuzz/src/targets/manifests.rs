use crate::dice::Dice;
use crate::grow;

const FILES: &[&str] = &[
    "kind: webhook\nname: a\nevent_types: [\"conversation.*\"]\nurl: https://crm.example/x\nheaders: {X-A: \"1\"}\nbody: |-\n  {\n   \"a\": 1}\nsigners:\n  - kind: bearer\n---\nkind: secret\nname: t\nvalue_from: {env: TOKEN}\n",
    "kind: tenant\nname: acme\n---\nkind: event_type\ntenant: null\nname: a.b\nschema: {type: object}\n---\n# nothing\n---\nkind: source\nname: s\nevent_type: a.b\nattributes: {yes: no}\n",
    "kind: profile\nname: p\npayload:\n  - {key: type, value: type}\n  - rest: data\nretry: {schedule_s: [5, 1.5e3, 0x10], jitter: 0.1}\n",
    include_str!("../../../../examples/crm/hubspot.yaml"),
];

pub(super) fn corpus() -> Vec<Vec<u8>> {
    FILES.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// YAML with anchors, flows and blocks in any nesting; JSON is YAML, too.
pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..=dice.count(6) {
        text.push_str(&format!(
            "kind: {}\n",
            dice.pick(&["webhook", "tenant", "source", "secret", "profile", "plugin", "x"])
        ));
        text.push_str(&format!(
            "name: {}\n",
            dice.pick(&["a", "a", "&n b", "*n", "[1]", "'q'", "\"\\x41\""])
        ));
        for _ in 0..dice.count(40) {
            let name = dice.pick(&["url", "rule", "headers", "body", "? a", "<<", "\"k\"", "n"]);
            let value = match dice.below(7) {
                0 => format!("&a{} {}", dice.below(9), grow::json::scalar(dice)),
                1 => format!("[{}]", vec!["*a1"; dice.count(50)].join(", ")),
                2 => format!("|\n  {}\n", "text\n  ".repeat(dice.count(100))),
                3 => "[".repeat(dice.count(300)),
                4 => format!("\n{}- x", " ".repeat(dice.count(200))),
                _ => grow::json::document(dice),
            };
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push_str(dice.pick(&["---\n", "...\n---\n", "--- # c\n", "\n"]));
    }
    text.into_bytes()
}

/// A manifest is taken or refused document by document, with a line of the file.
pub(super) fn read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (_, misread) = antar::cli::check_manifest(&text);
    assert!(misread.iter().all(|wrong| wrong.starts_with("manifest:")), "{misread:?}");
}
