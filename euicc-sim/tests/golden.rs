//! Given a fresh card with the seed and PKI of the recordings, when the golden scripts are played to
//! it, then every answer is the recorded one. `golden/record.sh` records them anew.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

struct Served(Child, String);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_euicc-sim"));
    command.env_remove("AID_TRACE").env_remove("AID_LOG");
    command
}

/// The PKI of a card without `--pki` comes from its seed: that of the recordings.
fn serve(seed: &str, more: &[&str]) -> Served {
    let mut child = program()
        .args(["serve", "--log", "warn", "--seed", seed])
        .args(["--socket", "127.0.0.1:0"])
        // As the card of the recordings had it.
        .args(["--quirk", "first-notification=0"])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = ready["listen"]["apdu"].as_str().unwrap().to_owned();
    Served(child, address)
}

/// The scripts of a folder whose names begin so, in their order.
fn scripts(folder: &str, begin: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut scripts: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with(begin))
        .collect();
    scripts.sort();
    scripts
}

fn replay(card: &Served, scripts: &[PathBuf], args: &[&str]) -> (bool, serde_json::Value) {
    let output = program()
        .args(["replay", "--json", "--socket", &card.1])
        .args(args)
        .args(scripts)
        .output()
        .unwrap();
    let object = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.success(), object)
}

#[test]
fn the_recorded_sessions_repeat() {
    let card = serve("1", &[]);
    let (ok, object) = replay(&card, &scripts("golden", ""), &[]);
    assert!(ok, "{object:#}");
    let titles = object["scripts"].as_array().unwrap();
    assert_eq!(titles.len(), 9, "each once, what others need too");
}

#[test]
fn sessions_of_strangers_repeat() {
    for (peer, count) in [("lpac", 4), ("osmo-smdpp", 2), ("pysim", 1)] {
        let card = serve("1", &[]);
        let scripts = scripts("strangers/recorded", peer);
        assert_eq!(scripts.len(), count, "{peer}");
        let (ok, object) = replay(&card, &scripts, &[]);
        assert!(ok, "{object:#}");
    }
}

#[test]
fn another_card_differs_but_looks_alike() {
    let eid = "89049032000000000000000000000025";
    let card = serve("2", &["--eid", eid]);
    let (ok, object) = replay(&card, &scripts("golden", ""), &["--lenient"]);
    assert!(!ok, "a download for one card is not for another");
    let scripts = object["scripts"].as_array().unwrap();
    assert!(scripts[0]["differences"].as_array().unwrap().is_empty());
    assert!(!scripts[1]["differences"].as_array().unwrap().is_empty());
}
