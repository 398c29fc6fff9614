//! A temporary PostgreSQL server, in a temporary folder, for as long as this program runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::at_exit::AtExit;
use crate::command::{in_path, must, read, works};

/// Seconds that the server may take to start.
const START_S_MAX: &str = "60";

/// The folder of `initdb`, `postgres` and `pg_ctl`.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Searches `PATH` and the folders used by Debian, Red Hat, Homebrew and Postgres.app, newest
    /// version first.
    pub(crate) fn find() -> Option<Binaries> {
        let mut folders: Vec<PathBuf> = Vec::new();
        folders.extend(in_path("initdb").and_then(|file| file.parent().map(Path::to_owned)));
        for (above, below) in [
            ("/usr/lib/postgresql", "bin"),
            ("/usr", "bin"),
            ("/opt/homebrew/opt", "bin"),
            ("/usr/local/opt", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ] {
            folders.extend(versions(Path::new(above)).into_iter().map(|path| path.join(below)));
        }
        let complete = |folder: &PathBuf| {
            ["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file())
        };
        folders.into_iter().find(complete).map(|folder| Binaries { folder })
    }

    pub(crate) fn version(&self) -> Result<String> {
        let text = read(Command::new(self.folder.join("postgres")).arg("--version"))?;
        Ok(format!("{} in {}", text.trim(), self.folder.display()))
    }
}

/// Subfolders named by a version or `postgresql@VERSION`, the newest first.
fn versions(above: &Path) -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> Option<u32> {
        let name = path.file_name()?.to_str()?;
        let digits = name.trim_start_matches("postgresql@").trim_start_matches("pgsql-");
        if name == "postgresql" { Some(u32::MAX) } else { digits.split('.').next()?.parse().ok() }
    };
    let entries = std::fs::read_dir(above).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|e| Some((number(&e.path())?, e.path()))).collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// A running server.
pub(crate) struct Postgres {
    /// `postgres://…/postgres`; databases can be created with it.
    pub(crate) url: String,
}

/// The user that runs the server. PostgreSQL refuses to run as root.
enum User {
    /// The user of this program.
    Me,
    Other {
        name: &'static str,
        uid: u32,
        gid: u32,
    },
}

impl User {
    fn find() -> Result<User> {
        if read(Command::new("id").arg("-u"))?.trim() != "0" {
            return Ok(User::Me);
        }
        // `postgres` comes with Debian's package; `nobody` exists on every system.
        for name in ["postgres", "nobody"] {
            let id = |what: &str| read(Command::new("id").args([what, name])).ok();
            if let (Some(uid), Some(gid)) = (id("-u"), id("-g")) {
                return Ok(User::Other {
                    name,
                    uid: uid.trim().parse()?,
                    gid: gid.trim().parse()?,
                });
            }
        }
        bail!("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
    }

    fn command(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        // A folder that the other user may enter; stdin is closed so that nothing prompts.
        command.current_dir("/").stdin(Stdio::null());
        if let User::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    fn own(&self, folder: &Path) -> Result<()> {
        if let User::Other { uid, gid, .. } = self {
            std::os::unix::fs::chown(folder, Some(*uid), Some(*gid))?;
        }
        Ok(())
    }
}

impl Postgres {
    /// Creates a cluster in a temporary folder and starts it; `at_exit` removes both.
    pub(crate) fn start(
        binaries: &Binaries,
        at_exit: &AtExit,
        say: &mut dyn FnMut(&str),
    ) -> Result<Postgres> {
        let user = User::find()?;
        if let User::Other { name, .. } = &user {
            say(&format!("PostgreSQL refuses to run as root: it runs as `{name}`"));
        }
        let folder = tempfile::Builder::new().prefix("antar-postgres-").tempdir()?.keep();
        at_exit.push({
            let folder = folder.clone();
            move || drop(std::fs::remove_dir_all(folder))
        });
        user.own(&folder)?;
        let data = folder.join("data");
        must(
            user.command(&binaries.folder.join("initdb"))
                .args(["--username=antar", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D"])
                .arg(&data)
                .stdout(Stdio::null()),
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let pg_ctl = binaries.folder.join("pg_ctl");
        let log = folder.join("log");
        // fsync stays on: the suite checks what survives a crash.
        let options = format!(
            "-c port={port} -c listen_addresses=127.0.0.1 -c max_connections=300 -k {}",
            folder.display()
        );
        let mut start = user.command(&pg_ctl);
        start.arg("-D").arg(&data).arg("-l").arg(&log).args([
            "-w",
            "-t",
            START_S_MAX,
            "-o",
            &options,
            "start",
        ]);
        let started = must(start.stdout(Stdio::null()));
        at_exit.push(move || {
            let mut stop = user.command(&pg_ctl);
            works(stop.arg("-D").arg(&data).args(["-m", "immediate", "-w", "stop"]));
        });
        started.with_context(|| {
            std::fs::read_to_string(&log).unwrap_or_else(|_| "PostgreSQL left no log".to_owned())
        })?;
        say(&format!("listens on 127.0.0.1:{port}, data in {}", folder.display()));
        Ok(Postgres { url: format!("postgres://antar@127.0.0.1:{port}/postgres") })
    }
}
