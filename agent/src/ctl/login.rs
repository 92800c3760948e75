//! `aidctl login` and `aidctl login-code`: a login from its begin to its end, which is the program's result.

use super::{gone, open, value_of};
use aid_cli::cli::{Failure, print};
use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

/// What `--help` says about the end.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 logged in; 1 the agent can't be reached or has stopped; \
     2 wrong command line; 3 the CMP or the car refused the login; 4 the CMP did not answer; \
     5 another login or a logout took its place.";

/// The CMP refused the login.
const REFUSED: u8 = 3;
/// The CMP did not answer in time.
const NO_ANSWER: u8 = 4;
/// Another login or a logout took its place.
const REPLACED: u8 = 5;

/// Longest silence of an agent that lives: it says something every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// Begins the login and follows it to its end. Progress goes to stderr, the result to stdout.
pub(super) fn follow(api: &Path, path: &str, body: &str, json: bool) -> Result<(), Failure> {
    // Before the login begins: nothing of it may be missed.
    let (status, mut events) = open(api, "GET", "/v1/events", "").map_err(Failure::new)?;
    if status != "200" {
        return value_of(&status, events).map(drop).map_err(Failure::new);
    }
    let patience = events.get_ref().set_read_timeout(Some(SILENCE));
    patience.map_err(|e| Failure::new(gone(&e)))?;
    let begun = ask(api, "POST", path, body)?;
    let id = &begun["login_id"];
    if look(api)?["link"] == "down" {
        progress(
            "the car has no connection to its CMP at the moment; it lets in whom it knows, or waits for it",
        );
    } else {
        progress("waiting for the CMP");
    }
    let mut line = String::new();
    loop {
        line.clear();
        let silent = |_| Failure::new("the agent says nothing any more; is it stopped?");
        if events.read_line(&mut line).map_err(silent)? == 0 {
            return Err(Failure::new("the agent ended before the login was decided"));
        }
        let step = match line.strip_prefix("data: ") {
            Some(text) => serde_json::from_str(text)?,
            // A sign of life. An event may have been lost on the way: the status knows.
            None if line.starts_with(':') => from_status(look(api)?)?,
            None => continue,
        };
        if step["login_id"] != *id {
            if line.starts_with(':') && !step.is_null() {
                // Its end was lost on the way, and another login has ended since.
                let end = json!({"event": "login_refused", "login_id": id, "cause": "replaced",
                                 "reason": "another login took its place"});
                return refused(&end, json);
            }
            continue;
        }
        match step["event"].as_str().unwrap_or_default() {
            "login_code" => progress(&code(&step)),
            "login_accepted" => return accepted(&step, json),
            "login_refused" => return refused(&step, json),
            _ => {}
        }
    }
}

fn look(api: &Path) -> Result<Value, Failure> {
    ask(api, "GET", "/v1/status", "")
}

fn ask(api: &Path, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let answer = open(api, method, path, body);
    let value = answer.and_then(|(status, answer)| value_of(&status, answer));
    value.map_err(Failure::new)
}

/// The end of the last login as its event, which may have been lost; null while the login is pending.
fn from_status(mut status: Value) -> Result<Value, Failure> {
    if status["phase"] == "stopped" {
        let text = "nobody can log in: the agent's journal can't be written; see aidctl status";
        return Err(Failure::new(text));
    }
    let mut login = status["login"].take();
    let state = login["state"].as_str().unwrap_or_default();
    if matches!(state, "accepted" | "refused") {
        login["event"] = format!("login_{state}").into();
        return Ok(login);
    }
    Ok(Value::Null)
}

/// Writes a line to stderr, if anybody reads it.
fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn code(step: &Value) -> String {
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    let minutes = step["expires_in"].as_u64().unwrap_or_default() / 60;
    format!(
        "enter the code {} at {} within {minutes} minutes",
        text("code"),
        text("url")
    )
}

fn accepted(step: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return print(&format!("{step}\n"));
    }
    let text = |key: &str| step[key].as_str().unwrap_or_default();
    let subscription = match (text("msp_name"), text("masked_number")) {
        ("", _) => "no subscription".to_owned(),
        (msp, number) => format!("{msp} {number}"),
    };
    if step["offline"] == true {
        return print(&format!(
            "{} is logged in without a connection; the CMP hears of it at the next one\n",
            text("display_name")
        ));
    }
    print(&format!(
        "{} is logged in ({})\n",
        text("display_name"),
        subscription.trim_end()
    ))
}

fn refused(step: &Value, json: bool) -> Result<(), Failure> {
    if json {
        print(&format!("{step}\n"))?;
    }
    let code = match step["cause"].as_str().unwrap_or_default() {
        "no_answer" => NO_ANSWER,
        "replaced" => REPLACED,
        _ => REFUSED,
    };
    let reason = step["reason"].as_str().unwrap_or("no reason was given");
    let text = format!("not logged in: {reason}");
    Err(Failure { text, code })
}
