//! What the programs that keep their state in SQLite do in the same way, as SQL.

use std::io;
use std::path::Path;

/// The URL under which the driver opens a database file, and makes it where it is absent.
///
/// The folder is resolved here: a URL that has `..` in it, or begins with it, means another file than the
/// path does.
///
/// # Errors
/// The folder is not there, or the path names no file or is not UTF-8.
pub fn url(file: &Path) -> io::Result<String> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let name = file
        .file_name()
        .ok_or_else(|| invalid("the path names no file"))?;
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let whole = folder.canonicalize()?.join(name);
    let text = whole
        .to_str()
        .ok_or_else(|| invalid("the path is not UTF-8"))?;
    let escaped: String = text
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    Ok(format!("sqlite://{escaped}?mode=rwc"))
}

/// Does this result code of SQLite say that the disk is full? SQLITE_FULL is 13; SQLITE_IOERR_WRITE (778) and
/// SQLITE_IOERR_SHMSIZE (4874) are how some file systems say the same.
#[must_use]
pub fn is_full(code: &str) -> bool {
    matches!(code, "13" | "778" | "4874")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_file_that_the_path_names() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("a b%/c")).unwrap();
        let expected = format!("sqlite://{}/a%20b%25/x.db?mode=rwc", real.display());
        for path in ["a b%/x.db", "a b%/c/../x.db", "a b%/./x.db"] {
            assert_eq!(url(&real.join(path)).unwrap(), expected);
        }
        // Relative to where the program runs.
        let above = std::env::current_dir().unwrap().join("../x.db");
        assert_eq!(url(Path::new("../x.db")).unwrap(), url(&above).unwrap());
        assert!(!url(&above).unwrap().contains(".."));
        assert!(url(Path::new("/no/such/folder/x.db")).is_err());
        assert!(url(Path::new("/")).is_err());
    }
}
