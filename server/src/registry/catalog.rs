//! Changes of event types. Nothing is compiled from them but their schemas: webhooks are held against the
//! catalog when they are saved, and keep nothing of it.

use std::sync::Arc;

use super::turns::compile_pool::For;
use super::{ChangeError, Registry, stored, to_its_end};
use crate::model::{EventType, EventTypeSpec, Invalid, TenantId};
use crate::pipeline::compiled::profile::{CatalogType, Profile};
use crate::pipeline::compiled::tenant::Tenant;
use crate::pipeline::compiled::variables::{Variable, variables};
use crate::store::EventTypeRow;

impl Registry {
    /// Creates or replaces an event type of a tenant, or of the operator.
    pub async fn put_event_type(
        self: &Arc<Self>,
        tenant: Option<&Arc<Tenant>>,
        spec: EventTypeSpec,
    ) -> Result<(Arc<CatalogType>, bool), ChangeError> {
        let text = stored(&spec)?;
        if let Some(tenant) = tenant {
            self.check_type(tenant, &spec, text.len())?;
        }
        let whom = tenant.map_or(For::Operator, |tenant| For::Tenant(&tenant.id));
        let config = self.config.clone();
        let compile = move || CatalogType::new(spec, &config.intake);
        let known = self.compiler.run(whom, compile).await?;
        if let Some(detail) = known.refusal() {
            return Err(Invalid::at("/schema", detail).into());
        }
        let (registry, tenant) = (self.clone(), tenant.cloned());
        to_its_end(async move { registry.insert_type(tenant.as_ref(), known, text).await }).await
    }

    /// Refuses one type too many, or one that is too long.
    fn check_type(
        &self,
        tenant: &Tenant,
        spec: &EventTypeSpec,
        bytes: usize,
    ) -> Result<(), ChangeError> {
        let config = &self.config.tenant;
        let before = tenant.read(|state| state.event_types.get(&spec.name).cloned());
        let Some(before) = before else {
            let count = tenant.read(|state| state.event_types.len());
            let max = config.event_types_max;
            Registry::check_count(count, "event types", ("event_types_max", max))?;
            return self.check_type_bytes(bytes, 0);
        };
        if bytes <= config.event_type_bytes_max {
            return Ok(());
        }
        self.check_type_bytes(bytes, stored(&before.spec)?.len())
    }

    fn check_type_bytes(&self, bytes: usize, before: usize) -> Result<(), ChangeError> {
        let max = self.config.tenant.event_type_bytes_max;
        if bytes <= max || bytes <= before {
            return Ok(());
        }
        let detail = format!(
            "the event type has {bytes} bytes as JSON, {max} are allowed (tenant.event_type_bytes_max)"
        );
        Err(Invalid::at("", detail).into())
    }

    async fn insert_type(
        &self,
        tenant: Option<&Arc<Tenant>>,
        known: CatalogType,
        text: String,
    ) -> Result<(Arc<CatalogType>, bool), ChangeError> {
        let known = Arc::new(known);
        let now = self.now();
        let row = EventTypeRow {
            tenant: tenant.map(|tenant| tenant.id.clone()),
            name: known.spec.name.clone(),
            spec: text,
            created_at: now,
            updated_at: now,
        };
        let Some(tenant) = tenant else {
            let _one = self.operator.lock().await;
            self.store.configuration.put_event_type(row).await?;
            let name = known.spec.name.clone();
            let created = self.event_types.write().insert(name, known.clone()).is_none();
            return Ok((known, created));
        };
        let _change = self.change_in(tenant).await?;
        self.check_type(tenant, &known.spec, row.spec.len())?;
        tenant.read(|state| {
            let before = state.event_types.get(&known.spec.name).map_or(0, |before| before.bytes);
            self.check_bytes(state, before, known.bytes)
        })?;
        self.store.configuration.put_event_type(row).await?;
        let created = tenant.change(|state| state.put_event_type(known.clone()));
        Ok((known, created))
    }

    /// Puts a stored event type into memory.
    pub(super) fn load_event_type(&self, tenant: Option<&TenantId>, known: Arc<CatalogType>) {
        match tenant {
            None => drop(self.event_types.write().insert(known.spec.name.clone(), known)),
            Some(id) => {
                if let Some(tenant) = self.tenant(id) {
                    tenant.change(|state| state.put_event_type(known));
                }
            }
        }
    }

    pub async fn delete_event_type(
        self: &Arc<Self>,
        tenant: Option<&Arc<Tenant>>,
        name: &EventType,
    ) -> Result<(), ChangeError> {
        let (registry, tenant, name) = (self.clone(), tenant.cloned(), name.clone());
        to_its_end(async move { registry.remove_type(tenant.as_ref(), &name).await }).await
    }

    async fn remove_type(
        &self,
        tenant: Option<&Arc<Tenant>>,
        name: &EventType,
    ) -> Result<(), ChangeError> {
        let rows = &self.store.configuration;
        let Some(tenant) = tenant else {
            let _one = self.operator.lock().await;
            rows.delete_event_type(None, name).await.map_err(ChangeError::of("event type"))?;
            self.event_types.write().remove(name);
            return Ok(());
        };
        let _change = self.change_in(tenant).await?;
        let deleted = rows.delete_event_type(Some(&tenant.id), name).await;
        deleted.map_err(ChangeError::of("event type"))?;
        tenant.change(|state| state.remove_event_type(name));
        Ok(())
    }

    /// What templates can name in events of a type.
    pub async fn variables(
        &self,
        tenant: &Tenant,
        profile: Arc<Profile>,
        known: Arc<CatalogType>,
    ) -> Result<Vec<Variable>, ChangeError> {
        let id = tenant.id.clone();
        self.compiler.run(For::Tenant(&tenant.id), move || variables(&profile, &known, &id)).await
    }
}
