//! Arguments that several subcommands share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::api::Client;
use crate::cli::terminal::usage::Usage;
use crate::config::Config;

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

/// Where the data folder of a server at `url` may be: nowhere, unless it is on this machine.
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

/// Settings that have a flag of their own. A flag counts before the environment, that before the
/// file, and that before the default.
#[derive(clap::Args, Default)]
pub(crate) struct ServerOptions {
    /// YAML file with settings; `antar config` lists them.
    #[arg(long, env = "ANTAR_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Folder for database, keys and lock. Environment: ANTAR_DATA_DIR; default: antar-data.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
    /// postgres://USER:PASSWORD@HOST/DATABASE instead of SQLite in the data folder. Environment:
    /// ANTAR_DATABASE_URL.
    #[arg(long, value_name = "URL")]
    pub(super) database_url: Option<String>,
}

impl ServerOptions {
    /// The configuration with `flags` (path of the setting, value) on top.
    pub(crate) fn load(
        &self,
        flags: &[(&str, Option<&str>)],
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Config> {
        let own = [
            ("server.data_dir", self.data_dir.as_deref()),
            ("server.database_url", self.database_url.as_deref()),
        ];
        // The last word counts, so a flag is a variable that comes after all others.
        let flags = own.iter().chain(flags).filter_map(|(path, value)| {
            value.map(|value| (Config::variable(path), value.to_owned()))
        });
        Ok(Config::load(self.config.as_deref(), environment.chain(flags))?)
    }
}

/// The environment, without what is no UTF-8.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: OsString| text.into_string().ok();
    std::env::vars_os().filter_map(move |(name, value)| Some((text(name)?, text(value)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_flag_counts_before_the_environment_and_that_before_the_file() {
        let file = std::env::temp_dir().join(format!("antar-options-{}.yaml", std::process::id()));
        let settings = "server: {listen: 127.0.0.1:1, data_dir: file, log: warn}";
        std::fs::write(&file, settings).unwrap();
        let options = ServerOptions {
            config: Some(file.clone()),
            data_dir: Some(text("flag")),
            database_url: None,
        };
        let environment = [
            (text("ANTAR_DATA_DIR"), text("environment")),
            (text("ANTAR_LISTEN"), text("127.0.0.1:2")),
            (text("ANTAR_KEY"), text("of another command")),
        ];
        let config = options.load(&[("server.dev", Some("true"))], environment.into_iter());
        std::fs::remove_file(file).unwrap();
        let server = config.unwrap().server;
        assert_eq!(server.data_dir, PathBuf::from("flag"));
        assert_eq!(server.listen, "127.0.0.1:2");
        assert_eq!(server.log, "warn");
        assert!(server.dev);
        assert_eq!(server.drain_ms, crate::config::ServerConfig::default().drain_ms);
    }

    #[test]
    fn the_operators_key_is_for_a_server_on_this_machine_alone() {
        assert!(data_folders("https://antar.example").is_empty());
        assert!(data_folders("http://127.0.0.1.example:8090").is_empty());
        let folders = data_folders("http://127.0.0.1:8090");
        assert!(folders[0].ends_with("antar-data"), "{folders:?}");
    }

    #[test]
    fn a_flag_that_is_left_out_changes_nothing() {
        let config = ServerOptions::default().load(&[("server.listen", None)], [].into_iter());
        assert_eq!(config.unwrap(), Config::default());
    }
}
