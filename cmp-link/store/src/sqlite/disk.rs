//! Why the disk under a database takes nothing. SQLite says "disk I/O error" for a disk that fails, for a quota that is used up
//! and for a limit of file sizes alike, and its driver does not hand out `errno`. So the same is tried beside the database.
//!
//! What can't be known: a cause that is over until it is looked for. Then the error stays SQLite's.

use aid_cli::private;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// What is written, bytes: more than SQLite writes at once, so that a disk with room for less counts as full.
const PROBE: usize = 64 * 1024;

/// Whether an error says that there is no room: the disk, the user's share of it, or the length of a file.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Whether and why nothing can be written beside this database. The database itself is not touched: to close it would give up
/// all locks that this process has on it.
pub(super) fn probe(database: &Path) -> io::Result<()> {
    let beside = |end: &str| -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push(OsStr::new(end));
        name.into()
    };
    let probe = beside("-probe");
    // One that a kill left behind.
    let _ = std::fs::remove_file(&probe);
    let lengths = [database.to_owned(), beside("-wal")].map(|file| {
        // A limit of file sizes shows only where the others have their end.
        std::fs::metadata(file).map_or(0, |meta| meta.len())
    });
    let end = lengths.into_iter().max().unwrap_or_default();
    let mut file = match private::options().write(true).create_new(true).open(&probe) {
        // Another connection probes at this moment, and can.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        opened => opened?,
    };
    let tried = file
        .seek(SeekFrom::Start(end))
        .and_then(|_| file.write_all(&[0; PROBE]))
        .and_then(|()| file.sync_all());
    let removed = std::fs::remove_file(&probe);
    tried.and(removed)
}
