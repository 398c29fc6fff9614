//! Inputs that failed once, kept in the repository: every run begins with them.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

/// The kept inputs of a target, in the order of their names.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder(target)).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().filter_map(|file| std::fs::read(file).ok()).collect()
}

/// Keeps an input that failed.
pub(crate) fn keep(target: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    let name = hex::encode(&Sha256::digest(input)[..8]);
    std::fs::create_dir_all(folder(target))?;
    let file = folder(target).join(name);
    std::fs::write(&file, input)?;
    Ok(file)
}
