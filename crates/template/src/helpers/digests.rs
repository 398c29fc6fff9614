//! The helpers `hash`, `hmac` and `base64`.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ::hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};

use super::Failure;
use crate::value::Val;

const ALGORITHMS: [&str; 3] = ["sha1", "sha256", "sha512"];
const ENCODINGS: [&str; 2] = ["hex", "base64"];

/// Checks algorithm and encoding if they are literals.
pub(super) fn check(values: &[Val<'_>]) -> Result<(), String> {
    chosen(values.first(), &ALGORITHMS, "sha256")?;
    chosen(values.get(1), &ENCODINGS, "hex")?;
    Ok(())
}

fn chosen(
    value: Option<&Val<'_>>,
    known: &[&'static str],
    default: &'static str,
) -> Result<&'static str, String> {
    let Some(name) = value.and_then(Val::scalar) else { return Ok(default) };
    let found = known.iter().find(|known| **known == name);
    found.copied().ok_or_else(|| format!("knows {}, not {name:?}", known.join(", ")))
}

pub(super) fn hash<'a>(text: &str, how: &[Val<'_>]) -> Result<Val<'a>, Failure> {
    let digest = match chosen(how.first(), &ALGORITHMS, "sha256")? {
        "sha1" => Sha1::digest(text).to_vec(),
        "sha512" => Sha512::digest(text).to_vec(),
        _ => Sha256::digest(text).to_vec(),
    };
    encoded(&digest, how.get(1))
}

pub(super) fn hmac<'a>(
    text: &str,
    key: &Val<'_>,
    how: &[Val<'_>],
) -> Result<Option<Val<'a>>, Failure> {
    let Some(key) = key.scalar() else { return Ok(None) };
    let digest = match chosen(how.first(), &ALGORITHMS, "sha256")? {
        "sha1" => keyed::<Hmac<Sha1>>(&key, text),
        "sha512" => keyed::<Hmac<Sha512>>(&key, text),
        _ => keyed::<Hmac<Sha256>>(&key, text),
    };
    digest.map(|digest| encoded(&digest, how.get(1))).transpose()
}

fn keyed<M: Mac + KeyInit>(key: &str, text: &str) -> Option<Vec<u8>> {
    // HMAC accepts keys of any length, so this always succeeds.
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(text.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

fn encoded<'a>(digest: &[u8], encoding: Option<&Val<'_>>) -> Result<Val<'a>, Failure> {
    Ok(Val::text(match chosen(encoding, &ENCODINGS, "hex")? {
        "base64" => STANDARD.encode(digest),
        _ => hex::encode(digest),
    }))
}

pub(super) fn base64<'a>(text: &str, for_url: bool) -> Val<'a> {
    Val::text(if for_url { URL_SAFE_NO_PAD.encode(text) } else { STANDARD.encode(text) })
}
