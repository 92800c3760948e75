//! What a factory reset removes beside the journal: the secret of the car, its key and its certificate (`Effect::Erase`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where the car's keys are, as far as a factory reset goes.
pub(crate) trait KeyStore {
    /// Removes secrets, keys and certificates for good. What is gone already is no failure.
    ///
    /// # Errors
    /// One is still there, in one sentence.
    fn erase(&mut self) -> Result<(), String>;
}

/// Keys in files, in the order in which they go.
#[derive(Debug)]
pub(crate) struct KeyFiles(pub(crate) Vec<PathBuf>);

impl KeyStore for KeyFiles {
    fn erase(&mut self) -> Result<(), String> {
        self.0.iter().try_for_each(|file| {
            overwrite_and_remove(file).map_err(|error| {
                format!(
                    "{} can't be removed: {error}; remove it by hand, or let the agent write its folder",
                    file.display()
                )
            })
        })
    }
}

/// Overwrites a file with zeros and removes it. A link is followed: what it names is what has to go.
fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    let target = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link without a target may be left of an earlier try.
            return gone(std::fs::remove_file(path));
        }
        other => other?,
    };
    let mut file = OpenOptions::new().write(true).open(&target)?;
    let length = file.metadata()?.len();
    io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
    file.flush()?;
    file.sync_all()?;
    drop(file);
    std::fs::remove_file(&target)?;
    gone(std::fs::remove_file(path))?;
    for folder in [target.parent(), path.parent()].into_iter().flatten() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_overwritten_through_links_and_gone_ones_are_no_failure() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real"), "secret").expect("write");
        // What is left of a file that has another name, too, shows what was written.
        std::fs::hard_link(at("real"), at("other name")).expect("link");
        std::os::unix::fs::symlink(at("real"), at("key")).expect("link");
        let mut keys = KeyFiles(vec![at("key"), at("absent")]);
        assert_eq!(keys.erase(), Ok(()));
        assert!(!at("real").exists() && std::fs::symlink_metadata(at("key")).is_err());
        assert_eq!(std::fs::read(at("other name")).expect("read"), [0; 6]);
        assert_eq!(keys.erase(), Ok(()), "once more after a power cut");
        // A folder is no key.
        std::fs::create_dir(at("key")).expect("folder");
        let error = keys.erase().expect_err("a folder");
        assert!(error.contains("remove it by hand"), "{error}");
    }
}
