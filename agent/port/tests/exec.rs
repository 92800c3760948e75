//! Given helpers in other languages that serve, die, hang or babble, when a card is reached through them,
//! then answers are the card's, and failures are errors after which the next call starts a helper anew.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use aid_port::{Address, Apdu, CardPort, Opened, Settings, TransportError};
use std::path::Path;
use std::time::Duration;

const ISDR: [u8; 5] = [0xA0, 0, 0, 5, 0x59];

/// A port to a shell script, in which `ok ECODE DATA` answers.
fn port(folder: &Path, script: &str) -> CardPort {
    let file = folder.join("helper.sh");
    let ok = r#"ok() { printf '{"type":"apdu","payload":{"ecode":%s,"data":"%s"}}\n' "$1" "$2"; }"#;
    std::fs::write(
        &file,
        format!("cd '{}'\n{ok}\n{script}\n", folder.display()),
    )
    .unwrap();
    let address = Address::Exec(vec!["sh".into(), file.to_str().unwrap().into()]);
    let mut settings = Settings::new(address);
    settings.timing.answer = Duration::from_secs(5);
    settings.timing.connect = Duration::from_secs(5);
    CardPort::open(&settings).unwrap()
}

/// Serves until `transmit` finds something to do in `$1`.
fn serving(transmit: &str) -> String {
    format!(
        r#"echo start >> starts
        while read -r line; do case "$line" in
        *logic_channel_open*) ok 1 ;;
        *transmit*) {transmit} ;;
        *) ok 0 ;;
        esac; done"#
    )
}

fn starts(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("starts")).unwrap_or_default();
    text.lines().count()
}

fn open(port: &mut CardPort) {
    assert_eq!(port.open_channel(&ISDR).unwrap(), Opened::Channel(1));
}

#[test]
fn a_helper_serves_and_says_things_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let aside = r#"echo '{"type":"progress","payload":{"message":"x"}}'; printf 'on \033[31m stderr\n' >&2; ok 0 61AA9000"#;
    let mut port = port(folder.path(), &serving(aside));
    open(&mut port);
    for _ in 0..3 {
        assert_eq!(
            port.transmit(&[0x81, 0xE2, 0, 0, 0]).unwrap(),
            [0x61, 0xAA, 0x90, 0]
        );
    }
    port.close_channel(1).unwrap();
    assert!(port.reset().unwrap().is_empty());
    assert_eq!(starts(folder.path()), 1);
    let gone = port.transmit(&[0x81, 0xE2, 0, 0, 0]).unwrap_err();
    assert!(matches!(gone, TransportError::ChannelGone { .. }), "{gone}");
}

#[test]
fn a_helper_that_died_in_between_is_started_again_and_its_channels_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    // It ends by itself after its first answer.
    let mut port = port(folder.path(), &serving("ok 0 9000; exit 3"));
    open(&mut port);
    assert_eq!(port.transmit(&[0x81, 0xE2, 0, 0, 0]).unwrap(), [0x90, 0]);
    // Whether its end is seen before or at the next command: the command was not executed, or an error.
    let error = port.transmit(&[0x81, 0xE2, 0, 0, 0]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("anew") || text.contains("exit status: 3"),
        "{text}"
    );
    open(&mut port);
    assert_eq!(starts(folder.path()), 2);
}

#[test]
fn failures_are_named_and_starts_are_spaced() {
    for (script, expected) in [
        ("exit 7", "exit status: 7"),
        ("read -r line; echo hello", "not a JSON object"),
        (
            "read -r line; ok 0; read -r line; ok 99; cat",
            "channel is not 1",
        ),
        ("read -r line; ok -1; cat", "does not reach the card"),
        (
            "read -r line; ok 0; read -r line; ok -1; cat",
            "logic_channel_open",
        ),
        ("read -r line; yes | tr -d '\\n'", "bytes"),
        (
            "read -r line; yes '{\"type\":\"lpa\"}'",
            "without an answer",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut port = port(folder.path(), &format!("echo start >> starts\n{script}"));
        let error = port.open_channel(&ISDR).unwrap_err().to_string();
        assert!(error.contains(expected), "{script}: {error}");
        // Again and again: it is not started again and again.
        let mut last = String::new();
        for _ in 0..20 {
            last = port.open_channel(&ISDR).unwrap_err().to_string();
        }
        assert!(starts(folder.path()) <= 3, "{script}: {last}");
    }
    let absent = Address::Exec(vec!["/nowhere/helper".into()]);
    let mut port = CardPort::open(&Settings::new(absent)).unwrap();
    let error = port.open_channel(&ISDR).unwrap_err().to_string();
    assert!(error.contains("exec:/nowhere/helper"), "{error}");
}

#[test]
fn a_second_answer_is_never_the_next_commands() {
    let folder = tempfile::tempdir().unwrap();
    let mut port = port(
        folder.path(),
        &serving("ok 0 11119000; ok 0 22229000; echo done > done"),
    );
    open(&mut port);
    assert_eq!(
        port.transmit(&[0x81, 1, 0, 0, 0]).unwrap(),
        [0x11, 0x11, 0x90, 0]
    );
    while !folder.path().join("done").exists() {
        std::thread::yield_now();
    }
    let gone = port.transmit(&[0x81, 2, 0, 0, 0]).unwrap_err();
    assert!(matches!(gone, TransportError::ChannelGone { .. }), "{gone}");
}

#[test]
fn a_helper_that_hangs_is_ended_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    // Deaf to the end of its input, with a child that would live on.
    let script =
        "trap '' TERM; read -r line; ok 0; sleep 1000 & echo $! > child; read -r line; wait";
    let file = folder.path().join("child");
    let mut port = {
        let mut settings =
            Settings::new(Address::Exec(vec!["sh".into(), "-c".into(), String::new()]));
        settings.timing.answer = Duration::from_millis(300);
        let text = format!(
            "cd '{}'; ok() {{ echo '{{\"type\":\"apdu\",\"payload\":{{\"ecode\":0}}}}'; }}; {script}",
            folder.path().display()
        );
        settings.address = Address::Exec(vec!["sh".into(), "-c".into(), text]);
        CardPort::open(&settings).unwrap()
    };
    let error = port.open_channel(&ISDR).unwrap_err().to_string();
    assert!(error.contains("did not answer in time"), "{error}");
    let child: i32 = std::fs::read_to_string(file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // SIGKILL was sent to the whole group before the error came; a zombie waits for init alone.
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next())
    };
    while !matches!(state(), None | Some('Z' | 'X')) {
        std::thread::yield_now();
    }
}
