//! The modules of the crate depend on each other in one direction only.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules that each one names with `crate::`; a folder is one module.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![(root, None)];
    while let Some((folder, module)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .expect("a name")
                .to_owned();
            let module = module.clone().unwrap_or(stem);
            if path.is_dir() {
                folders.push((path, Some(module)));
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source");
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let own = arrows.entry(module.clone()).or_default();
            for line in code {
                for rest in line.split("crate::").skip(1) {
                    let name: String = rest
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    if name != module && !name.is_empty() {
                        own.insert(name);
                    }
                }
            }
        }
    }
    arrows.remove("lib");
    arrows
}

#[test]
fn no_module_depends_on_itself() {
    let mut arrows = arrows();
    assert!(
        arrows.len() > 10 && arrows["drive"].contains("agent"),
        "{arrows:?}"
    );
    // Takes away what depends on nothing that is left; a circle stays.
    loop {
        let left: BTreeSet<String> = arrows.keys().cloned().collect();
        let before = arrows.len();
        arrows.retain(|_, to| to.iter().any(|module| left.contains(module)));
        if arrows.len() == before {
            break;
        }
    }
    assert!(arrows.is_empty(), "in circles, or behind one: {arrows:#?}");
}
