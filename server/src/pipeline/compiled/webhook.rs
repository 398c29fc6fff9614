//! A compiled webhook: parsed, compiled and completed from its profile. Immutable; a save creates a new
//! one.

use std::sync::{Arc, OnceLock};

use antar_json::{Document, OutOfSteps, Steps};
use antar_rules::Pattern;
use antar_template::{Template, Unresolved};
use http::Uri;

use super::profile::Profile;
use super::subscription::Subscription;
use crate::model::{
    Event, FacetFilter, Method, Millis, PluginUse, Retry, Secret, Signer, TenantId, WebhookId,
    WebhookSpec, reason,
};
use crate::pipeline::client::request::uri_of;

/// Everything that a delivery needs from its webhook.
#[derive(Clone)]
pub struct Webhook {
    pub id: WebhookId,
    pub tenant: TenantId,
    pub spec: Arc<WebhookSpec>,
    /// Counts saves, from 1.
    pub revision: u32,
    pub enabled: bool,
    pub paused: bool,
    /// Why it was disabled, unless by hand.
    pub disabled_reason: Option<String>,
    /// Since when its receiver has only failed, while only probes are sent to it.
    pub failing_since: Option<Millis>,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub profile: Arc<Profile>,
    pub plan: Arc<Plan>,
    pub secret: Secret,
    /// The secret before the last rotation, and the end of its validity.
    pub previous_secret: Option<(Secret, Millis)>,
}

/// The compiled settings of one revision.
pub struct Plan {
    pub subscription: Subscription,
    pub plugins: Vec<PluginUse>,
    pub method: Method,
    pub url: Template,
    pub first_url: FirstUrl,
    /// Its URL leads to this server itself, so its deliveries may come back as events.
    pub goes_home: bool,
    pub headers: Vec<(String, Template)>,
    pub body: Option<Template>,
    pub content_type: &'static str,
    pub unresolved: Unresolved,
    pub signers: Vec<Signer>,
    /// None: any 2xx.
    pub success: Option<Pattern>,
    pub retry: Retry,
    pub timeout_ms: u64,
    pub in_flight_max: usize,
    pub https_only: bool,
    pub delay_ms: i64,
    pub order: Option<OrderPlan>,
    pub dedupe: Option<DedupePlan>,
    /// Memory that the webhook takes, estimated.
    pub bytes: usize,
}

/// Caches the parsed URL of the first delivery, because most other deliveries go to the same URL.
#[derive(Default)]
pub struct FirstUrl(OnceLock<(String, Option<Uri>)>);

impl FirstUrl {
    /// `url` in parsed form, if it equals the first one.
    pub fn uri(&self, url: &str) -> Option<Uri> {
        let (first, uri) = self.0.get_or_init(|| (url.to_owned(), uri_of(url).ok()));
        if first == url { uri.clone() } else { None }
    }
}

/// How deliveries are kept in order.
pub struct OrderPlan {
    /// None: `attributes.subject`.
    pub key: Option<Template>,
    pub gives_way_attempts: u32,
}

/// How duplicates are detected.
pub struct DedupePlan {
    pub key: Template,
    pub window_ms: i64,
}

impl Webhook {
    /// Whether it subscribes to an event; takes up to `part` of `steps`.
    ///
    /// # Errors
    /// [`OutOfSteps`]: it is not known.
    pub(super) fn accepts(
        &self,
        event: &Event,
        steps: &Steps,
        part: u64,
    ) -> Result<bool, OutOfSteps> {
        let (event_type, document) = (event.event_type.as_str(), event.document.root());
        steps.part(part, |part| self.plan.subscription.accept(event_type, document, part))
    }

    /// Why its deliveries are held, if they are.
    #[must_use]
    pub fn hold_reason(&self) -> Option<&'static str> {
        match (self.enabled, self.paused, self.failing_since) {
            (false, ..) => Some(reason::WEBHOOK_DISABLED),
            (true, true, _) => Some(reason::WEBHOOK_PAUSED),
            (true, false, Some(_)) => Some(reason::WEBHOOK_FAILING),
            (true, false, None) => None,
        }
    }

    /// Whether both subscribe to the same events.
    #[must_use]
    pub fn subscribes_like(&self, other: &Webhook) -> bool {
        let (own, others) = (&self.spec, &other.spec);
        Arc::ptr_eq(&self.plan, &other.plan)
            || own.event_types == others.event_types
                && own.rule == others.rule
                && own.facets == others.facets
                && (own.facets.is_empty() || self.profile.spec.facets == other.profile.spec.facets)
    }

    /// The secret before the last rotation, while it is still valid.
    #[must_use]
    pub fn previous_secret(&self, now: Millis) -> Option<&Secret> {
        let (secret, until) = self.previous_secret.as_ref()?;
        (now < *until).then_some(secret)
    }
}

/// Memory that a webhook takes with what its settings are compiled into: roughly, and rather too much.
#[must_use]
pub fn estimated_bytes(spec: &WebhookSpec) -> usize {
    // Estimates, on the high side.
    const WEBHOOK: usize = 4_096;
    const TYPE: usize = 384;
    const TAG: usize = 512;
    const VALUE: usize = 256;
    let template = |text: &str| 4 * text.len() + TAG * text.matches("{{").count();
    let json = |json: &Document| 4 * json.text().len() + VALUE * json.root().count();
    let texts = |texts: &[String]| texts.iter().map(|text| VALUE + 2 * text.len()).sum::<usize>();
    let headers = spec
        .headers
        .iter()
        .map(|(name, value)| VALUE + 2 * name.len() + template(value.as_str().unwrap_or_default()));
    let facets = spec.facets.values().map(|filter| match filter {
        FacetFilter::Any(values)
        | FacetFilter::None { none: values }
        | FacetFilter::All { all: values } => texts(values),
    });
    let types = spec.event_types.iter().map(|filter| TYPE + 4 * filter.as_str().len());
    let plugins = spec.plugins.iter().map(|used| VALUE + json(&used.config));
    let signers = VALUE * spec.signers.as_ref().map_or(0, Vec::len);
    WEBHOOK
        + template(&spec.url)
        + spec.body.as_deref().map_or(0, template)
        + json(&spec.rule)
        + json(&spec.success)
        + texts(&spec.hosts_allowed)
        + signers
        + headers.chain(facets).chain(types).chain(plugins).sum::<usize>()
}
