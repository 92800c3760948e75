//! Removes files of secrets for good: what a factory reset removes beside the journal (`Effect::Erase`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Overwrites a file with zeros and removes it. One that is gone already is no failure. On flash the old sectors may stay
/// until the device uses them again.
///
/// # Errors
/// It is still there, in one sentence.
pub(crate) fn file(path: &Path) -> Result<(), String> {
    overwrite_and_remove(path).map_err(|error| {
        format!(
            "{} can't be removed: {error}; remove it by hand, or let the agent write its folder",
            path.display()
        )
    })
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
        assert_eq!((file(&at("key")), file(&at("absent"))), (Ok(()), Ok(())));
        assert!(!at("real").exists() && std::fs::symlink_metadata(at("key")).is_err());
        assert_eq!(std::fs::read(at("other name")).expect("read"), [0; 6]);
        assert_eq!(file(&at("key")), Ok(()), "once more after a power cut");
        // A folder is no key.
        std::fs::create_dir(at("key")).expect("folder");
        let error = file(&at("key")).expect_err("a folder");
        assert!(error.contains("remove it by hand"), "{error}");
    }
}
