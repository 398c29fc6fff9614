//! The server that manifests are applied to.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::change::{diff, merge_patch};
use super::manifest::{Content, Kind, Resource, ValueFrom, canonical};
use super::order::Step;
use super::report::{Done, Outcome};
use crate::cli::client::api::{CallError, Client, segment};
use crate::exact_json;
use crate::model::{EventTypeSpec, ProfileSpec, SourceSpec, TenantSpec, WebhookSpec};

/// Profile of a tenant that sets none.
const BUILT_IN_PROFILE: &str = "standard";

pub(super) struct Target<'a> {
    client: &'a Client,
    dry_run: bool,
    set_secrets: bool,
    /// By path, as they were before any change.
    lists: HashMap<String, Vec<Json>>,
    /// Tenants created ahead of their intake plugins.
    made: HashSet<String>,
    /// By tenant.
    default_profiles: HashMap<String, String>,
}

impl<'a> Target<'a> {
    pub(super) fn new(client: &'a Client, dry_run: bool, set_secrets: bool) -> Target<'a> {
        Target {
            client,
            dry_run,
            set_secrets,
            lists: HashMap::new(),
            made: HashSet::new(),
            default_profiles: HashMap::new(),
        }
    }

    /// Applies one step. `None` if there is no result to report yet.
    pub(super) async fn apply(&mut self, step: &Step<'_>) -> anyhow::Result<Option<Done>> {
        let resource = step.resource;
        let done = match &resource.content {
            Content::Secret(from) => self.secret(resource, from).await,
            Content::Plugin(file) => self.plugin(resource, file).await,
            Content::Spec { spec, .. } if step.ahead => {
                return self.make_ahead(resource, spec).await.map(|()| None);
            }
            Content::Spec { spec, secret_from } => match resource.kind {
                Kind::Webhook | Kind::Source => {
                    self.named_in_list(resource, spec, secret_from.as_ref()).await
                }
                _ => self.named_in_path(resource, spec).await,
            },
        };
        done.map(Some)
    }

    /// Rows of a list; none if its tenant does not exist.
    pub(super) async fn list(&mut self, path: &str) -> Result<&[Json], CallError> {
        if !self.lists.contains_key(path) {
            let rows = match self.client.list(path).await {
                Err(CallError::Problem(problem)) if problem.status == 404 => Vec::new(),
                rows => rows?,
            };
            self.lists.insert(path.to_owned(), rows);
        }
        Ok(self.lists.get(path).map(Vec::as_slice).unwrap_or_default())
    }

    /// Profile of a webhook or source that sets none.
    async fn default_profile(&mut self, tenant: Option<&str>) -> Result<String, CallError> {
        let Some(tenant) = tenant else { return Ok(BUILT_IN_PROFILE.to_owned()) };
        if let Some(known) = self.default_profiles.get(tenant) {
            return Ok(known.clone());
        }
        let shown = self.client.find(&format!("/v1/tenants/{}", segment(tenant))).await?;
        let profile = shown.as_ref().and_then(|tenant| tenant["profile"].as_str());
        let profile = profile.unwrap_or(BUILT_IN_PROFILE).to_owned();
        self.default_profiles.insert(tenant.to_owned(), profile.clone());
        Ok(profile)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), CallError> {
        if !self.dry_run {
            self.client.delete(path).await?;
        }
        Ok(())
    }

    async fn secret(&self, resource: &Resource, from: &ValueFrom) -> anyhow::Result<Done> {
        let value = from.read()?;
        self.send(Method::PUT, &path_of(resource), &json!({"value": value})).await?;
        Ok(Done::new(Outcome::Written))
    }

    /// Uploads a file unless it is the newest version already.
    async fn plugin(&mut self, resource: &Resource, file: &Path) -> anyhow::Result<Done> {
        let wasm =
            std::fs::read(file).with_context(|| format!("the plugin's file {}", file.display()))?;
        let digest = hex::encode(Sha256::digest(&wasm));
        let folder = folder_of(resource.kind, resource.tenant.as_deref());
        let newest = newest(self.list(&folder).await?, &resource.name);
        if newest.as_ref().is_some_and(|(_, known)| *known == digest) {
            return Ok(Done::new(Outcome::Unchanged));
        }
        let shown = |version: u64, digest: &str| json!({"version": version, "digest": digest});
        let before = newest.as_ref().map_or(Json::Null, |(version, known)| shown(*version, known));
        let version = newest.as_ref().map_or(1, |(version, _)| version + 1);
        let mut done =
            Done::new(if newest.is_some() { Outcome::Updated } else { Outcome::Created });
        done.diff = diff(&before, &shown(version, &digest));
        if !self.dry_run {
            let path = format!("{folder}?name={}", segment(&resource.name));
            let answer = self
                .client
                .call(Method::POST, &path, "application/wasm", Bytes::from(wasm))
                .await?;
            done.told = told(resource.kind, &answer);
        }
        Ok(done)
    }

    async fn make_ahead(&mut self, resource: &Resource, spec: &Json) -> anyhow::Result<()> {
        let path = path_of(resource);
        if self.client.find(&path).await?.is_none() {
            let mut spec = spec.clone();
            spec["intake_plugins"] = json!([]);
            self.send(Method::PUT, &path, &spec).await?;
            self.made.insert(resource.name.clone());
        }
        Ok(())
    }

    /// Profiles, tenants and event types: `PUT` to their name.
    async fn named_in_path(&self, resource: &Resource, spec: &Json) -> anyhow::Result<Done> {
        let path = path_of(resource);
        let made_ahead = resource.kind == Kind::Tenant && self.made.contains(&resource.name);
        let current = if made_ahead { None } else { self.client.find(&path).await? };
        // A tenant's list includes types of its profile and of the operator, which are not its own.
        let is_own = |current: &Json| resource.tenant.is_none() || current["owner"] == "tenant";
        let current = current.filter(|current| resource.kind != Kind::EventType || is_own(current));
        let Some(current) = current else {
            let mut done = Done::new(Outcome::Created);
            done.diff = diff(&Json::Null, spec);
            self.send(Method::PUT, &path, spec).await?;
            return Ok(done);
        };
        let mut current = as_written(resource.kind, current)?;
        if resource.kind == Kind::Tenant {
            leave_out(&mut current, spec, "profile", Some(BUILT_IN_PROFILE));
        }
        // Compared as text, since the order of headers and of an example's keys matters too.
        let (before, after) = (current.to_string(), spec.to_string());
        if before == after {
            return Ok(Done::new(Outcome::Unchanged));
        }
        let mut done = Done::new(Outcome::Updated);
        done.diff = diff(&current, spec);
        self.send(Method::PUT, &path, spec).await?;
        Ok(done)
    }

    /// Webhooks and sources: `POST` a new one, `PATCH` an existing one of this name.
    async fn named_in_list(
        &mut self,
        resource: &Resource,
        spec: &Json,
        secret_from: Option<&ValueFrom>,
    ) -> anyhow::Result<Done> {
        let secret = secret_from.map(ValueFrom::read).transpose()?;
        let folder = folder_of(resource.kind, resource.tenant.as_deref());
        let rows = self.list(&folder).await?;
        let Some(current) = rows.iter().find(|row| row["name"] == *resource.name).cloned() else {
            let mut done = Done::new(Outcome::Created);
            done.diff = diff(&Json::Null, spec);
            let mut body = spec.clone();
            // A secret from the manifest is known to the user and not shown again.
            let given = secret.is_some();
            if let Some(secret) = secret {
                body["secret"] = secret.into();
            }
            done.told = told(resource.kind, &self.send(Method::POST, &folder, &body).await?);
            if given {
                done.told.shift_remove("secret");
            }
            return Ok(done);
        };
        let id = current["id"]
            .as_str()
            .ok_or_else(|| anyhow!("the server lists it without an id"))?
            .to_owned();
        let mut current = as_written(resource.kind, current)?;
        let default = self.default_profile(resource.tenant.as_deref()).await?;
        leave_out(&mut current, spec, "profile", Some(&default));
        if resource.kind == Kind::Webhook {
            leave_out(&mut current, spec, "enabled", None);
        }
        let change = merge_patch(&current, spec);
        let secret = secret.filter(|_| self.set_secrets);
        let outcome = match (&change, &secret) {
            (Some(_), _) => Outcome::Updated,
            (None, Some(_)) => Outcome::Written,
            (None, None) => Outcome::Unchanged,
        };
        let mut done = Done::new(outcome);
        done.told.insert("id".to_owned(), id.as_str().into());
        if outcome != Outcome::Unchanged {
            done.diff = diff(&current, spec);
            let mut patch = change.unwrap_or_else(|| json!({}));
            if let Some(secret) = secret {
                patch["secret"] = secret.into();
            }
            let mut answer = self.send(Method::PATCH, &format!("{folder}/{id}"), &patch).await?;
            if let Some(warnings) = answer.get_mut("warnings") {
                done.told.insert("warnings".to_owned(), warnings.take());
            }
        }
        Ok(done)
    }

    /// Sends a change, unless this is a dry run.
    async fn send(&self, method: Method, path: &str, body: &Json) -> Result<Json, CallError> {
        if self.dry_run {
            return Ok(Json::Null);
        }
        let body = exact_json::text(body).into();
        self.client.call(method, path, "application/json", body).await
    }
}

/// Path of the list of resources of a kind.
pub(super) fn folder_of(kind: Kind, tenant: Option<&str>) -> String {
    let list = match kind {
        Kind::Profile => "profiles",
        Kind::Tenant => "tenants",
        Kind::Secret => "secrets",
        Kind::Plugin => "plugins",
        Kind::EventType => "event-types",
        Kind::Webhook => "webhooks",
        Kind::Source => "sources",
    };
    match tenant {
        Some(tenant) => format!("/v1/tenants/{}/{list}", segment(tenant)),
        None => format!("/v1/{list}"),
    }
}

fn path_of(resource: &Resource) -> String {
    format!("{}/{}", folder_of(resource.kind, resource.tenant.as_deref()), segment(&resource.name))
}

/// Reduces what the server shows to the members that can be written, in canonical form.
fn as_written(kind: Kind, shown: Json) -> anyhow::Result<Json> {
    fn reduce<T: PartialSchema + DeserializeOwned + Serialize>(
        shown: Json,
        leave: &[&str],
    ) -> anyhow::Result<Json> {
        let Json::Object(mut members) = shown else {
            return Err(anyhow!("the server shows no object"));
        };
        let writable = fields::<T>();
        members.retain(|key, value| {
            writable.contains(key) && !leave.contains(&key.as_str()) && !value.is_null()
        });
        let read = canonical::<T>(members);
        read.map_err(|(pointer, detail)| {
            anyhow!("the server shows what this antar can't read at {pointer}: {detail}; are both of the same version?")
        })
    }
    match kind {
        Kind::Profile => reduce::<ProfileSpec>(shown, &[]),
        // The name is in the path.
        Kind::Tenant => reduce::<TenantSpec>(shown, &["name"]),
        Kind::EventType => reduce::<EventTypeSpec>(shown, &[]),
        Kind::Source => reduce::<SourceSpec>(shown, &[]),
        Kind::Webhook => reduce::<WebhookSpec>(shown, &[]),
        Kind::Secret | Kind::Plugin => Ok(shown),
    }
}

/// Names of a type's fields, from its schema.
fn fields<T: PartialSchema>() -> HashSet<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => HashSet::new(),
    }
}

/// Removes a member that the manifest does not set: always, or only if it has the default value.
/// The server shows the effective profile even where none was chosen.
fn leave_out(current: &mut Json, wanted: &Json, member: &str, default: Option<&str>) {
    let by_default = default.is_none_or(|default| current[member] == default);
    if wanted.get(member).is_none()
        && by_default
        && let Some(members) = current.as_object_mut()
    {
        members.shift_remove(member);
    }
}

/// Members of the response to a new resource that are worth showing.
fn told(kind: Kind, answer: &Json) -> Map<String, Json> {
    let names: &[&str] = match kind {
        Kind::Webhook => &["id", "secret", "public_key", "warnings"],
        Kind::Source => &["id", "url", "secret", "warnings"],
        Kind::Plugin => &["version", "digest"],
        _ => &[],
    };
    let member = |name: &&str| {
        Some(((*name).to_owned(), answer.get(*name).filter(|value| !value.is_null())?.clone()))
    };
    names.iter().filter_map(member).collect()
}

/// Version and digest of a plugin's newest version. A row is a version, or a plugin with its
/// `versions`.
fn newest(rows: &[Json], name: &str) -> Option<(u64, String)> {
    let rows = rows.iter().filter(|row| row["name"] == name);
    let versions = rows.flat_map(|row| match row["versions"].as_array() {
        Some(versions) => versions.iter().collect(),
        None => vec![row],
    });
    let figures = versions
        .filter_map(|row| Some((row["version"].as_u64()?, row["digest"].as_str()?.to_owned())));
    figures.max_by_key(|(version, _)| *version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_shows_compares_with_what_was_written() {
        let written: Map<_, _> =
            serde_json::from_value(json!({"name": "a", "event_types": ["a.*"],
            "url": "https://a.example", "rule": {"data": {"n": [1]}}, "retry": {"jitter": 0}}))
            .unwrap();
        let written = canonical::<WebhookSpec>(written).unwrap();
        let mut shown = written.clone();
        for (key, value) in [
            ("id", json!("1")),
            ("revision", json!(3)),
            ("profile", json!(null)),
            ("paused", json!(false)),
        ] {
            shown[key] = value;
        }
        assert_eq!(as_written(Kind::Webhook, shown).unwrap(), written);
    }

    #[test]
    fn fields_come_from_the_schema() {
        let fields = fields::<WebhookSpec>();
        for field in [
            "name",
            "enabled",
            "event_types",
            "rule",
            "signers",
            "limits",
            "hosts_allowed",
            "unresolved",
        ] {
            assert!(fields.contains(field), "{field}: {fields:?}");
        }
        assert!(super::fields::<ProfileSpec>().contains("incoming"));
        assert!(super::fields::<TenantSpec>().contains("intake_plugins"));
    }

    #[test]
    fn a_profile_that_nobody_chose_is_no_difference() {
        let cases = [
            (json!({"profile": "a"}), json!({}), Some("a"), json!({})),
            (json!({"profile": "b"}), json!({}), Some("a"), json!({"profile": "b"})),
            (json!({"profile": "a"}), json!({"profile": "a"}), Some("a"), json!({"profile": "a"})),
            (json!({"profile": "b"}), json!({}), None, json!({})),
        ];
        for (mut current, wanted, default, left) in cases {
            leave_out(&mut current, &wanted, "profile", default);
            assert_eq!(current, left);
        }
    }

    #[test]
    fn the_newest_version_counts() {
        let flat = [
            json!({"name": "a", "version": 1, "digest": "x"}),
            json!({"name": "a", "version": 10, "digest": "y"}),
            json!({"name": "b", "version": 11, "digest": "z"}),
        ];
        assert_eq!(newest(&flat, "a"), Some((10, "y".to_owned())));
        let nested = [json!({"name": "a", "versions": [{"version": 2, "digest": "w"}]})];
        assert_eq!(newest(&nested, "a"), Some((2, "w".to_owned())));
        assert_eq!(newest(&flat, "c"), None);
    }
}
