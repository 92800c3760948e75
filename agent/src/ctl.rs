//! `aidctl`: the command line of the agent's local API.
//! One request over the unix socket; events are followed until interrupted.

use crate::program::fail;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Talks to a running aid-agent.
#[derive(Parser)]
#[command(name = "aidctl", version)]
struct Args {
    /// Unix socket of the agent's API.
    #[arg(long, default_value = "/run/aid-agent.sock", env = "AID_AGENT_API")]
    api: PathBuf,
    /// Print JSON as the agent gives it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Log a user in; the result shows in status and events.
    Login {
        /// User name at the CMP.
        user: String,
        /// File with the PIN.
        #[arg(long)]
        pin_file: Option<PathBuf>,
        /// The PIN itself; visible to other users of this machine. Default: read from stdin.
        #[arg(long, conflicts_with = "pin_file")]
        pin: Option<String>,
    },
    /// End the session; the profile is disabled.
    Logout,
    /// Show the session, phase, link and bearer.
    Status,
    /// List the profiles on the card.
    Profiles,
    /// Follow events.
    Events,
    /// Show APDUs and bytes.
    Counters,
}

/// Runs `aidctl` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match act(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text, 1),
    }
}

fn act(args: &Args) -> Result<(), String> {
    let (method, path, body) = match &args.action {
        Action::Login {
            user,
            pin_file,
            pin,
        } => {
            let pin = read_pin(pin_file.as_deref(), pin.as_deref())?;
            (
                "POST",
                "/v1/login",
                json!({"user": user, "pin": pin}).to_string(),
            )
        }
        Action::Logout => ("POST", "/v1/logout", String::new()),
        Action::Status => ("GET", "/v1/status", String::new()),
        Action::Profiles => ("GET", "/v1/profiles", String::new()),
        Action::Counters => ("GET", "/v1/counters", String::new()),
        Action::Events => ("GET", "/v1/events", String::new()),
    };
    let mut answer = request(&args.api, method, path, &body)?;
    let mut line = String::new();
    let gone = |e: std::io::Error| format!("the agent closed the connection: {e}");
    answer.read_line(&mut line).map_err(gone)?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while !line.trim().is_empty() {
        line.clear();
        answer.read_line(&mut line).map_err(gone)?;
    }
    let mut out = std::io::stdout();
    let closed = |e: std::io::Error| format!("cannot write: {e}");
    if matches!(args.action, Action::Events) && status == "200" {
        for line in answer.lines() {
            if let Some(event) = line.map_err(gone)?.strip_prefix("data: ") {
                writeln!(out, "{event}").map_err(closed)?;
            }
        }
        return Ok(());
    }
    let mut text = String::new();
    answer
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(gone)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|_| format!("unexpected answer: {text}"))?;
    if !status.starts_with('2') {
        return Err(value["error"].as_str().map_or(text, str::to_owned));
    }
    if args.json {
        return writeln!(out, "{value}").map_err(closed);
    }
    let lines = match &value {
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| format!("{k}: {v}"))
            .collect::<Vec<_>>(),
        Value::Array(items) => items.iter().map(Value::to_string).collect(),
        other => vec![other.to_string()],
    };
    lines
        .iter()
        .try_for_each(|l| writeln!(out, "{l}"))
        .map_err(closed)
}

fn request(
    api: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> Result<BufReader<UnixStream>, String> {
    let wrong = |e: std::io::Error| {
        format!(
            "cannot reach the agent at {}: {e}; is it running?",
            api.display()
        )
    };
    let mut stream = UnixStream::connect(api).map_err(wrong)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .map_err(wrong)?;
    Ok(BufReader::new(stream))
}

fn read_pin(file: Option<&Path>, pin: Option<&str>) -> Result<String, String> {
    let text = match (file, pin) {
        (Some(file), _) => std::fs::read_to_string(file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?,
        (None, Some(pin)) => pin.to_owned(),
        (None, None) => {
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .map_err(|e| format!("cannot read the PIN: {e}"))?;
            line
        }
    };
    Ok(text.trim().to_owned())
}
