//! Cache of compiled code on disk, so that a restart compiles nothing.
//!
//! Machine code runs as it is read, so only files that this server wrote may be loaded. Every file
//! starts with an HMAC over its name and content; the key lies in the same folder, readable only by
//! the server's user. A file that fails the check is deleted, and the plugin is compiled again.
//! File names contain a hash of the engine's version and settings, so files of other versions are
//! never found; they are removed at the next start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// One block of SHA-256, which HMAC uses without hashing it first.
const KEY_BYTES: usize = 64;
const MAC_BYTES: usize = 32;
const SUFFIX: &str = ".code";

/// A folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Version of the compiler, its settings and the rewrite.
    version: String,
    bytes_max: u64,
}

impl Cache {
    /// Opens or creates the folder, and removes files of other versions.
    pub(super) fn open(folder: &Path, version: String, bytes_max: u64) -> io::Result<Cache> {
        create_private(folder)?;
        let key = key_of(&folder.join("key"))?;
        let cache = Cache { folder: folder.to_owned(), key, version, bytes_max };
        for entry in cache.entries()? {
            if !entry.name.starts_with(&cache.version) {
                remove(&entry.path);
            }
        }
        Ok(cache)
    }

    /// Code compiled from the file of this digest, if it is there and unchanged.
    pub(super) fn get(&self, digest: &str) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut file = File::open(&path).ok()?;
        match self.read(digest, &mut file) {
            Ok(Some(code)) => {
                // Marks the file as recently used. If that fails, it is merely evicted sooner.
                let _ = file.set_modified(SystemTime::now());
                Some(code)
            }
            Ok(None) => {
                tracing::warn!(path = %path.display(), "compiled code was changed; it is made anew");
                remove(&path);
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code can't be read");
                None
            }
        }
    }

    fn read(&self, digest: &str, file: &mut File) -> io::Result<Option<Vec<u8>>> {
        // A file larger than the whole cache may be was not written by this server.
        if file.metadata()?.len() > self.bytes_max.saturating_add(MAC_BYTES as u64) {
            return Ok(None);
        }
        let mut mac = [0; MAC_BYTES];
        let mut code = Vec::new();
        if let Err(error) = file.read_exact(&mut mac) {
            return if error.kind() == io::ErrorKind::UnexpectedEof {
                Ok(None)
            } else {
                Err(error)
            };
        }
        file.read_to_end(&mut code)?;
        Ok(self.mac(digest, &code).verify_slice(&mac).is_ok().then_some(code))
    }

    /// Stores `code`. If the cache can't be written, the only cost is time at the next start.
    pub(super) fn put(&self, digest: &str, code: &[u8]) {
        if code.len() as u64 > self.bytes_max {
            return;
        }
        let written = self.make_room(code.len() as u64).and_then(|()| self.write(digest, code));
        if let Err(error) = written {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code can't be kept");
        }
    }

    fn write(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        let path = self.path(digest);
        let temporary = path.with_extension("new");
        let mac = self.mac(digest, code).finalize().into_bytes();
        let mut file = private().create(true).truncate(true).open(&temporary)?;
        file.write_all(&mac)?;
        file.write_all(code)?;
        // Not synced: a file that a crash cut short fails the MAC check.
        fs::rename(&temporary, &path)
    }

    /// Evicts the least recently used files until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut entries = self.entries()?;
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        entries.sort_unstable_by_key(|entry| entry.used_at);
        for entry in entries {
            if total + bytes <= self.bytes_max {
                break;
            }
            remove(&entry.path);
            total -= entry.bytes;
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(SUFFIX) || name.ends_with(".new") {
                let about = file.metadata()?;
                let used_at = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push(Entry { path: file.path(), name, bytes: about.len(), used_at });
            }
        }
        Ok(entries)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{}-{digest}{SUFFIX}", self.version))
    }

    fn mac(&self, digest: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        mac.update(self.version.as_bytes());
        mac.update(digest.as_bytes());
        mac.update(code);
        mac
    }
}

struct Entry {
    path: PathBuf,
    name: String,
    bytes: u64,
    used_at: SystemTime,
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "old compiled code can't be removed");
    }
}

fn key_of(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match fs::read(path) {
        Ok(bytes) => {
            if let Ok(key) = bytes.as_slice().try_into() {
                return Ok(key);
            }
            // The key was cut short by a crash; files written under it can't be verified any more.
            new_key(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_key(path),
        Err(error) => Err(error),
    }
}

fn new_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = path.with_extension("new");
    let mut file = private().create(true).truncate(true).open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(key)
}

/// Options for writing a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Creates a folder that only its owner may access.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}
