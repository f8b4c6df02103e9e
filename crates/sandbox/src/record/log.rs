//! A file of lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A file to which lines are appended.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    /// Opens the file, and makes it if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Appends a line. One that cannot be written is dropped: the sandbox goes on working on a full
    /// disk.
    pub(super) fn append(&mut self, line: &str) {
        let _ = self.0.write_all(format!("{line}\n").as_bytes());
    }
}
