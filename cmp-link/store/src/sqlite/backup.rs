//! A copy of a SQLite database while servers work on it.

use super::connection::File;
use crate::{StoreError, Stored};
use aid_cli::private;
use std::fs;
use std::path::Path;

/// Copies one state of the database into a new file with mode 0600, which is on disk when this returns. Nothing is
/// migrated, and nobody who writes is kept waiting.
pub(crate) fn copy(from: &Path, to: &Path) -> Stored<()> {
    if !from.is_file() {
        return Err(StoreError::Open {
            path: from.display().to_string(),
            reason: "there is no such file".to_owned(),
        });
    }
    let failed =
        |reason: String| StoreError::Failed(format!("no copy in {}: {reason}", to.display()));
    // SQLite fills an empty file, and refuses any other.
    let made = private::options().write(true).create_new(true).open(to);
    let made = made.map_err(|e| failed(format!("{e}; name a file that does not exist")))?;
    let copied = File::new(from)?.copy_into(to).and_then(|()| {
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = fs::File::open(folder.unwrap_or(Path::new(".")));
        let synced = made.sync_all().and(folder.and_then(|f| f.sync_all()));
        synced.map_err(|e| failed(e.to_string()))
    });
    if copied.is_err() {
        // Half a copy is none.
        let _ = fs::remove_file(to);
    }
    copied
}
