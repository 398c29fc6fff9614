//! A file to which events are appended.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::{Keep, Write};

impl Keep for File {
    fn open(path: &Path) -> anyhow::Result<File> {
        Ok(File::create(path)?)
    }

    fn keep(&mut self, batch: &[Write]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for write in batch {
            if let Write::Event { body, .. } = write {
                bytes.extend_from_slice(body);
            }
        }
        if !bytes.is_empty() {
            self.write_all(&bytes)?;
            self.sync_data()?;
        }
        Ok(())
    }
}
