//! Verification of a request's signature or secret, written from the documents of the schemes as a
//! receiver's author would, without the signer's code.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// Largest difference of a timestamp from now, the same as in the Standard Webhooks libraries.
const TOLERANCE_S: u64 = 300;

/// A secret or public key of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Name for people; empty if none was given.
    name: String,
    text: String,
}

/// A header that holds an HMAC of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HmacHeader {
    name: String,
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// How, and with which secret.
    Verified(String),
    NotVerified(String),
    /// The request contains no signature or secret.
    NoSignature,
}

/// Parses `SECRET` or `NAME=SECRET`. A base64 text may end with `=` and is not a name then.
pub(super) fn known(text: &str) -> Result<Known, String> {
    let named = text.split_once('=').filter(|(name, secret)| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        plain && !name.is_empty() && !secret.trim_matches('=').is_empty()
    });
    let (name, secret) = named.unwrap_or(("", text));
    if secret.is_empty() {
        return Err("is empty".to_owned());
    }
    let known = Known { name: name.to_owned(), text: secret.to_owned() };
    if secret.starts_with("whpk_") && known.public_key().is_none() {
        return Err("after whpk_ comes a public key: 32 bytes in base64".to_owned());
    }
    if secret.starts_with("whsec_") && known.bytes().is_none() {
        return Err("after whsec_ comes base64".to_owned());
    }
    Ok(known)
}

/// Parses `HEADER` or `HEADER:PREFIX`.
pub(super) fn hmac_header(text: &str) -> Result<HmacHeader, String> {
    let (name, prefix) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err("is HEADER or HEADER:PREFIX, such as X-Signature:sha256=".to_owned());
    }
    Ok(HmacHeader { name: name.to_owned(), prefix: prefix.to_owned() })
}

impl Known {
    /// Key for v1: the base64 after `whsec_`.
    fn bytes(&self) -> Option<Vec<u8>> {
        let text = self.text.strip_prefix("whsec_").unwrap_or(&self.text);
        BASE64_STANDARD.decode(text).ok()
    }

    /// Key for v1a: the given public key, or that of the secret.
    fn public_key(&self) -> Option<VerifyingKey> {
        if let Some(text) = self.text.strip_prefix("whpk_") {
            let bytes: [u8; 32] = BASE64_STANDARD.decode(text).ok()?.try_into().ok()?;
            return VerifyingKey::from_bytes(&bytes).ok();
        }
        let bytes = self.bytes()?;
        Some(SigningKey::from_bytes(bytes.first_chunk::<32>()?).verifying_key())
    }

    fn with(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!(", with the secret of {}", self.name)
        }
    }
}

/// Checks all kinds of proof: Standard Webhooks, HMACs, secrets sent as they are. One valid proof
/// is enough; invalid ones beside it are reported.
pub(super) fn verify(
    headers: &[(String, String)],
    body: &[u8],
    secrets: &[Known],
    hmacs: &[HmacHeader],
    now_s: u64,
) -> Verdict {
    let mut results: Vec<_> = standard(headers, body, secrets, now_s).into_iter().collect();
    results.extend(hmacs.iter().filter_map(|hmac| plain_hmac(headers, body, secrets, hmac)));
    results.extend(secret_itself(headers, secrets).map(Ok));
    let (proofs, failures): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let proofs: Vec<String> = proofs.into_iter().flatten().collect();
    let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    match (proofs.is_empty(), failures.is_empty()) {
        (true, true) => Verdict::NoSignature,
        (true, false) => Verdict::NotVerified(failures.join("; ")),
        (false, true) => Verdict::Verified(proofs.join("; ")),
        (false, false) => {
            Verdict::Verified(format!("{}; but {}", proofs.join("; "), failures.join("; ")))
        }
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// https://www.standardwebhooks.com: `{id}.{timestamp}.{body}`, signatures separated by spaces.
fn standard(
    headers: &[(String, String)],
    body: &[u8],
    secrets: &[Known],
    now_s: u64,
) -> Option<Result<String, String>> {
    let signatures = header(headers, "webhook-signature")?;
    let (Some(id), Some(timestamp)) =
        (header(headers, "webhook-id"), header(headers, "webhook-timestamp"))
    else {
        return Some(Err("webhook-signature without webhook-id or webhook-timestamp".to_owned()));
    };
    if secrets.is_empty() {
        return Some(Err("webhook-signature is there; give the secret with --secret".to_owned()));
    }
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    for known in secrets {
        let signatures = signatures.split_ascii_whitespace();
        let right: Vec<_> =
            signatures.filter_map(|signature| matches(signature, known, &message)).collect();
        if right.is_empty() {
            continue;
        }
        let near = timestamp.parse::<u64>().is_ok_and(|time| time.abs_diff(now_s) <= TOLERANCE_S);
        return Some(if near {
            Ok(format!("Standard Webhooks {}{}", right.join(" and "), known.with()))
        } else {
            Err(format!(
                "the signature is right, but webhook-timestamp {timestamp} is more than 5 minutes off"
            ))
        });
    }
    Some(Err("webhook-signature matches no secret that is known".to_owned()))
}

/// The version of a valid signature.
fn matches(signature: &str, known: &Known, message: &[u8]) -> Option<&'static str> {
    let (version, text) = signature.split_once(',')?;
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    match version {
        "v1" => check::<Hmac<Sha256>>(&known.bytes()?, message, &bytes).then_some("v1"),
        "v1a" => {
            let signature = Signature::from_slice(&bytes).ok()?;
            known.public_key()?.verify_strict(message, &signature).ok().map(|()| "v1a")
        }
        _ => None,
    }
}

fn plain_hmac(
    headers: &[(String, String)],
    body: &[u8],
    secrets: &[Known],
    HmacHeader { name, prefix }: &HmacHeader,
) -> Option<Result<String, String>> {
    let value = header(headers, name)?;
    let Some(value) = value.strip_prefix(prefix.as_str()) else {
        return Some(Err(format!("{name} does not begin with {prefix}")));
    };
    let proof = secrets.iter().find_map(|known| {
        let algorithm = hmac_of(value, known.text.as_bytes(), body)?;
        Some(format!("{name} is the HMAC-{algorithm} of the body{}", known.with()))
    });
    Some(proof.ok_or_else(|| format!("{name} is no HMAC of the body with a secret that is known")))
}

/// The algorithm of a valid HMAC, determined by its length.
fn hmac_of(value: &str, key: &[u8], body: &[u8]) -> Option<&'static str> {
    for bytes in [hex::decode(value).ok(), BASE64_STANDARD.decode(value).ok()].into_iter().flatten()
    {
        let (right, algorithm) = match bytes.len() {
            20 => (check::<Hmac<Sha1>>(key, body, &bytes), "SHA1"),
            32 => (check::<Hmac<Sha256>>(key, body, &bytes), "SHA256"),
            64 => (check::<Hmac<Sha512>>(key, body, &bytes), "SHA512"),
            _ => continue,
        };
        if right {
            return Some(algorithm);
        }
    }
    None
}

fn check<M: Mac + KeyInit>(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    <M as KeyInit>::new_from_slice(key)
        .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
}

/// Finds a header whose value is a secret, alone, as a bearer token, or as a password.
fn secret_itself(headers: &[(String, String)], secrets: &[Known]) -> Option<String> {
    let password = |value: &str| {
        let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        pair.split_once(':').map(|(_, password)| password.to_owned())
    };
    headers.iter().find_map(|(name, value)| {
        let bare = value.strip_prefix("Bearer ").unwrap_or(value);
        let password = password(value);
        let known = secrets
            .iter()
            .find(|known| known.text == bare || password.as_ref() == Some(&known.text))?;
        Some(format!("{name} carries the secret{}", known.with()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of the Standard Webhooks libraries.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SENT_S: u64 = 1_649_367_553;

    fn standard_headers(signature: &str) -> Vec<(String, String)> {
        [
            ("Webhook-Id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            ("webhook-timestamp", "1649367553"),
            ("webhook-signature", signature),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn verdict(signature: &str, secret: &str, now_s: u64) -> Verdict {
        verify(&standard_headers(signature), BODY, &[known(secret).unwrap()], &[], now_s)
    }

    #[test]
    fn standard_webhooks_vector() {
        let right = "v1,AAAA v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        let verified = Verdict::Verified("Standard Webhooks v1, with the secret of crm".to_owned());
        assert_eq!(verdict(right, &format!("crm={SECRET}"), SENT_S + 299), verified);
        let Verdict::NotVerified(why) = verdict(right, SECRET, SENT_S + 301) else { panic!() };
        assert!(why.contains("5 minutes off"), "{why}");
        assert!(matches!(
            verdict(&right.replace('K', "L"), SECRET, SENT_S),
            Verdict::NotVerified(_)
        ));
        assert!(matches!(verdict(right, "whsec_AAAA", SENT_S), Verdict::NotVerified(_)));
    }

    #[test]
    fn ed25519_with_the_public_key_alone() {
        use ed25519_dalek::Signer;
        let key = SigningKey::from_bytes(&[7; 32]);
        let message = [b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk.1649367553.".as_slice(), BODY].concat();
        let signature = format!("v1a,{}", BASE64_STANDARD.encode(key.sign(&message).to_bytes()));
        let public = format!("whpk_{}", BASE64_STANDARD.encode(key.verifying_key().as_bytes()));
        let secret = format!("whsec_{}", BASE64_STANDARD.encode([7; 32]));
        for known in [public, secret] {
            assert_eq!(
                verdict(&signature, &known, SENT_S),
                Verdict::Verified("Standard Webhooks v1a".to_owned())
            );
        }
        let other = format!(
            "whpk_{}",
            BASE64_STANDARD.encode(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes())
        );
        assert!(matches!(verdict(&signature, &other, SENT_S), Verdict::NotVerified(_)));
    }

    /// RFC 4231, test case 2: key "Jefe", "what do ya want for nothing?".
    #[test]
    fn an_hmac_in_a_header_of_choice() {
        let hex_text = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = b"what do ya want for nothing?";
        let secrets = [known("jefe=Jefe").unwrap()];
        let ask = |value: &str, header: &str| {
            let headers = [("x-signature".to_owned(), value.to_owned())];
            verify(&headers, body, &secrets, &[hmac_header(header).unwrap()], 0)
        };
        let verified = |name| {
            Verdict::Verified(format!(
                "{name} is the HMAC-SHA256 of the body, with the secret of jefe"
            ))
        };
        assert_eq!(
            ask(&format!("sha256={hex_text}"), "X-Signature:sha256="),
            verified("X-Signature")
        );
        assert_eq!(ask(hex_text, "X-Signature"), verified("X-Signature"));
        let base64 = BASE64_STANDARD.encode(hex::decode(hex_text).unwrap());
        assert_eq!(ask(&base64, "X-Signature"), verified("X-Signature"));
        assert!(matches!(ask(hex_text, "X-Signature:sha256="), Verdict::NotVerified(_)));
        assert!(matches!(ask(&hex_text.replace('5', "6"), "X-Signature"), Verdict::NotVerified(_)));
        assert_eq!(ask(hex_text, "X-Other"), Verdict::NoSignature);
    }

    #[test]
    fn one_proof_is_enough_and_what_fails_beside_it_is_told() {
        let mut headers = standard_headers("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        headers.push(("x-sig".to_owned(), "00".to_owned()));
        let hmacs = [hmac_header("x-sig").unwrap()];
        let verdict = verify(&headers, BODY, &[known(SECRET).unwrap()], &hmacs, SENT_S);
        let how =
            "Standard Webhooks v1; but x-sig is no HMAC of the body with a secret that is known";
        assert_eq!(verdict, Verdict::Verified(how.to_owned()));
    }

    #[test]
    fn the_secret_itself_is_a_proof() {
        let ask = |name: &str, value: &str| {
            verify(&[(name.to_owned(), value.to_owned())], b"", &[known("s3cret").unwrap()], &[], 0)
        };
        let basic = format!("Basic {}", BASE64_STANDARD.encode("user:s3cret"));
        for (name, value) in
            [("x-key", "s3cret"), ("authorization", "Bearer s3cret"), ("authorization", &basic)]
        {
            assert_eq!(ask(name, value), Verdict::Verified(format!("{name} carries the secret")));
        }
        assert_eq!(ask("x-key", "s3cret2"), Verdict::NoSignature);
    }

    #[test]
    fn secrets_are_told_from_names() {
        let of = |text| known(text).map(|k| (k.name, k.text)).unwrap();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(of(SECRET), pair("", SECRET));
        assert_eq!(of("a/b=s=c"), pair("a/b", "s=c"));
        assert_eq!(of("Zm9v=="), pair("", "Zm9v=="));
        assert!(known("whsec_***").is_err() && known("whpk_AAAA").is_err() && known("").is_err());
    }
}
