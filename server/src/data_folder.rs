//! The data folder: this node's id, its keys, and the lock that keeps a second process out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::ServerConfig;
use crate::model::Secret;
use crate::registry::new_key_text;
use crate::seal::{NoRandomness, Sealer, random};
use crate::store::{Store, StoreError};

/// An open data folder. The lock is held until it is dropped.
pub struct DataFolder {
    path: PathBuf,
    database_url: String,
    /// The name of this node.
    pub node: String,
    /// Accepted by every node of the database.
    pub operator_key: Secret,
    _lock: File,
}

/// Why a data folder can't be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error("{path}: {error}; check that the folder exists, or can be made, and is yours")]
    Io { path: PathBuf, error: std::io::Error },
    #[error(
        "the data folder {path} is in use by process {pid}; stop that one, or choose another folder with --data-dir"
    )]
    Locked { path: PathBuf, pid: String },
    #[error(
        "the database was set up with another secrets.key (fingerprint {expected}). Copy the file \
         secrets.key of a node that works into {path}, or set ANTAR_SECRETS_KEY to what it holds"
    )]
    NoSecretsKey { path: PathBuf, expected: String },
    #[error("{place} is no key: it holds 32 bytes in base64")]
    BadSecretsKey { place: String },
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Name of the setting that holds the fingerprint of `secrets.key`.
const FINGERPRINT: &str = "secrets_key_fingerprint";

impl DataFolder {
    /// Opens the folder, or sets it up if `node.id` is missing.
    pub fn open(config: &ServerConfig) -> Result<DataFolder, DataFolderError> {
        let path = config.data_dir.clone();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| DataFolderError::Io { path, error }
        };
        create_private(&path).map_err(io(&path))?;
        let lock = lock(&path)?;
        let node_file = path.join("node.id");
        let key_file = path.join("operator.key");
        if !node_file.exists() {
            write_private(&key_file, new_key_text()?.reveal()).map_err(io(&key_file))?;
            if config.database_url.is_empty() {
                let secrets_file = path.join("secrets.key");
                // Keep an existing key: the folder may hold a database that uses it.
                if !secrets_file.exists() {
                    let key = BASE64_STANDARD.encode(random::<32>()?);
                    write_private(&secrets_file, &key).map_err(io(&secrets_file))?;
                }
            }
            // Written last, so that an interrupted set-up starts over.
            write_private(&node_file, &uuid::Uuid::new_v4().to_string()).map_err(io(&node_file))?;
        }
        let read = |file: &Path| {
            let text = std::fs::read_to_string(file).map_err(io(file))?;
            Ok::<_, DataFolderError>(text.trim().to_owned())
        };
        let database_url = match config.database_url.as_str() {
            "" => format!("sqlite:{}", path.join("antar.db").display()),
            url => url.to_owned(),
        };
        let (node, operator_key) = (read(&node_file)?, Secret::new(read(&key_file)?));
        Ok(DataFolder { path, database_url, node, operator_key, _lock: lock })
    }

    /// URL of the database, for the store.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The sealer of stored secrets. Its key comes from the environment or the folder, or is generated for a
    /// database that has none yet. A key that does not match the database is refused.
    pub async fn sealer(&self, store: &Store) -> Result<Sealer, DataFolderError> {
        let file = self.path.join("secrets.key");
        let known = store.configuration.setting(FINGERPRINT).await?;
        let key = match std::env::var("ANTAR_SECRETS_KEY") {
            Ok(text) => Some(parse_key("ANTAR_SECRETS_KEY", &text)?),
            Err(_) if file.exists() => {
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| DataFolderError::Io { path: file.clone(), error })?;
                Some(parse_key(&file.display().to_string(), &text)?)
            }
            Err(_) => None,
        };
        let missing =
            |expected: String| DataFolderError::NoSecretsKey { path: self.path.clone(), expected };
        let key = match (key, known) {
            (Some(key), _) => key,
            (None, Some(expected)) => return Err(missing(expected)),
            (None, None) => {
                let key = random::<32>()?;
                write_private(&file, &BASE64_STANDARD.encode(key))
                    .map_err(|error| DataFolderError::Io { path: file.clone(), error })?;
                key
            }
        };
        let sealer = Sealer::new(&key);
        // If two nodes start at once, the first one's key wins.
        let expected =
            store.configuration.setting_or_put(FINGERPRINT, sealer.fingerprint()).await?;
        if expected == sealer.fingerprint() { Ok(sealer) } else { Err(missing(expected)) }
    }
}

fn parse_key(place: &str, text: &str) -> Result<[u8; 32], DataFolderError> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok();
    let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    key.ok_or_else(|| DataFolderError::BadSecretsKey { place: place.to_owned() })
}

/// Creates a folder that only its owner may access; an existing one is left as it is.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Takes the folder's lock and writes this process's id into it.
fn lock(folder: &Path) -> Result<File, DataFolderError> {
    let path = folder.join("lock");
    let io = |error| DataFolderError::Io { path: path.clone(), error };
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Without the process id the message is just less helpful.
            let _ = file.read_to_string(&mut pid);
            return Err(DataFolderError::Locked {
                path: folder.to_owned(),
                pid: pid.trim().to_owned(),
            });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(io(error)),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    file.write_all(std::process::id().to_string().as_bytes()).map_err(io)?;
    Ok(file)
}

/// Writes a file that only its owner may read. Its contents are durable before it gets its name.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_gets_keys_once_and_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let config =
            ServerConfig { data_dir: folder.path().join("data"), ..ServerConfig::default() };
        let first = DataFolder::open(&config).unwrap();
        assert!(first.operator_key.reveal().starts_with("antar_"));
        let Err(DataFolderError::Locked { pid, .. }) = DataFolder::open(&config) else {
            panic!("two owners")
        };
        assert_eq!(pid, std::process::id().to_string());
        let (node, key) = (first.node.clone(), first.operator_key.clone());
        drop(first);
        let again = DataFolder::open(&config).unwrap();
        assert_eq!(
            (again.node.as_str(), again.operator_key.reveal()),
            (node.as_str(), key.reveal())
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |name| {
                std::fs::metadata(config.data_dir.join(name)).unwrap().permissions().mode() & 0o777
            };
            assert_eq!((mode("operator.key"), mode("secrets.key")), (0o600, 0o600));
        }
    }
}
