//! Given a card with a profile that was downloaded before, when a modem's host uses it by AT commands,
//! then it is a SIM, and the host is told of every REFRESH.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod served;

use served::{ISDR, Served, at, exchange, program, serve, tty};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// Plays golden scripts to a card; the profile of the recordings is installed then, or enabled too.
fn play(card: &Served, last: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let output = program()
        .args(["replay", "--socket", card.address("apdu")])
        .arg(golden.join(last))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
}

/// A folder with the memory of a card that has the profile, disabled.
fn with_profile() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--socket", "127.0.0.1:0", "--nvm", "nvm"];
    let card = serve(folder.path(), &args);
    play(&card, "2-download.toml");
    drop(card);
    folder
}

/// EnableProfile of the recordings' profile, with refreshFlag, for +CGLA.
fn enable(session: u8) -> String {
    let apdu = "80E2910014BF3111A00C5A0A988800000000000000F18101FF";
    format!("AT+CGLA={session},{},\"{apdu}\"", apdu.len())
}

type Host = BufReader<std::fs::File>;

/// Reads lines until one of these comes.
fn until(host: &mut Host, last: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    while lines.last().is_none_or(|l| l != last) {
        let mut line = String::new();
        assert_ne!(host.read_line(&mut line).unwrap(), 0, "{lines:?}");
        let line = line.trim();
        if !line.is_empty() {
            lines.push(line.to_owned());
        }
    }
    lines
}

fn open(host: &mut Host) {
    assert_eq!(at(host, "ATE0").last().unwrap(), "OK");
    let open = at(host, &format!("AT+CCHO=\"{ISDR}\""));
    assert_eq!(open, ["+CCHO: 1", "OK"]);
}

#[test]
fn a_refresh_ends_sessions_and_the_profile_is_the_sim() {
    let folder = with_profile();
    let _card = serve(folder.path(), &["--at", "modem", "--nvm", "nvm"]);
    let mut host = tty(&folder.path().join("modem"));
    open(&mut host);
    assert_eq!(
        at(&mut host, "AT+CMEE=2;+CPIN?"),
        ["+CME ERROR: SIM not inserted"]
    );
    let enabled = at(&mut host, &enable(1));
    assert!(
        enabled[0].starts_with("+CGLA: 16,\"BF310380010091"),
        "{enabled:?}"
    );
    let told = until(&mut host, "+CPIN: READY");
    assert_eq!(told, ["+SIM: REFRESH", "+CPIN: NOT READY", "+CPIN: READY"]);
    // The session went with the reset.
    let gone = at(&mut host, "AT+CGLA=1,8,\"00A40000\"");
    assert_eq!(gone, ["+CME ERROR: Incorrect parameters"]);
    assert_eq!(at(&mut host, "AT+CIMI"), ["001010000000001", "OK"]);
    assert_eq!(
        at(&mut host, "AT+CCID"),
        ["+CCID: 8988000000000000001", "OK"]
    );
    let imsi = at(&mut host, "AT+CRSM=176,28423,0,0,9");
    assert_eq!(imsi, ["+CRSM: 144,0,\"080910100000000010\"", "OK"]);
    let absent = at(&mut host, "AT+CRSM=176,28671,0,0,9");
    assert_eq!(absent, ["+CRSM: 106,130", "OK"]);
    let applications = at(&mut host, "AT+CUAD");
    assert!(
        applications[0].contains("A0000000871002"),
        "{applications:?}"
    );
    pin(&mut host);
}

/// PIN 0000 is disabled at first, the PUK is 12345678.
fn pin(host: &mut Host) {
    assert_eq!(at(host, "AT+CLCK=\"SC\",2"), ["+CLCK: 0", "OK"]);
    assert_eq!(at(host, "AT+CLCK=\"SC\",1,\"0000\""), ["OK"]);
    assert_eq!(at(host, "AT+CLCK=\"SC\",2"), ["+CLCK: 1", "OK"]);
    assert_eq!(at(host, "AT+CFUN=0;+CFUN=1"), ["OK"]);
    until(host, "+CPIN: SIM PIN");
    assert_eq!(at(host, "AT+CIMI"), ["+CME ERROR: SIM PIN required"]);
    assert_eq!(
        at(host, "AT+CPIN=\"1234\""),
        ["+CME ERROR: incorrect password"]
    );
    assert_eq!(at(host, "AT+CPINR"), ["+CPINR: SIM PIN,2,3", "OK"]);
    assert_eq!(at(host, "AT+CPIN=\"0000\""), ["OK"]);
    until(host, "+CPIN: READY");
    assert_eq!(at(host, "AT+CPIN?"), ["+CPIN: READY", "OK"]);
    assert_eq!(at(host, "AT+CPWD=\"SC\",\"0000\",\"2468\""), ["OK"]);
    assert_eq!(at(host, "AT+CFUN=0;+CFUN=1"), ["OK"]);
    until(host, "+CPIN: SIM PIN");
    for _ in 0..3 {
        assert_eq!(at(host, "AT+CPIN=\"1111\"").len(), 1);
    }
    assert_eq!(at(host, "AT+CPIN?"), ["+CPIN: SIM PUK", "OK"]);
    assert_eq!(at(host, "AT+CPIN=\"12345678\",\"0000\""), ["OK"]);
    until(host, "+CPIN: READY");
    assert_eq!(at(host, "AT+CIMI"), ["001010000000001", "OK"]);
}

#[test]
fn a_tty_goes_at_a_refresh_and_comes_back() {
    let folder = with_profile();
    let args = [
        "--at",
        "modem",
        "--nvm",
        "nvm",
        "--quirk",
        "refresh-drops-tty",
    ];
    let _card = serve(folder.path(), &args);
    let path = folder.path().join("modem");
    let before = std::fs::read_link(&path).unwrap();
    let mut host = tty(&path);
    open(&mut host);
    let command = format!("{}\r", enable(1));
    host.get_mut().write_all(command.as_bytes()).unwrap();
    // The line hangs up, whatever of the answer was still read.
    let mut rest = Vec::new();
    let end = host.read_to_end(&mut rest);
    assert!(end.is_err() || !rest.ends_with(b"+CPIN: READY\r\n"));
    assert_ne!(std::fs::read_link(&path).unwrap(), before);
    let mut host = tty(&path);
    assert_eq!(at(&mut host, "ATE0").last().unwrap(), "OK");
    assert_eq!(at(&mut host, "AT+CIMI"), ["001010000000001", "OK"]);
}

#[test]
fn an_enabling_that_is_lost_at_the_reset() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--socket", "127.0.0.1:0", "--quirk", "enable-lost"];
    let card = serve(folder.path(), &args);
    play(&card, "3-enable.toml");
    let state = |reset: bool| {
        let list = "81E2910008BF2D055C035A9F70";
        let select = format!("01A4040010{ISDR}");
        let mut command = program();
        command.args(["apdu", "--socket", card.address("apdu")]);
        if reset {
            command.arg("reset");
        }
        let output = command
            .args(["0070000001", &select, list, "00708001"])
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().nth(2).unwrap().to_owned()
    };
    assert!(state(false).contains("9F700101"), "enabled");
    assert!(state(true).contains("9F700100"), "and forgotten");
}

/// One card, a modem and other hosts, all with a toolkit or without: a proactive command is that of the
/// host whose command caused it (ETSI TS 102 221 §7.4.2, TS 102 223 §6.2).
#[test]
fn a_refresh_belongs_to_the_host_that_caused_it() {
    let folder = with_profile();
    let ways = ["--at", "modem", "--nvm", "nvm", "--socket", "127.0.0.1:0"];
    let card = serve(
        folder.path(),
        &[&ways[..], &["--lpac-stdio", "127.0.0.1:0"]].concat(),
    );
    let mut modem = tty(&folder.path().join("modem"));
    open(&mut modem);
    // A reader with a toolkit of its own enables the profile: the command is for it to fetch.
    let mut reader = std::net::TcpStream::connect(card.address("apdu")).unwrap();
    assert_eq!(exchange(&mut reader, "8010000003010080"), "9000");
    let channel = exchange(&mut reader, "0070000001");
    let cla = &channel[1..2];
    let fci = exchange(&mut reader, &format!("0{cla}A4040010{ISDR}00"));
    assert!(fci.ends_with("9000"), "{fci}");
    let enable = format!("8{cla}E2910014BF3111A00C5A0A988800000000000000F18101FF00");
    assert_eq!(exchange(&mut reader, &enable), "bf3103800100910b");
    // The modem neither sees it, nor fetches it, nor loses its session.
    assert_eq!(
        at(&mut modem, "AT+CSIM=10,\"8012000000\""),
        ["+CSIM: 4,\"6985\"", "OK"]
    );
    assert_eq!(
        at(&mut modem, "AT+CGLA=1,10,\"80F2000C00\""),
        ["+CGLA: 4,\"9000\"", "OK"]
    );
    assert_eq!(
        at(&mut modem, "AT+CMEE=2;+CIMI"),
        ["+CME ERROR: SIM not inserted"]
    );
    let command = exchange(&mut reader, "801200000b");
    assert_eq!(command, "d0098103010104820281829000");
    let performed = "801400000c810301010402028281030100";
    assert_eq!(exchange(&mut reader, performed), "9000");
    // Now the modem is told that there is another profile.
    until(&mut modem, "+SIM: REFRESH");
    until(&mut modem, "+CPIN: READY");
    assert_eq!(at(&mut modem, "AT+CIMI"), ["001010000000001", "OK"]);
    assert_eq!(
        at(&mut modem, "AT+CGLA=1,10,\"80F2000C00\""),
        ["+CGLA: 4,\"9000\"", "OK"]
    );
    // lpac has no toolkit: its switch is at once, whatever the other hosts have.
    let mut lpac =
        BufReader::new(std::net::TcpStream::connect(card.address("lpac-stdio")).unwrap());
    let mut ask = |func: &str, param: &str| {
        let payload = serde_json::json!({"func": func, "param": param});
        let line = serde_json::json!({"type": "apdu", "payload": payload});
        writeln!(lpac.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        lpac.read_line(&mut answer).unwrap();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()["payload"].clone()
    };
    let number = ask("logic_channel_open", ISDR)["ecode"].as_i64().unwrap();
    let disable = format!("8{number}E2910014BF3211A00C5A0A988800000000000000F18101FF");
    assert_eq!(ask("transmit", &disable)["data"], "BF32038001009000");
    until(&mut modem, "+SIM: REFRESH");
    assert_eq!(at(&mut modem, "AT+CIMI"), ["+CME ERROR: SIM not inserted"]);
    // And a modem's own switch is the modem's.
    let enabled = at(&mut modem, &self::enable(1));
    assert!(enabled[0].ends_with("910B\""), "{enabled:?}");
    assert_eq!(exchange(&mut reader, "8012000000"), "6985");
    until(&mut modem, "+CPIN: READY");
    assert_eq!(at(&mut modem, "AT+CIMI"), ["001010000000001", "OK"]);
}

#[test]
fn a_host_that_goes_in_the_middle_of_a_refresh_blocks_nobody() {
    let folder = with_profile();
    let ways = ["--at", "modem", "--nvm", "nvm", "--socket", "127.0.0.1:0"];
    let card = serve(folder.path(), &ways);
    let mut modem = tty(&folder.path().join("modem"));
    open(&mut modem);
    let mut reader = std::net::TcpStream::connect(card.address("apdu")).unwrap();
    assert_eq!(exchange(&mut reader, "8010000003010080"), "9000");
    assert!(exchange(&mut reader, "0070000200").ends_with("9000"));
    assert!(exchange(&mut reader, &format!("02A404000C{}", &ISDR[..24])).ends_with("9000"));
    let enable = "82E2910014BF3111A00C5A0A988800000000000000F18101FF00";
    assert_eq!(exchange(&mut reader, enable), "bf3103800100910b");
    drop(reader);
    until(&mut modem, "+SIM: REFRESH");
    until(&mut modem, "+CPIN: READY");
    assert_eq!(at(&mut modem, "AT+CIMI"), ["001010000000001", "OK"]);
}
