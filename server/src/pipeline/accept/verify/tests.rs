//! The sources of `examples/sources/`, with calls that the providers or their libraries have signed, and with
//! forged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use super::*;
use crate::config::IntakeConfig;
use crate::model::SourceSpec;
use crate::pipeline::accept::call::Reading;

/// A signed call, and where it is from.
#[derive(Clone, Deserialize)]
struct Signed {
    secrets: BTreeMap<String, String>,
    /// Unix seconds at which it was valid; none: no time is signed.
    now: Option<i64>,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    /// Stands in the settings in place of `WEBHOOK_ID`.
    webhook_id: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sources")
}

fn example(name: &str) -> SourceSpec {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let text = text.replace("kind: source\n", "");
    let json: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let text = serde_json::to_string(&json).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names() -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        names.extend(name.strip_suffix(".yaml").map(ToOwned::to_owned));
    }
    names.sort_unstable();
    names
}

fn calls(name: &str) -> Vec<Signed> {
    let path = folder().join(format!("calls/{name}.json"));
    std::fs::read_to_string(path).map_or_else(|_| Vec::new(), |t| serde_json::from_str(&t).unwrap())
}

impl Signed {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap(),
            (None, None) => Vec::new(),
        }
    }

    fn with_body(&self, body: &str) -> Signed {
        Signed { body: Some(body.to_owned()), ..self.clone() }
    }

    fn check(&self, spec: &Verify) -> Result<(), Unmet> {
        let spec = match (&self.webhook_id, spec) {
            (Some(id), Verify::Rsa(check)) => Verify::Rsa(SignatureCheck {
                over: check.over.replace("WEBHOOK_ID", id),
                ..check.clone()
            }),
            _ => spec.clone(),
        };
        let verifier = Verifier::compile(&spec).unwrap();
        let lower = |(name, value): (&String, &String)| (name.to_ascii_lowercase(), value.clone());
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        let call = Call {
            method: self.method.clone(),
            path: String::new(),
            query: query.to_owned(),
            url: self.url.clone(),
            headers: self.headers.iter().map(lower).collect(),
            body: Bytes::from(self.body()),
        };
        let document = call.document(&Reading::default(), &IntakeConfig::default()).unwrap();
        let secret = |name: &str| self.secrets.get(name).map(|text| Secret::new(text.clone()));
        let now = Millis(self.now.unwrap_or(1_800_000_000) * 1_000);
        let caller = Caller { by_trusted_proxy: false, is_vouched_for: false };
        let steps = Steps::new(100_000);
        let context = Context { secret: &secret, now, caller, steps: &steps };
        verifier.verify(&call, &document, context)
    }
}

/// Texts that are no longer the signature.
fn broken(signature: &str) -> Vec<String> {
    let changed = |at: usize| {
        let mut text = signature.to_owned();
        let other = if text.as_bytes()[at] == b'b' { "c" } else { "b" };
        text.replace_range(at..=at, other);
        text
    };
    let middle = signature.len() / 2;
    let mut broken =
        vec![String::new(), signature.chars().rev().collect(), "0".repeat(signature.len())];
    // Of several signatures one is enough.
    let has_one = ["h1=", "v1,"].iter().all(|begins| signature.matches(begins).count() < 2);
    if has_one {
        broken.push(changed(middle));
        broken.push(changed(signature.len() / 3));
        broken.push(signature[..middle].to_owned());
        broken.push(format!("x{signature}"));
    }
    broken
}

/// Variants of a signed call that nobody has signed.
fn forged(signed: &Signed, spec: &Verify) -> Vec<Signed> {
    let mut forged = Vec::new();
    for (key, secret) in &signed.secrets {
        // Of a public key the beginning only says what kind it is.
        let at = secret.len() * 2 / 3;
        let other = if secret.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut wrong = secret.clone();
        wrong.replace_range(at..=at, other);
        for text in [wrong, String::new()] {
            let mut other = signed.clone();
            other.secrets.insert(key.clone(), text);
            forged.push(other);
        }
        let mut other = signed.clone();
        other.secrets.clear();
        forged.push(other);
    }
    let (signature, over, tolerance_s) = match spec.signature() {
        Some(check) => (check.signature.as_str(), check.over.as_str(), check.tolerance_s),
        None => ("{headers.webhook-signature}", "{timestamp}{body}", 300),
    };
    let name = signature.trim_matches(['{', '}']);
    if let Some(header) = name.strip_prefix("headers.") {
        let names = [header.to_owned(), header.replace("webhook-", "svix-")];
        let known =
            signed.headers.iter().find(|(name, _)| names.contains(&name.to_ascii_lowercase()));
        let (header, value) = known.expect(name);
        let mut without = signed.clone();
        without.headers.remove(header);
        forged.push(without);
        for text in broken(value) {
            let mut other = signed.clone();
            other.headers.insert(header.clone(), text);
            forged.push(other);
        }
    } else {
        let body = signed.body.clone().unwrap();
        let value = body.parse::<antar_json::Document>().unwrap();
        let value = value.root().at(name.trim_start_matches("body.")).unwrap();
        let value = value.as_str().unwrap().into_owned();
        forged.extend(
            broken(&value).iter().map(|text| signed.with_body(&body.replace(&value, text))),
        );
    }
    let body = String::from_utf8_lossy(&signed.body()).into_owned();
    if over.contains("{body}") || over.contains("{body_crc32}") || over.contains("{form}") {
        let end = if over.contains("{form}") { "&x=y" } else { " " };
        forged.push(signed.with_body(&format!("{body}{end}")));
        if body.len() > 1 {
            forged.push(signed.with_body(&body[..body.floor_char_boundary(body.len() / 2)]));
        }
    }
    if let Some(now) = signed.now
        && (over.contains("{timestamp}") || over.contains("-time}"))
    {
        let wait = i64::from(tolerance_s) * 3;
        for now in [now + wait, now - wait] {
            forged.push(Signed { now: Some(now), ..signed.clone() });
        }
    }
    if over.contains("{url}") {
        forged.push(Signed { url: format!("{}x", signed.url), ..signed.clone() });
    }
    if over.contains("{method}") {
        forged.push(Signed { method: "PUT".to_owned(), ..signed.clone() });
    }
    forged
}

#[test]
fn what_providers_have_signed_is_accepted_and_forged_calls_are_not() {
    let mut checked = 0;
    for name in names() {
        let Some(spec) = example(&name).verify else { continue };
        for (number, signed) in calls(&name).iter().enumerate() {
            assert_eq!(signed.check(&spec), Ok(()), "{name} {number}");
            let forged = forged(signed, &spec);
            assert!(forged.len() >= 10, "{name}: {} forged calls", forged.len());
            for (variant, call) in forged.iter().enumerate() {
                assert!(call.check(&spec).is_err(), "{name} {number}, forged {variant}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 30, "{checked} signed calls");
}

#[test]
fn secrets_that_are_sent_as_they_are() {
    let secrets: BTreeMap<String, String> = [("one", "s3cret"), ("two", "user:pa:ss")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let call = |url: &str, headers: &[(&str, &str)]| Signed {
        secrets: secrets.clone(),
        now: None,
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: Some("{}".to_owned()),
        body_base64: None,
        webhook_id: None,
    };
    let spec = |text: &str| serde_json::from_str::<Verify>(text).unwrap();
    let header = spec(r#"{"kind": "header", "header": "X-Token", "keys": ["two", "one"]}"#);
    let bearer = spec(
        r#"{"kind": "header", "header": "Authorization", "prefix": "Bearer ", "keys": ["one"]}"#,
    );
    let basic = spec(r#"{"kind": "basic", "keys": ["two"]}"#);
    let query = spec(r#"{"kind": "query", "parameter": "token", "keys": ["one"]}"#);
    let mtls = spec(r#"{"kind": "mtls", "header": "X-Verified", "value": "SUCCESS"}"#);
    let url = "https://a.example/in/1/2";
    assert!(call(url, &[("X-Token", "s3cret")]).check(&header).is_ok());
    assert!(call(url, &[("authorization", "Bearer s3cret")]).check(&bearer).is_ok());
    assert!(call(url, &[("Authorization", "basic dXNlcjpwYTpzcw==")]).check(&basic).is_ok());
    assert!(call(&format!("{url}?a=b&token=s3cret"), &[]).check(&query).is_ok());
    for (spec, headers, url) in [
        (&header, vec![("X-Token", "s3cre")], url.to_owned()),
        (&header, vec![("X-Token", "")], url.to_owned()),
        (&header, vec![("X-Token", "S3CRET")], url.to_owned()),
        (&header, vec![], format!("{url}?X-Token=s3cret")),
        (&bearer, vec![("authorization", "s3cret")], url.to_owned()),
        (&basic, vec![("authorization", "Basic dXNlcjpwYXNz")], url.to_owned()),
        (&basic, vec![("authorization", "Basic !")], url.to_owned()),
        (&query, vec![("token", "s3cret")], url.to_owned()),
        (&query, vec![], format!("{url}?token=")),
        // Nobody but a trusted proxy may say so.
        (&mtls, vec![("X-Verified", "SUCCESS")], url.to_owned()),
    ] {
        assert!(call(&url, &headers).check(spec).is_err(), "{headers:?} {url}");
    }
}

#[test]
fn settings_that_would_let_anybody_in_are_refused() {
    for (text, pointer) in [
        (r#"{"kind": "hmac", "keys": [], "signature": "{headers.x}"}"#, "/keys"),
        (r#"{"kind": "hmac", "keys": ["a"], "signature": "{headers.x"}"#, "/signature"),
        (r#"{"kind": "hmac", "keys": ["a"], "signature": "{header.x}"}"#, "/signature"),
        (r#"{"kind": "hmac", "keys": ["a"], "signature": "{key}"}"#, "/signature"),
        (
            r#"{"kind": "hmac", "keys": ["a"], "signature": "{headers.x}", "over": "{timestamp}"}"#,
            "/over",
        ),
        (
            r#"{"kind": "hash", "keys": ["a"], "signature": "{headers.x}", "over": "{body}"}"#,
            "/over",
        ),
        (r#"{"kind": "header", "keys": ["a"], "header": "a b"}"#, "/header"),
        (r#"{"kind": "mtls", "header": "X-V", "value": ""}"#, "/value"),
        (
            r#"{"kind": "hmac", "keys": ["a"], "signature": "{headers.x}", "over": "{body}{body}{body}"}"#,
            "/over",
        ),
        (r#"{"kind": "basic", "keys": ["a", "a", "a", "a", "a", "a", "a", "a", "a"]}"#, "/keys"),
    ] {
        let spec: Verify = serde_json::from_str(text).unwrap();
        let errors = Verifier::compile(&spec).err().expect(text);
        assert_eq!(errors[0].pointer, pointer, "{text}");
    }
}
