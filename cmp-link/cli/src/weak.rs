//! Weak secrets in a configuration: those published in an example, and those of one repeated character.

use crate::cli::Failure;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use toml::{Table, Value};

/// Keys whose values are secrets, in the configurations of all programs.
const SECRETS: [&str; 8] = [
    "account_pin_key",
    "account_id_secret",
    "phone_key",
    "api_key_in",
    "api_key_out",
    "basic_in",
    "basic_out",
    "password",
];

/// Visits the texts of all secrets, with their keys.
fn visit<'a>(name: &'a str, value: &'a Value, see: &mut impl FnMut(&'a str, &'a str)) {
    match value {
        Value::String(text) if SECRETS.contains(&name) => see(name, text),
        Value::Array(items) => items.iter().for_each(|item| visit(name, item, see)),
        Value::Table(members) => members
            .iter()
            .for_each(|(name, item)| visit(name, item, see)),
        _ => {}
    }
}

/// `ID:` before a key names it, and is no secret.
fn bare(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(_, key)| key)
}

fn is_monotonous(text: &str) -> bool {
    let text = bare(text);
    let first = text.chars().next();
    text.chars().all(|c| Some(c) == first)
}

/// Looks at the secrets of a configuration; `example` is the one that the program prints.
///
/// # Errors
/// Which of them everybody knows, and what to do.
pub fn check_secrets(file: &Path, example: &str) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::new(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e.to_string()))?;
    let read = |text: &str| text.parse::<Table>().map(Value::Table);
    let ours = read(&text).map_err(|e| wrong(e.message()))?;
    let published = read(example).map_err(|e| wrong(e.message()))?;
    let mut known = Vec::new();
    visit("", &published, &mut |_, text| known.push(text));
    let mut problem = None;
    visit("", &ours, &mut |name, text| {
        let what = if known.contains(&text) {
            "is the value of the published example"
        } else if is_monotonous(text) {
            "is one character again and again"
        } else {
            return;
        };
        problem
            .get_or_insert_with(|| format!("{name} {what}; make one with `openssl rand -hex 32`"));
    });
    problem.map_or(Ok(()), |problem| Err(wrong(&problem)))
}

/// Looks at files that only their owner may change: whoever changes a private key or a configuration is its owner.
///
/// # Errors
/// The first that others can change, and what to do.
pub fn check_files<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<(), Failure> {
    for file in files {
        let mode = std::fs::metadata(file).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o022 != 0 {
            return Err(Failure::new(format!(
                "{} can be changed by others (mode {:04o}); give it mode 0600 or 0640",
                file.display(),
                mode & 0o7777
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str =
        "account_pin_key = \"00ff\"\n[[msp]]\nphone_key = \"k1:0102\"\nname = \"x\"\n";

    fn check(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("x.toml");
        std::fs::write(&file, text).expect("write");
        check_secrets(&file, EXAMPLE).map_err(|failure| failure.text)
    }

    #[test]
    fn what_everybody_knows_is_no_secret() {
        assert_eq!(check("account_pin_key = \"a1b2\"\nname = \"x\"\n"), Ok(()));
        for (text, names) in [
            ("account_pin_key = \"00ff\"", "account_pin_key is the value"),
            ("account_pin_key = \"0000\"", "account_pin_key is one"),
            (
                "[[cmp]]\nphone_key = [\"a1\", \"k1:0102\"]",
                "phone_key is the value",
            ),
            ("[[cmp]]\nphone_key = \"k2:7777\"", "phone_key is one"),
            (
                "[[msp]]\n[[msp]]\naccount_id_secret = \"\"",
                "account_id_secret is one",
            ),
        ] {
            let error = check(text).expect_err(text);
            assert!(error.contains(names) && error.contains("x.toml"), "{error}");
        }
    }

    #[test]
    fn files_that_others_can_change_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "").expect("write");
        for (mode, good) in [
            (0o600, true),
            (0o640, true),
            (0o644, true),
            (0o660, false),
            (0o602, false),
        ] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, mode.clone()).expect("mode");
            assert_eq!(check_files([file.as_path()]).is_ok(), good, "{mode:?}");
        }
    }
}
