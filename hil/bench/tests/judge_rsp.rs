//! `aid-hil judge` for cards, SM-DP+ servers and LPAs, against our own programs as anybody starts them: nothing fails,
//! also with the legal habits that euicc-sim has as quirks; illegal ones are found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running part; killed when it goes.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn aid_hil(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

fn start(dir: &Path, args: &[&str]) -> Part {
    let mut child = aid_hil(dir, &[&["part"], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the readiness line");
    assert_eq!(ready["ready"], true, "{args:?}");
    Part(child)
}

/// A set-up of `aid-hil init`.
struct Site {
    dir: PathBuf,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let done = aid_hil(folder.path(), &["init", "--dir", "site"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
        Self {
            dir: folder.path().join("site"),
            _folder: folder,
        }
    }

    /// Judges with a target file of this text; the report, and the exit code.
    fn judge(&self, kind: &str, target: &str, ids: &[&str]) -> (Value, i32) {
        std::fs::write(self.dir.join("target.toml"), target).unwrap();
        let args = [&["judge", kind, "--target", "target.toml", "--json"], ids].concat();
        let output = aid_hil(&self.dir, &args).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{e}: {errors}")
        });
        (report, output.status.code().unwrap())
    }
}

/// Names of the cases with this verdict, with why.
fn cases(report: &Value, verdict: &str) -> Vec<String> {
    let cases = report["cases"].as_array().unwrap();
    cases
        .iter()
        .filter(|c| c["verdict"] == verdict)
        .map(|c| format!("{} {} {}", c["name"], c["reason"], c["failure"]))
        .collect()
}

/// Nothing failed, nothing is inconclusive, and at least so many passed.
fn passes((report, code): &(Value, i32), least: usize, what: &str) {
    assert_eq!(cases(report, "fail"), Vec::<String>::new(), "{what}");
    assert_eq!(
        cases(report, "inconclusive"),
        Vec::<String>::new(),
        "{what}"
    );
    let passed = cases(report, "pass").len();
    assert!(
        passed >= least,
        "{what}: {passed} passed, {:?}",
        cases(report, "skipped")
    );
    assert_eq!(*code, 0, "{what}");
}

mod card {
    use super::*;

    fn target(port: &str) -> String {
        format!(
            "name = \"euicc-sim\"\n[card]\nmemory_reset = true\n[card.euicc]\nport = \"{port}\"\n\
             [card.server]\npki = \"pki/rsp\"\n"
        )
    }

    fn serve(site: &Site, flags: &[&str], quirks: &[&str]) -> Part {
        let mut all = ["euicc-sim", "serve", "--config", "euicc.toml"].to_vec();
        all.extend(flags);
        for quirk in quirks {
            all.extend(["--quirk", quirk]);
        }
        start(&site.dir, &all)
    }

    #[test]
    fn over_a_socket_with_legal_habits() {
        let site = Site::new();
        for quirks in [
            &[][..],
            &["61xx=all", "stale-channel=3", "first-notification"],
            &["small-segments=17", "slow=1", "cat-busy=2"],
        ] {
            let _card = serve(&site, &["--socket", "card.sock"], quirks);
            let seen = site.judge("card", &target("socket:card.sock"), &[]);
            passes(&seen, 90, &format!("{quirks:?}"));
            let nvm = site.dir.join("state/euicc.nvm");
            std::fs::remove_file(nvm).unwrap();
        }
    }

    #[test]
    fn over_a_modem_with_legal_habits() {
        let site = Site::new();
        for quirks in [
            &["urc-noise=3", "61xx"][..],
            &["mute-refresh", "stale-channel=2"],
            &["no-terminal-profile", "small-segments=100"],
        ] {
            let _card = serve(&site, &["--at", "modem"], quirks);
            let seen = site.judge("card", &target("at:modem"), &[]);
            passes(&seen, 80, &format!("{quirks:?}"));
        }
    }

    #[test]
    fn a_card_that_forgets_or_stammers_is_found() {
        let site = Site::new();
        for (quirk, ids, found) in [
            ("enable-lost=9", "SGP22-5.7.16", "SGP22-5.7.16/persists"),
            ("lost-channel=4", "SGP22-5.7.6", "SGP22-5.7.6/installs"),
        ] {
            let _card = serve(&site, &["--socket", "card.sock"], &[quirk]);
            let (report, code) = site.judge("card", &target("socket:card.sock"), &[ids]);
            let failed = cases(&report, "fail").join("\n");
            assert!(failed.contains(found), "{quirk}: {report}");
            assert_eq!(code, 1, "{quirk}");
        }
    }

    #[test]
    fn mistakes_in_the_target_file_are_named() {
        let site = Site::new();
        let file = site.dir.join("target.toml");
        for (text, says) in [
            ("name = \"x\"\n[card]\n", "euicc"),
            (
                "name = \"x\"\n[card.euicc]\nport = \"socket:a:1\"\ncolour = 1\n",
                "line 4",
            ),
            (
                "name = \"x\"\n[card.euicc]\nport = \"card.sock\"\n",
                "socket:",
            ),
            (
                "name = \"x\"\n[card.euicc]\nport = \"socket:a:1\"\n[card.server]\npki = \"none\"\n",
                "none",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let output = aid_hil(&site.dir, &["judge", "card", "--target", "target.toml"])
                .output()
                .unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert!(errors.contains(says), "{says}: {errors}");
            assert_eq!(output.status.code(), Some(2), "{errors}");
        }
    }
}

/// The target files that a set-up has, with the parts that it names.
mod of_a_set_up {
    use super::*;

    /// Judges with a file of the set-up, its own programs first on the path.
    fn judge(site: &Site, kind: &str) -> (Value, i32) {
        let file = format!("{kind}-target.toml");
        let program = Path::new(env!("CARGO_BIN_EXE_aid-hil"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let output = aid_hil(&site.dir, &["judge", kind, "--target", &file, "--json"])
            .env("PATH", path)
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{e}: {errors}")
        });
        (report, output.status.code().unwrap())
    }

    #[test]
    fn card() {
        let site = Site::new();
        let _card = start(&site.dir, &["euicc-sim", "serve", "--config", "euicc.toml"]);
        passes(&judge(&site, "card"), 90, "the card of a set-up");
    }

    #[test]
    fn smdp() {
        let site = Site::new();
        let _smdp = start(&site.dir, &["aid-smdp", "serve", "--config", "smdp.toml"]);
        passes(&judge(&site, "smdp"), 65, "the SM-DP+ of a set-up");
    }

    #[test]
    fn lpa() {
        let site = Site::new();
        passes(&judge(&site, "lpa"), 30, "the LPA of a set-up");
    }
}
