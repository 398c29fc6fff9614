//! Arguments of commands that read the server's configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::Config;

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
    /// Loads the configuration, with `flags` (path of the setting, value) taking precedence.
    pub(crate) fn load(
        &self,
        flags: &[(&str, Option<&str>)],
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Config> {
        let own = [
            ("server.data_dir", self.data_dir.as_deref()),
            ("server.database_url", self.database_url.as_deref()),
        ];
        // The last value wins, so flags become variables after all others.
        let flags = own.iter().chain(flags).filter_map(|(path, value)| {
            value.map(|value| (Config::variable(path), value.to_owned()))
        });
        Ok(Config::load(self.config.as_deref(), environment.chain(flags))?)
    }
}

/// The environment, without variables that are not UTF-8.
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
    fn a_flag_that_is_left_out_changes_nothing() {
        let config = ServerOptions::default().load(&[("server.listen", None)], [].into_iter());
        assert_eq!(config.unwrap(), Config::default());
    }
}
