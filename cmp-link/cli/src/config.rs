//! Configuration files: TOML, read once, unknown keys refused by the types that they are read into.
//!
//! A program finds its own by [`find`]: what is given by `--config` or the program's environment variable, else
//! `./NAME.toml`, else `/etc/aid/NAME.toml`.

use crate::cli::Failure;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest configuration file, bytes.
pub const MAX_CONFIG: u64 = 1 << 20;

/// Where a package puts configurations.
pub const FOLDER: &str = "/etc/aid";

/// The configuration file to use: the one that was `given`, else `NAME.toml` in the working directory, else the one in
/// [`FOLDER`]. With `-v` the log says which.
///
/// # Errors
/// None was given, and neither place has one.
pub fn find(given: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    find_if_any(given, name).ok_or_else(|| {
        Failure::usage(format!(
            "there is no configuration: give --config FILE, or put {name}.toml here or in {FOLDER}; \
             example-config prints one to begin with"
        ))
    })
}

/// As [`find`], for a program that can do without.
#[must_use]
pub fn find_if_any(given: Option<&Path>, name: &str) -> Option<PathBuf> {
    find_in(given, name, [Path::new(""), Path::new(FOLDER)])
}

fn find_in(given: Option<&Path>, name: &str, folders: [&Path; 2]) -> Option<PathBuf> {
    let found = given.map(Path::to_owned).or_else(|| {
        let file = format!("{name}.toml");
        let mut files = folders.iter().map(|folder| folder.join(&file));
        // One that can't be read is used, too: the error then says why, where another file would surprise.
        files.find(|file| file.symlink_metadata().is_ok())
    })?;
    tracing::debug!(file = %found.display(), "configuration");
    Some(found)
}

/// Reads a TOML file. The type should `deny_unknown_fields`.
///
/// # Errors
/// Unreadable, larger than [`MAX_CONFIG`], not TOML, or not what the type wants; with file and line.
pub fn load<T: DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    load_as(file, "configuration", "example-config prints a valid file")
}

/// Reads a TOML file that is no configuration: `what` it is, and `remedy` where it has mistakes.
///
/// # Errors
/// As [`load`].
pub fn load_as<T: DeserializeOwned>(file: &Path, what: &str, remedy: &str) -> Result<T, Failure> {
    let name = file.display();
    let text = read(file, MAX_CONFIG, what)?;
    let text = String::from_utf8(text)
        .map_err(|_| Failure::new(format!("{name} is not UTF-8 text; write it as TOML")))?;
    toml::from_str(&text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..at];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let what = e.message().replace('\n', " ");
        Failure::new(format!("{name}, line {line}: {what}; {remedy}"))
    })
}

/// The values of a configuration file, to tell what a change of it touches.
pub struct Values(BTreeMap<String, toml::Value>);

impl std::fmt::Debug for Values {
    /// The names only: there are keys and secrets among the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// Reads them; `section.key` names one, a list of tables is one value.
    ///
    /// # Errors
    /// As [`load`].
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        for (name, value) in load::<toml::Table>(file)? {
            match value {
                toml::Value::Table(section) => {
                    for (key, value) in section {
                        values.insert(format!("{name}.{key}"), value);
                    }
                }
                value => {
                    values.insert(name, value);
                }
            }
        }
        Ok(Self(values))
    }

    /// The names whose values differ, without those in `live`.
    #[must_use]
    pub fn differing(&self, other: &Self, live: &[&str]) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys());
        let differs = |name: &&String| {
            !live.contains(&name.as_str()) && self.0.get(*name) != other.0.get(*name)
        };
        let names: BTreeSet<&String> = names.filter(differs).collect();
        names.into_iter().cloned().collect()
    }
}

/// A path of a configuration file: relative to the folder which that file is in.
#[must_use]
pub fn beside(config: &Path, path: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

/// Reads a file of at most `max` bytes; `what` names it in the error ("certificate").
///
/// # Errors
/// Unreadable or larger.
pub fn read(file: &Path, max: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let name = file.display();
    let wrong = |e| {
        Failure::new(format!(
            "cannot read the {what} {name}: {e}; check path and permissions"
        ))
    };
    let mut bytes = Vec::new();
    let input = File::open(file).map_err(wrong)?;
    input.take(max + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > max {
        return Err(Failure::new(format!(
            "the {what} {name} has more than {max} bytes; is it the right file?"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        port: u16,
    }

    fn load(text: &[u8]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).expect("write");
        super::load(&file).map_err(|f| f.text)
    }

    #[test]
    fn a_configuration_is_found_where_it_was_given_then_here_then_in_etc() {
        let folder = tempfile::tempdir().expect("folder");
        let (here, etc) = (folder.path().join("here"), folder.path().join("etc"));
        let find = |given: Option<&Path>| find_in(given, "cmp", [&here, &etc]);
        for place in [&here, &etc] {
            std::fs::create_dir(place).expect("folder");
        }
        assert_eq!(find(None), None);
        std::fs::write(etc.join("cmp.toml"), "").expect("write");
        assert_eq!(find(None), Some(etc.join("cmp.toml")));
        // A link that leads nowhere is a mistake to be told, not a reason to take another file.
        std::os::unix::fs::symlink("gone", here.join("cmp.toml")).expect("link");
        assert_eq!(find(None), Some(here.join("cmp.toml")));
        let given = Path::new("elsewhere.toml");
        assert_eq!(find(Some(given)), Some(given.to_owned()));
        let error = super::find(None, "no-such-program").expect_err("nowhere");
        assert!(
            error.code == 2 && error.text.contains("no-such-program.toml"),
            "{error}"
        );
    }

    #[test]
    fn errors_name_file_line_and_key() {
        assert_eq!(load(b"port = 7").expect("valid").port, 7);
        let error = load(b"port = 7\ncolour = 1\n").expect_err("key");
        assert!(
            error.contains("c.toml, line 2") && error.contains("colour"),
            "{error}"
        );
        assert!(load(b"port = 70000").expect_err("range").contains("line 1"));
        assert!(load(b"").expect_err("empty").contains("port"));
        assert!(load(b"\xff").expect_err("binary").contains("UTF-8"));
        assert!(!load(b"port = \n[").expect_err("syntax").contains('\n'));
    }

    #[test]
    fn a_missing_or_huge_file_is_named() {
        let error = super::load::<Config>(Path::new("/nowhere/x.toml")).expect_err("missing");
        assert!(error.text.contains("/nowhere/x.toml"), "{error}");
        let huge = vec![b'#'; MAX_CONFIG as usize + 1];
        assert!(
            super::tests::load(&huge)
                .expect_err("huge")
                .contains("more than")
        );
    }

    #[test]
    fn a_change_is_named_without_its_value() {
        let folder = tempfile::tempdir().expect("folder");
        let values = |text: &str| {
            let file = folder.path().join("c.toml");
            std::fs::write(&file, text).expect("write");
            Values::read(&file).expect("values")
        };
        let before = values("a = 1\n[s]\ncert = \"x\"\nlisten = \"y\"\n[[msp]]\nkey = \"k\"\n");
        let after = values("[s]\ncert = \"z\"\nlisten = \"w\"\n[[msp]]\nkey = \"l\"\n");
        assert_eq!(
            before.differing(&after, &["msp", "s.cert"]),
            ["a", "s.listen"]
        );
        assert!(before.differing(&before, &[]).is_empty());
        assert!(!format!("{before:?}").contains('k'), "{before:?}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let path = |p| beside(Path::new("/etc/aid/cmp.toml"), Path::new(p));
        assert_eq!(path("ca.pem"), Path::new("/etc/aid/ca.pem"));
        assert_eq!(path("/ca.pem"), Path::new("/ca.pem"));
    }
}
