//! What the documents point to exists: links and their headings, files of the source, tests that THREATS.md names as
//! evidence. Each document stands in the index.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What stands between backticks and names a file of the project, with the function in it.
fn references(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    // Every second piece is between backticks.
    for piece in text.split('`').skip(1).step_by(2) {
        let (file, function) = match piece.split_once(": ") {
            Some((file, function)) => (file, Some(function)),
            None => (piece, None),
        };
        let is_test = |name: &str| name.matches('_').count() > 2 && !name.contains(['/', '=', ' ']);
        if file.ends_with(".rs") && file.contains('/') {
            found.push((file, function.into_iter().collect()));
        } else if is_test(piece)
            && let Some((_, functions)) = found.last_mut()
        {
            // Further ones of the same file stand alone.
            functions.push(piece);
        }
    }
    found
}

#[test]
fn the_evidence_of_the_threat_analysis_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/THREATS.md")).expect("read");
    let references = references(&text);
    assert!(references.len() > 20, "{references:?}");
    for (file, functions) in references {
        let source = std::fs::read_to_string(root.join(file));
        let source = source.unwrap_or_else(|e| panic!("{file}: {e}"));
        for function in functions {
            let is_there = source.contains(&format!("fn {function}("));
            assert!(is_there, "{file} has no {function}");
        }
    }
}

#[test]
fn further_functions_of_a_file_are_looked_at_too() {
    let text = "`a/b.rs: one_two_three_four`, `five_six_seven_eight`, `#![x]`; `c/d.rs`";
    let expected = [
        ("a/b.rs", vec!["one_two_three_four", "five_six_seven_eight"]),
        ("c/d.rs", vec![]),
    ];
    assert_eq!(references(text), expected);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown files of the root and below docs/, relative to the root.
fn documents() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("docs")];
    let mut look = |folder: &Path, folders: Option<&mut Vec<PathBuf>>| {
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(root().join(folder)).expect("folder") {
            let entry = entry.expect("entry");
            let path = folder.join(entry.file_name());
            if entry.file_type().expect("type").is_dir() {
                inner.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.insert(path);
            }
        }
        if let Some(folders) = folders {
            folders.extend(inner);
        }
    };
    look(Path::new(""), None);
    while let Some(folder) = folders.pop() {
        look(&folder, Some(&mut folders));
    }
    found
}

/// Targets of `[text](target)` outside code, with the number of their line.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Every second piece is between backticks.
        for piece in line.split('`').step_by(2) {
            for rest in piece.split("](").skip(1) {
                if let Some((target, _)) = rest.split_once(')') {
                    found.push((number + 1, target));
                }
            }
        }
    }
    found
}

/// The anchors of a document's headings, as renderers of Markdown make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).expect("read");
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let beside = document.parent().expect("a folder").join(file);
            let path = root().join(if file.is_empty() { &document } else { &beside });
            let at = format!("{}:{line}: {target}", document.display());
            if !path.exists() {
                faults.push(format!("{at}: there is no such file"));
            } else if !anchor.is_empty() {
                let there = std::fs::read_to_string(&path).expect("read");
                if !anchors(&there).contains(anchor) {
                    faults.push(format!("{at}: there is no such heading"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 50, "only {count} links");
}

#[test]
fn the_index_names_every_document_once() {
    let index = std::fs::read_to_string(root().join("docs/README.md")).expect("read");
    let mut linked: Vec<PathBuf> = links(&index)
        .iter()
        .map(|(_, target)| Path::new("docs").join(target))
        .collect();
    linked.sort();
    let once: BTreeSet<PathBuf> = linked.iter().cloned().collect();
    assert_eq!(once.len(), linked.len(), "a document is named twice");
    // A decision's file is found by its folder.
    let documents = documents().into_iter().filter(|path| {
        path.starts_with("docs") && !path.starts_with("docs/adr") && !path.ends_with("README.md")
    });
    let missing: Vec<PathBuf> = documents.filter(|path| !once.contains(path)).collect();
    assert!(missing.is_empty(), "docs/README.md lacks {missing:?}");
}

#[test]
fn links_in_code_are_no_links() {
    let text = "[a](b.md#c) `[x](y)` [d](e)\n```\n[f](g)\n```\n## One, two!\n";
    assert_eq!(links(text), [(1, "b.md#c"), (1, "e")]);
    assert_eq!(anchors(text), BTreeSet::from(["one-two".to_owned()]));
}
