//! Given a scripted modem on a pty, when a card is reached through it, then the line is ours alone, raw, and
//! opened again after it hung up.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use aid_port::{Address, Apdu, CardPort, Opened, Settings, TransportError};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ISDR: [u8; 5] = [0xA0, 0, 0, 5, 0x59];
const COMMAND: [u8; 5] = [0x81, 0xE2, 0, 0, 0];

/// A pty, in the mode of a terminal: with echo and line editing, as a serial port is found.
fn pty(link: &Path) -> File {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let _ = std::fs::remove_file(link);
    std::os::unix::fs::symlink(name.to_str().unwrap(), link).unwrap();
    File::from(master)
}

/// Reads commands and answers them from a script: the start of a command, then what the modem says.
fn play(mut master: File, script: &[(&str, &str)]) -> (File, Vec<String>) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    for (start, says) in script {
        let mut line = String::new();
        loop {
            match master.read(&mut byte) {
                Ok(1) if byte[0] == b'\r' => break,
                Ok(1) => line.push(char::from(byte[0])),
                // Nobody has the other end open at present.
                _ => std::thread::yield_now(),
            }
        }
        assert!(line.starts_with(start), "{line:?} instead of {start:?}");
        seen.push(line);
        // In small pieces, so that lines arrive cut.
        for piece in says.as_bytes().chunks(7) {
            master.write_all(piece).unwrap();
        }
    }
    (master, seen)
}

const START: [(&str, &str); 5] = [
    ("AT", "\r\n+CREG: 1\r\nAT\r\r\nOK\r\n"),
    ("ATE0V1", "ATE0V1\r\r\nOK\r\n"),
    ("AT+CMEE=1", "\r\n^MODE: 5,7\r\n\r\nOK\r\n"),
    ("AT+CPIN?", "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n"),
    ("AT+CCHO=\"A000000559\"", "\r\n+CME ERROR: 14\r\n"),
];

fn port(tty: &Path) -> CardPort {
    let mut settings = Settings::new(Address::At {
        tty: tty.into(),
        baud: 115_200,
    });
    settings.timing.busy = Duration::from_secs(5);
    CardPort::open(&settings).unwrap()
}

#[test]
fn a_busy_modem_that_talks_then_hangs_up_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let link: PathBuf = folder.path().join("modem");
    let master = pty(&link);
    let again = link.clone();
    let modem = std::thread::spawn(move || {
        let mut script = START.to_vec();
        script.push(("AT+CCHO=", "\r\n+CCHO: 1\r\n\r\nOK\r\n"));
        script.push((
            "AT+CGLA=1,10,\"81E2000000\"",
            "\r\n+CGLA: 8,\"\r\nRING\r\nAABB9000\"\r\n\r\nOK\r\n",
        ));
        let (mut master, _) = play(master, &script);
        // The next command is on its way when the modem restarts and takes its tty away.
        let mut byte = [0];
        master.read_exact(&mut byte).unwrap();
        drop(master);
        let master = pty(&again);
        let mut script = START[..4].to_vec();
        script.push(("AT+CCHO=", "\r\n+CCHO: 2\r\n\r\nOK\r\n"));
        script.push(("AT+CGLA=2,", "\r\n+CGLA: 4,\"9000\"\r\n\r\nOK\r\n"));
        play(master, &script)
    });
    let mut port = port(&link);
    assert_eq!(port.open_channel(&ISDR).unwrap(), Opened::Channel(1));
    assert_eq!(port.transmit(&COMMAND).unwrap(), [0xAA, 0xBB, 0x90, 0]);
    let broken = port.transmit(&COMMAND).unwrap_err();
    assert!(matches!(broken, TransportError::Broken { .. }), "{broken}");
    assert!(port.refreshed());
    assert_eq!(port.open_channel(&ISDR).unwrap(), Opened::Channel(2));
    assert_eq!(port.transmit(&[0x82, 0xE2, 0, 0, 0]).unwrap(), [0x90, 0]);
    drop(modem.join().unwrap());
}

#[test]
fn a_tty_that_somebody_uses_is_refused_and_an_absent_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("modem");
    let master = pty(&link);
    let modem = std::thread::spawn(move || {
        let mut script = START[..4].to_vec();
        script.push(("AT+CCHO=", "\r\n+CCHO: 1\r\n\r\nOK\r\n"));
        play(master, &script)
    });
    let mut first = port(&link);
    first.open_channel(&ISDR).unwrap();
    let error = port(&link).open_channel(&ISDR).unwrap_err().to_string();
    assert!(
        error.contains("another program uses this tty") || error.contains("busy"),
        "{error}"
    );
    drop(first);
    let (master, _) = modem.join().unwrap();
    let modem = std::thread::spawn(move || {
        let mut script = START[..4].to_vec();
        script.push(("AT+CCHO=", "\r\nERROR\r\n"));
        script.push(("AT+CSIM=10,\"0070000001\"", "\r\n+CME ERROR: 4\r\n"));
        play(master, &script)
    });
    // Given back, so that the next one gets it; this modem has no SIM commands at all.
    let mut second = port(&link);
    assert_eq!(second.open_channel(&ISDR).unwrap(), Opened::ByCommands);
    let error = second
        .transmit(&[0, 0x70, 0, 0, 1])
        .unwrap_err()
        .to_string();
    for part in [
        "AT+CSIM",
        "+CME ERROR: 4",
        "AT+CCHO before: ERROR",
        "another one of the modem",
    ] {
        assert!(error.contains(part), "{error}");
    }
    drop(modem.join().unwrap());
    let error = port(&folder.path().join("none")).reset().unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = port(&file).reset().unwrap_err();
    assert!(matches!(error, TransportError::Connect { .. }), "{error}");
}
