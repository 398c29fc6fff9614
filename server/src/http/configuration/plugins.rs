//! Plugins: upload, list, delete and test.

use std::collections::{BTreeMap, BTreeSet};

use antar_json::Document;
use serde::{Deserialize, Serialize};

use crate::http::edge::answer::{self, Answer};
use crate::http::edge::auth::{Access, Manage, Read};
use crate::http::edge::body::{Body, Upload};
use crate::http::edge::error::Problem;
use crate::http::edge::page::{List, Paging, Selected};
use crate::http::edge::path::{Id, Query};
use crate::http::edge::sample_event;
use crate::model::{Invalid, Millis, PluginMeta, PluginName, PluginState};
use crate::pipeline::attempt::transform::{PluginInput, call_plugin};
use crate::pipeline::compiled::tenant::{StoredPlugin, TenantState};
use crate::plugin::{CallReport, Outcome, Place, Replacement};

/// The plugin's name.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NameQuery {
    /// Of the plugin; a name that is there already gets a new version.
    #[param(value_type = String)]
    name: PluginName,
}

/// A version of a plugin.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PluginView {
    #[serde(flatten)]
    meta: PluginMeta,
    /// Why it is not called at the moment; null otherwise.
    paused: Option<PauseView>,
}

/// A plugin failed too often in a row. What needs it waits, unless its `on_error` says otherwise.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PauseView {
    reason: String,
    /// When one call tries again.
    until: Millis,
}

impl PluginView {
    fn ready(stored: &StoredPlugin) -> PluginView {
        let paused = stored.plugin.pause();
        let paused = paused.map(|p| PauseView { reason: p.reason, until: Millis(p.until_ms) });
        let mut meta = stored.meta.clone();
        if !stored.plugin.is_ready() {
            meta.state = PluginState::Compiling;
        }
        PluginView { meta, paused }
    }

    fn other(meta: &PluginMeta) -> PluginView {
        PluginView { meta: meta.clone(), paused: None }
    }

    /// Finds the version `NAME@VERSION`; for a bare name, the newest version that can be called, or
    /// else the newest.
    fn find(state: &TenantState, name: &str) -> Option<PluginView> {
        if let Some(stored) = state.plugin(name) {
            return Some(PluginView::ready(stored));
        }
        let (name, version) = match name.split_once('@') {
            Some((name, version)) => (name, Some(version.parse::<u32>().ok()?)),
            None => (name, None),
        };
        let uploads = state.uploads.get(&name.parse::<PluginName>().ok()?)?;
        let meta = match version {
            Some(version) => uploads.get(&version),
            None => uploads.values().next_back(),
        };
        meta.map(PluginView::other)
    }
}

/// Upload a version of a plugin
///
/// A WASM component, or a core module with its component type. It is compiled, checked and asked
/// what it is; versions count up and never change. 202 when compiling takes longer than
/// `plugins.upload_wait_ms`: ask for `NAME@VERSION` until `state` is no longer `compiling`.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/plugins", tag = "plugins", params(NameQuery),
    request_body(content = inline(Upload), content_type = "application/wasm"),
    responses((status = 201, body = PluginView), (status = 202, body = PluginView))
)]
pub(crate) async fn upload(
    access: Access<Manage>,
    Query(query): Query<NameQuery>,
    Upload(wasm): Upload,
) -> Answer {
    let meta = access.app.registry.upload_plugin(&access.tenant, query.name, wasm).await?;
    let view = PluginView::other(&meta);
    if meta.state == PluginState::Compiling {
        return answer::accepted(&view);
    }
    answer::created(&view)
}

/// List plugins, each with its newest version
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/plugins", tag = "plugins", params(Paging),
    responses((status = 200, body = List<PluginView>))
)]
pub(crate) async fn list(access: Access<Read>, Query(paging): Query<Paging>) -> Answer {
    let tenant = &access.tenant;
    let names: BTreeSet<PluginName> =
        tenant.read(|state| state.plugins.keys().chain(state.uploads.keys()).cloned().collect());
    let page = Selected::of(names.into_iter(), PluginName::clone, &paging, &access.app.config)?;
    let view = |name: PluginName| tenant.read(|state| PluginView::find(state, name.as_str()));
    Ok(page.write(view)?.answer())
}

/// Get the newest version of a plugin that can be called, or the one of `NAME@VERSION`
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/plugins/{name}", tag = "plugins",
    responses((status = 200, body = PluginView))
)]
pub(crate) async fn get(access: Access<Read>, Id(name): Id<String>) -> Answer {
    let view = access.tenant.read(|state| PluginView::find(state, &name));
    answer::ok(&view.ok_or_else(|| Problem::not_found("plugin"))?)
}

/// List the versions of a plugin, oldest first
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/plugins/{name}/versions", tag = "plugins", params(Paging),
    responses((status = 200, body = List<PluginView>))
)]
pub(crate) async fn versions(
    access: Access<Read>,
    Id(name): Id<PluginName>,
    Query(paging): Query<Paging>,
) -> Answer {
    let tenant = &access.tenant;
    let numbers: BTreeSet<u32> = tenant.read(|state| {
        let ready = state.plugins.get(&name).into_iter().flat_map(BTreeMap::keys);
        let others = state.uploads.get(&name).into_iter().flat_map(BTreeMap::keys);
        ready.chain(others).copied().collect()
    });
    if numbers.is_empty() {
        return Err(Problem::not_found("plugin"));
    }
    let page = Selected::of(numbers.into_iter(), u32::clone, &paging, &access.app.config)?;
    let view = |number: u32| {
        tenant.read(|state| PluginView::find(state, &format!("{}@{number}", name.as_str())))
    };
    Ok(page.write(view)?.answer())
}

/// Delete a plugin, or the one version of `NAME@VERSION`
///
/// 409 while something uses it.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/plugins/{name}", tag = "plugins",
    responses((status = 204, description = "Deleted"))
)]
pub(crate) async fn delete(access: Access<Manage>, Id(name): Id<String>) -> Answer {
    let (name, version) = match name.split_once('@') {
        Some((name, version)) => (name, version.parse().ok().map(Some)),
        None => (name.as_str(), Some(None)),
    };
    let (Ok(name), Some(version)) = (name.parse(), version) else {
        return Err(Problem::not_found("plugin"));
    };
    access.app.registry.delete_plugin(&access.tenant, &name, version).await?;
    answer::no_content()
}

/// What to try a plugin with.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginTestRequest {
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Option<Document>,
    /// As it would be posted; without `data` the example of its type is taken.
    #[schema(value_type = Object)]
    event: Document,
    /// Where it runs; it decides what an answer may change.
    #[serde(default)]
    at: At,
}

/// Where a plugin is used.
#[derive(Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum At {
    Intake,
    #[default]
    Webhook,
}

/// What a plugin did with an event.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct PluginTestView {
    /// `pass`, `replace`, `split`, `drop`, or how the call failed: `retry`, `fail`, `trap`,
    /// `timed_out`, `too_much_memory`, `bad_output`, `busy`.
    outcome: &'static str,
    reason: Option<String>,
    /// The data afterwards; null where there is none, or several.
    #[schema(value_type = Option<Object>)]
    data: Option<Document>,
    /// What it put in place of the event; for `split` several.
    replacements: Vec<ReplacementView>,
    logs: Vec<LogLine>,
    took_us: u64,
    memory_bytes: usize,
}

/// A new event in place of the old one.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct ReplacementView {
    #[schema(value_type = Object)]
    data: Document,
    /// Null: unchanged.
    event_type: Option<String>,
    attributes: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

/// A line that a plugin wrote.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LogLine {
    level: String,
    text: String,
}

impl ReplacementView {
    fn of(replacement: &Replacement) -> ReplacementView {
        ReplacementView {
            data: replacement.data.clone(),
            event_type: replacement.event_type.clone(),
            attributes: replacement.attributes.iter().cloned().collect(),
            headers: replacement.headers.iter().cloned().collect(),
        }
    }
}

impl PluginTestView {
    fn of(report: CallReport, before: &Document) -> PluginTestView {
        let (outcome, reason, data, replacements) = match &report.result {
            Ok(Outcome::Pass) => ("pass", None, Some(before.clone()), Vec::new()),
            Ok(Outcome::Replace(with)) => {
                ("replace", None, Some(with.data.clone()), vec![ReplacementView::of(with)])
            }
            Ok(Outcome::Split(parts)) => {
                ("split", None, None, parts.iter().map(ReplacementView::of).collect())
            }
            Ok(Outcome::Drop(reason)) => ("drop", Some(reason.clone()), None, Vec::new()),
            Err(error) => (error.name(), Some(error.to_string()), None, Vec::new()),
        };
        let logs = report.logs.into_iter();
        let logs =
            logs.map(|(level, text)| LogLine { level: format!("{level:?}").to_lowercase(), text });
        PluginTestView {
            outcome,
            reason,
            data,
            replacements,
            logs: logs.collect(),
            took_us: report.took_us,
            memory_bytes: report.memory_bytes,
        }
    }
}

/// Run a plugin on an event
///
/// The newest version, or the one of `NAME@VERSION`. Nothing is stored or sent.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/plugins/{name}/test", tag = "plugins", request_body = PluginTestRequest,
    responses((status = 200, body = PluginTestView))
)]
pub(crate) async fn test(access: Access<Manage>, Id(name): Id<String>, body: Body) -> Answer {
    let request: PluginTestRequest = body.json()?;
    let plugin = access.tenant.plugin(&name).ok_or_else(|| Problem::not_found("plugin"))?;
    let config = request.config.unwrap_or_else(Document::empty_object);
    let max = access.app.config.tenant.settings_bytes_max;
    if config.text().len() > max {
        let detail = format!("has more than {max} bytes (tenant.settings_bytes_max)");
        return Err(Invalid::at("/config", detail).into());
    }
    let (checked, value) = (plugin.clone(), config.root().to_serde());
    let work = &access.app.pipeline.work;
    let errors = work.run(&access.tenant.id, move || checked.config_errors(&value)).await?;
    if let Some(error) = errors.first() {
        return Err(Invalid::at(format!("/config{}", error.pointer), &error.detail).into());
    }
    let event = sample_event::posted(&access.app, &access.tenant, None, &request.event)?;
    let place = match request.at {
        At::Intake => Place::Intake,
        At::Webhook => Place::Webhook,
    };
    let timestamp = event.timestamp.to_string();
    let input = PluginInput { event: &event, timestamp: &timestamp, data: event.data(), place };
    let report =
        call_plugin(&access.app.pipeline.host, &access.tenant, &name, &config, input).await;
    let report =
        report.map_err(|error| Problem::from(Invalid::at("/config", error.to_string())))?;
    answer::ok(&PluginTestView::of(report, &event.data().to_document()))
}
