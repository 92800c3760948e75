//! `aidctl events` and `aidctl status --watch`: what happens in the agent, until somebody has seen enough.

use super::{gone, open, text_of, value_of};
use aid_cli::cli::{Failure, print};
use aid_cli::printable::printable;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Prints each event as a line of JSON; the first is the present status.
///
/// # Errors
/// The agent can't be reached, refuses, or ended: only an interruption is a good end.
pub(super) fn events(api: &Path) -> Result<(), Failure> {
    let mut stream = listen(api)?;
    loop {
        let event = next(&mut stream)?;
        print(&format!("{}\n", printable(&event)))?;
    }
}

/// Prints the status now and after each event.
///
/// # Errors
/// As [`events`].
pub(super) fn status(api: &Path, json: bool) -> Result<(), Failure> {
    let mut stream = listen(api)?;
    loop {
        let event: Value = serde_json::from_str(&next(&mut stream)?)?;
        let status = match event.get("status") {
            Some(status) => status.clone(),
            None => open(api, "GET", "/v1/status", "")
                .and_then(|(status, answer)| value_of(&status, answer))
                .map_err(Failure::new)?,
        };
        if json {
            print(&format!("{}\n", printable(&status.to_string())))?;
        } else {
            print(&format!("{}\n", text_of(&status)))?;
        }
    }
}

fn listen(api: &Path) -> Result<BufReader<UnixStream>, Failure> {
    let (status, stream) = open(api, "GET", "/v1/events", "").map_err(Failure::new)?;
    if status == "200" {
        return Ok(stream);
    }
    let refusal = value_of(&status, stream).map(|value| value.to_string());
    Err(Failure::new(refusal.unwrap_or_else(|text| text)))
}

/// The data of the next event.
fn next(stream: &mut BufReader<UnixStream>) -> Result<String, Failure> {
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line) {
            Ok(0) => return Err(Failure::new("the agent ended; is it being restarted?")),
            Ok(_) => {}
            Err(error) => return Err(Failure::new(gone(&error))),
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return Ok(data.trim_end().to_owned());
        }
    }
}
