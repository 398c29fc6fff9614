//! Arguments of commands that call the API.

use std::path::{Path, PathBuf};

use super::api::Client;
use crate::cli::terminal::usage::Usage;

/// Where Antar is and who calls.
#[derive(clap::Args)]
pub(crate) struct ApiOptions {
    /// Where Antar listens.
    #[arg(long, env = "ANTAR_URL", default_value = "http://127.0.0.1:8090", value_name = "URL")]
    url: String,
    /// Key to the API. Left out, with a server on this machine: `operator.key` in ANTAR_DATA_DIR, or
    /// in the folder antar-data here or above.
    #[arg(long, env = "ANTAR_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// The tenant, where nothing else names one.
    #[arg(long, env = "ANTAR_TENANT", default_value = "default", value_name = "TENANT")]
    pub(crate) tenant: String,
}

impl ApiOptions {
    /// A client for the API.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let given = self.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        let folders = data_folders(&self.url);
        let key = given.map(str::to_owned).or_else(|| folders.iter().find_map(|f| operator_key(f)));
        let key = key.ok_or_else(|| {
            Usage::error(
                "the API needs a key: set ANTAR_KEY or --key. The operator's lies in the server's data folder: \
                 export ANTAR_KEY=$(cat antar-data/operator.key)",
            )
        })?;
        Client::new(&self.url, &key)
    }
}

/// Possible data folders of a server at `url`; none unless it is on this machine.
fn data_folders(url: &str) -> Vec<PathBuf> {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    if !host.is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]")) {
        return Vec::new();
    }
    if let Some(folder) = std::env::var_os("ANTAR_DATA_DIR") {
        return vec![PathBuf::from(folder)];
    }
    let here = std::env::current_dir().unwrap_or_default();
    here.ancestors().map(|folder| folder.join("antar-data")).collect()
}

fn operator_key(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("operator.key")).ok()?;
    Some(text.trim().to_owned()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_key_is_for_a_server_on_this_machine_alone() {
        assert!(data_folders("https://antar.example").is_empty());
        assert!(data_folders("http://127.0.0.1.example:8090").is_empty());
        let folders = data_folders("http://127.0.0.1:8090");
        assert!(folders[0].ends_with("antar-data"), "{folders:?}");
    }
}
