//! `aidctl`: the command line of the agent's local API.
//! One request over the unix socket; a login is followed to its end, events until interrupted.

mod journal;
mod login;
mod reset;
mod signal;
mod watch;
mod work;

use crate::config::{Config, EXAMPLE};
use crate::program::NAME;
use aid_cli::cli::{self, Failure, LogArgs};
use aid_cli::config;
use aid_cli::hidden;
use aid_cli::printable::printable;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a package's agent has its API.
const SOCKET: &str = "/run/aid-agent/agent.sock";

/// Talks to a running aid-agent.
#[derive(Parser)]
#[command(name = "aidctl", version)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// Unix socket of the agent's API; default: that of the configuration, or /run/aid-agent/agent.sock.
    #[arg(long, global = true, value_name = "PATH", env = "AID_AGENT_API")]
    api: Option<PathBuf>,
    /// The agent's configuration file, which names the socket; default: agent.toml here, or /etc/aid/agent.toml.
    #[arg(long, global = true, value_name = "FILE", env = "AID_AGENT_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON as the agent gives it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Log a user in, and wait until that is decided.
    #[command(after_help = login::EXIT_CODES)]
    Login {
        /// User name at the CMP.
        user: String,
        /// File with the PIN.
        #[arg(long)]
        pin_file: Option<PathBuf>,
        /// The PIN itself; visible to other users of this machine. Default: asked for at a terminal, else read from stdin.
        #[arg(long, conflicts_with = "pin_file")]
        pin: Option<String>,
        /// Print the login's id and end at once; the result shows in status and events.
        #[arg(long)]
        no_wait: bool,
    },
    /// Log in by a code to enter on the CMP's page: show the code, and wait until the login is approved.
    #[command(after_help = login::EXIT_CODES)]
    LoginCode {
        /// Print the login's id and end at once; the code and the result show in status and events.
        #[arg(long)]
        no_wait: bool,
    },
    /// End the session; the profile is disabled.
    Logout,
    /// Delete a profile of the user who is logged in; the CMP and the MSP are told.
    Delete {
        /// The profile.
        iccid: String,
    },
    /// Remove users, profiles, the journal and the keys of the car: it is sold. The CMP has the result before the keys go.
    FactoryReset {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Say yes to another profile in this car, after the user deleted theirs (event `ask_provision`).
    Provision,
    /// Show the session, phase, link and bearer.
    Status {
        /// Show it again whenever something happens, until interrupted.
        #[arg(long)]
        watch: bool,
    },
    /// List the profiles on the card.
    Profiles,
    /// Follow events, the present status first; ends when the agent does, with exit code 1.
    Events,
    /// Show APDUs and bytes.
    Counters,
    /// Show what the agent does and waits for, and when it tries again.
    Work,
    /// Look into the journal.
    Journal {
        #[command(subcommand)]
        what: journal::Action,
    },
    /// Write everything that helps to find a fault as one JSON object, without secrets.
    Diagnostics {
        /// File to write, readable for its owner only; default: stdout.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Tell the agent a signal of the vehicle, or list all of them.
    #[command(after_help = signal::NAMES)]
    Signal {
        /// ignition, speed, moving, call, or the name of the Vehicle Signal Specification; default: list all.
        #[arg(requires = "value")]
        name: Option<String>,
        /// Its value: ignition on or off; speed in km/h; moving and call true or false.
        #[arg(allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Print a commented example of the agent's configuration file.
    ExampleConfig,
    /// Check the agent's configuration file.
    CheckConfig,
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs `aidctl` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aidctl", args, |args: Args| match &args.action {
        Action::ExampleConfig => cli::print(EXAMPLE),
        Action::CheckConfig => Config::load(&config::find(args.config.as_deref(), NAME)?).map(drop),
        Action::Login { no_wait: false, .. } | Action::LoginCode { no_wait: false } => {
            let (path, body) = login_request(&args.action).map_err(Failure::new)?;
            login::follow(&args.socket()?, path, &body, args.json)
        }
        Action::FactoryReset { yes } => reset::run(&args.socket()?, *yes, args.json),
        Action::Events => watch::events(&args.socket()?),
        Action::Work => work::show(&args.socket()?, args.json),
        Action::Journal {
            what: journal::Action::Dump { folder },
        } => match folder {
            Some(folder) => journal::dump_folder(folder),
            None => journal::ask(&args.socket()?, "/v1/journal", None),
        },
        Action::Diagnostics { output } => {
            journal::ask(&args.socket()?, "/v1/diagnostics", output.as_deref())
        }
        Action::Status { watch: true } => watch::status(&args.socket()?, args.json),
        _ => act(&args, &args.socket()?).map_err(Failure::new),
    })
}

impl Args {
    /// Where the agent's API is.
    fn socket(&self) -> Result<PathBuf, Failure> {
        if let Some(api) = &self.api {
            return Ok(api.clone());
        }
        match config::find_if_any(self.config.as_deref(), NAME) {
            // The one of the package is often the agent's alone; its socket is the usual one.
            Some(file) if self.config.is_none() && File::open(&file).is_err() => {
                Ok(PathBuf::from(SOCKET))
            }
            Some(file) => Ok(Config::load(&file)?.api),
            None => Ok(PathBuf::from(SOCKET)),
        }
    }
}

/// Path and body of a login.
fn login_request(action: &Action) -> Result<(&'static str, String), String> {
    match action {
        Action::Login {
            user,
            pin_file,
            pin,
            ..
        } => {
            let pin = read_pin(pin_file.as_deref(), pin.as_deref())?;
            let body = json!({"user": user, "pin": pin});
            Ok(("/v1/login", body.to_string()))
        }
        _ => Ok(("/v1/login-code", String::new())),
    }
}

fn act(args: &Args, api: &Path) -> Result<(), String> {
    let (signal, value) = match &args.action {
        Action::Signal {
            name: Some(name),
            value: Some(value),
        } => signal::request(name, value),
        _ => (String::new(), String::new()),
    };
    let delete = match &args.action {
        Action::Delete { iccid } => format!("/v1/profiles/{}/delete", digits(iccid)?),
        _ => String::new(),
    };
    let (method, path, body) = match &args.action {
        Action::Delete { .. } => ("POST", delete.as_str(), String::new()),
        Action::Provision => ("POST", "/v1/provision", String::new()),
        Action::Login { .. } | Action::LoginCode { .. } => {
            let (path, body) = login_request(&args.action)?;
            ("POST", path, body)
        }
        Action::Logout => ("POST", "/v1/logout", String::new()),
        Action::Status { .. } => ("GET", "/v1/status", String::new()),
        Action::Profiles => ("GET", "/v1/profiles", String::new()),
        Action::Counters => ("GET", "/v1/counters", String::new()),
        Action::Signal { name: Some(_), .. } => ("PUT", signal.as_str(), value),
        Action::Signal { name: None, .. } => ("GET", "/v1/signals", String::new()),
        Action::Events
        | Action::FactoryReset { .. }
        | Action::Work
        | Action::Journal { .. }
        | Action::Diagnostics { .. }
        | Action::ExampleConfig
        | Action::CheckConfig => return Ok(()),
    };
    let (status, answer) = open(api, method, path, &body)?;
    let mut out = std::io::stdout();
    let closed = |e: std::io::Error| format!("cannot write: {e}");
    let value = value_of(&status, answer)?;
    if args.json {
        return writeln!(out, "{}", printable(&value.to_string())).map_err(closed);
    }
    write!(out, "{}", text_of(&value)).map_err(closed)
}

fn gone(error: &std::io::Error) -> String {
    format!("the agent closed the connection: {error}")
}

/// Makes a request; yields the status of the answer, and what follows its head.
fn open(
    api: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(String, BufReader<UnixStream>), String> {
    let mut answer = request(api, method, path, body)?;
    let mut line = String::new();
    answer.read_line(&mut line).map_err(|e| gone(&e))?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while !line.trim().is_empty() {
        line.clear();
        answer.read_line(&mut line).map_err(|e| gone(&e))?;
    }
    Ok((status, answer))
}

/// The JSON of an answer.
fn value_of(status: &str, answer: BufReader<UnixStream>) -> Result<Value, String> {
    let mut text = String::new();
    answer
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(|e| gone(&e))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|_| format!("unexpected answer: {text}"))?;
    if status.starts_with('2') {
        Ok(value)
    } else {
        Err(value["error"].as_str().map_or(text, str::to_owned))
    }
}

/// The same for people: a line for each field or item, nested ones indented.
fn text_of(value: &Value) -> String {
    let scalar = |value: &Value| match value {
        // Cards, servers and users chose these words.
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "-".into(),
        other => printable(&other.to_string()).into_owned(),
    };
    let row = |item: &Value| match item {
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, v)| !v.is_null());
            let cells: Vec<String> = shown.map(|(k, v)| format!("{k}={}", scalar(v))).collect();
            cells.join("  ")
        }
        item => scalar(item),
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::Array(items) if items.is_empty() => format!("{key}: none\n"),
                Value::Array(items) => {
                    let rows: String = items.iter().map(|i| format!("  {}\n", row(i))).collect();
                    format!("{key}:\n{rows}")
                }
                value => format!("{key}: {}\n", row(value)),
            })
            .collect(),
        Value::Array(items) if items.is_empty() => "none\n".into(),
        Value::Array(items) => items.iter().map(|i| format!("{}\n", row(i))).collect(),
        value => format!("{}\n", scalar(value)),
    }
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

/// An ICCID as it goes into a path.
fn digits(iccid: &str) -> Result<&str, String> {
    if !iccid.is_empty() && iccid.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(iccid)
    } else {
        Err(format!(
            "{iccid:?} is no ICCID; `aidctl profiles` shows them"
        ))
    }
}

fn read_pin(file: Option<&Path>, pin: Option<&str>) -> Result<String, String> {
    let text = match (file, pin) {
        (Some(file), _) => std::fs::read_to_string(file)
            .map_err(|e| format!("cannot read {}: {e}", file.display()))?,
        (None, Some(pin)) => pin.to_owned(),
        (None, None) if hidden::is_asked() => {
            hidden::secret("PIN: ").map_err(|e| format!("cannot read the PIN: {e}"))?
        }
        (None, None) => {
            // A line and not all of it: whoever pipes it may stay.
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .map_err(|e| format!("cannot read the PIN: {e}"))?;
            line
        }
    };
    Ok(text.trim().to_owned())
}
