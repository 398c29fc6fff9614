use super::*;

fn parsed(text: &str) -> (Vec<Resource>, Vec<String>) {
    let (mut resources, mut misread) = (Vec::new(), Vec::new());
    parse("m.yaml", text, Path::new("folder"), "default", &mut resources, &mut misread);
    (resources, misread.iter().map(ToString::to_string).collect())
}

fn one(text: &str) -> Resource {
    let (mut resources, misread) = parsed(text);
    assert_eq!(misread, Vec::<String>::new());
    resources.remove(0)
}

#[test]
fn a_webhook_gets_its_tenant_and_its_defaults() {
    let resource = one("kind: webhook\nname: crm\nevent_types: ['*']\nurl: https://a.example/\n");
    assert_eq!((resource.kind, resource.tenant.as_deref()), (Kind::Webhook, Some("default")));
    let Content::Spec { spec, secret_from: None } = resource.content else { panic!() };
    assert_eq!(spec["method"], "POST");
    assert_eq!(spec.get("rule"), None, "what says nothing is not written");
    assert_eq!(spec.get("kind").or(spec.get("tenant")), None);
}

#[test]
fn values_come_from_elsewhere() {
    let secret = one("kind: secret\nname: token\ntenant: acme\nvalue_from: {env: TOKEN}\n");
    assert_eq!(secret.content, Content::Secret(ValueFrom::Variable("TOKEN".to_owned())));
    assert_eq!(secret.tenant.as_deref(), Some("acme"));
    let plugin = one("kind: plugin\nname: by-label\nfile: by-label.wasm\n");
    assert_eq!(plugin.content, Content::Plugin(PathBuf::from("folder/by-label.wasm")));
    let webhook = one(
        "kind: webhook\nname: a\nevent_types: []\nurl: https://a.example\nsecret_from: {file: s}\n",
    );
    let Content::Spec { secret_from, .. } = webhook.content else { panic!() };
    assert_eq!(secret_from, Some(ValueFrom::File(PathBuf::from("folder/s"))));
}

#[test]
fn a_value_loses_one_line_end() {
    let file = std::env::temp_dir().join(format!("antar-value-{}", std::process::id()));
    std::fs::write(&file, "s3cret\r\n").unwrap();
    assert_eq!(ValueFrom::File(file.clone()).read().unwrap(), "s3cret");
    std::fs::write(&file, "\n").unwrap();
    assert!(ValueFrom::File(file.clone()).read().is_err());
    std::fs::remove_file(file).unwrap();
    let error = ValueFrom::Variable("ANTAR_NO_SUCH_VARIABLE".to_owned()).read().unwrap_err();
    assert!(error.to_string().contains("ANTAR_NO_SUCH_VARIABLE"));
}

#[test]
fn the_operators_event_types_have_no_tenant() {
    assert_eq!(one("kind: event_type\ntenant: null\nname: a.b\n").tenant, None);
    assert_eq!(one("kind: event_type\nname: a.b\n").tenant.as_deref(), Some("default"));
    assert_eq!(one("kind: profile\nname: a\npayload: [{rest: data}]\n").tenant, None);
}

#[test]
fn what_is_wrong_is_found_with_line_and_document() {
    let (resources, misread) = parsed(
        "kind: tenant\nname: a\n---\nkind: webhook\nname: b\nevent_types: ['*']\nurll: x\n---\nkind: web\nname: c\n---\n- a\n",
    );
    assert_eq!(resources.len(), 1);
    assert!(misread[0].starts_with("m.yaml:7 (document 2): unknown field `urll`"), "{misread:?}");
    assert!(misread[1].starts_with("m.yaml:9 (document 3): `web` is no kind"), "{misread:?}");
    assert!(misread[2].starts_with("m.yaml:12 (document 4): a document is a map"), "{misread:?}");
}

#[test]
fn an_error_deep_inside_is_found() {
    let (_, misread) = parsed(
        "kind: webhook\nname: b\nevent_types: ['*']\nurl: x\nretry:\n  jitter: 0\n  attempts_max: many\n",
    );
    assert!(
        misread[0].starts_with("m.yaml:7 (document 1): invalid type: string \"many\""),
        "{misread:?}"
    );
    let (_, misread) = parsed("kind: webhook\nname: b\nevent_types:\n  - a\n  - 'b c'\nurl: x\n");
    assert!(misread[0].starts_with("m.yaml:5 (document 1): "), "{misread:?}");
    let (_, misread) = parsed(
        "kind: webhook\nname: b\nevent_types: []\nurl: x\nsigners:\n  - kind: secret\n    key: a\n",
    );
    assert!(misread[0].starts_with("m.yaml:6 (document 1): missing field `header`"), "{misread:?}");
    let (_, misread) = parsed("kind: webhook\nname: b\nevent_types: []\n");
    assert!(misread[0].starts_with("m.yaml:1 (document 1): missing field `url`"), "{misread:?}");
}

#[test]
fn secrets_do_not_stand_in_manifests() {
    let (_, misread) =
        parsed("kind: webhook\nname: b\nevent_types: []\nurl: x\nsecret: whsec_AA==\n");
    assert!(misread[0].contains("secret_from") && misread[0].contains(":5 "), "{misread:?}");
    let (_, misread) = parsed("kind: secret\nname: b\nvalue: x\n");
    assert!(misread[0].contains("`value` is not known here"), "{misread:?}");
}

#[test]
fn all_examples_are_read() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let (mut resources, mut misread) = (Vec::new(), Vec::new());
    for folder in ["examples/platforms", "examples/crm", "examples/manifests"] {
        read(&root.join(folder), "default", &mut resources, &mut misread).unwrap();
    }
    assert_eq!(misread.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    let count = |kind| resources.iter().filter(|resource| resource.kind == kind).count();
    assert_eq!(count(Kind::Profile), 5);
    assert!(count(Kind::Webhook) >= 18, "{}", count(Kind::Webhook));
}
