//! Verification of received requests, written from the documents of the schemes as a receiver's
//! author would; it shares no code with the server.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret of a webhook.
#[derive(Clone)]
pub(crate) struct Secret {
    /// `TENANT/NAME`
    pub(crate) webhook: String,
    pub(crate) text: String,
}

/// Which secret the request proves, and in which header, or why none.
pub(crate) fn verify(
    headers: &[(String, String)],
    body: &[u8],
    secrets: &[Secret],
) -> Result<String, String> {
    for secret in secrets {
        let mut proofs: Vec<String> = headers
            .iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", proof(value, body, secret)?)))
            .collect();
        if standard_webhooks(headers, body, secret) {
            proofs.push("webhook-signature is Standard Webhooks".to_owned());
        }
        if !proofs.is_empty() {
            return Ok(format!("{}, with the secret of {}", proofs.join(", "), secret.webhook));
        }
    }
    Err("no header proves that the sender knows a secret of the demo".to_owned())
}

/// What a header's value proves: an HMAC of the body, or the secret itself.
fn proof(value: &str, body: &[u8], secret: &Secret) -> Option<&'static str> {
    if value == secret.text {
        return Some("is the secret");
    }
    if value.strip_prefix("Bearer ") == Some(&secret.text) {
        return Some("carries the secret");
    }
    let signature = hex::decode(value.strip_prefix("sha256=").unwrap_or(value)).ok()?;
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.text.as_bytes()).ok()?;
    hmac.update(body);
    hmac.verify_slice(&signature).ok().map(|()| "is the HMAC-SHA256 of the body")
}

/// Verifies with the official library.
fn standard_webhooks(headers: &[(String, String)], body: &[u8], secret: &Secret) -> bool {
    let map = headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("webhook-"));
    let map: Option<http::HeaderMap> =
        map.map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect();
    let webhook = standardwebhooks::Webhook::new(&secret.text).ok();
    webhook.zip(map).is_some_and(|(webhook, map)| webhook.verify(body, &map).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"Hi There";

    /// RFC 4231, test case 1, with the key as text.
    fn secret() -> Secret {
        Secret { webhook: "t/w".to_owned(), text: "\x0b".repeat(20) }
    }

    fn verdict(name: &str, value: &str) -> Result<String, String> {
        verify(&[(name.to_owned(), value.to_owned())], BODY, &[secret()])
    }

    #[test]
    fn a_signature_is_recognised_with_and_without_prefix() {
        let hex = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert!(verdict("X-Signature", hex).is_ok_and(|how| how.contains("HMAC-SHA256")));
        assert!(verdict("X-Signature", &format!("sha256={hex}")).is_ok());
        assert!(verdict("X-Signature", &hex.replace('b', "c")).is_err());
    }

    #[test]
    fn the_secret_itself_is_a_proof_and_another_is_none() {
        assert!(verdict("X-Secret", &secret().text).is_ok());
        assert!(verdict("Authorization", &format!("Bearer {}", secret().text)).is_ok());
        assert!(verdict("X-Secret", "something else").is_err());
    }
}
