//! What cards, servers, users and files are called never reaches a terminal or a log raw.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// C0 but NUL, DEL, C1, line and paragraph separator, marks and controls of direction.
fn evil() -> String {
    let all = (1..0x1_0000).filter_map(char::from_u32);
    let bad: String = all.filter(|c| is_bad(*c)).collect();
    // Looks like a sentence and an event of its own when a line break comes through.
    format!("a{bad}\n2026-01-01T00:00:00Z  INFO forged\r\u{1b}[2J")
}

fn is_bad(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1F | 0x7F..=0x9F | 0x061C | 0x200E..=0x200F | 0x2028..=0x202E | 0x2066..=0x206F)
}

#[track_caller]
fn is_clean(text: &[u8], lines: usize) -> String {
    let text = std::str::from_utf8(text).unwrap();
    let raw = text.replace('\n', "");
    assert!(!raw.contains(is_bad), "{text:?}");
    assert_eq!(text.lines().count(), lines, "{text:?}");
    assert!(!text.lines().any(|l| l.starts_with("2026-01-01")), "{text}");
    text.to_owned()
}

fn hil(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .current_dir(dir)
        .env("TMPDIR", dir)
        .output()
        .unwrap()
}

const PARTS: [(&str, &[&str]); 7] = [
    ("aid-cmp", &["check-config", "--config"]),
    ("aid-msp", &["check-config", "--config"]),
    ("aid-smdp", &["check-config", "--config"]),
    ("aid-agent", &["check-config", "--config"]),
    ("aidctl", &["check-config", "--config"]),
    ("aid-lpa", &["check-config", "--config"]),
    ("euicc-sim", &["check-config", "--config"]),
];

#[test]
fn a_failure_is_one_clean_sentence_whatever_a_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let evil = evil();
    for (part, args) in PARTS {
        // Absent, with a mistake in it, and as an option that there is not.
        for make in [false, true] {
            let file = folder.path().join(&evil);
            if make {
                std::fs::write(&file, format!("{:?} = 1", "\u{1b}[31m\n\u{202e}")).unwrap();
            }
            let output = hil(folder.path(), &[&["part", part], args, &[&evil]].concat());
            assert_eq!(output.status.code(), Some(1), "{part}");
            is_clean(&output.stderr, 1);
            is_clean(&output.stdout, 0);
            let _ = std::fs::remove_file(&file);
        }
        let option = format!("--{}", evil.replace(['\n', '\r'], ""));
        let output = hil(folder.path(), &["part", part, &option]);
        assert_eq!(output.status.code(), Some(2), "{part}");
        let lines = String::from_utf8(output.stderr.clone())
            .unwrap()
            .lines()
            .count();
        is_clean(&output.stderr, lines);
    }
    for args in [
        &["demo", "--profile"][..],
        &["init", "--dir", "x", "--profile"],
        &["scenario"],
    ] {
        let output = hil(folder.path(), &[args, &[&evil]].concat());
        assert!(!output.status.success(), "{args:?}");
        is_clean(&output.stderr, 1);
    }
}

#[test]
fn lists_show_names_as_one_clean_line_each() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        hil(folder.path(), &["init", "--dir", "site"])
            .status
            .success()
    );
    let dir = folder.path().join("site");
    let evil = evil();

    let eid = "89049032123451234512345678901235";
    let add = [
        "part", "aid-cmp", "vehicle", "add", eid, "--config", "cmp.toml",
    ];
    let output = hil(&dir, &[&add[..], &["--operator", &evil]].concat());
    assert!(output.status.success(), "{output:?}");
    let audit = ["part", "aid-cmp", "audit", "list", "--config", "cmp.toml"];
    let output = hil(&dir, &audit);
    let text = is_clean(&output.stdout, 1);
    assert!(
        text.contains("\\n2026-01-01") && text.contains("\\u001b[2J"),
        "{text}"
    );
    let output = hil(&dir, &[&audit[..], &["--json"]].concat());
    let text = is_clean(&output.stdout, 1);
    let rows: Value = serde_json::from_str(&text).unwrap();
    let who: Vec<&str> = rows[0]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str)
        .collect();
    assert!(who.contains(&evil.as_str()), "{text}");

    // As TOML, of which JSON's texts are a part.
    let name: String = evil.chars().filter(|c| *c != '\u{7f}').take(60).collect();
    let name = format!("{name}\nforged");
    let file = dir.join("msp.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let quoted = serde_json::to_string(&name).unwrap();
    let user = format!("id = \"one\"\nuser = {quoted}");
    std::fs::write(&file, text.replacen("user = \"ada@msp.example\"", &user, 1)).unwrap();
    for what in ["customer", "subscription"] {
        let output = hil(
            &dir,
            &["part", "aid-msp", what, "list", "--config", "msp.toml"],
        );
        assert!(output.status.success(), "{output:?}");
        let text = is_clean(&output.stdout, 1);
        assert!(text.contains("\\nforged"), "{text}");
    }
}
