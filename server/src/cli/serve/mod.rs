//! `antar serve`: runs the server.

mod line;
mod log;

use std::io::ErrorKind;
use std::net::TcpListener;

use anyhow::{Context, anyhow};

use crate::cli::offline::options::{ServerOptions, environment};
use crate::config::Config;
use crate::fault;

/// Variables that are not settings of the server.
const OTHER_VARIABLES: &[&str] = &[
    "ANTAR_URL",
    "ANTAR_KEY",
    "ANTAR_TENANT",
    "ANTAR_CONFIG",
    "ANTAR_SECRETS_KEY",
    fault::VARIABLE,
];

/// Runs the server.
///
/// Every setting can be given in the file, as a variable, and the most common ones as a flag: a
/// flag counts before the environment, that before the file, and that before the default.
/// `antar config` lists all of them. A new data folder gets the operator's key, in `operator.key`.
///
/// SIGTERM or ctrl-c ends it: attempts under way may finish, for at most `server.drain_ms`. A
/// second signal ends it at once; nothing that was accepted is lost either way.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: ServerOptions,
    /// Address and port to listen on. Environment: ANTAR_LISTEN; default: 127.0.0.1:8090.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// What a source's URL begins with when it is shown. Environment: ANTAR_PUBLIC_URL.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Permit plain HTTP and receivers on this machine. Environment: ANTAR_DEV.
    #[arg(long)]
    dev: bool,
    /// What is logged, such as `info` or `antar=debug,warn`. Environment: ANTAR_LOG.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Environment: ANTAR_LOG_FORMAT; default: pretty on a terminal, JSON in a pipe.
    #[arg(long, value_name = "pretty|json")]
    log_format: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  antar serve --dev
      SQLite in ./antar-data; receivers on this machine are permitted.
  antar serve --data-dir /var/lib/antar --listen 0.0.0.0:8090 --public-url https://hooks.example.com
      For others to reach, behind a proxy that does TLS.
  antar serve --database-url postgres://antar:PASSWORD@db/antar
      Several of them share one database and the same secrets.key.";

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.load(environment())?;
    log::start(&config.server)?;
    for name in unknown_variables(environment().map(|(name, _)| name)) {
        tracing::warn!("{name} is no setting; `antar config` lists them");
    }
    arm_faults(config.server.dev)?;
    raise_open_files(&config);
    let listener = listen(&config.server.listen)?;
    announce(&config, &listener)?;
    crate::run(config, listener, shutdown()?).await
}

impl Arguments {
    fn load(&self, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Config> {
        let flags = [
            ("server.listen", self.listen.as_deref()),
            ("server.public_url", self.public_url.as_deref()),
            ("server.dev", self.dev.then_some("true")),
            ("server.log", self.log.as_deref()),
            ("server.log_format", self.log_format.as_deref()),
        ];
        self.options.load(&flags, environment)
    }
}

/// Variables that look like settings but are none, and are most likely misspelt.
fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> =
        crate::cli::offline::config::paths().iter().map(|path| Config::variable(path)).collect();
    names
        .filter(|name| name.starts_with("ANTAR_"))
        .filter(|name| !known.contains(name) && !OTHER_VARIABLES.contains(&name.as_str()))
        .collect()
}

/// Raises the limit of open files as far as the system permits: each attempt in flight and each caller's
/// connection needs one, and many systems start with 1,024.
fn raise_open_files(config: &Config) {
    let attempts = config.delivery.in_flight_max + config.delivery.slow_in_flight_max;
    let wanted = attempts.saturating_add(config.server.connections_max);
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if usize::try_from(files).is_ok_and(|files| files < wanted) => tracing::warn!(
            files,
            wanted,
            "fewer files can be open than attempts and connections there may be; raise the limit (ulimit -n), or \
             lower delivery.slow_in_flight_max or server.connections_max"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files can't be raised"),
    }
}

/// Arms the faults that a test requests.
fn arm_faults(dev: bool) -> anyhow::Result<()> {
    let Ok(text) = std::env::var(fault::VARIABLE) else { return Ok(()) };
    if !dev {
        return Err(anyhow!(
            "{} makes the server fail on purpose, and needs --dev",
            fault::VARIABLE
        ));
    }
    fault::arm(&text).map_err(|error| anyhow!("{}: {error}", fault::VARIABLE))?;
    tracing::warn!("{}: this server will fail on purpose: {text}", fault::VARIABLE);
    Ok(())
}

/// Binds the address; an error says what to do.
fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let fix = match error.kind() {
            ErrorKind::AddrInUse => {
                "it is in use; end the program that listens there, or choose another with --listen"
            }
            ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges; choose a higher one with --listen"
            }
            ErrorKind::AddrNotAvailable => {
                "this machine has no such address; 0.0.0.0 means all that it has"
            }
            _ => "--listen is ADDRESS:PORT, such as 127.0.0.1:8090",
        };
        anyhow!("can't listen on {address}: {error}: {fix}")
    })
}

fn announce(config: &Config, listener: &TcpListener) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let folder = std::path::absolute(&config.server.data_dir)?;
    let database = if config.server.database_url.is_empty() { "SQLite" } else { "PostgreSQL" };
    let key = folder.join("operator.key");
    tracing::info!("listening on http://{address}; {database}; data in {}", folder.display());
    tracing::info!("the operator's key is in {}", key.display());
    if config.server.dev {
        tracing::warn!("--dev: plain HTTP and receivers on this machine are permitted");
    }
    Ok(())
}

/// Completes at the first SIGTERM or SIGINT. The second ends the process.
fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be listened for")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!(
            "shutting down: attempts under way may finish; a second signal ends at once"
        );
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::warn!("ended by a second signal");
            std::process::exit(1);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = listen(&address).unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("--listen"), "{error}");
        assert!(listen("here").unwrap_err().to_string().contains("ADDRESS:PORT"));
    }

    #[test]
    fn misspelt_variables_are_noticed() {
        let names =
            ["ANTAR_DATA_DIR", "ANTAR_DATADIR", "ANTAR_KEY", "HOME", "ANTAR_PLUGINS_CALL_TIME_MS"];
        let unknown = unknown_variables(names.into_iter().map(str::to_owned));
        assert_eq!(unknown, ["ANTAR_DATADIR"]);
    }
}
