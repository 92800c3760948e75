//! Given somebody at the terminal, when a profile is offered, then they are asked, and card and server hear what they said.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "support/site.rs"]
mod site;
mod support;

use aid_rsp::es10::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use site::{Site, serve_card, serve_https};
use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use support::*;

/// Runs the program at a terminal where this was typed ahead; the terminal gives it out line by line.
fn at_terminal(args: &[&str], typed: &str) -> Output {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("terminal");
    grantpt(&terminal).expect("grant");
    unlockpt(&terminal).expect("unlock");
    let name = ptsname(&terminal, Vec::new()).expect("name");
    let name = name.to_str().expect("UTF-8");
    let stdin = File::options().read(true).write(true).open(name);
    let mut terminal = File::from(terminal);
    terminal.write_all(typed.as_bytes()).expect("typed");
    // A session of its own, whose terminal this is: secrets are read from there.
    Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_aid-lpa")])
        .env_remove("AID_LOG")
        .args(["--log", "warn"])
        .args(args)
        .stdin(stdin.expect("terminal"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("output")
}

fn needs_setsid() -> bool {
    let missing = Command::new("setsid").arg("--version").output().is_err();
    if missing {
        aid_needs::missing(aid_needs::Need::Prlimit, "there is no setsid");
    }
    missing
}

struct Story {
    card: FakeCard,
    server: FakeServer,
    site: Site,
    socket: String,
}

impl Story {
    fn new() -> Self {
        let card = FakeCard::new();
        let server = FakeServer::new(300);
        let site = serve_https(&server);
        let answer = ok(initiate(CHALLENGE, &site.server));
        server.answer("initiateAuthentication", answer);
        let socket = serve_card(&card);
        Self {
            card,
            server,
            site,
            socket,
        }
    }

    fn download(&self, more: &[&str], typed: &str) -> Output {
        let ci = self.site.path("ci.der");
        let code = format!("1${}$M-1", self.site.server);
        let args = ["--socket", &self.socket, "--private-smdp", "--ci"];
        let command = [ci.to_str().expect("path"), "profile", "download", &code];
        at_terminal(&[&args[..], &command, more].concat(), typed)
    }

    /// The last request of the card that begins like this.
    fn request(&self, tag: [u8; 2]) -> Option<Vec<u8>> {
        let inside = self.card.0.lock().expect("lock");
        let mut newest = inside.requests.iter().rev();
        newest.find(|r| r.starts_with(&tag)).cloned()
    }

    fn cancelled(&self) -> Option<CancelSessionReason> {
        let bytes = self.request([0xBF, 0x41])?;
        let request = CancelSessionRequest::from_slice(&bytes).expect("request");
        Some(request.reason)
    }
}

#[test]
fn what_the_user_says_goes_to_card_and_server() {
    if needs_setsid() {
        return;
    }
    use CancelSessionReason::{EndUserRejection, Postponed, Timeout};
    for (typed, more, expected) in [
        ("yes\n", &[][..], None),
        ("Y\n", &[], None),
        ("", &["--yes"], None),
        ("no\n", &[], Some(EndUserRejection)),
        ("later\n", &[], Some(Postponed)),
        ("what?\n\nn\n", &[], Some(EndUserRejection)),
        ("\u{4}", &[], Some(Postponed)),
        ("", &["--wait", "0"], Some(Timeout)),
    ] {
        let story = Story::new();
        let output = story.download(more, typed);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(story.cancelled(), expected, "{typed:?}: {text}");
        let asked = text.contains("Install this profile?");
        assert_eq!(asked, !more.contains(&"--yes"), "{text}");
        // What is agreed to was shown.
        assert_eq!(text.contains("name: Test"), asked, "{text}");
        let functions = story.server.functions();
        let fetched = functions.contains(&"getBoundProfilePackage".to_owned());
        let (exit, fetches) = match expected {
            None => (0, true),
            Some(_) => (12, false),
        };
        assert_eq!(
            (output.status.code(), fetched),
            (Some(exit), fetches),
            "{text}"
        );
    }
}

#[test]
fn a_confirmation_code_is_asked_for_and_not_shown() {
    if needs_setsid() {
        return;
    }
    let story = Story::new();
    let answer = ok(client(&metadata(), true));
    story.server.answer("authenticateClient", answer);
    let output = story.download(&["--yes"], "4711\n");
    assert!(output.status.success(), "{output:?}");
    let prepare = story.request([0xBF, 0x21]).expect("PrepareDownload");
    let prepare = PrepareDownloadRequest::from_slice(&prepare).expect("request");
    assert!(prepare.hash_cc.is_some());
    for stream in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(stream).contains("4711"));
    }
    // Nothing typed: later.
    let story = Story::new();
    let answer = ok(client(&metadata(), true));
    story.server.answer("authenticateClient", answer);
    let output = story.download(&["--yes"], "\n");
    assert_eq!(output.status.code(), Some(11), "{output:?}");
    assert_eq!(story.cancelled(), Some(CancelSessionReason::Postponed));
}

#[test]
fn a_purge_needs_a_clear_yes() {
    if needs_setsid() {
        return;
    }
    for (typed, exit) in [
        ("yes\n", 0),
        ("no\n", 12),
        ("\n", 12),
        ("perhaps\n", 12),
        ("\u{4}", 12),
    ] {
        let story = Story::new();
        let output = at_terminal(&["--socket", &story.socket, "chip", "purge"], typed);
        assert_eq!(output.status.code(), Some(exit), "{typed:?}: {output:?}");
        assert_eq!(
            story.request([0xBF, 0x34]).is_some(),
            exit == 0,
            "{typed:?}"
        );
    }
}
