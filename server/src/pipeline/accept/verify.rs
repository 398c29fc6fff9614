//! Verifies who calls a source. Comparisons take constant time.

mod public_key;
#[cfg(test)]
mod tests;

use antar_json::Steps;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use self::public_key::{base64, ed25519, public_key_info, rsa_public_key};
use super::call::{Call, CallDocument};
use super::call_text::{CallText, Unmet, Values, with_other_port};
use crate::model::{
    Digest, Encoding, FieldError, KeyEncoding, Millis, Secret, SignatureCheck, TimestampUnit,
    Verify,
};
use crate::pipeline::attempt::sign::standard_key;

/// Compiled settings.
#[derive(Clone)]
pub struct Verifier {
    spec: Verify,
    texts: Option<Texts>,
}

/// The texts of a [`SignatureCheck`].
#[derive(Clone)]
struct Texts {
    over: CallText,
    signature: CallText,
    timestamp: Option<CallText>,
}

/// Who makes a call.
#[derive(Clone, Copy)]
pub struct Caller {
    /// It came through a proxy of `server.trusted_proxies`.
    pub by_trusted_proxy: bool,
    /// Somebody with a key sends the call in again: it is not verified.
    pub is_vouched_for: bool,
}

/// What a verifier looks at besides the call.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The named secrets of the tenant.
    pub secret: &'a dyn Fn(&str) -> Option<Secret>,
    pub now: Millis,
    pub caller: Caller,
    pub steps: &'a Steps,
}

impl Verifier {
    /// # Errors
    /// All that is wrong in the settings, with pointers into `verify`.
    pub fn compile(spec: &Verify) -> Result<Verifier, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !matches!(spec, Verify::Mtls { .. }) {
            errors.extend(check_keys(spec.keys()).map(|wrong| FieldError::new("/keys", wrong)));
        }
        let texts = spec.signature().and_then(|check| Texts::compile(spec, check, &mut errors));
        if let Verify::Header { header, .. } | Verify::Mtls { header, .. } = spec
            && http::HeaderName::try_from(header.as_str()).is_err()
        {
            errors.push(FieldError::new("/header", "is no name of a header"));
        }
        if matches!(spec, Verify::Mtls { value, .. } if value.is_empty()) {
            errors.push(FieldError::new("/value", "is what the proxy sets, such as SUCCESS"));
        }
        if errors.is_empty() { Ok(Verifier { spec: spec.clone(), texts }) } else { Err(errors) }
    }

    /// # Errors
    /// Why the call is refused, without anything secret.
    pub fn verify(
        &self,
        call: &Call,
        document: &CallDocument,
        context: Context<'_>,
    ) -> Result<(), Unmet> {
        let keys = || secrets(self.spec.keys(), context);
        match &self.spec {
            Verify::Hmac(check)
            | Verify::Hash(check)
            | Verify::Ed25519(check)
            | Verify::Ecdsa(check)
            | Verify::Rsa(check) => {
                let Some(texts) = &self.texts else { return Err(WRONG.into()) };
                self.signature(check, texts, (call, document), &keys()?, context)
            }
            Verify::Standard { tolerance_s, .. } => standard(call, &keys()?, context, *tolerance_s),
            Verify::Basic { .. } => {
                let given =
                    call.header("authorization").ok_or("the call has no `authorization`")?;
                let pair = given.split_once(' ');
                let pair = pair.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
                let pair = pair.and_then(|(_, pair)| BASE64_STANDARD.decode(pair.trim()).ok());
                let pair = pair.ok_or("the header `authorization` is no `Basic …`")?;
                one_equals(&pair, &keys()?)
            }
            Verify::Header { header, prefix, .. } => {
                let name = header.to_ascii_lowercase();
                let given = call.header(&name);
                let given = given.ok_or_else(|| format!("the call has no header `{name}`"))?;
                let given = given.strip_prefix(prefix.as_str());
                let given = given.ok_or_else(|| format!("`{name}` does not begin as it should"))?;
                one_equals(given.as_bytes(), &keys()?)
            }
            Verify::Query { parameter, .. } => {
                let given = call.parameter(parameter);
                let given =
                    given.ok_or_else(|| format!("the call has no parameter `{parameter}`"))?;
                one_equals(given.as_bytes(), &keys()?)
            }
            Verify::Mtls { header, value } => {
                if !context.caller.by_trusted_proxy {
                    return Err(
                        "the call did not come through a proxy of server.trusted_proxies".into()
                    );
                }
                let name = header.to_ascii_lowercase();
                let given = call.header(&name);
                if given == Some(value.as_str()) {
                    Ok(())
                } else {
                    Err(format!("`{name}` says that there is no valid certificate").into())
                }
            }
        }
    }

    fn signature(
        &self,
        check: &SignatureCheck,
        texts: &Texts,
        (call, document): (&Call, &CallDocument),
        keys: &[Secret],
        context: Context<'_>,
    ) -> Result<(), Unmet> {
        let steps = context.steps;
        let text = |text: &CallText| {
            let url = call.url.as_str();
            let values = Values { call, document, url, timestamp: "", key: b"", steps };
            String::from_utf8(text.bytes(values)?).map_err(|_| Unmet::from(WRONG))
        };
        let whole = text(&texts.signature)?;
        let mut timestamp = texts.timestamp.as_ref().map(text).transpose()?;
        let mut signatures = Vec::new();
        match &check.fields {
            None => signatures.push(whole.as_str()),
            Some(fields) => {
                for field in whole.split(fields.separator.as_str()) {
                    let Some((name, value)) = field.trim().split_once('=') else { continue };
                    if name == fields.signature {
                        signatures.push(value);
                    } else if Some(name) == fields.timestamp.as_deref() {
                        timestamp = Some(value.to_owned());
                    }
                }
                if fields.timestamp.is_some() && timestamp.is_none() {
                    return Err("the signature has no time".into());
                }
            }
        }
        if let Some(timestamp) = &timestamp {
            let at = check.timestamp_unit.read(timestamp);
            in_time(
                at.ok_or("the time of the signature is none")?,
                context.now,
                check.tolerance_s,
            )?;
        }
        let given = signatures.iter().filter_map(|text| text.strip_prefix(check.prefix.as_str()));
        let given: Vec<Vec<u8>> =
            given.filter_map(|text| decode(check.encoding, text)).take(SIGNATURES_MAX).collect();
        if given.is_empty() {
            return Err("the call has no signature of the form that the source expects".into());
        }
        let timestamp = timestamp.unwrap_or_default();
        for key in keys {
            let key = check.key_encoding.bytes(key).filter(|key| !key.is_empty());
            let key = key.ok_or("the secret is not encoded as `key_encoding` says")?;
            // Some providers sign the port that the URL leaves out.
            let other = texts.over.names_url().then(|| with_other_port(&call.url)).flatten();
            for url in [Some(&call.url), other.as_ref()].into_iter().flatten() {
                let values =
                    Values { call, document, url, timestamp: &timestamp, key: &key, steps };
                let message = texts.over.bytes(values)?;
                if self.matches(check.algorithm, &key, &message, &given, steps)? {
                    return Ok(());
                }
            }
        }
        Err(WRONG.into())
    }

    /// Whether one of the signatures is that of the message.
    fn matches(
        &self,
        algorithm: Digest,
        key: &[u8],
        message: &[u8],
        signatures: &[Vec<u8>],
        steps: &Steps,
    ) -> Result<bool, Unmet> {
        steps.read(message.len())?;
        let is_one = |made: &[u8]| {
            signatures.iter().filter(|given| bool::from(made.ct_eq(given))).count() > 0
        };
        let is_valid = |verify: &dyn Fn(&[u8]) -> bool| {
            for signature in signatures.iter().take(PUBLIC_KEY_SIGNATURES_MAX) {
                steps.take(PUBLIC_KEY_STEPS)?;
                if verify(signature) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match &self.spec {
            Verify::Hmac(_) => {
                Ok(is_one(hmac::sign(&hmac::Key::new(algorithm.hmac(), key), message).as_ref()))
            }
            Verify::Hash(_) => Ok(is_one(digest::digest(algorithm.digest(), message).as_ref())),
            Verify::Ed25519(_) => is_valid(&|signature| ed25519(key, message, signature)),
            Verify::Ecdsa(_) => {
                let info = public_key_info(key).unwrap_or_default();
                // The uncompressed point of P-256 ends it.
                let point = info.get(info.len().saturating_sub(65)..).unwrap_or_default();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
                is_valid(&|signature| key.verify(message, signature).is_ok())
            }
            Verify::Rsa(_) => {
                let info = public_key_info(key).unwrap_or_default();
                let Some(key) = rsa_public_key(&info) else { return Ok(false) };
                let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
                is_valid(&|signature| key.verify(message, signature).is_ok())
            }
            _ => Ok(false),
        }
    }
}

/// Why a list of keys can't be used.
pub(super) fn check_keys(keys: &[String]) -> Option<String> {
    match keys.len() {
        0 => Some("names at least one secret".to_owned()),
        1..=KEYS_MAX => None,
        _ => Some(format!("names {KEYS_MAX} secrets at most: two while one is rotated")),
    }
}

const KEYS_MAX: usize = 8;
/// Of a scheme with public keys, whose checks take long.
const PUBLIC_KEY_SIGNATURES_MAX: usize = 4;
const PUBLIC_KEY_STEPS: u64 = 1_000;

/// Signatures of one call that are tried.
const SIGNATURES_MAX: usize = 16;

const WRONG: &str = "the signature is wrong";

impl Texts {
    fn compile(
        spec: &Verify,
        check: &SignatureCheck,
        errors: &mut Vec<FieldError>,
    ) -> Option<Texts> {
        let mut parse = |pointer: &str, text: &str| match CallText::parse(text) {
            Ok(text) => Some(text),
            Err(detail) => {
                errors.push(FieldError::new(pointer, detail));
                None
            }
        };
        let over = parse("/over", &check.over);
        let signature = parse("/signature", &check.signature);
        let timestamp = check.timestamp.as_deref().map(|text| parse("/timestamp", text));
        let (over, signature) = (over?, signature?);
        let timestamp = match timestamp {
            None => None,
            Some(text) => Some(text?),
        };
        let of_fields = check.fields.as_ref().and_then(|fields| fields.timestamp.as_ref());
        if over.names_timestamp() && timestamp.is_none() && of_fields.is_none() {
            let detail =
                "names {timestamp}; say where it stands in `timestamp` or `fields.timestamp`";
            errors.push(FieldError::new("/over", detail));
        }
        if matches!(spec, Verify::Hash(_)) && !over.names_key() {
            let detail = "has no {key}: anybody can make a digest without a secret";
            errors.push(FieldError::new("/over", detail));
        }
        for (pointer, text) in
            [("/signature", &signature), ("/timestamp", timestamp.as_ref().unwrap_or(&signature))]
        {
            if text.names_key() || text.names_timestamp() {
                let detail =
                    "is where it stands in the call: {headers.NAME}, {query.NAME} or {body.PATH}";
                errors.push(FieldError::new(pointer, detail));
            }
        }
        if let Some(fields) = &check.fields
            && (fields.separator.is_empty() || fields.signature.is_empty())
        {
            errors.push(FieldError::new(
                "/fields",
                "have a separator, and a name for the signatures",
            ));
        }
        Some(Texts { over, signature, timestamp })
    }
}

impl Digest {
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Digest::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => hmac::HMAC_SHA256,
            Digest::Sha384 => hmac::HMAC_SHA384,
            Digest::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Digest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
            Digest::Sha512 => &digest::SHA512,
        }
    }
}

impl KeyEncoding {
    fn bytes(self, secret: &Secret) -> Option<Vec<u8>> {
        let text = secret.reveal();
        match self {
            KeyEncoding::Text => Some(text.as_bytes().to_vec()),
            KeyEncoding::Hex => hex::decode(text.trim()).ok(),
            KeyEncoding::Base64 => base64(text.trim()),
        }
    }
}

impl TimestampUnit {
    fn read(self, text: &str) -> Option<Millis> {
        match self {
            TimestampUnit::S => text.parse::<i64>().ok()?.checked_mul(1_000).map(Millis),
            TimestampUnit::Ms => text.parse().ok().map(Millis),
            TimestampUnit::Rfc3339 => Millis::parse(text).ok(),
        }
    }
}

fn in_time(at: Millis, now: Millis, tolerance_s: u32) -> Result<(), Unmet> {
    let off_ms = i128::from(now.0) - i128::from(at.0);
    if off_ms.unsigned_abs() <= u128::from(tolerance_s) * 1_000 {
        return Ok(());
    }
    let (off_s, side) = (off_ms.unsigned_abs() / 1_000, if off_ms > 0 { "ago" } else { "ahead" });
    Err(format!("it was signed {off_s} s {side}; {tolerance_s} s are allowed (tolerance_s)").into())
}

/// Whether a text is one of these named secrets.
pub(super) fn one_of_secrets(
    given: &[u8],
    names: &[String],
    context: Context<'_>,
) -> Result<(), Unmet> {
    one_equals(given, &secrets(names, context)?)
}

fn secrets(names: &[String], context: Context<'_>) -> Result<Vec<Secret>, Unmet> {
    let missing = |name: &str| {
        tracing::warn!(secret = name, "a source names a secret that there is not");
        Unmet::from("one of the secrets that the source names is missing")
    };
    names.iter().map(|name| (context.secret)(name).ok_or_else(|| missing(name))).collect()
}

fn one_equals(given: &[u8], keys: &[Secret]) -> Result<(), Unmet> {
    let equals = |key: &Secret| bool::from(key.reveal().as_bytes().ct_eq(given));
    // Every key is compared.
    let found = keys.iter().filter(|key| equals(key)).count();
    if found > 0 { Ok(()) } else { Err("the secret is wrong".into()) }
}

/// Standard Webhooks: `webhook-` headers, or the same ones as `svix-`.
fn standard(
    call: &Call,
    keys: &[Secret],
    context: Context<'_>,
    tolerance_s: u32,
) -> Result<(), Unmet> {
    let header = |name: &str| {
        let own = call.header(&format!("webhook-{name}"));
        let value = own.or_else(|| call.header(&format!("svix-{name}")));
        value.ok_or_else(|| format!("the call has no header `webhook-{name}`"))
    };
    let (id, timestamp, signatures) = (header("id")?, header("timestamp")?, header("signature")?);
    let at = TimestampUnit::S.read(timestamp).ok_or("`webhook-timestamp` is no time")?;
    in_time(at, context.now, tolerance_s)?;
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &call.body[..]].concat();
    let of = |version: &str| {
        let texts = signatures.split(' ').filter_map(|text| text.split_once(','));
        let texts = texts.filter(|(name, _)| *name == version).filter_map(|(_, text)| base64(text));
        texts.take(SIGNATURES_MAX).collect::<Vec<Vec<u8>>>()
    };
    let (v1, v1a) = (of("v1"), of("v1a"));
    for key in keys {
        context.steps.read(message.len())?;
        let is_valid = match key.reveal().strip_prefix("whpk_") {
            None => standard_key(key).is_some_and(|key| {
                let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
                v1.iter().filter(|given| bool::from(made.as_ref().ct_eq(given))).count() > 0
            }),
            Some(key) => {
                let tried = &v1a[..v1a.len().min(PUBLIC_KEY_SIGNATURES_MAX)];
                context.steps.take(PUBLIC_KEY_STEPS * tried.len() as u64)?;
                tried.iter().any(|signature| ed25519(key.as_bytes(), &message, signature))
            }
        };
        if is_valid {
            return Ok(());
        }
    }
    Err(WRONG.into())
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => base64(text),
    }
}
