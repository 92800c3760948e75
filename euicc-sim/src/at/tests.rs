use super::card::CardHandle;
use super::modem::{Modem, Reply};
use crate::config::{CardArgs, Wanted};
use crate::quirk::Quirks;
use crate::served::{Host, Notice, Served};
use crate::setup::Setup;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A modem with a fresh card, and what it is told of others.
fn modem(quirks: &[&str]) -> (Modem, Arc<Served>, Receiver<Notice>) {
    let mut parsed = Quirks::default();
    quirks.iter().try_for_each(|q| parsed.add(q)).unwrap();
    let args = CardArgs {
        seed: Some(1),
        ..CardArgs::default()
    };
    let setup = Setup::new(Wanted::read(&args).unwrap()).unwrap();
    let stats = setup.crypto.shared_stats();
    let served = Arc::new(Served::new(setup.card().unwrap(), stats));
    let (to, notices) = channel();
    let host = Host::watching(Arc::clone(&served), move |notice| {
        let _ = to.send(notice);
    });
    let mut modem = Modem::new(CardHandle::new(host), &parsed);
    let hello = modem.power_on();
    assert_eq!(text(&hello), "+CPIN: NOT INSERTED");
    assert!(say(&mut modem, "ATE0").ends_with("OK"));
    (modem, served, notices)
}

/// The lines, without the empty ones.
fn text(reply: &Reply) -> String {
    let text = String::from_utf8(reply.text.clone()).unwrap();
    let lines: Vec<&str> = text.split(['\r', '\n']).filter(|l| !l.is_empty()).collect();
    lines.join("\n")
}

fn say(modem: &mut Modem, line: &str) -> String {
    text(&modem.input(format!("{line}\r\n").as_bytes()))
}

const ISDR: &str = "A0000005591010FFFFFFFF8900000100";

#[test]
fn errors_come_in_three_forms() {
    let (mut modem, ..) = modem(&[]);
    assert_eq!(say(&mut modem, "at"), "OK");
    assert_eq!(say(&mut modem, "AT+CIMI"), "ERROR");
    assert_eq!(say(&mut modem, "AT+CMEE=1;+CIMI"), "+CME ERROR: 10");
    assert_eq!(say(&mut modem, "AT+CMEE=2"), "OK");
    assert_eq!(say(&mut modem, "AT+CPIN?"), "+CME ERROR: SIM not inserted");
    assert_eq!(
        say(&mut modem, "AT+NONE"),
        "+CME ERROR: operation not supported"
    );
    assert_eq!(
        say(&mut modem, "AT+CMEE=3"),
        "+CME ERROR: Incorrect parameters"
    );
    assert_eq!(
        say(&mut modem, "AT+CMEE?;+CMEE=?"),
        "+CMEE: 2\n+CMEE: (0-2)\nOK"
    );
    // Not a command line, and one that has no end.
    assert_eq!(say(&mut modem, "hello"), "");
    let long = format!("AT{}", "X".repeat(9000));
    assert_eq!(say(&mut modem, &long), "+CME ERROR: Incorrect parameters");
    assert_eq!(say(&mut modem, "ATV0"), "0");
    assert_eq!(say(&mut modem, "ATZ"), "OK");
    assert_eq!(say(&mut modem, "AT"), "AT\nOK", "echo is on again");
}

#[test]
fn sessions_have_channels_of_their_own() {
    let (mut modem, ..) = modem(&[]);
    for name in ["CCHO", "CCHC", "CGLA", "CSIM", "CRSM"] {
        assert_eq!(say(&mut modem, &format!("AT+{name}=?")), "OK");
    }
    let open = format!("AT+CCHO=\"{ISDR}\"");
    assert_eq!(say(&mut modem, &open), "+CCHO: 1\nOK");
    assert_eq!(say(&mut modem, &open), "+CCHO: 2\nOK");
    // The class byte's channel is replaced by the session's.
    let eid = say(&mut modem, "AT+CGLA=2,22,\"80E2910006BF3E035C015A\"");
    assert_eq!(
        eid,
        "+CGLA: 46,\"BF3E125A10890490321234512345123456789012359000\"\nOK"
    );
    assert_eq!(say(&mut modem, "AT+CCHC=1"), "+CCHC\nOK");
    assert_eq!(say(&mut modem, "AT+CCHC=1"), "ERROR");
    assert_eq!(say(&mut modem, "AT+CGLA=1,8,\"00A40000\""), "ERROR");
    assert_eq!(say(&mut modem, "AT+CCHO=\"A000000087100200\""), "ERROR");
    assert_eq!(say(&mut modem, "AT+CCHO=\"A0\""), "ERROR");
    assert_eq!(say(&mut modem, "AT+CGLA=2,8,\"00A400\""), "ERROR", "length");
    // The channel that failed to be opened was given back.
    assert_eq!(say(&mut modem, &open), "+CCHO: 1\nOK");
    let raw = say(&mut modem, "AT+CSIM=10,\"0070000001\"");
    assert_eq!(raw, "+CSIM: 6,\"039000\"\nOK");
}

#[test]
fn power_is_the_modems_to_switch() {
    let (mut modem, served, _) = modem(&[]);
    say(&mut modem, &format!("AT+CCHO=\"{ISDR}\""));
    assert_eq!(say(&mut modem, "AT+CFUN?;+CFUN=0"), "+CFUN: 1\nOK");
    assert_eq!(say(&mut modem, "AT+CPIN?"), "ERROR");
    assert_eq!(
        Host::new(&*served).transmit(&[1, 0xA4, 0, 0x0C]).unwrap(),
        [0x68, 0x81]
    );
    assert_eq!(say(&mut modem, "AT+CFUN=1"), "OK\n+CPIN: NOT INSERTED");
    assert_eq!(say(&mut modem, "AT+CGLA=1,8,\"00A40000\""), "ERROR");
    assert_eq!(say(&mut modem, "AT+CFUN=4;+CFUN?"), "+CFUN: 4\nOK");
    assert_eq!(say(&mut modem, "AT+CFUN=1,1"), "OK\n+CPIN: NOT INSERTED");
    assert_eq!(say(&mut modem, "AT+CFUN=2"), "AT+CFUN=2\nERROR");
}

#[test]
fn what_others_do_to_the_card_is_noticed() {
    let (mut modem, served, notices) = modem(&[]);
    say(&mut modem, &format!("AT+CCHO=\"{ISDR}\""));
    Host::new(&*served).reset("RESET").unwrap();
    let notice = notices.try_iter().last().unwrap();
    assert_eq!(notice, Notice::Reset);
    let reply = modem.notice(notice);
    assert_eq!(text(&reply), "+CPIN: NOT READY\n+CPIN: NOT INSERTED");
    assert_eq!(say(&mut modem, "AT+CCHC=1"), "ERROR");
    // Another profile, or none, by another host's command.
    let reply = modem.notice(Notice::Switched);
    assert_eq!(
        text(&reply),
        "+SIM: REFRESH\n+CPIN: NOT READY\n+CPIN: NOT INSERTED"
    );
}

#[test]
fn noise_comes_between_lines() {
    let (mut modem, ..) = modem(&["urc-noise=1"]);
    assert_eq!(
        say(&mut modem, "AT+CMEE?"),
        "+CREG: 1\n+CMEE: 0\n+CREG: 1\nOK"
    );
}

#[test]
fn s_parameters_are_kept_and_obeyed() {
    let (mut modem, ..) = modem(&[]);
    for line in [
        "ATS0=0",
        "ats0=0",
        "AT S0 = 0",
        "ATS0=0E0V1",
        "ATS0=",
        "ATX4&C1&D2S7=45 S0=0 L1 M1",
    ] {
        assert_eq!(say(&mut modem, line), "OK", "{line}");
    }
    assert_eq!(say(&mut modem, "ATS7?S3?"), "045\n013\nOK");
    assert_eq!(say(&mut modem, "ATS0=2S0?+CMEE?"), "002\n+CMEE: 0\nOK");
    // What is no register, no value of it, or no syntax.
    for line in [
        "ATS1?", "ATS99=0", "ATS6=1", "ATS3=128", "ATS0=256", "ATS", "ATS0", "ATS0=?", "ATE2",
        "ATE=1",
    ] {
        assert_eq!(say(&mut modem, line), "ERROR", "{line}");
    }
    // Nothing behind a wrong command is executed.
    assert_eq!(say(&mut modem, "ATS1=1S0=9"), "ERROR");
    assert_eq!(say(&mut modem, "ATS0?"), "002\nOK");
    // S3 ends lines from the next one on, S5 takes characters back.
    assert_eq!(say(&mut modem, "ATS5=35"), "OK");
    assert_eq!(say(&mut modem, "ATXYZ###S0?"), "002\nOK");
    assert_eq!(modem.input(b"ATS3=59\r").text, b";\nOK;\n");
    assert_eq!(modem.input(b"ATS0?;").text, b";\n002;\n;\nOK;\n");
    assert_eq!(modem.input(b"ATZ;").text, b"\r\nOK\r\n");
    assert_eq!(say(&mut modem, "ATE0").lines().last(), Some("OK"));
    // Q1: information only.
    assert_eq!(say(&mut modem, "ATQ1"), "");
    assert_eq!(say(&mut modem, "AT+CMEE?"), "+CMEE: 0");
    assert_eq!(say(&mut modem, "AT+NONE"), "");
    assert_eq!(say(&mut modem, "ATQ0"), "OK");
}
