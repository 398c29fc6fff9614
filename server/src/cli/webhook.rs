//! A webhook as people name it.

use serde_json::Value as Json;

use super::client::{Client, segment};

/// The webhook with this id or name.
pub(super) async fn find(client: &Client, tenant: &str, wanted: &str) -> anyhow::Result<Json> {
    let path = format!("/v1/tenants/{}/webhooks", segment(tenant));
    if wanted.parse::<uuid::Uuid>().is_ok()
        && let Some(found) = client.find(&format!("{path}/{wanted}")).await?
    {
        return Ok(found);
    }
    let all = client.list(&path).await?;
    let found = all.into_iter().find(|webhook| webhook["name"] == wanted);
    found.ok_or_else(|| anyhow::anyhow!("the tenant {tenant} has no webhook {wanted}"))
}
