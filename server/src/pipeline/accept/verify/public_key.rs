//! Public keys as people have them: hex, base64 or PEM.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};

/// `key`: the text of a public key in hex or base64, or its 32 bytes.
pub(super) fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let bytes: Option<[u8; 32]> = key.try_into().ok().or_else(|| {
        let text = std::str::from_utf8(key).ok()?.trim();
        let bytes = hex::decode(text).ok().or_else(|| base64(text))?;
        bytes.try_into().ok()
    });
    let Some(key) = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()) else {
        return false;
    };
    Signature::from_slice(signature).is_ok_and(|sig| key.verify_strict(message, &sig).is_ok())
}

/// DER of a `SubjectPublicKeyInfo` from base64, or PEM, whose lines may be joined.
pub(super) fn public_key_info(key: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(key).ok()?;
    let text = match text.split_once("-----BEGIN PUBLIC KEY-----") {
        Some((_, rest)) => rest.split("-----END").next()?,
        None => text,
    };
    base64(&text.split_whitespace().collect::<String>())
}

/// The `RSAPublicKey` (RFC 8017 §A.1.1) in a `SubjectPublicKeyInfo` (RFC 5280 §4.1).
pub(super) fn rsa_public_key(info: &[u8]) -> Option<&[u8]> {
    /// The content of the element of this tag that `der` begins with, and what follows it.
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (&[first, length], rest) = der.split_first_chunk::<2>()?;
        if first != tag {
            return None;
        }
        let (length, rest) = match usize::from(length) {
            short @ ..=0x7f => (short, rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), rest.get(2..)?),
            _ => return None,
        };
        rest.split_at_checked(length)
    }
    let (content, _) = element(info, 0x30)?;
    let (_, rest) = element(content, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    bits.strip_prefix(&[0])
}

/// Base64, also of the URL-safe alphabet, with or without padding.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    BASE64_STANDARD_NO_PAD.decode(text).or_else(|_| BASE64_URL_SAFE_NO_PAD.decode(text)).ok()
}
