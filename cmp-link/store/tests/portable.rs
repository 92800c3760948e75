//! The servers use PostgreSQL in a way that distributed engines and poolers in transaction mode support: nothing that
//! lives longer than a transaction, and no means of theirs is missing elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// What is not portable, in the case in which we write SQL, with single spaces.
const BANNED: [&str; 10] = [
    "pg_advisory",
    "pg_try_advisory",
    "\"LISTEN ",
    "\"NOTIFY ",
    "pg_notify",
    "SKIP LOCKED",
    "SET SESSION",
    "CREATE TEMP ",
    "CREATE TEMPORARY ",
    "pg_temp",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "tests" && name != "target" {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "sql") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// What of a text is not portable. Comments may speak of it.
fn banned(text: &str) -> Vec<&'static str> {
    let code = text.lines().map(|line| {
        let line = line.trim_start();
        match line.starts_with("//") || line.starts_with("--") {
            true => "",
            false => line,
        }
    });
    let code = code.collect::<Vec<_>>().join(" ");
    let words: Vec<&str> = code.split_whitespace().filter(|w| *w != "\\").collect();
    let code = words.join(" ");
    BANNED.into_iter().filter(|b| code.contains(b)).collect()
}

#[test]
fn the_servers_use_nothing_that_other_engines_lack() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let mut files = Vec::new();
    for folder in ["cmp-link", "hil/msp", "hil/smdp"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources are not where they were");
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        for what in banned(&text) {
            found.push(format!("{name}: {what}"));
        }
    }
    assert!(found.is_empty(), "not portable: {found:#?}");
}

#[test]
fn the_check_finds_each_of_them() {
    for text in [
        "client.execute(\"SELECT pg_advisory_xact_lock(1)\")",
        "\"SELECT id FROM work \\\n     FOR UPDATE   SKIP\n LOCKED\"",
        "execute(\"LISTEN change\")",
        "execute(\"NOTIFY change\")",
        "\"SET SESSION x = 1\"",
        "CREATE TEMP TABLE x (id BIGINT)",
        "CREATE TEMPORARY TABLE x (id BIGINT)",
    ] {
        assert!(!banned(text).is_empty(), "{text}");
    }
    for text in [
        "// no SKIP LOCKED here",
        "-- LISTEN is not used",
        "fn listen() {}",
        "UPDATE vehicle SET session = NULL",
        "name: \"Notify MSP Token Invalid\"",
    ] {
        assert!(banned(text).is_empty(), "{text}");
    }
}
