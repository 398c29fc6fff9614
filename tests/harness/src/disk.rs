//! A disk under the real server binary that fails when a test requests it.

use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::binary::cargo_build;

/// The disk of a [`crate::BinaryServer`] on SQLite that was started with [`Disk::environment`].
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// `None`, with a message, where the test is skipped: disks can be made to fail on Linux only.
    pub fn new() -> Option<Disk> {
        if !cfg!(target_os = "linux") {
            eprintln!("left out: disks are made to fail on Linux only");
            return None;
        }
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        disk.mend();
        Some(disk)
    }

    /// Environment variables that make a server use this disk.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        [("LD_PRELOAD", text(library())), ("ANTAR_TEST_DISK", text(self.control()))]
    }

    /// Makes writes fail that need more space.
    pub fn fill(&self) {
        self.says("full");
    }

    /// Makes syncs fail, so that written data does not reach the disk.
    pub fn fail_syncs(&self) {
        self.says("no-sync");
    }

    pub fn mend(&self) {
        self.says("");
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Writes the control file atomically, so that no reader sees half a word.
    fn says(&self, word: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, word).unwrap();
        std::fs::rename(new, self.control()).unwrap();
    }
}

/// The library of `tests/disk`, built once per test process.
fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let messages = cargo_build(&["--package", "antar-failing-disk"]);
        let names = messages.iter().filter_map(|message| message["filenames"].as_array());
        let mut names = names.flatten().filter_map(|name| name.as_str());
        let name = names.find(|name| name.ends_with(".so")).expect("cargo build names the library");
        PathBuf::from(name)
    };
    LIBRARY.get_or_init(find).clone()
}
