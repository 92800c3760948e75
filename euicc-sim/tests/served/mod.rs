//! The program as tests run it, and its clients: sockets and a modem's host.
// Each test program uses a part of it.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The program while it serves; killed when it goes.
pub(crate) struct Served(pub(crate) Child, serde_json::Value);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Served {
    pub(crate) fn address(&self, way: &str) -> &str {
        self.1["listen"][way].as_str().unwrap()
    }
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_euicc-sim"));
    command.env_remove("AID_TRACE").env_remove("AID_LOG");
    command
}

pub(crate) fn serve(folder: &Path, args: &[&str]) -> Served {
    serve_in(folder, args, &[])
}

/// With these variables in its environment.
pub(crate) fn serve_in(
    folder: &Path,
    args: &[&str],
    environment: &[(&'static str, OsString)],
) -> Served {
    let mut child = program()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .args(["serve", "--log", "warn", "--seed", "1"])
        // As the card of the golden recordings had it.
        .args(["--quirk", "first-notification=0"])
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    Served(child, ready)
}

pub(crate) fn refused(args: &[&str]) -> String {
    let output = program().args(args).output().unwrap();
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn frame(stream: &mut impl Write, payload: &[u8]) {
    let mut bytes = (payload.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    stream.write_all(&bytes).unwrap();
}

pub(crate) fn answer(stream: &mut impl Read) -> String {
    let mut len = [0; 2];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).unwrap();
    hex::encode(answer)
}

pub(crate) fn exchange(stream: &mut (impl Read + Write), apdu: &str) -> String {
    frame(stream, &hex::decode(apdu).unwrap());
    answer(stream)
}

pub(crate) const ISDR: &str = "A0000005591010FFFFFFFF8900000100";
pub(crate) const GET_EID: &str = "80E2910006BF3E035C015A";
pub(crate) const EID: &str = "BF3E125A10890490321234512345123456789012359000";

/// Reads lines of a modem until its result code.
pub(crate) fn at(tty: &mut BufReader<std::fs::File>, command: &str) -> Vec<String> {
    tty.get_mut()
        .write_all(format!("{command}\r").as_bytes())
        .unwrap();
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        tty.read_line(&mut line).unwrap();
        let line = line.trim();
        if line == "OK" || line.contains("ERROR") {
            lines.push(line.to_owned());
            return lines;
        }
        // The echo, and what the modem said when it was switched on.
        if !line.is_empty() && !line.contains(command) && !line.starts_with("+CPIN: NOT") {
            lines.push(line.to_owned());
        }
    }
}

pub(crate) fn tty(path: &Path) -> BufReader<std::fs::File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    BufReader::new(file.unwrap())
}
