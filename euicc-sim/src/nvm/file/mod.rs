//! NVM in a file: a log of batches, each with its length and CRC, read whole at start.
//! A batch that was cut off at the end of the file did not happen; damage before its end is reported, and
//! nothing is changed then.
//!
//! Where a disk fails so that nobody knows what is on it, all records are written to another file, which
//! is read back and takes the place of the first one: at once, together with the batch that failed, or
//! before the next batch. A memory goes on as soon as its disk does.
//!
//! Layout: 8 bytes magic, 4 bytes version; then per batch 4 bytes length, 4 bytes CRC-32C over
//! length and content, and the content: per write one byte (1 put, 2 delete), 5 bytes of key, and for
//! a put 4 bytes length and the data. Integers are big-endian. Zeros after the last batch are room for
//! more: writing over blocks that are there already is on disk sooner than letting the file grow.

use aid_cli::private;
use aid_euicc::nvm::{Durability, Key, Nvm, NvmError, Write};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"AIDEUICC";
const VERSION: u32 = 1;
const HEADER: usize = 12;
/// Largest file that is read, bytes.
const MAX_FILE: u64 = 256 << 20;
/// Bytes of zeros by which the file grows.
const ROOM: usize = 64 << 10;
/// Bytes of dead records beyond which the file is written anew.
const SLACK: u64 = 1 << 20;

/// Why the memory can't be opened. Each text is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be used.
    #[error(
        "the card's memory {path} cannot be opened: {source}; check path, permissions and disk space"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the card's memory {path} is in use by another euicc-sim; stop that, or configure another nvm"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Something else is in the file.
    #[error("{path} is not the memory of an euicc-sim; configure another nvm, it was not touched")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A byte in the middle has changed: whole batches follow that can't be trusted without it.
    #[error(
        "the card's memory {path} is damaged at byte {at} of {size}; put a backup in its place, or give up \
         what came after with: euicc-sim nvm --repair {path}"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the batch begins that can't be read.
        at: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// It is there, but shorter than its header: something has cut it off, for a new memory gets its name
    /// only when its header is on disk.
    #[error(
        "the card's memory {path} has only {size} bytes: it was emptied or cut off; put a backup in its place, \
         or remove it to begin with an empty card"
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
    },
    /// Of another version of the program.
    #[error(
        "the card's memory {path} has format {found}, this program writes format {VERSION}; use the program that made it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The format in the file.
        found: u32,
    },
}

/// A card's memory in a file.
#[derive(Debug)]
pub struct FileNvm {
    path: PathBuf,
    file: File,
    records: BTreeMap<Key, Vec<u8>>,
    /// Bytes of the file that are valid.
    len: u64,
    /// Bytes of the file, zeros after the valid ones included.
    room: u64,
    /// After a failure whose outcome nobody knows, nothing is added to this file any more.
    failed: Option<String>,
}

impl FileNvm {
    /// Opens a memory, or makes one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::load(path, false).map(|(nvm, _)| nvm)
    }

    /// Gives up everything from the first damaged batch on; the file as it was is kept beside it with
    /// `.damaged` behind its name. Says what was done.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn repair(path: &Path) -> Result<String, OpenError> {
        let (nvm, lost) = Self::load(path, true)?;
        let (shown, summary) = (path.display(), nvm.summary());
        Ok(match lost {
            0 => format!("{shown} is not damaged: {summary}"),
            _ => format!("{shown}: gave up {lost} bytes, kept in {shown}.damaged; now {summary}"),
        })
    }

    /// What is in the memory, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let (records, bytes) = (self.records.len(), self.live());
        format!(
            "{records} records, {bytes} bytes, log of {} bytes",
            self.len
        )
    }

    /// Reads the file; the bytes that were given up.
    fn load(path: &Path, repair: bool) -> Result<(Self, u64), OpenError> {
        let failed = |source| OpenError::Io {
            path: path.into(),
            source,
        };
        if !path.exists() {
            create(path).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(path).map_err(failed)?;
        private::tighten(path, &file);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.into() }),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let size = file.metadata().map_err(failed)?.len();
        if size > MAX_FILE {
            return Err(OpenError::Foreign { path: path.into() });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() < HEADER && header().starts_with(&bytes) {
            return Err(OpenError::CutOff {
                path: path.into(),
                size,
            });
        }
        if !bytes.starts_with(MAGIC) || bytes.len() < HEADER {
            return Err(OpenError::Foreign { path: path.into() });
        }
        let found = u32_at(&bytes, 8).unwrap_or(0);
        if found != VERSION {
            return Err(OpenError::Version {
                path: path.into(),
                found,
            });
        }
        let (records, valid) = replay(&bytes);
        let mut room = bytes.len();
        let mut lost = 0;
        if let Some(last) = bytes[valid..].iter().rposition(|b| *b != 0) {
            let rest = &bytes[valid..=valid + last];
            if batch_after(rest) {
                if !repair {
                    return Err(OpenError::Damaged {
                        path: path.into(),
                        at: valid as u64,
                        size,
                    });
                }
                lost = rest.len() as u64;
                let copy = with_suffix(path, ".damaged");
                private::write(&copy, &bytes).map_err(failed)?;
                sync_folder(path).map_err(failed)?;
            } else {
                let lost = rest.len();
                tracing::warn!(file = %path.display(), lost, "the last write was cut off; it did not happen");
            }
            file.set_len(valid as u64).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            room = valid;
        }
        file.seek(SeekFrom::Start(valid as u64)).map_err(failed)?;
        let nvm = Self {
            path: path.into(),
            file,
            records,
            len: valid as u64,
            room: room as u64,
            failed: None,
        };
        Ok((nvm, lost))
    }

    /// Writes to disk what was only buffered.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes a batch at the end of the valid bytes, and room for the next ones where it is used up.
    fn put(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.len + frame.len() as u64;
        self.file.write_all(frame)?;
        if end > self.room {
            self.file.write_all(&vec![0; ROOM])?;
            self.file.seek(SeekFrom::Start(end))?;
            self.room = end + ROOM as u64;
        }
        Ok(())
    }

    fn append(&mut self, frame: &[u8], durability: Durability) -> io::Result<()> {
        if let Err(error) = self.put(frame) {
            // The file ends where it ended before, or nothing can be trusted any more.
            let undone = self.file.set_len(self.len);
            let undone = undone.and_then(|()| self.file.seek(SeekFrom::Start(self.len)));
            self.room = self.len;
            if let Err(e) = undone {
                self.failed = Some(format!("{e}"));
            }
            return Err(error);
        }
        if durability == Durability::Flushed
            && let Err(error) = self.file.sync_data()
        {
            self.failed = Some(format!("{error}"));
            return Err(error);
        }
        self.len += frame.len() as u64;
        Ok(())
    }

    /// Writes these records, and nothing else, into a new file that takes the place of this one.
    fn write_anew(&mut self, records: &BTreeMap<Key, Vec<u8>>) -> io::Result<()> {
        let writes: Vec<Write<'_>> = records
            .iter()
            .map(|(key, data)| Write::Put(*key, data))
            .collect();
        let mut bytes = header().to_vec();
        bytes.extend_from_slice(&frame(&writes));
        let new = with_suffix(&self.path, ".new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let mut file = options.mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        // What was written is what is read, also by whoever opens it next.
        if fs::read(&new)? != bytes {
            return Err(io::Error::other("it does not hold what was written to it"));
        }
        file.try_lock().map_err(io::Error::from)?;
        fs::rename(&new, &self.path)?;
        // From here on the name means the new file, whatever else fails.
        self.file = file;
        self.len = bytes.len() as u64;
        self.room = self.len;
        let synced = sync_folder(&self.path);
        if let Err(error) = &synced {
            self.failed = Some(error.to_string());
        }
        synced
    }

    /// Goes on with another file after a failure, when the disk lets it.
    fn recover(&mut self, records: &BTreeMap<Key, Vec<u8>>) -> io::Result<()> {
        self.write_anew(records)?;
        self.failed = None;
        tracing::warn!(file = %self.path.display(), "the memory was written anew after a failure of its disk");
        Ok(())
    }

    fn live(&self) -> u64 {
        self.records.values().map(|d| d.len() as u64 + 10).sum()
    }
}

impl Nvm for FileNvm {
    fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>, NvmError> {
        Ok(self.records.get(&key).cloned())
    }

    fn commit(&mut self, batch: &[Write<'_>], durability: Durability) -> Result<(), NvmError> {
        let failure = |path: &Path, error: &io::Error| {
            let reason = format!("cannot write {}: {error}", path.display());
            tracing::error!("{reason}; the card answers 6581 and keeps its state");
            NvmError { reason }
        };
        if self.failed.is_some() {
            let records = std::mem::take(&mut self.records);
            let recovered = self.recover(&records);
            self.records = records;
            recovered.map_err(|error| failure(&self.path, &error))?;
        }
        if let Err(error) = self.append(&frame(batch), durability) {
            if self.failed.is_none() {
                // The batch did not happen.
                return Err(failure(&self.path, &error));
            }
            let mut next = self.records.clone();
            apply(&mut next, batch);
            self.recover(&next)
                .map_err(|_| failure(&self.path, &error))?;
            self.records = next;
            return Ok(());
        }
        apply(&mut self.records, batch);
        if self.len > 2 * self.live() + SLACK {
            let records = std::mem::take(&mut self.records);
            let compacted = self.write_anew(&records);
            self.records = records;
            if let Err(error) = compacted {
                // The batch is on disk, in the old file or the new one.
                tracing::warn!(file = %self.path.display(), "cannot write the memory anew: {error}");
            }
        }
        Ok(())
    }
}

/// Makes an empty memory. It gets its name when its header is on disk, so that a file that is shorter was
/// not made so.
fn create(path: &Path) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = options.mode(0o600).open(&new)?;
    file.write_all(&header())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

fn header() -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..].copy_from_slice(&VERSION.to_be_bytes());
    out
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn apply(records: &mut BTreeMap<Key, Vec<u8>>, batch: &[Write<'_>]) {
    for write in batch {
        match write {
            Write::Put(key, data) => {
                records.insert(*key, data.to_vec());
            }
            Write::Delete(key) => {
                records.remove(key);
            }
        }
    }
}

fn frame(batch: &[Write<'_>]) -> Vec<u8> {
    let mut out = vec![0; 8];
    for write in batch {
        match write {
            Write::Put(key, data) => {
                out.push(1);
                out.extend_from_slice(&key.to_bytes());
                out.extend_from_slice(&(data.len() as u32).to_be_bytes());
                out.extend_from_slice(data);
            }
            Write::Delete(key) => {
                out.push(2);
                out.extend_from_slice(&key.to_bytes());
            }
        }
    }
    let len = ((out.len() - 8) as u32).to_be_bytes();
    out[..4].copy_from_slice(&len);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &out[8..]);
    out[4..8].copy_from_slice(&crc.to_be_bytes());
    out
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The records after all whole batches, and where these end.
fn replay(bytes: &[u8]) -> (BTreeMap<Key, Vec<u8>>, usize) {
    let mut records = BTreeMap::new();
    let mut at = HEADER;
    while let Some((batch, end)) = batch_at(bytes, at) {
        apply(&mut records, &batch);
        at = end;
    }
    (records, at)
}

/// Does a whole batch begin somewhere behind the first byte? Then what can't be read at the first byte
/// was not the end of the log. The search gives up on a file that is made to be slow.
fn batch_after(rest: &[u8]) -> bool {
    let mut budget = 4 * rest.len() + (16 << 20);
    for at in 1..rest.len() {
        let Some(len) = u32_at(rest, at).and_then(|len| usize::try_from(len).ok()) else {
            return false;
        };
        let fits = len > 0 && len <= rest.len() - at;
        let kind = rest.get(at + 8);
        if !fits || !matches!(kind, Some(1 | 2)) {
            continue;
        }
        if len > budget {
            return true;
        }
        budget -= len;
        if batch_at(rest, at).is_some() {
            return true;
        }
    }
    false
}

/// The batch at a position, when it is whole.
fn batch_at(bytes: &[u8], at: usize) -> Option<(Vec<Write<'_>>, usize)> {
    let len = u32_at(bytes, at)?;
    let crc = u32_at(bytes, at + 4)?;
    let end = (at + 8).checked_add(usize::try_from(len).ok()?)?;
    let mut rest = bytes.get(at + 8..end)?;
    if crc32c::crc32c_append(crc32c::crc32c(&len.to_be_bytes()), rest) != crc {
        return None;
    }
    let mut batch = Vec::new();
    while let Some((op, tail)) = rest.split_first() {
        let (key, tail) = tail.split_first_chunk::<5>()?;
        let key = Key::from_bytes(*key)?;
        rest = match op {
            1 => {
                let len = usize::try_from(u32_at(tail, 0)?).ok()?;
                let (data, tail) = tail.get(4..)?.split_at_checked(len)?;
                batch.push(Write::Put(key, data));
                tail
            }
            2 => {
                batch.push(Write::Delete(key));
                tail
            }
            _ => return None,
        };
    }
    Some((batch, end))
}

#[cfg(test)]
mod tests;
