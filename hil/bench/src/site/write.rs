//! Writes the files of a set-up, which are their owner's alone: a profile has the keys of a subscription, and what is
//! public today has secrets beside it tomorrow.

use crate::leftovers;
use aid_cli::cli::Failure;
use aid_cli::private;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a new file with mode 0600, and the folders above it with mode 0700.
pub(super) fn file(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let wrong = |e: io::Error| {
        Failure::new(format!(
            "cannot write {}: {e}; is the disk full or the directory read-only?",
            file.display()
        ))
    };
    let _open = leftovers::gate();
    if let Some(folder) = file.parent() {
        private::create_dir_all(folder).map_err(wrong)?;
    }
    let mut options = private::options();
    let mut out = options
        .write(true)
        .create_new(true)
        .open(file)
        .map_err(wrong)?;
    out.write_all(bytes).map_err(wrong)
}
