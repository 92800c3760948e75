//! The target file: what is judged, what it declares, and how the judge reaches it.

use crate::subject::Subject;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_report::Laboratory;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::path::Path;

/// Largest target file, bytes.
pub const MAX_TARGET: u64 = config::MAX_CONFIG;

/// What every target file begins with, whatever is judged.
#[derive(Debug, Clone)]
pub struct Cover {
    /// What the target is called in reports.
    pub name: String,
    /// Its version, as its maker says it; empty if unknown.
    pub version: String,
    /// The fields that a laboratory fills in.
    pub laboratory: Laboratory,
}

/// First look at a target file: the cover, and which kinds it describes.
#[derive(Deserialize)]
struct Head {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    laboratory: Laboratory,
    #[serde(flatten)]
    tables: BTreeMap<String, IgnoredAny>,
}

/// The whole file. The kind's table has the kind's name, which serde knows only as an alias.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<T> {
    #[serde(rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
    #[serde(default, rename = "laboratory")]
    _laboratory: IgnoredAny,
    #[serde(
        rename = "cmp",
        alias = "msp",
        alias = "smdp",
        alias = "lpa",
        alias = "card",
        alias = "vehicle"
    )]
    target: T,
}

const WHAT: &str = "target file";

/// Where the reference of a kind's target file is.
fn remedy(kind: &str) -> &'static str {
    match kind {
        "smdp" | "lpa" | "card" => "docs/judge-rsp.md has the reference",
        "vehicle" => "docs/judge-vehicle.md has the reference",
        _ => "docs/judge.md has the reference",
    }
}

/// Reads the cover and the table of `S`.
///
/// # Errors
/// As [`config::load_as`], with the line; or the file describes another kind.
pub(crate) fn load<S: Subject>(file: &Path) -> Result<(Cover, S::Target), Failure> {
    let kind = S::KIND;
    let remedy = remedy(kind);
    let head: Head = load_as(file, remedy)?;
    if !head.tables.contains_key(kind) {
        let others: Vec<_> = head.tables.keys().map(String::as_str).collect();
        let name = file.display();
        return Err(Failure::usage(if others.is_empty() {
            format!("{name} has no table [{kind}], which says how to reach the {kind}; {remedy}")
        } else {
            format!(
                "{name} has no table [{kind}] but [{}]; judge that kind, or give another file",
                others.join("], [")
            )
        }));
    }
    let whole: Whole<S::Target> = load_as(file, remedy)?;
    let cover = Cover {
        name: head.name,
        version: head.version,
        laboratory: head.laboratory,
    };
    Ok((cover, whole.target))
}

/// A mistake in the target file is one of usage.
fn load_as<T: DeserializeOwned>(file: &Path, remedy: &str) -> Result<T, Failure> {
    config::load_as(file, WHAT, remedy).map_err(|wrong| Failure::usage(wrong.text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::subject::Setting;
    use crate::test::Test;

    /// A kind with one key.
    struct Dummy;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        port: u16,
    }

    impl Subject for Dummy {
        const KIND: &'static str = "cmp";
        type Target = Table;

        fn tests() -> Vec<Test<Self>> {
            Vec::new()
        }

        fn open(_: Table, _: &Setting) -> Result<Self, Failure> {
            Ok(Self)
        }
    }

    fn read(text: &str) -> Result<(Cover, Table), Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        std::fs::write(&file, text).unwrap();
        load::<Dummy>(&file)
    }

    #[test]
    fn a_target_file_has_a_cover_and_the_table_of_its_kind() {
        let text =
            "name = \"x\"\nversion = \"1\"\n[laboratory]\noperator = \"o\"\n[cmp]\nport = 7\n";
        let (cover, table) = read(text).unwrap();
        assert_eq!((cover.name.as_str(), cover.version.as_str()), ("x", "1"));
        assert_eq!(cover.laboratory.operator, "o");
        assert_eq!(table.port, 7);
    }

    #[test]
    fn each_kind_has_its_reference() {
        assert!(remedy("msp").contains("docs/judge.md"));
        assert!(remedy("smdp").contains("docs/judge-rsp.md"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_is_one_of_usage() {
        for (text, says) in [
            ("name = \"x\"\n[cmp]\nport = 7\ncolour = 1\n", "line 4"),
            ("name = \"x\"\n[cmp]\nport = \"7\"\n", "line 3"),
            ("name = \"x\"\n[cmp]\n", "port"),
            ("name = \"x\"\nnmae = 1\n[cmp]\nport = 7\n", "line 2"),
            (
                "name = \"x\"\n[laboratory]\nboss = \"\"\n[cmp]\nport = 7\n",
                "line 3",
            ),
            ("[cmp]\nport = 7\n", "name"),
            ("name = \"x\"\n[msp]\nport = 7\n", "[msp]"),
            ("name = \"x\"\n", "[cmp]"),
            ("name = \n", "line 1"),
        ] {
            let wrong = read(text).unwrap_err();
            assert!(
                wrong.code == 2 && wrong.text.contains(says),
                "{says}: {wrong}"
            );
        }
    }
}
