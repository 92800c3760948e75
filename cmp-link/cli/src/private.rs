//! What a program writes is its owner's alone, whatever the umask of whoever starts it: databases, keys, configurations,
//! logs and set-ups hold password hashes, activation codes and secrets in clear.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of files and of sockets that only their owner may use.
pub const FILE: u32 = 0o600;
/// Mode of folders.
pub const FOLDER: u32 = 0o700;
/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;

/// Takes all permissions of others from every file, folder and socket that this process or a library in it makes from now
/// on, for those that are made without a mode of their own (the side files of SQLite).
pub fn umask() {
    use rustix::fs::Mode;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Options that make a file with mode 0600; the caller says how it is opened.
#[must_use]
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE);
    options
}

/// Writes a file with mode 0600, also where one with other permissions is there already.
///
/// # Errors
/// It can't be made, narrowed or written.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut out = options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    narrow(&out)?;
    // Only now, so that the old content is not lost where the file can't be used. A pipe has no length.
    if out.metadata()?.is_file() {
        out.set_len(0)?;
    }
    out.write_all(bytes)
}

/// Makes a folder with mode 0700, and those above it that are absent. Folders that are there already stay as they are.
///
/// # Errors
/// It can't be made.
pub fn create_dir_all(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER)
        .create(folder)
}

/// Gives a socket that was just bound mode 0600: its owner alone may connect.
///
/// # Errors
/// The mode can't be set.
pub fn socket(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(FILE))
}

/// Makes the file of a SQLite database with mode 0600 where it is absent; narrows it and its side files
/// where they are open to others. SQLite gives the side files that it makes the mode of the database.
///
/// # Errors
/// It can't be made or opened.
pub fn database(file: &Path) -> io::Result<()> {
    // By name only: a process that closes any handle of a SQLite file gives up all locks that it has on it (POSIX), and with
    // them what keeps another process from removing the write-ahead log.
    match options().write(true).create_new(true).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for end in ["", "-wal", "-shm", "-journal"] {
        let mut one = file.as_os_str().to_owned();
        one.push(end);
        let one = PathBuf::from(one);
        if let Ok(meta) = std::fs::metadata(&one) {
            let narrowed = narrowed_mode(&meta).map(|mode| {
                let mode = Permissions::from_mode(mode);
                std::fs::set_permissions(&one, mode)
            });
            tell(&one, narrowed.transpose().map(|done| done.is_some()));
        }
    }
    Ok(())
}

/// The mode of a file that others can open, without what they can; none where they can't, and of devices and pipes.
fn narrowed_mode(meta: &Metadata) -> Option<u32> {
    let mode = meta.permissions().mode() & 0o7777;
    (meta.is_file() && mode & OTHERS != 0).then_some(mode & !OTHERS)
}

/// Takes all permissions of others from an open file; devices and pipes stay as they are. Whether there were some.
fn narrow(file: &File) -> io::Result<bool> {
    match narrowed_mode(&file.metadata()?) {
        None => Ok(false),
        Some(mode) => file
            .set_permissions(Permissions::from_mode(mode))
            .map(|()| true),
    }
}

/// Takes the permissions of others from a file that is open, and says so in the log: also where that is not possible,
/// because another user has it.
pub fn tighten(path: &Path, file: &File) {
    tell(path, narrow(file));
}

fn tell(path: &Path, narrowed: io::Result<bool>) {
    let file = path.display();
    match narrowed {
        Ok(false) => {}
        // Mended, and no reason for a line beside the one of a command that fails.
        Ok(true) => tracing::debug!(%file, "others could open this file; now its owner alone can"),
        Err(error) => tracing::warn!(%file, %error, "others can open this file; give it mode 0600"),
    }
}

/// Lets no crash write the memory of this process, with the secrets in it, into a file.
pub fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps can't be forbidden: a crash may write secrets into a file");
    }
}

/// Warns of files with secrets that others can read, or that anybody but the owner can write: configurations and private
/// keys, which are the operator's and stay as they are. A group may read them.
pub fn warn_of_open<'a>(files: impl IntoIterator<Item = &'a Path>) {
    for file in files {
        let mode = std::fs::metadata(file).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o037 != 0 {
            let (file, mode) = (file.display(), format!("{:04o}", mode & 0o7777));
            tracing::warn!(%file, mode, "others can read or change this file, which holds secrets; give it mode 0600 or 0640");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path)
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_written_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new");
        write(&file, b"one, and long").unwrap();
        assert_eq!(mode(&file), FILE);
        // Also what others have or could read before.
        set(&file, 0o666);
        write(&file, b"two").unwrap();
        assert_eq!(
            (mode(&file), std::fs::read(&file).unwrap()),
            (FILE, b"two".to_vec())
        );
        let deep = folder.path().join("a/b/c");
        create_dir_all(&deep).unwrap();
        for made in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&folder.path().join(made)), FOLDER, "{made}");
        }
        // What is no file is not changed.
        let before = mode(Path::new("/dev/null"));
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert_eq!(mode(Path::new("/dev/null")), before);
    }

    #[test]
    fn a_database_is_narrowed_with_its_side_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.sqlite");
        database(&file).unwrap();
        assert_eq!(mode(&file), FILE);
        let all = ["", "-wal", "-shm", "-journal"]
            .map(|end| folder.path().join(format!("x.sqlite{end}")));
        for one in &all {
            std::fs::write(one, "kept").unwrap();
            set(one, 0o644);
        }
        database(&file).unwrap();
        for one in &all {
            assert_eq!(
                (mode(one), std::fs::read(one).unwrap()),
                (FILE, b"kept".to_vec()),
                "{one:?}"
            );
        }
    }
}
