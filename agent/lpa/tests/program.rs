//! Given a card without notifications, when the program is asked for one, then it says that there is none.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

fn payload(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// A card that opens channel 1 and has empty lists, for one client.
fn card() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while let Some(command) = payload(&mut stream) {
            let answer: &[u8] = match command.as_slice() {
                [0x04] => &[0x3B, 0],
                [_] => continue,
                [_, 0x70, 0, ..] => &[1, 0x90, 0],
                [_, 0xE2, _, _, 3, 0xBF, 0x28, 0, ..] => &[0xBF, 0x28, 2, 0xA0, 0, 0x90, 0],
                _ => &[0x90, 0],
            };
            let mut frame = (answer.len() as u16).to_be_bytes().to_vec();
            frame.extend_from_slice(answer);
            if stream.write_all(&frame).is_err() {
                return;
            }
        }
    });
    address
}

#[test]
fn a_notification_that_is_not_there_is_not_reported_as_done() {
    for verb in ["remove", "process"] {
        let output = Command::new(env!("CARGO_BIN_EXE_aid-lpa"))
            .env_remove("AID_LOG")
            .args([
                "--log",
                "warn",
                "--socket",
                &card(),
                "notification",
                verb,
                "4",
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(13), "{output:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("no notification 4"), "{text}");
    }
}
