//! `aidctl factory-reset`: asks, begins the reset, and follows it to its end.

use super::{gone, open, value_of};
use aid_cli::cli::{Failure, print};
use aid_cli::hidden;
use serde_json::Value;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

/// Longest silence of an agent that lives: it says something every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Resets the car, and waits until that is done.
pub(super) fn run(api: &Path, yes: bool, json: bool) -> Result<(), Failure> {
    if !yes {
        confirm()?;
    }
    let (status, mut events) = open(api, "GET", "/v1/events", "").map_err(Failure::new)?;
    if status != "200" {
        return value_of(&status, events).map(drop).map_err(Failure::new);
    }
    let patience = events.get_ref().set_read_timeout(Some(SILENCE));
    patience.map_err(|e| Failure::new(gone(&e)))?;
    let (status, answer) =
        open(api, "POST", "/v1/factory-reset", r#"{"confirm":true}"#).map_err(Failure::new)?;
    value_of(&status, answer).map_err(Failure::new)?;
    // Interrupted, the car goes on all the same.
    progress(
        "the car is being reset; its keys go once the CMP has the result. See aidctl status and aidctl work",
    );
    let mut line = String::new();
    loop {
        line.clear();
        let silent = |_| Failure::new("the agent says nothing any more; see aidctl status");
        if events.read_line(&mut line).map_err(silent)? == 0 {
            return Err(Failure::new(
                "the agent ended before the car was reset; it goes on when it runs again",
            ));
        }
        let ended = if let Some(text) = line.strip_prefix("data: ") {
            let event: Value = serde_json::from_str(text)?;
            if event["event"] == "error" {
                progress(event["text"].as_str().unwrap_or_default());
            }
            event["event"] == "factory_reset"
        } else if line.starts_with(':') {
            // The event may have been lost; or a profile could not be deleted, and the car works on.
            match look(api)?["phase"].as_str().unwrap_or_default() {
                "factory_reset" => true,
                "resetting" | "stopped" => false,
                _ => {
                    return Err(Failure::new(
                        "the car was not reset: the card did not delete a profile. See the agent's log, and try again",
                    ));
                }
            }
        } else {
            false
        };
        if ended {
            return match json {
                true => print("{\"event\":\"factory_reset\"}\n"),
                false => print("the car was reset: no users, profiles and keys are left\n"),
            };
        }
    }
}

fn look(api: &Path) -> Result<Value, Failure> {
    let answer = open(api, "GET", "/v1/status", "");
    let value = answer.and_then(|(status, answer)| value_of(&status, answer));
    value.map_err(Failure::new)
}

/// Asks at a terminal; without one nobody could answer.
fn confirm() -> Result<(), Failure> {
    let no = "not reset: nobody said yes; `--yes` says so";
    if !hidden::is_asked() {
        return Err(Failure::new(no));
    }
    progress(
        "This removes all users and their profiles, and the keys of this car. It needs a new certificate afterwards.",
    );
    let mut out = std::io::stderr();
    let _ = write!(out, "Reset the car? Type yes: ");
    let _ = out.flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|e| Failure::new(format!("cannot read the answer: {e}")))?;
    match line.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::new(no)),
    }
}

/// Writes a line to stderr, if anybody reads it. The text may be that of a card or server.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", aid_cli::printable::printable(text));
}
