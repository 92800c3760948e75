//! `aid-lpa`: the LPA on the command line. Results on stdout, progress and logs on stderr; docs/lpa.md is its page.

mod args;
mod ask;
mod download;
mod fault;
mod perform;
mod progress;

use crate::config::{Config, EXAMPLE};
use crate::meter::{Meter, Tally};
use crate::pcap::Pcap;
use crate::report;
use crate::trust::TrustedIssuers;
use crate::{Card, CardPort, HttpsClient, Lpa};
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_cli::validity;
use aid_port::Address;
use args::{Action, Args};
use clap::Parser as _;
use fault::{Class, Fault};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest pause that a server can ask for and that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `aid-lpa` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    if args.iter().any(|arg| arg == "--json")
        && let Err(error) = Args::try_parse_from(&args)
        && error.use_stderr()
    {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default();
        let fault = Fault::usage(message.trim_start_matches("error: "));
        // The same goes to stderr, with the exit code, where it is parsed again.
        let _ = print_envelope(None, Err(&fault));
    }
    cli::main("aid-lpa", args, |args| act(&args))
}

/// The one shape of everything that `--json` prints.
fn print_envelope(command: Option<&str>, outcome: Result<&Value, &Fault>) -> Result<(), Failure> {
    let envelope = match outcome {
        Ok(result) => json!({"command": command, "ok": true, "result": result}),
        Err(fault) => json!({"command": command, "ok": false, "error": fault.json()}),
    };
    cli::print(&format!("{envelope}\n"))
}

fn act(args: &Args) -> Result<(), Failure> {
    let name = args.action.name();
    match (perform(args), args.json) {
        (Ok(Answer::Text(text)), false) => cli::print(&text),
        (Ok(Answer::Text(text)), true) => print_envelope(Some(name), Ok(&text.into())),
        (Ok(Answer::Value(value)), true) => print_envelope(Some(name), Ok(&value)),
        (Ok(Answer::Value(value)), false) => cli::print(&report::text(&value)),
        (Err(fault), json) => {
            if json {
                print_envelope(Some(name), Err(&fault))?;
            }
            Err(fault.into())
        }
    }
}

/// What a command prints.
enum Answer {
    /// A text of the program's own.
    Text(String),
    /// A result.
    Value(Value),
}

fn perform(args: &Args) -> Result<Answer, Fault> {
    if matches!(args.action, Action::ExampleConfig) {
        return Ok(Answer::Text(EXAMPLE.into()));
    }
    let file = aid_cli::config::find_if_any(args.config.as_deref(), "lpa");
    let mut config = match &file {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    match (&args.action, &file) {
        (Action::CheckConfig, Some(file)) => {
            validity::check_now(&config.ci)?;
            let name = file.display().to_string();
            return Ok(Answer::Text(format!("{} is valid\n", printable(&name))));
        }
        (Action::CheckConfig, None) => return Err(Fault::usage("give --config FILE")),
        _ => {}
    }
    let given = args
        .euicc
        .clone()
        .or(args.socket.clone().map(Address::Socket));
    config.euicc.port = given.or(config.euicc.port);
    if !args.ci.is_empty() || args.trust.is_some() {
        config.ci.clone_from(&args.ci);
        config.trust.clone_from(&args.trust);
    }
    config.ci_folder = args.ci_folder.clone().or(config.ci_folder);
    config.private_smdp |= args.private_smdp;
    config.device.imei = args.imei.clone().or(config.device.imei);
    if let Action::Notification(args::Notification::Replay { file }) = &args.action {
        let mut servers = Servers::open(&config, &meter(&Arc::default()))?;
        return perform::replay(&mut servers, file).map(Answer::Value);
    }
    let tally = Arc::new(Tally::default());
    let mut lpa = open(&config, args, &tally)?;
    let result = perform::on_card(&mut lpa, args, &tally);
    lpa.release();
    let apdus = tally.apdus.load(Ordering::Relaxed);
    tracing::debug!(apdus, "done");
    result.map(Answer::Value)
}

fn meter(tally: &Arc<Tally>) -> Arc<dyn Meter> {
    Arc::<Tally>::clone(tally)
}

/// HTTPS that is set up only when an operation needs it: local management needs no issuers.
#[derive(Debug)]
enum Servers {
    Ready(Box<HttpsClient>),
    Unconfigured,
}

impl Servers {
    fn open(config: &Config, meter: &Arc<dyn Meter>) -> Result<Self, Fault> {
        let mut issuers = TrustedIssuers::of_files(&config.ci)?;
        if let Some(trust) = &config.trust {
            issuers = issuers.and(TrustedIssuers::of(trust, config.ci_folder.as_deref())?);
        }
        if issuers.certificates().next().is_none() {
            return Ok(Self::Unconfigured);
        }
        let meter = Arc::clone(meter);
        let https =
            HttpsClient::with_issuers(&issuers, config.bearer(), config.private_smdp, meter)?;
        Ok(Self::Ready(Box::new(https.with_patience(PATIENCE))))
    }
}

impl crate::Http for Servers {
    fn post(
        &mut self,
        server: &str,
        path: &str,
        body: &[u8],
    ) -> Result<crate::HttpAnswer, crate::HttpError> {
        match self {
            Self::Ready(https) => https.post(server, path, body),
            Self::Unconfigured => Err(crate::HttpError::Unreachable {
                server: server.to_owned(),
                what: "no certificate issuer is configured; give --trust or --ci".into(),
            }),
        }
    }

    fn get(&mut self, url: &str, max: usize) -> Result<crate::HttpAnswer, crate::HttpError> {
        match self {
            Self::Ready(https) => https.get(url, max),
            Self::Unconfigured => Err(crate::HttpError::Unreachable {
                server: url.to_owned(),
                what: "no certificate issuer is configured; give --trust or --ci".into(),
            }),
        }
    }
}

type Port = Lpa<CardPort, Servers>;

fn open(config: &Config, args: &Args, tally: &Arc<Tally>) -> Result<Port, Fault> {
    let settings = config.euicc.settings().map_err(|_| {
        let text = "no card is named; give --euicc PORT or --config FILE. PORT is";
        Fault::usage(format!("{text} {}", aid_port::SYNTAX))
    })?;
    let unreachable = |e: aid_port::PortError| Fault::new(Class::CardUnreachable, e.to_string());
    let port = CardPort::open(&settings).map_err(unreachable)?;
    let meter = meter(tally);
    let servers = Servers::open(config, &meter)?;
    let mut card = Card::new(port, meter);
    let isdr = config.euicc.isdr();
    if let Some(aid) = isdr.map_err(|e| Fault::usage(e.to_string()))? {
        card = card.with_isdr(&aid);
    }
    let refresh = args.action.refresh_flag().or(config.euicc.refresh_flag);
    card = card.with_refresh(refresh.unwrap_or(true));
    if let Some(file) = &args.pcap {
        let pcap = Pcap::create(file).map_err(|e| {
            Fault::new(
                Class::Other,
                format!("cannot write {}: {e}", file.display()),
            )
        })?;
        card = card.with_pcap(pcap);
    }
    let lpa = Lpa::new(card, servers).with_bench(config.private_smdp);
    Ok(lpa.with_device(config.device()?))
}
