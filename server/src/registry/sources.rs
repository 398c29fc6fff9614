//! Sources: incoming URLs, and how their calls become events.

use std::sync::Arc;

use antar_template::{ContentType, Place, Template};

use super::{ChangeError, Registry, stored};
use crate::model::{FieldError, Invalid, Secret, SourceId, SourceSpec};
use crate::pipeline::accept::source::Source;
use crate::pipeline::compiled::tenant::Tenant;
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

impl Registry {
    pub async fn create_source(
        &self,
        tenant: &Arc<Tenant>,
        spec: SourceSpec,
        secret: Option<Secret>,
    ) -> Result<Arc<Source>, ChangeError> {
        let _one = self.change_in(tenant).await?;
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
        let source = self.compile_source(tenant, SourceId::new(self.now()), spec, secret)?;
        self.store
            .configuration
            .insert_source(self.source_row(&source)?)
            .await
            .map_err(ChangeError::of("source"))?;
        Ok(self.swap_source(source))
    }

    pub async fn update_source(
        &self,
        tenant: &Arc<Tenant>,
        id: SourceId,
        spec: SourceSpec,
    ) -> Result<Arc<Source>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        let known = self.source_in(tenant, id)?;
        let mut source = self.compile_source(tenant, id, spec, known.secret.clone())?;
        source.created_at = known.created_at;
        self.store
            .configuration
            .update_source(self.source_row(&source)?)
            .await
            .map_err(ChangeError::of("source"))?;
        Ok(self.swap_source(source))
    }

    /// Generates a new secret, and with it a new URL; the old one stops working at once.
    pub async fn rotate_source_secret(
        &self,
        tenant: &Arc<Tenant>,
        id: SourceId,
    ) -> Result<Arc<Source>, ChangeError> {
        let _one = self.change_in(tenant).await?;
        let known = self.source_in(tenant, id)?;
        let source =
            Source { secret: new_secret()?, updated_at: self.now(), ..Source::clone(&known) };
        self.store
            .configuration
            .update_source(self.source_row(&source)?)
            .await
            .map_err(ChangeError::of("source"))?;
        Ok(self.swap_source(source))
    }

    pub async fn delete_source(
        &self,
        tenant: &Arc<Tenant>,
        id: SourceId,
    ) -> Result<(), ChangeError> {
        let _one = self.change_in(tenant).await?;
        self.source_in(tenant, id)?;
        self.store.configuration.delete_source(id).await.map_err(ChangeError::of("source"))?;
        self.sources.write().remove(&id);
        Ok(())
    }

    fn source_in(&self, tenant: &Tenant, id: SourceId) -> Result<Arc<Source>, ChangeError> {
        let source = self.source(id).filter(|source| source.tenant == tenant.id);
        source.ok_or(ChangeError::NotFound("source"))
    }

    fn swap_source(&self, source: Source) -> Arc<Source> {
        let source = Arc::new(source);
        self.sources.write().insert(source.id, source.clone());
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
        if spec.name.is_empty() || spec.name.len() > 128 || spec.name.chars().any(char::is_control)
        {
            return Err(Invalid::at(
                "/name",
                "has 1 to 128 characters, none of them a control character",
            ));
        }
        let profile = tenant.read(|state| self.profile_of(state, spec.profile.as_deref()))?;
        let event_type = self.source_template("/event_type", &spec.event_type)?;
        if !spec.event_type.contains("{{") {
            let checked = spec.event_type.parse::<crate::model::EventType>();
            checked.map_err(|detail| Invalid::at("/event_type", detail))?;
        }
        let event_id =
            spec.event_id.as_ref().map(|id| self.source_template("/event_id", id)).transpose()?;
        let now = self.now();
        Ok(Source {
            id,
            tenant: tenant.id.clone(),
            event_type,
            event_id,
            secret,
            profile,
            created_at: now,
            updated_at: now,
            spec,
        })
    }

    fn source_template(&self, pointer: &str, text: &str) -> Result<Arc<Template>, Invalid> {
        let place = Place::Body(ContentType::Text);
        let template =
            Template::compile(text, &place, &self.config.templates).map_err(|errors| {
                let errors = errors.into_iter().map(|e| super::headers::template_error(pointer, e));
                Invalid { code: "template_invalid", errors: errors.collect() }
            })?;
        if template.secrets().is_empty() {
            return Ok(Arc::new(template));
        }
        let error = FieldError::new(pointer, "an event's type and id can't be made of a secret");
        Err(Invalid { code: "template_invalid", errors: vec![error] })
    }
}
