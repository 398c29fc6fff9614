//! What is measured: `antar serve`, or the floor, as a process of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::Target;
use crate::process;
use crate::wire::{Wire, post, request};

pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`
    address: String,
    key: Option<String>,
    folder: TempDir,
    /// PostgreSQL's first process.
    postmaster: Option<u32>,
}

fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn serve(program: &Path, address: &str, folder: &TempDir, database: Option<&Database>) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--dev", "--listen", address, "--data-dir"]).arg(folder.path());
    if let Some(database) = database {
        command.args(["--database-url", &database.url]);
    }
    command
}

impl Server {
    /// `antar serve` on SQLite, or on this database.
    pub(crate) async fn antar(
        program: &Path,
        database: Option<&Database>,
    ) -> anyhow::Result<Server> {
        Server::antar_with(program, database, &[]).await
    }

    /// The same with settings, as variables.
    pub(crate) async fn antar_with(
        program: &Path,
        database: Option<&Database>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        let (address, folder) = (free_address()?, tempfile::tempdir()?);
        let mut command = serve(program, &address, &folder, database);
        command.envs(settings.iter().copied());
        let mut server = Server::start(command, address, folder)?;
        server.ready("/readyz").await?;
        let key = std::fs::read_to_string(server.folder.path().join("operator.key"))?;
        server.key = Some(key.trim().to_owned());
        server.postmaster = database.map(|database| database.postmaster);
        Ok(server)
    }

    /// The floor, which posts to `to`; with `tables` in place of a file.
    pub(crate) async fn floor(to: &str, tables: bool) -> anyhow::Result<Server> {
        let (address, folder) = (free_address()?, tempfile::tempdir()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "--listen", &address, "--to", &format!("http://{to}/w"), "--keep"]);
        command.arg(folder.path().join("kept")).args(tables.then_some("--tables"));
        let mut server = Server::start(command, address, folder)?;
        server.ready("/").await?;
        Ok(server)
    }

    fn start(mut command: Command, address: String, folder: TempDir) -> anyhow::Result<Server> {
        let log = std::fs::File::create(folder.path().join("words"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Server { child, address, key: None, folder, postmaster: None })
    }

    /// Kills it, as a crash would, and starts it again on the same data. The moment of the start.
    pub(crate) async fn crash(
        &mut self,
        program: &Path,
        database: Option<&Database>,
    ) -> anyhow::Result<Instant> {
        self.child.kill()?;
        self.child.wait()?;
        let mut command = serve(program, &self.address, &self.folder, database);
        let began = Instant::now();
        self.child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        self.ready("/readyz").await?;
        Ok(began)
    }

    async fn ready(&mut self, path: &str) -> anyhow::Result<()> {
        const EVERY: Duration = Duration::from_millis(20);
        for _ in 0..1_500 {
            if let Some(status) = self.child.try_wait()? {
                let words = std::fs::read_to_string(self.folder.path().join("words"))?;
                anyhow::bail!("the server ended with {status}: {words}");
            }
            let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
            if let Ok(mut wire) = Wire::connect(&self.address).await
                && let Ok(answer) = wire.exchange(request.as_bytes()).await
                && answer.status()? < 500
            {
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
        anyhow::bail!("the server was not ready in time")
    }

    /// Where events are posted.
    pub(crate) fn target(&self) -> Target {
        let path = if self.key.is_some() { "/v1/tenants/default/events" } else { "/events" };
        Target { address: self.address.clone(), path: path.to_owned(), key: self.key.clone() }
    }

    /// A POST below `/v1/tenants/default/`.
    pub(crate) async fn call(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut wire = Wire::connect(&self.address).await?;
        let path = format!("/v1/tenants/default/{path}");
        let answer = wire.exchange(&post(&path, self.key.as_deref(), &body.to_string())).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status()? < 300, "{path}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// A call with a body of JSON anywhere in the API; the status and the answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let mut wire = Wire::connect(&self.address).await?;
        let request = request(
            method,
            path,
            self.key.as_deref(),
            "application/json",
            body.to_string().as_bytes(),
        );
        let answer = wire.exchange(&request).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status()? < 300, "{method} {path}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether the process has ended; then its last words.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let words = std::fs::read_to_string(self.folder.path().join("words"))?;
        let last: Vec<_> = words.lines().rev().take(20).collect();
        Ok(Some(format!("{status}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))))
    }

    /// Uploads a plugin.
    pub(crate) async fn upload(&self, name: &str, wasm: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(wasm).with_context(|| wasm.display().to_string())?;
        let key = self.key.as_deref().unwrap_or_default();
        let head = format!(
            "POST /v1/tenants/default/plugins?name={name} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\
             content-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        );
        let mut wire = Wire::connect(&self.address).await?;
        let answer = wire.exchange(&[head.as_bytes(), &bytes].concat()).await?;
        ensure!(answer.status()? == 201, "{}", String::from_utf8_lossy(&answer.body));
        Ok(())
    }

    /// A webhook for the events that are posted; `more` is laid over it.
    pub(crate) async fn webhook(&self, name: &str, url: &str, more: &Value) -> anyhow::Result<()> {
        let mut webhook = json!({
            "name": name, "url": url, "event_types": ["conversation.*"],
            "limits": {"in_flight_max": 64},
        });
        if let (Some(webhook), Some(more)) = (webhook.as_object_mut(), more.as_object()) {
            webhook.extend(more.clone());
        }
        self.call("webhooks", &webhook).await?;
        Ok(())
    }

    /// CPU time of the server, and of its database, so far.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<(u64, Option<u64>)> {
        let database = self.postmaster.map(process::postgres_cpu_us).transpose()?;
        Ok((process::cpu_us(self.child.id())?, database))
    }

    pub(crate) fn rss_max_kib(&self) -> anyhow::Result<u64> {
        process::rss_max_kib(self.child.id())
    }

    pub(crate) fn rss_kib(&self) -> anyhow::Result<u64> {
        process::rss_kib(self.child.id())
    }

    /// Bytes of SQLite's files; none on PostgreSQL.
    pub(crate) fn file_bytes(&self) -> Option<u64> {
        let size = |name: &str| Some(self.folder.path().join(name).metadata().ok()?.len());
        Some(size("antar.db")? + size("antar.db-wal").unwrap_or(0))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A PostgreSQL database made for one server.
pub(crate) struct Database {
    url: String,
    admin_url: String,
    name: String,
    postmaster: u32,
}

impl Database {
    /// `psql` does it, so that no client library is needed here.
    pub(crate) fn create(admin_url: &str) -> anyhow::Result<Database> {
        let name = format!("antar_bench_{}", std::process::id());
        psql(admin_url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        psql(admin_url, &format!("CREATE DATABASE {name}"))?;
        let folder = psql(admin_url, "SHOW data_directory")?;
        let pid = std::fs::read_to_string(Path::new(&folder).join("postmaster.pid"))
            .context("the bench reads PostgreSQL's process number from its data folder")?;
        let postmaster = pid.lines().next().unwrap_or_default().parse()?;
        let (front, _) = admin_url.rsplit_once('/').context("the URL names no database")?;
        Ok(Database {
            url: format!("{front}/{name}"),
            admin_url: admin_url.to_owned(),
            name,
            postmaster,
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The whole server is temporary as a rule.
        let _ = psql(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, statement: &str) -> anyhow::Result<String> {
    let output = Command::new("psql").args([url, "-XAtqc", statement]).output().context("psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{statement}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
