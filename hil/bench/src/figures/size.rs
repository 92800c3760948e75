//! Lines of all crates of this workspace that the three servers link, beside those of the day before their heart was
//! rebuilt.
//!
//! Cargo says which crates these are; counted is each line under `src` that is not blank, tests and comments among
//! them.

use super::Figures;
use aid_cli::cli::Failure;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs.
const SERVERS: [&str; 3] = ["aid-cmp", "aid-msp", "aid-smdp"];
/// Lines on 30 November 2026 at commit 8a3bcb5, which the new heart had to stay below.
const BEFORE: usize = 51_649;

#[derive(Debug, Clone, Serialize)]
struct Found {
    /// By crate.
    crates: BTreeMap<String, usize>,
    lines: usize,
    before: usize,
}

/// Runs the suite.
pub(super) fn run() -> Result<Figures, Failure> {
    let metadata = metadata()?;
    let packages = packages(&metadata);
    let mut crates = BTreeMap::new();
    for name in linked(&packages) {
        let folder = packages[name].folder.join("src");
        crates.insert(name.to_owned(), lines(&folder)?);
    }
    let found = Found {
        lines: crates.values().sum(),
        crates,
        before: BEFORE,
    };
    Ok(Figures {
        text: text(&found),
        json: serde_json::to_value(&found)?,
    })
}

/// A crate of the workspace.
struct Package<'a> {
    folder: PathBuf,
    /// What it links, crates of others among them.
    dependencies: BTreeSet<&'a str>,
}

fn metadata() -> Result<Value, Failure> {
    // Where the sources of this program were when it was built.
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .args(["--manifest-path", manifest])
        .output()
        .map_err(|e| Failure::new(format!("cannot run cargo: {e}; is it installed?")))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("cargo metadata failed: {why}")));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> BTreeMap<&str, Package<'_>> {
    let list = metadata["packages"].as_array();
    list.into_iter().flatten().filter_map(package).collect()
}

fn package(package: &Value) -> Option<(&str, Package<'_>)> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let dependencies = package["dependencies"].as_array()?.iter();
    // `kind` says where one is for tests or a build script only.
    let linked = dependencies.filter(|d| d["kind"].is_null());
    let found = Package {
        folder: manifest.parent()?.to_owned(),
        dependencies: linked.filter_map(|d| d["name"].as_str()).collect(),
    };
    Some((package["name"].as_str()?, found))
}

/// The crates of the workspace that a server links, itself among them.
fn linked<'a>(packages: &BTreeMap<&'a str, Package<'a>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = SERVERS.to_vec();
    while let Some(name) = open.pop() {
        if let Some((name, package)) = packages.get_key_value(name)
            && found.insert(*name)
        {
            open.extend(&package.dependencies);
        }
    }
    found
}

/// Lines that are not blank, of all Rust files below a folder.
fn lines(folder: &Path) -> Result<usize, Failure> {
    let unreadable = |e| Failure::new(format!("cannot read {}: {e}", folder.display()));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            count += lines(&path)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).map_err(unreadable)?;
            count += text.lines().filter(|line| !line.trim().is_empty()).count();
        }
    }
    Ok(count)
}

fn text(found: &Found) -> String {
    let mut out = String::new();
    for (name, lines) in &found.crates {
        // Writing into a String does not fail.
        let _ = writeln!(out, "  {name}: {lines}");
    }
    let verdict = match found.lines < found.before {
        true => "reached",
        false => "MISSED",
    };
    let _ = writeln!(
        out,
        "lines of the crates that {} link: {} (goal below {} of 30 November 2026: {verdict})",
        SERVERS.join(", "),
        found.lines,
        found.before,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_need_is_not_linked() {
        let metadata = serde_json::json!({"packages": [
            {"name": "aid-cmp", "manifest_path": "/w/cmp/Cargo.toml", "dependencies": [
                {"name": "aid-store", "kind": null}, {"name": "tokio", "kind": null},
                {"name": "aid-needs", "kind": "dev"}]},
            {"name": "aid-store", "manifest_path": "/w/store/Cargo.toml", "dependencies": []},
            {"name": "aid-needs", "manifest_path": "/w/needs/Cargo.toml", "dependencies": []},
        ]});
        let packages = packages(&metadata);
        let linked: Vec<_> = linked(&packages).into_iter().collect();
        assert_eq!(linked, ["aid-cmp", "aid-store"]);
        assert_eq!(packages["aid-store"].folder, Path::new("/w/store"));
    }
}
