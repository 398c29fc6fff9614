//! Setup of the demo: five platforms with a webhook each, on an empty server.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::server::Server;
use super::show::Show;
use super::verify::Secret;
use crate::guests::Guest;

/// Applies profiles, plugins and webhooks, and passes the secrets to the receiver. Returns the
/// names of the tenants.
pub(crate) fn apply(
    root: &Path,
    server: &Server,
    plugins: &[Guest],
    receiver: &Receiver,
    show: Show,
) -> Result<Vec<String>> {
    show.step("antar apply -f examples/platforms");
    let platforms = root.join("examples/platforms");
    server.cli(&["apply", "-f", &platforms.to_string_lossy()])?;

    let manifest = root.join("examples/manifests/demo.yaml");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).context("examples/manifests/demo.yaml")?;
    let tenants = tenants(&documents);
    for tenant in &tenants {
        // The manifest brings the other settings; plugins must exist before the webhooks.
        server.api.call(
            "PUT",
            &format!("/v1/tenants/{tenant}"),
            "application/json",
            b"{}".to_vec(),
        )?;
    }
    for (tenant, name) in plugins_used(&documents) {
        let guest = plugins.iter().find(|guest| guest.name == name);
        let guest = guest.with_context(|| {
            format!("demo.yaml names the plugin {name}, which plugins/ has not")
        })?;
        let path = format!("/v1/tenants/{tenant}/plugins?name={name}");
        let made =
            server.api.call("POST", &path, "application/wasm", std::fs::read(&guest.wasm)?)?;
        let text = format!(
            "uploaded plugin {name}@{} to {tenant}, {} bytes",
            made["version"], made["size_bytes"]
        );
        show.fact("plugin", &text, made);
    }
    show.step("antar apply -f examples/manifests/demo.yaml");
    server.cli(&["apply", "-f", &manifest.to_string_lossy()])?;
    receiver.know(secrets(server, &tenants)?);
    Ok(tenants)
}

/// Makes new secrets, since a secret is shown only once, when it is made.
fn secrets(server: &Server, tenants: &[String]) -> Result<Vec<Secret>> {
    let mut secrets = Vec::new();
    for tenant in tenants {
        for webhook in server.api.list(&format!("/v1/tenants/{tenant}/webhooks"))? {
            let id = webhook["id"].as_str().context("a webhook without id")?;
            let path = format!("/v1/tenants/{tenant}/webhooks/{id}/secret/rotate");
            let rotated = server.api.post(&path, &json!({}))?;
            let text = rotated["secret"].as_str().context("no secret in the answer to rotate")?;
            let name = webhook["name"].as_str().unwrap_or(id);
            secrets.push(Secret { webhook: format!("{tenant}/{name}"), text: text.to_owned() });
        }
    }
    Ok(secrets)
}

fn tenants(documents: &[Value]) -> Vec<String> {
    let of_kind = documents.iter().filter(|document| document["kind"] == "tenant");
    of_kind.filter_map(|document| document["name"].as_str()).map(str::to_owned).collect()
}

/// Tenant and name of every plugin that a webhook of the manifest uses.
fn plugins_used(documents: &[Value]) -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    for document in documents {
        let tenant = document["tenant"].as_str().unwrap_or("default");
        for entry in document["plugins"].as_array().into_iter().flatten() {
            let name = entry["plugin"].as_str().unwrap_or_default();
            let name = name.split('@').next().unwrap_or(name);
            used.insert((tenant.to_owned(), name.to_owned()));
        }
    }
    used
}
