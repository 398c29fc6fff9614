//! Signature checks written from the documents of the schemes, as a receiver's author would.
//! Nothing here is shared with the signer: HMAC is implemented on top of the hash functions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::Digest;

use crate::Request;

/// HMAC of RFC 2104 for hash functions with blocks of `BLOCK` bytes.
fn hmac<D: Digest, const BLOCK: usize>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        let digest = D::digest(key);
        block[..digest.len()].copy_from_slice(&digest);
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner =
        D::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    D::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

#[must_use]
pub fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::<sha1::Sha1, 64>(key, message)
}

#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::<sha2::Sha256, 64>(key, message)
}

#[must_use]
pub fn hmac_sha512(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::<sha2::Sha512, 128>(key, message)
}

/// Hexadecimal in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Standard Webhooks v1: `v1,BASE64` for a secret with or without `whsec_`.
#[must_use]
pub fn standard_v1(secret: &str, id: &str, timestamp_s: &str, body: &[u8]) -> String {
    let key = BASE64.decode(secret.trim_start_matches("whsec_")).expect("a secret in base64");
    let message = [id.as_bytes(), b".", timestamp_s.as_bytes(), b".", body].concat();
    format!("v1,{}", BASE64.encode(hmac_sha256(&key, &message)))
}

/// Panics unless one of the request's signatures is valid for the secret.
#[track_caller]
pub fn assert_standard_v1(request: &Request, secret: &str) {
    let (id, timestamp, signatures) = standard_headers(request);
    let wanted = standard_v1(secret, id, timestamp, &request.body);
    assert!(signatures.split(' ').any(|one| one == wanted), "{signatures} lacks {wanted}");
}

/// The same for v1a: Ed25519, with a public key shown as `whpk_` and base64 of 32 bytes.
#[track_caller]
pub fn assert_standard_v1a(request: &Request, public_key: &str) {
    let (id, timestamp, signatures) = standard_headers(request);
    let key = BASE64.decode(public_key.trim_start_matches("whpk_")).expect("a key in base64");
    let key = VerifyingKey::from_bytes(&key.try_into().expect("32 bytes")).expect("a point");
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
    let right = |one: &str| {
        let bytes = BASE64.decode(one.strip_prefix("v1a,")?).ok()?;
        key.verify(&message, &Signature::from_slice(&bytes).ok()?).ok()
    };
    assert!(signatures.split(' ').any(|one| right(one).is_some()), "no valid v1a in {signatures}");
}

#[track_caller]
fn standard_headers(request: &Request) -> (&str, &str, &str) {
    let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}"));
    (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 test case 2 and RFC 4231 test cases 2 and 6.
    #[test]
    fn hmac_follows_the_rfcs() {
        let (key, text) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&hmac_sha1(key, text)), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hex(&hmac_sha256(key, text)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(hex(&hmac_sha512(key, text)).starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
        let long = [0xaa; 131];
        assert_eq!(
            hex(&hmac_sha256(&long, b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// Test vector of the Standard Webhooks libraries.
    #[test]
    fn standard_webhooks_vector() {
        let signature = standard_v1(
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "1649367553",
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }
}
