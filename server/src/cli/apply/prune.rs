//! `--prune`: deletes resources that no manifest names.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;
use serde_json::Value as Json;

use super::manifest::{Kind, Resource};
use super::report::{Done, Outcome, Report};
use super::target::{Target, folder_of};
use crate::cli::client::api::segment;

/// Kinds that can be deleted, dependents before what they use.
const ORDER: [Kind; 5] = [Kind::Webhook, Kind::Source, Kind::EventType, Kind::Plugin, Kind::Secret];

/// A resource that no manifest names.
#[derive(Debug, PartialEq, Eq)]
struct Extra {
    kind: Kind,
    tenant: Option<String>,
    name: String,
    path: String,
}

pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

pub(super) async fn prune(
    resources: &[Resource],
    target: &mut Target<'_>,
    yes: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut extras = Vec::new();
    for ((kind, tenant), names) in scopes(resources) {
        let folder = folder_of(kind, tenant);
        let rows = target.list(&folder).await?;
        extras.extend(not_named(kind, tenant, &folder, &names, rows));
    }
    if extras.is_empty() {
        return Ok(());
    }
    if !yes && !report.is_dry_run() && !ask(&extras)? {
        bail!("nothing was deleted");
    }
    extras.sort_by_key(|extra| ORDER.iter().position(|kind| *kind == extra.kind));
    for extra in extras {
        let about = (extra.kind, extra.tenant.as_deref(), extra.name.as_str());
        match target.delete(&extra.path).await {
            Ok(()) => report.report_one(about, Done::new(Outcome::Deleted)),
            Err(error) => report.not_deleted(about, &error.into()),
        }
    }
    Ok(())
}

/// Names in the manifests by kind and tenant. Kinds and tenants without a manifest are not pruned.
fn scopes(resources: &[Resource]) -> BTreeMap<(Kind, Option<&str>), HashSet<&str>> {
    let mut scopes: BTreeMap<_, HashSet<_>> = BTreeMap::new();
    for resource in resources.iter().filter(|resource| ORDER.contains(&resource.kind)) {
        let scope = (resource.kind, resource.tenant.as_deref());
        scopes.entry(scope).or_default().insert(resource.name.as_str());
    }
    scopes
}

fn not_named(
    kind: Kind,
    tenant: Option<&str>,
    folder: &str,
    names: &HashSet<&str>,
    rows: &[Json],
) -> Vec<Extra> {
    // A list may have one row for each version of a plugin.
    let mut seen = HashSet::new();
    let extra = |row: &Json| {
        let name = row["name"].as_str()?;
        // A tenant's list includes the event types of its profile and of the operator.
        if kind == Kind::EventType && tenant.is_some() && row["owner"] != "tenant" {
            return None;
        }
        let key = match kind {
            Kind::Webhook | Kind::Source => row["id"].as_str()?,
            _ => name,
        };
        (!names.contains(name) && seen.insert(name.to_owned())).then(|| Extra {
            kind,
            tenant: tenant.map(str::to_owned),
            name: name.to_owned(),
            path: format!("{folder}/{}", segment(key)),
        })
    };
    rows.iter().filter_map(extra).collect()
}

fn ask(extras: &[Extra]) -> anyhow::Result<bool> {
    let mut out = std::io::stderr();
    writeln!(out, "The manifests don't name these:")?;
    for extra in extras {
        let tenant = extra.tenant.as_deref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
        writeln!(out, "  {} {tenant}{}", extra.kind.as_str(), extra.name)?;
    }
    write!(out, "Delete them? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_not_named_is_extra() {
        let rows = [json!({"id": "1", "name": "a"}), json!({"id": "2", "name": "b/c"})];
        let names = HashSet::from(["a"]);
        let extras = not_named(Kind::Webhook, Some("t"), "/v1/tenants/t/webhooks", &names, &rows);
        assert_eq!(extras.len(), 1);
        assert_eq!(
            (extras[0].name.as_str(), extras[0].path.as_str()),
            ("b/c", "/v1/tenants/t/webhooks/2")
        );
        let rows = [json!({"name": "p", "version": 1}), json!({"name": "p", "version": 2})];
        let extras = not_named(Kind::Plugin, Some("t"), "/plugins", &HashSet::new(), &rows);
        assert_eq!(extras.len(), 1);
        assert_eq!(extras[0].path, "/plugins/p");
    }

    #[test]
    fn event_types_of_others_are_left_alone() {
        let rows =
            [json!({"name": "a", "owner": "profile"}), json!({"name": "b", "owner": "tenant"})];
        let extras = not_named(Kind::EventType, Some("t"), "/types", &HashSet::new(), &rows);
        assert_eq!(extras.iter().map(|extra| extra.name.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn tenants_and_profiles_are_never_deleted() {
        let text = "{kind: tenant, name: t}\n---\n{kind: profile, name: f, payload: []}\n---\n{kind: source, name: s, event_type: a}\n";
        let (mut resources, mut misread) = (Vec::new(), Vec::new());
        let folder = std::path::Path::new(".");
        super::super::manifest::parse(
            "m.yaml",
            text,
            folder,
            "default",
            &mut resources,
            &mut misread,
        );
        let scopes = scopes(&resources);
        assert_eq!(scopes.keys().collect::<Vec<_>>(), [&(Kind::Source, Some("default"))]);
    }
}
