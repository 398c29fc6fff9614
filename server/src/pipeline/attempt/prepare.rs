//! Prepare stage: fills the secrets into a frozen request and signs it, and keeps what is needed to
//! record it with secrets masked.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use antar_template::{MASK, MissingSecret, Piece};
use bytes::Bytes;

use super::header_list::HeaderList;
use super::secrets::Masker;
use super::sign::{CannotSign, Keys, SignInput, SignedHeader, sign};
use crate::config::TenantConfig;
use crate::model::{
    DeliveryId, EventKey, Frozen, FrozenHeader, Hops, Millis, Response, Secret, SentRequest,
    is_of_connection,
};
use crate::pipeline::client::send::Outgoing;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;

/// A request ready to send, with its masked form.
pub struct Prepared {
    pub outgoing: Outgoing,
    shown: Shown,
    /// Values that must not appear in a stored response.
    sensitive: Vec<Secret>,
    /// Built from `sensitive` once there is something to mask.
    masker: OnceLock<Masker>,
}

/// Masked replacements for the parts of a request that contain a secret; none: shown as sent.
struct Shown {
    url: Option<String>,
    /// One for each outgoing header, in the same order.
    headers: Vec<ShownHeader>,
    body: Option<String>,
}

struct ShownHeader {
    value: Option<String>,
    /// Added by a signer.
    signed: bool,
}

/// Why a rendered request can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotPrepare {
    #[error(transparent)]
    Secret(#[from] MissingSecret),
    #[error(transparent)]
    Sign(#[from] CannotSign),
    #[error("the URL must begin with https://: the profile `{0}` sends over HTTPS only")]
    HttpsOnly(String),
    #[error("the URL must begin with https:// or http://")]
    Scheme,
    #[error(
        "the URL has a `#`, and what follows would not be sent: write `%23` in the secret that is part of it"
    )]
    Fragment,
    #[error("more than {max} {what} of secrets are in the request ({setting})")]
    TooManySecrets { what: &'static str, max: usize, setting: &'static str },
}

/// Inputs of `prepare` besides the request.
#[derive(Clone, Copy)]
pub struct PrepareInput<'a> {
    pub tenant: &'a Tenant,
    pub webhook: &'a Webhook,
    pub event: &'a EventKey,
    pub hops: Hops,
    pub delivery_id: DeliveryId,
    pub now: Millis,
    pub limits: &'a TenantConfig,
    /// Permits plain HTTP even if the profile requires HTTPS.
    pub dev: bool,
}

/// Fills in the secrets, checks the URL's scheme and signs.
pub fn prepare(
    input: PrepareInput<'_>,
    frozen: &Frozen,
    attempt_headers: &[FrozenHeader],
) -> Result<Prepared, CannotPrepare> {
    let mut secrets = Secrets::new(input.tenant, input.limits);
    let mut url = secrets.fill(&frozen.url)?;
    // A URL that contains a secret is not cached.
    let first_url = secrets.used.is_empty().then_some(&input.webhook.plan.first_url);
    check_scheme(&url, input)?;
    cut_fragment(&mut url, input)?;
    let body = frozen.body.as_ref().map(|body| secrets.fill(body)).transpose()?;
    let body = body.map(Bytes::from);
    let count = frozen.headers.len() + attempt_headers.len() + 6;
    let mut headers = HeaderList::with_capacity(count);
    for header in frozen.headers.iter().chain(attempt_headers) {
        let value = secrets.fill(&header.value)?;
        let shown = ShownHeader { value: masked_if_secret(&header.value), signed: false };
        headers.put(&header.name, (value, shown));
    }
    for signed in signatures(input, body.as_deref().unwrap_or_default())? {
        let SignedHeader { name, value, secret } = signed;
        if secret {
            secrets.made.push(Secret::new(value.clone()));
        }
        let shown = ShownHeader { value: secret.then(|| MASK.to_owned()), signed: true };
        headers.put(name, (value, shown));
    }
    // Last, so that nothing of the webhook or of a plugin takes their place.
    for (name, value) in input.hops.headers(|| input.event.root()) {
        headers.put(name, (value, ShownHeader { value: None, signed: false }));
    }
    for signer in &input.webhook.plan.signers {
        secrets.made.extend(match signer.key() {
            "main" => Some(input.webhook.secret.clone()),
            name => input.tenant.secret(name),
        });
    }
    let going = headers.into_iter().filter(|(name, _)| !is_of_connection(name));
    let (headers, shown): (Vec<_>, _) =
        going.map(|(name, (value, shown))| ((name, value), shown)).unzip();
    let masked_url = masked_if_secret(&frozen.url).map(|mut url| {
        url.truncate(url.find('#').unwrap_or(url.len()));
        url
    });
    let shown = Shown {
        url: masked_url,
        headers: shown,
        body: frozen.body.as_deref().and_then(masked_if_secret),
    };
    let outgoing = Outgoing {
        tenant: input.tenant.id.clone(),
        method: frozen.method,
        uri: first_url.and_then(|first| first.uri(&url)),
        url,
        headers,
        body,
        timeout_ms: input.webhook.plan.timeout_ms,
    };
    let sensitive = secrets.all();
    Ok(Prepared { outgoing, shown, sensitive, masker: OnceLock::new() })
}

fn masked_if_secret(pieces: &[Piece]) -> Option<String> {
    let has_secret = pieces.iter().any(|piece| matches!(piece, Piece::Secret { .. }));
    has_secret.then(|| antar_template::masked(pieces))
}

fn signatures<'a>(
    input: PrepareInput<'a>,
    body: &[u8],
) -> Result<Vec<SignedHeader<'a>>, CannotSign> {
    let named = |name: &str| input.tenant.secret(name);
    let webhook = input.webhook;
    let keys =
        Keys { main: &webhook.secret, previous: webhook.previous_secret(input.now), named: &named };
    let PrepareInput { event, delivery_id, now, .. } = input;
    let (event_id, source) = (&event.id, event.source.as_str());
    let input = SignInput { event_id, source, delivery_id, now, body };
    sign(&webhook.plan.signers, &keys, input)
}

/// A fragment is never sent (RFC 9110 §7.1). A `#` in the webhook's own URL was saved before it was refused there;
/// any other comes with a secret, whose rest would be missing.
fn cut_fragment(url: &mut String, input: PrepareInput<'_>) -> Result<(), CannotPrepare> {
    let Some(at) = url.find('#') else { return Ok(()) };
    if !has_fragment(&input.webhook.spec.url) {
        return Err(CannotPrepare::Fragment);
    }
    url.truncate(at);
    Ok(())
}

/// Whether the text of a URL outside of its placeholders has a `#`.
pub(crate) fn has_fragment(url: &str) -> bool {
    url.split("{{").any(|part| part.split_once("}}").map_or(part, |(_, text)| text).contains('#'))
}

fn check_scheme(url: &str, input: PrepareInput<'_>) -> Result<(), CannotPrepare> {
    let begins =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    if begins("https://") {
        return Ok(());
    }
    if !begins("http://") {
        return Err(CannotPrepare::Scheme);
    }
    if input.webhook.plan.https_only && !input.dev {
        return Err(CannotPrepare::HttpsOnly(input.webhook.profile.spec.name.clone()));
    }
    Ok(())
}

/// The text of a body that was built from text.
fn text_of(body: Bytes) -> String {
    String::from_utf8(body.into()).unwrap_or_default()
}

/// Looks up secrets and collects the ones that were used.
struct Secrets<'a> {
    tenant: &'a Tenant,
    limits: &'a TenantConfig,
    bytes: usize,
    used: HashMap<String, Secret>,
    /// Of signers: their secrets, and headers made of them.
    made: Vec<Secret>,
}

impl<'a> Secrets<'a> {
    fn new(tenant: &'a Tenant, limits: &'a TenantConfig) -> Secrets<'a> {
        Secrets { tenant, limits, bytes: 0, used: HashMap::new(), made: Vec::new() }
    }

    fn fill(&mut self, pieces: &[Piece]) -> Result<String, CannotPrepare> {
        for piece in pieces {
            let Piece::Secret { name, .. } = piece else { continue };
            if !self.used.contains_key(name) {
                let secret = self.tenant.secret(name);
                let secret = secret.ok_or_else(|| MissingSecret { name: name.clone() })?;
                self.used.insert(name.clone(), secret);
            }
            self.bytes += self.used.get(name).map_or(0, |secret| secret.reveal().len());
            self.check()?;
        }
        let filled = antar_template::resolve(pieces, |name| {
            self.used.get(name).map(|secret| secret.reveal().to_owned())
        });
        Ok(filled?)
    }

    fn check(&self) -> Result<(), CannotPrepare> {
        let (max, bytes_max) =
            (self.limits.secrets_per_request_max, self.limits.secret_bytes_per_request_max);
        let (what, max, setting) = if self.used.len() > max {
            ("names", max, "tenant.secrets_per_request_max")
        } else if self.bytes > bytes_max {
            ("bytes", bytes_max, "tenant.secret_bytes_per_request_max")
        } else {
            return Ok(());
        };
        Err(CannotPrepare::TooManySecrets { what, max, setting })
    }

    fn all(self) -> Vec<Secret> {
        self.used.into_values().chain(self.made).collect()
    }
}

impl Prepared {
    /// Names of the headers added by signers, in lower case.
    #[must_use]
    pub fn signed(&self) -> HashSet<String> {
        let headers = self.outgoing.headers.iter().zip(&self.shown.headers);
        let signed = headers.filter(|(_, shown)| shown.signed);
        signed.map(|((name, _), _)| name.to_ascii_lowercase()).collect()
    }

    /// The request as sent, with secrets masked.
    #[must_use]
    pub fn sent(self) -> SentRequest {
        let Prepared { outgoing, shown, .. } = self;
        let headers = outgoing.headers.into_iter().zip(shown.headers);
        let headers = headers.map(|((mut name, value), shown)| {
            name.make_ascii_lowercase();
            (name, shown.value.unwrap_or(value))
        });
        // No other reference to the body is left, so this does not copy it.
        let body = outgoing.body.map(|body| shown.body.unwrap_or_else(|| text_of(body)));
        SentRequest {
            method: outgoing.method.as_str().to_owned(),
            url: shown.url.unwrap_or(outgoing.url),
            headers: headers.collect(),
            body,
        }
    }

    /// Masks every used secret in a response, in case the receiver echoes one.
    #[must_use]
    pub fn mask(&self, mut response: Response) -> Response {
        response.body = self.mask_text(response.body);
        for value in response.headers.values_mut() {
            *value = self.mask_text(std::mem::take(value));
        }
        response
    }

    /// Masks every used secret in a text about the response.
    #[must_use]
    pub fn mask_text(&self, text: String) -> String {
        if !Masker::may_be_needed(&self.sensitive, &text) {
            return text;
        }
        self.masker.get_or_init(|| Masker::of(&self.sensitive)).mask(text)
    }
}
