//! Compiled code on disk, so that a start compiles nothing.
//!
//! Machine code is run as it is read, so only what this server wrote may be read: every file begins
//! with an HMAC over its name and content, under a key that lies beside it and that only the
//! server's user may read. A file that doesn't fit is thrown away, and the plugin compiled again.
//! The name has the engine's version and settings in it, so those of another version are never
//! found; they are removed at the next start.

use std::{
    fs::{self, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A block of SHA-256, which HMAC takes as it is.
const KEY_BYTES: usize = 64;
const MAC_BYTES: usize = 32;
const SUFFIX: &str = ".code";

/// A folder of compiled code.
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Of the engine, its settings, and what is done to modules before.
    version: String,
    bytes_max: u64,
}

impl Cache {
    /// Opens the folder, or makes it, and removes what other versions left.
    pub(super) fn open(
        folder: &Path,
        engine: &wasmtime::Engine,
        bytes_max: u64,
    ) -> io::Result<Cache> {
        create_private(folder)?;
        let key = key_of(&folder.join("key"))?;
        let version = version_of(&engine.precompile_compatibility_hash());
        let cache = Cache { folder: folder.to_owned(), key, version, bytes_max };
        for entry in cache.entries()? {
            if !entry.name.starts_with(&cache.version) {
                remove(&entry.path);
            }
        }
        Ok(cache)
    }

    /// What was compiled from the file of this digest, if it is as it was written.
    pub(super) fn get(&self, digest: &str) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut file = File::open(&path).ok()?;
        match self.read(digest, &mut file) {
            Ok(Some(code)) => {
                // What is used stays. Without a time it is merely evicted sooner.
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
        // More than all entries together may have is none of ours.
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

    /// Keeps `code`. A cache that can't be written costs time at the next start and nothing else.
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
        // Not synced: a file that a crash cut off does not fit its MAC.
        fs::rename(&temporary, &path)
    }

    /// Removes what was not used for longest until `bytes` more fit.
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

fn version_of(settings: &impl Hash) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    settings.hash(&mut hasher);
    super::rewrite::VERSION.hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..8])
}

/// A hash that stays the same from one build of the server to the next.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn key_of(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match fs::read(path) {
        Ok(bytes) => {
            if let Ok(key) = bytes.as_slice().try_into() {
                return Ok(key);
            }
            // Cut off by a crash: what was written under it is none of ours any more.
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

/// For writing a file that only its owner may read.
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

/// Makes a folder that only its owner may look into.
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
