//! Sign stage: computes the signature and authentication headers of a request. Values in, headers out.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::model::{
    Algorithm, DeliveryId, Encoding, EventId, Millis, Secret, Signer, StandardVersion,
};

/// The values that signatures cover.
#[derive(Clone, Copy)]
pub struct SignInput<'a> {
    pub event_id: &'a EventId,
    /// The event's `attributes.source`, empty if it has none.
    pub source: &'a str,
    pub delivery_id: DeliveryId,
    /// The time of the attempt.
    pub now: Millis,
    pub body: &'a [u8],
}

/// The secrets available to a webhook's signers.
pub struct Keys<'a> {
    pub main: &'a Secret,
    /// The secret before the last rotation, while it is still valid.
    pub previous: Option<&'a Secret>,
    pub named: &'a dyn Fn(&str) -> Option<Secret>,
}

/// A header made by a signer.
#[derive(Clone, Debug)]
pub struct SignedHeader<'a> {
    pub name: &'a str,
    pub value: String,
    /// The value is, or contains, a secret and must be masked.
    pub secret: bool,
}

/// Why a request can't be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    #[error("a signer names the secret `{0}`, and there is none of this name; put it")]
    NoSecret(String),
    #[error("the secret `{0}` is no base64 after `whsec_`, as Standard Webhooks wants it")]
    NotBase64(String),
    #[error("the secret `{0}` has fewer than the 32 bytes that Ed25519 needs")]
    TooShort(String),
}

/// Computes the headers of all `signers`, in order. Several `standard` signers share one set of headers.
pub fn sign<'a>(
    signers: &'a [Signer],
    keys: &Keys<'_>,
    input: SignInput<'_>,
) -> Result<Vec<SignedHeader<'a>>, CannotSign> {
    let mut headers: Vec<SignedHeader<'a>> = Vec::with_capacity(4);
    for signer in signers {
        let secret = keys.get(signer.key())?;
        let (name, value, secret): (&str, _, _) = match signer {
            Signer::Standard { version, key } => {
                standard(&mut headers, *version, key, keys, input)?;
                continue;
            }
            Signer::Hmac { header, algorithm, encoding, prefix, over, .. } => {
                let message = message(over, input);
                let mac = mac(*algorithm, secret.reveal().as_bytes(), &[&message]);
                let value = match encoding {
                    Encoding::Hex => hex::encode(mac),
                    Encoding::Base64 => BASE64_STANDARD.encode(mac),
                };
                (header, format!("{prefix}{value}"), false)
            }
            Signer::Secret { header, .. } => (header, secret.reveal().to_owned(), true),
            Signer::Bearer { .. } => ("authorization", format!("Bearer {}", secret.reveal()), true),
            Signer::Basic { username, .. } => {
                let pair = BASE64_STANDARD.encode(format!("{username}:{}", secret.reveal()));
                ("authorization", format!("Basic {pair}"), true)
            }
        };
        headers.push(SignedHeader { name, value, secret });
    }
    Ok(headers)
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Result<Secret, CannotSign> {
        match key {
            "main" => Ok(self.main.clone()),
            name => (self.named)(name).ok_or_else(|| CannotSign::NoSecret(name.to_owned())),
        }
    }
}

/// Standard Webhooks: signs `{id}.{timestamp}.{body}`; after a rotation with both secrets.
fn standard(
    headers: &mut Vec<SignedHeader<'_>>,
    version: StandardVersion,
    key: &str,
    keys: &Keys<'_>,
    input: SignInput<'_>,
) -> Result<(), CannotSign> {
    let seconds = input.now.seconds().to_string();
    let id = message_id(input.event_id, input.source);
    let message = [id.as_bytes(), b".", seconds.as_bytes(), b".", input.body];
    let current = keys.get(key)?;
    // A previous secret may predate a change of signers and not fit this scheme; it is skipped.
    let previous = keys.previous.filter(|secret| key == "main" && is_standard(secret, version));
    let mut signatures = String::with_capacity(96);
    for secret in [Some(&current), previous].into_iter().flatten() {
        let bytes = standard_key(secret).ok_or_else(|| CannotSign::NotBase64(key.to_owned()))?;
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        match version {
            StandardVersion::V1 => {
                signatures.push_str("v1,");
                let mac = mac(Algorithm::Sha256, &bytes, &message);
                BASE64_STANDARD.encode_string(mac, &mut signatures);
            }
            StandardVersion::V1a => {
                signatures.push_str("v1a,");
                let key = ed25519(&bytes).ok_or_else(|| CannotSign::TooShort(key.to_owned()))?;
                let signature = key.sign(&message.concat()).to_bytes();
                BASE64_STANDARD.encode_string(signature, &mut signatures);
            }
        }
    }
    if let Some(known) = headers.iter_mut().find(|header| header.name == "webhook-signature") {
        known.value = format!("{} {signatures}", known.value);
        return Ok(());
    }
    let values = [
        ("webhook-id", id.into_owned()),
        ("webhook-timestamp", seconds),
        ("webhook-signature", signatures),
    ];
    headers.extend(values.map(|(name, value)| SignedHeader { name, value, secret: false }));
    Ok(())
}

/// The value of `webhook-id`: the event's id where that has the form of a header and no source, else one made of
/// both. Receivers drop what has an id that they know, and an id is unique in its source only.
fn message_id<'a>(id: &'a EventId, source: &str) -> Cow<'a, str> {
    const LENGTH_MAX: usize = 128;
    const DIGEST_BYTES: usize = 8;
    let id = id.as_str();
    let fits = |id: &str| {
        id.len() <= LENGTH_MAX
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:.-".contains(&b))
    };
    if source.is_empty() && fits(id) {
        return Cow::Borrowed(id);
    }
    let digest = Sha256::new().chain_update(source).chain_update("\n").chain_update(id).finalize();
    let readable = format!("{id}.{}", hex::encode(&digest[..DIGEST_BYTES]));
    if fits(&readable) { readable } else { format!("evt_{}", hex::encode(digest)) }.into()
}

/// The bytes of a Standard Webhooks secret: base64 after `whsec_` (or `whsk_`).
#[must_use]
pub fn standard_key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.reveal();
    let text = text.strip_prefix("whsec_").or_else(|| text.strip_prefix("whsk_")).unwrap_or(text);
    BASE64_STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// Whether a secret can make signatures of this version.
#[must_use]
pub fn is_standard(secret: &Secret, version: StandardVersion) -> bool {
    let bytes = standard_key(secret);
    bytes.is_some_and(|bytes| version == StandardVersion::V1 || ed25519(&bytes).is_some())
}

fn ed25519(bytes: &[u8]) -> Option<SigningKey> {
    // 32 bytes of seed; a public key may follow.
    bytes.first_chunk::<32>().map(SigningKey::from_bytes)
}

/// `whpk_` and the base64 of the public key that verifies this secret's v1a signatures.
#[must_use]
pub fn public_key(secret: &Secret) -> Option<String> {
    let key = ed25519(&standard_key(secret)?)?;
    Some(format!("whpk_{}", BASE64_STANDARD.encode(key.verifying_key().as_bytes())))
}

/// Fills in the placeholders of `over`. Anything else, unknown placeholders included, is copied.
fn message(over: &str, input: SignInput<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(over.len() + input.body.len());
    let mut rest = over;
    while let Some(at) = rest.find('{') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        match &rest[..end] {
            "{body}" => out.extend_from_slice(input.body),
            "{timestamp}" => out.extend_from_slice(input.now.seconds().to_string().as_bytes()),
            "{id}" => out.extend_from_slice(input.event_id.as_str().as_bytes()),
            "{delivery_id}" => out.extend_from_slice(input.delivery_id.to_string().as_bytes()),
            other => out.extend_from_slice(other.as_bytes()),
        }
        rest = &rest[end..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The HMAC of the concatenated parts of a message. Uses ring, which is fast even on processors without
/// SHA instructions.
fn mac(algorithm: Algorithm, key: &[u8], message: &[&[u8]]) -> hmac::Tag {
    let algorithm = match algorithm {
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    message.iter().for_each(|part| context.update(part));
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(signers: &str, secret: &str, body: &str) -> Vec<(String, String)> {
        let signers: Vec<Signer> = serde_json::from_str(signers).unwrap();
        let main = Secret::new(secret.to_owned());
        let id = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".parse().unwrap();
        let keys = Keys { main: &main, previous: None, named: &|_| None };
        let input = SignInput {
            event_id: &id,
            source: "",
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            now: Millis(1_649_367_553_000),
            body: body.as_bytes(),
        };
        let signed = sign(&signers, &keys, input).unwrap();
        signed.into_iter().map(|header| (header.name.to_owned(), header.value)).collect()
    }

    /// The test vector of the Standard Webhooks libraries.
    #[test]
    fn standard_webhooks_vector() {
        let body = r#"{"email":"test@example.com","username":"test_user"}"#;
        let signed =
            headers(r#"[{"kind":"standard"}]"#, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", body);
        let signature = &signed[2];
        assert_eq!(signature.0, "webhook-signature");
        assert_eq!(signature.1, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        assert_eq!(signed[1], ("webhook-timestamp".to_owned(), "1649367553".to_owned()));
    }

    /// RFC 4231 test case 2 and RFC 2202's for SHA-1.
    #[test]
    fn hmac_vectors() {
        let sign = |algorithm: &str| {
            let signer = format!(
                r#"[{{"kind":"hmac","header":"X-S","algorithm":"{algorithm}","prefix":"p="}}]"#
            );
            headers(&signer, "Jefe", "what do ya want for nothing?")[0].1.clone()
        };
        assert_eq!(
            sign("sha256"),
            "p=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(sign("sha1"), "p=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    #[test]
    fn mixes_of_placeholders() {
        let signer = r#"[{"kind":"secret","header":"X-Key"},{"kind":"basic","username":"u"}]"#;
        let signed = headers(signer, "s", "");
        assert_eq!(signed[0], ("X-Key".to_owned(), "s".to_owned()));
        assert_eq!(signed[1], ("authorization".to_owned(), "Basic dTpz".to_owned()));
        let id = "e1".parse().unwrap();
        let input = SignInput {
            event_id: &id,
            source: "",
            delivery_id: DeliveryId(uuid::Uuid::nil()),
            now: Millis(9_000),
            body: b"{}",
        };
        assert_eq!(message("{timestamp}.{id}.{body}{x}", input), b"9.e1.{}{x}");
    }

    #[test]
    fn ids_of_messages_have_the_form_of_a_header_and_differ_by_source() {
        let of = |id: &str, source| message_id(&id.parse().unwrap(), source).into_owned();
        assert_eq!(of("order:1.a_b-c", ""), "order:1.a_b-c");
        let long = "x".repeat(128);
        assert_eq!(of(&long, ""), long);
        let mut seen = std::collections::HashSet::new();
        let ids = ["A1", "a/b", "50%", "größe", "a b", &long, &"y".repeat(256)];
        for (id, source) in ids.into_iter().flat_map(|id| ["", "/crm", "/shop"].map(|s| (id, s))) {
            let made = of(id, source);
            assert_eq!(made, of(id, source), "it is stable");
            assert!(made.len() <= 128 && made.bytes().all(|b| b.is_ascii_graphic()), "{made}");
            assert!(!made.contains(['/', '%']) && seen.insert(made));
        }
        assert!(of("A1", "/crm").starts_with("A1."));
    }

    #[test]
    fn a_v1a_signature_verifies_with_the_shown_key() {
        use ed25519_dalek::{Signature, VerifyingKey};
        let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        let signed =
            headers(r#"[{"kind":"standard","version":"v1a"},{"kind":"standard"}]"#, secret, "{}");
        let (v1a, v1) = signed[2].1.split_once(' ').unwrap();
        assert!(v1.starts_with("v1,"));
        let key = public_key(&Secret::new(secret.to_owned())).unwrap();
        let key = BASE64_STANDARD.decode(key.strip_prefix("whpk_").unwrap()).unwrap();
        let key = VerifyingKey::from_bytes(key.first_chunk().unwrap()).unwrap();
        let signature = BASE64_STANDARD.decode(v1a.strip_prefix("v1a,").unwrap()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        let message = b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.{}";
        assert!(key.verify_strict(message, &signature).is_ok());
    }
}
