//! A disk that fails under the real program when a test says so.

use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::binary::cargo_build;

/// The disk of a [`crate::BinaryServer`] on SQLite that was started with [`Disk::environment`].
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// None, said aloud, where the test is left out: what makes it fail is known to Linux alone.
    pub fn new() -> Option<Disk> {
        if !cfg!(target_os = "linux") {
            eprintln!("left out: disks are made to fail on Linux only");
            return None;
        }
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        disk.mend();
        Some(disk)
    }

    /// What makes a server fail with it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        [("LD_PRELOAD", text(library())), ("ANTAR_TEST_DISK", text(self.control()))]
    }

    /// Nothing more fits on it.
    pub fn fill(&self) {
        self.says("full");
    }

    /// What is written no longer gets there.
    pub fn fail_syncs(&self) {
        self.says("no-sync");
    }

    pub fn mend(&self) {
        self.says("");
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// In one step, so that nobody reads a half.
    fn says(&self, word: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, word).unwrap();
        std::fs::rename(new, self.control()).unwrap();
    }
}

/// The library of `tests/disk`, built once in a test process.
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
