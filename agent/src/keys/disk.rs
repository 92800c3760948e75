//! What a renewal does to files, each step whole or not done: a power cut is between two of them.

use aid_cli::private;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Files of certificates and keys.
pub(crate) trait Disk {
    /// Puts this content, mode 0600, in the place of the file, and on disk.
    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Puts one file in the place of another, and on disk.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, if it is there.
    fn remove(&mut self, file: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct RealDisk;

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Disk for RealDisk {
    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // One that a power cut left behind may have been made with another mode.
        self.remove(&part)?;
        let mut out = private::options()
            .write(true)
            .create_new(true)
            .open(&part)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        self.rename(&part, file)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        sync_folder(to)
    }

    fn remove(&mut self, file: &Path) -> io::Result<()> {
        match std::fs::remove_file(file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => sync_folder(file),
        }
    }
}
