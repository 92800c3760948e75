//! Writes the files of a set-up; what is secret is readable by its owner alone.

use crate::leftovers;
use aid_shell::cli::Failure;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

fn put(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let wrong = |e: io::Error| {
        Failure::new(format!(
            "cannot write {}: {e}; is the disk full or the directory read-only?",
            file.display()
        ))
    };
    let _open = leftovers::gate();
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .map_err(wrong)?;
    out.write_all(bytes).map_err(wrong)
}

/// Writes a file and the folders above it.
pub(super) fn file(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(file, bytes, 0o644)
}

/// The same, mode 0600.
pub(super) fn secret(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(file, bytes, 0o600)
}
