//! docs/THREATS.md names tests as evidence: each of them exists.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use std::path::Path;

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
