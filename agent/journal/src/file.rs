//! The file shell: one folder, one preallocated file per segment, fdatasync per append.
//! A segment is made under a temporary name, synced, renamed, and the folder is synced.

use crate::media::Media;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

/// Most folders of damaged segments that are kept; the oldest go first.
pub const KEPT_ASIDE: usize = 4;
/// Largest file that is read as a segment, bytes; ours have half a MiB.
const MAX_SEGMENT: u64 = 16 << 20;
/// How the name of such a folder begins.
const ASIDE: &str = "damaged-";

/// An operating system error with the file that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// True when another process has the journal open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::ResourceBusy
    }
}

/// Segments as files `<number, 16 hex digits>.seg` in one folder, locked for one process.
#[derive(Debug)]
pub struct FileMedia {
    folder: PathBuf,
    open: Option<(u64, File)>,
    /// Held for the life of the process: two writers would destroy the log.
    _lock: File,
}

impl FileMedia {
    /// Opens or makes the folder (mode 0700, of new files 0600, whatever the umask). What is there already and open to
    /// others is narrowed where it can be.
    ///
    /// # Errors
    /// The folder can't be made or another process has the journal open.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FileError { path, source }
        };
        let mut builder = fs::DirBuilder::new();
        let builder = builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(at(folder))?;
        narrow(folder);
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        // A disk that takes no writes can be read and locked all the same.
        let lock = options
            .open(&path)
            .or_else(|error| File::open(&path).map_err(|_| error))
            .map_err(at(&path))?;
        for entry in fs::read_dir(folder).map_err(at(folder))?.flatten() {
            narrow(&entry.path());
        }
        let kind = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&lock, kind).map_err(|error| {
            let text = "another process has this journal open; stop it first";
            at(&path)(match error {
                rustix::io::Errno::WOULDBLOCK => io::Error::new(io::ErrorKind::ResourceBusy, text),
                error => error.into(),
            })
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            open: None,
            _lock: lock,
        })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{segment:016x}.seg"))
    }

    fn at(&self, path: PathBuf, result: io::Result<()>) -> Result<(), FileError> {
        result.map_err(|source| FileError { path, source })
    }

    fn file(&mut self, segment: u64) -> Result<&File, FileError> {
        if self.open.as_ref().is_none_or(|(id, _)| *id != segment) {
            let path = self.path(segment);
            let file = OpenOptions::new().read(true).write(true).open(&path);
            self.open = Some((segment, file.map_err(|source| FileError { path, source })?));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(FileError {
                path: self.path(segment),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// Removes the oldest folders of damaged segments, never `newest`, whatever the clock said then.
    fn prune_aside(&self, newest: &Path) -> io::Result<()> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_aside = entry.file_name().to_string_lossy().starts_with(ASIDE);
            if is_aside && entry.path() != newest {
                folders.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        folders.sort();
        let surplus = (folders.len() + 1).saturating_sub(KEPT_ASIDE);
        folders
            .iter()
            .take(surplus)
            .try_for_each(|(_, path)| fs::remove_dir_all(path))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// Takes the permissions of others from a file or the folder that an older version, or somebody else, has made. Who may not
/// is not the owner, and finds out when writing.
fn narrow(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 && (meta.is_file() || meta.is_dir()) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o077));
    }
}

/// Overwrites the files of a folder with zeros, then removes all of it.
fn erase_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let mut file = OpenOptions::new().write(true).open(entry.path())?;
            let length = file.metadata()?.len();
            io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
            file.sync_all()?;
        }
    }
    fs::remove_dir_all(folder)
}

fn write_whole(path: &Path, size: usize, head: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(head)?;
    // Zeros are written, not only allocated: later appends then change no metadata.
    io::copy(
        &mut io::Read::take(io::repeat(0), size.saturating_sub(head.len()) as u64),
        &mut file,
    )?;
    file.sync_all()
}

impl Media for FileMedia {
    type Error = FileError;

    fn list(&mut self) -> Result<Vec<u64>, FileError> {
        let error = |source| FileError {
            path: self.folder.clone(),
            source,
        };
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if name.ends_with(".tmp") {
                // Tried again at the next opening; nothing is read from it.
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            } else if let Some(id) = name.strip_suffix(".seg") {
                // Other names are not ours: `create` gives them sixteen small digits.
                let id = u64::from_str_radix(id, 16).ok();
                segments.extend(id.filter(|id| self.path(*id) == path));
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn create(&mut self, segment: u64, size: usize, head: &[u8]) -> Result<(), FileError> {
        let path = self.path(segment);
        let temporary = path.with_extension("tmp");
        let made = write_whole(&temporary, size, head)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| self.sync_folder());
        if made.is_err() {
            // Nothing to do when this fails too: `list` removes it at the next opening.
            let _ = fs::remove_file(&temporary);
        }
        self.at(path, made)
    }

    fn read(&mut self, segment: u64) -> Result<Vec<u8>, FileError> {
        let path = self.path(segment);
        let read = || match fs::metadata(&path) {
            // No segment of ours: an empty one is damaged, and can be put aside.
            Ok(about) if !about.is_file() || about.len() > MAX_SEGMENT => Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => fs::read(&path),
        };
        read().map_err(|source| FileError { path, source })
    }

    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) -> Result<(), FileError> {
        let file = self.file(segment)?;
        // What is written to a file that was removed is lost, without an error.
        let written = file.metadata().and_then(|about| match about.nlink() {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => file.write_all_at(bytes, offset as u64),
        });
        self.at(self.path(segment), written)
    }

    fn sync(&mut self, segment: u64) -> Result<(), FileError> {
        let result = self.file(segment)?.sync_data();
        self.at(self.path(segment), result)
    }

    fn remove(&mut self, segment: u64) -> Result<(), FileError> {
        let path = self.path(segment);
        let result = fs::remove_file(&path).and_then(|()| self.sync_folder());
        self.at(path, result)
    }

    fn set_aside(&mut self, name: &str) -> Result<Option<String>, FileError> {
        self.open = None;
        let error = |source| FileError {
            path: self.folder.clone(),
            source,
        };
        let mut ours = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(error)? {
            let name = entry.map_err(error)?.file_name();
            let text = name.to_string_lossy();
            if text.ends_with(".seg") || text.ends_with(".tmp") {
                ours.push(name);
            }
        }
        if ours.is_empty() {
            return Ok(None);
        }
        // The oldest first: what a power cut leaves behind must not look like a whole, older journal.
        ours.sort();
        // A clock that stands still must not mix two of them.
        let label = format!("{ASIDE}{name}");
        let names = std::iter::once(label.clone()).chain((1..).map(|n| format!("{label}-{n}")));
        let mut places = names.map(|name| self.folder.join(name));
        let place = places.find(|place| fs::symlink_metadata(place).is_err());
        let place = place.unwrap_or_else(|| self.folder.join(&label));
        let moved = fs::create_dir(&place).and_then(|()| {
            for name in &ours {
                fs::rename(self.folder.join(name), place.join(name))?;
            }
            File::open(&place)?.sync_all()?;
            self.sync_folder()
        });
        if moved.is_err() {
            // Empty when nothing could be moved.
            let _ = fs::remove_dir(&place);
        }
        self.at(place.clone(), moved)?;
        // Surplus folders take space, no more; the next time tries again.
        let _ = self.prune_aside(&place);
        Ok(Some(place.display().to_string()))
    }

    fn erase_aside(&mut self) -> Result<(), FileError> {
        let error = |source| FileError {
            path: self.folder.clone(),
            source,
        };
        for entry in fs::read_dir(&self.folder).map_err(error)? {
            let entry = entry.map_err(error)?;
            if entry.file_name().to_string_lossy().starts_with(ASIDE) {
                self.at(entry.path(), erase_folder(&entry.path()))?;
            }
        }
        self.at(self.folder.clone(), self.sync_folder())
    }

    fn is_full(error: &FileError) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let kind = error.source.kind();
        matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
    }
}
