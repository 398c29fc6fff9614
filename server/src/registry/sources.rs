//! Sources: incoming URLs, and how their calls become events.

use std::sync::Arc;

use super::turns::compile_pool::For;
use super::{ChangeError, ROUNDS_MAX, Registry, never_settled, stored, to_its_end};
use crate::config::Config;
use crate::model::{FieldError, Invalid, Secret, SourceId, SourceSpec};
use crate::pipeline::accept::compile_source::Around;
use crate::pipeline::accept::source::Source;
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::webhook::Webhook;
use crate::seal::random;
use crate::store::SourceRow;

/// The place that a source's secret is sealed for.
pub(super) fn place(id: SourceId) -> String {
    format!("source/{id}")
}

/// 16 random bytes in hex: a segment of a URL.
fn new_secret() -> Result<Secret, ChangeError> {
    Ok(Secret::new(hex::encode(random::<16>()?)))
}

/// The path of a webhook's URL, up to its first placeholder, if the URL leads to this server.
pub(super) fn home_path(url: &str, config: &Config) -> Option<String> {
    let constant = url.split("{{").next().unwrap_or_default();
    let url = url::Url::parse(constant).ok().filter(|url| config.server.is_at(url))?;
    Some(url.path().to_owned())
}

impl Registry {
    /// A warning about a webhook that posts to this server itself.
    pub(super) fn leads_home(&self, tenant: &Tenant, webhook: &Webhook) -> Option<FieldError> {
        let path = home_path(&webhook.spec.url, &self.config)?;
        let of_own_path = || {
            let (_, rest) = path.split_once("/in/")?;
            Some(rest.split('/').next()?.to_owned())
        };
        let id = of_own_path().or_else(|| self.match_incoming(&path).map(|(source, _)| source));
        let source = id.and_then(|id| self.source(id.parse().ok()?));
        let source = source.filter(|source| source.tenant == tenant.id);
        let place = source.map_or_else(
            || "this server itself".to_owned(),
            |source| format!("the source `{}` of this server", source.spec.name),
        );
        let detail = format!(
            "leads to {place}: if this webhook wants the events that are made there, they come back up to {} times \
             (loops.hops_max)",
            self.config.loops.hops_max
        );
        Some(FieldError::new("/url", detail))
    }

    pub async fn create_source(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        spec: SourceSpec,
        secret: Option<Secret>,
    ) -> Result<Arc<Source>, ChangeError> {
        let secret = match secret {
            Some(secret) => secret,
            None => new_secret()?,
        };
        let url_safe = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        if secret.reveal().len() < 16 || !secret.reveal().chars().all(url_safe) {
            return Err(Invalid::at(
                "/secret",
                "has 16 or more of A-Z a-z 0-9 - _ . ~, as it is part of a URL",
            )
            .into());
        }
        self.check_secret("/secret", &secret)?;
        for _ in 0..ROUNDS_MAX {
            self.check_new_source(tenant)?;
            let source = self.checked_source(tenant, SourceId::new(self.now()), &spec, &secret);
            let source = source.await?;
            let (registry, tenant) = (self.clone(), tenant.clone());
            let stored = to_its_end(async move { registry.insert_source(&tenant, source).await });
            if let Some(source) = stored.await? {
                return Ok(source);
            }
        }
        Err(never_settled())
    }

    fn check_new_source(&self, tenant: &Tenant) -> Result<(), ChangeError> {
        let count = tenant.read(|state| state.sources.len());
        let max = self.config.tenant.sources_max;
        Registry::check_count(count, "sources", ("sources_max", max))
    }

    /// Stores a new source. None: its profile was replaced meanwhile.
    async fn insert_source(
        &self,
        tenant: &Arc<Tenant>,
        source: Source,
    ) -> Result<Option<Arc<Source>>, ChangeError> {
        let _change = self.change_in(tenant).await?;
        self.check_new_source(tenant)?;
        tenant.read(|state| self.check_bytes(state, 0, estimated_bytes(&source)))?;
        if !self.has_current_profile(tenant, &source) {
            return Ok(None);
        }
        let row = self.source_row(&source)?;
        let stored = self.store.configuration.insert_source(row).await;
        stored.map_err(ChangeError::of("source"))?;
        Ok(Some(self.swap_source(tenant, source)))
    }

    pub async fn update_source(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: SourceId,
        spec: SourceSpec,
    ) -> Result<Arc<Source>, ChangeError> {
        for _ in 0..ROUNDS_MAX {
            let known = self.source_in(tenant, id)?;
            let source = self.checked_source(tenant, id, &spec, &known.secret).await?;
            let (registry, tenant) = (self.clone(), tenant.clone());
            let stored = to_its_end(async move { registry.replace_source(&tenant, source).await });
            if let Some(source) = stored.await? {
                return Ok(source);
            }
        }
        Err(never_settled())
    }

    /// Stores new settings of a source. None: its profile was replaced meanwhile.
    async fn replace_source(
        &self,
        tenant: &Arc<Tenant>,
        source: Source,
    ) -> Result<Option<Arc<Source>>, ChangeError> {
        let _change = self.change_in(tenant).await?;
        let known = self.source_in(tenant, source.id)?;
        let (before, after) = (estimated_bytes(&known), estimated_bytes(&source));
        tenant.read(|state| self.check_bytes(state, before, after))?;
        if !self.has_current_profile(tenant, &source) {
            return Ok(None);
        }
        let (secret, created_at) = (known.secret.clone(), known.created_at);
        let source = Source { secret, created_at, ..source };
        self.update_row(&source).await?;
        Ok(Some(self.swap_source(tenant, source)))
    }

    async fn update_row(&self, source: &Source) -> Result<(), ChangeError> {
        let row = self.source_row(source)?;
        let stored = self.store.configuration.update_source(row).await;
        stored.map_err(ChangeError::of("source"))
    }

    /// Generates a new secret, and with it a new URL; the old one stops working at once.
    pub async fn rotate_source_secret(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: SourceId,
    ) -> Result<Arc<Source>, ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            let known = registry.source_in(&tenant, id)?;
            let (secret, updated_at) = (new_secret()?, registry.now());
            let source = Source { secret, updated_at, ..Source::clone(&known) };
            registry.update_row(&source).await?;
            Ok(registry.swap_source(&tenant, source))
        })
        .await
    }

    pub async fn delete_source(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: SourceId,
    ) -> Result<(), ChangeError> {
        let (registry, tenant) = (self.clone(), tenant.clone());
        to_its_end(async move {
            let _change = registry.change_in(&tenant).await?;
            registry.source_in(&tenant, id)?;
            let deleted = registry.store.configuration.delete_source(id).await;
            deleted.map_err(ChangeError::of("source"))?;
            registry.sources.write().remove(&id);
            tenant.change(|state| state.sources.remove(&id));
            Ok(())
        })
        .await
    }

    /// Checks and compiles settings, without the tenant's turn.
    async fn checked_source(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        id: SourceId,
        spec: &SourceSpec,
        secret: &Secret,
    ) -> Result<Source, ChangeError> {
        let before = self.source(id).map(|known| stored(&known.spec)).transpose()?;
        self.check_settings(&stored(spec)?, before.as_deref())?;
        let (registry, of) = (self.clone(), tenant.clone());
        let (spec, secret) = (spec.clone(), secret.clone());
        let compile = move || registry.compile_source(&of, id, spec, secret);
        Ok(self.compiler.run(For::Tenant(&tenant.id), compile).await??)
    }

    fn has_current_profile(&self, tenant: &Tenant, source: &Source) -> bool {
        let name = source.spec.profile.as_deref();
        let profile = tenant.read(|state| self.profile_of(state, name));
        profile.is_ok_and(|profile| Arc::ptr_eq(&profile, &source.profile))
    }

    fn source_in(&self, tenant: &Tenant, id: SourceId) -> Result<Arc<Source>, ChangeError> {
        let source = self.source(id).filter(|source| source.tenant == tenant.id);
        source.ok_or(ChangeError::NotFound("source"))
    }

    fn swap_source(&self, tenant: &Tenant, source: Source) -> Arc<Source> {
        let source = Arc::new(source);
        self.sources.write().insert(source.id, source.clone());
        tenant.change(|state| state.sources.insert(source.id, estimated_bytes(&source)));
        source
    }

    fn source_row(&self, source: &Source) -> Result<SourceRow, ChangeError> {
        Ok(SourceRow {
            id: source.id,
            tenant: source.tenant.clone(),
            name: source.spec.name.clone(),
            spec: stored(&source.spec)?,
            secret: self.sealer.seal(&place(source.id), &source.secret)?,
            created_at: source.created_at,
            updated_at: source.updated_at,
        })
    }

    pub(super) fn compile_source(
        &self,
        tenant: &Tenant,
        id: SourceId,
        spec: SourceSpec,
        secret: Secret,
    ) -> Result<Source, Invalid> {
        let profile = tenant.read(|state| self.profile_of(state, spec.profile.as_deref()))?;
        let (tenant, now) = (tenant.id.clone(), self.now());
        let around = Around { id, tenant, secret, profile, now };
        Source::compile(spec, around, &self.config.templates)
    }
}

/// Memory that a source takes with its compiled templates, roughly and rather too much.
pub(super) fn estimated_bytes(source: &Source) -> usize {
    const SOURCE: usize = 2_048;
    const TAG: usize = 512;
    let spec = &source.spec;
    let template = |text: &str| 4 * text.len() + TAG * text.matches("{{").count();
    let attributes = spec.attributes.iter().map(|(name, value)| 96 + name.len() + value.len());
    let paths = [&spec.data, &spec.split].into_iter().flatten().map(String::len);
    // Patterns and templates take many times their text.
    const COMPILED: usize = 8;
    const HANDSHAKE: usize = 4_096;
    let text = |text: Result<String, ChangeError>| text.map_or(0, |text| COMPILED * text.len());
    let more = text(stored(&spec.verify))
        + text(stored(&spec.handshakes))
        + text(stored(&spec.answer))
        + text(stored(&spec.body))
        + HANDSHAKE * spec.handshakes.len();
    SOURCE
        + more
        + template(&spec.event_type)
        + spec.event_id.as_deref().map_or(0, template)
        + attributes.chain(paths).sum::<usize>()
}
