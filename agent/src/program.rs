//! `aid-agent`: command line, logs on stderr, readiness line on stdout.

use crate::card::Counters;
use crate::config::{Config, EXAMPLE};
use crate::daemon;
use crate::euicc::LpaEuicc;
use crate::keys::{KeyName, Slot};
use crate::renewal;
use aid_cli::cli::{self, Failure, LogArgs};
use aid_cli::config;
use aid_cli::printable::printable;
use aid_cli::validity::{self, Certificates};
use aid_cli::{ready, signal, tls, weak};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Name of the configuration file, without its end.
pub(crate) const NAME: &str = "agent";

/// The vehicle-side AID.02 agent: logs users in, downloads and switches their operational profiles.
#[derive(Parser)]
#[command(name = "aid-agent", version)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run the agent until SIGINT or SIGTERM; SIGHUP has the configuration read again.
    Run {
        /// Configuration file; default: agent.toml here, or /etc/aid/agent.toml.
        #[arg(long, env = "AID_AGENT_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print a commented example configuration.
    ExampleConfig,
    /// Check a configuration file.
    CheckConfig {
        /// Configuration file; default: agent.toml here, or /etc/aid/agent.toml.
        #[arg(long, env = "AID_AGENT_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
        /// Judge no dates of certificates: before a start, for an agent whose certificate has expired has it renewed.
        #[arg(long)]
        no_dates: bool,
    },
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs `aid-agent` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-agent", args, |args: Args| match args.action {
        Action::ExampleConfig => cli::print(EXAMPLE),
        Action::CheckConfig { config, no_dates } => {
            let config = config::find(config.as_deref(), NAME)?;
            let loaded = Config::load(&config)?;
            check_files(&loaded)?;
            weak::check_files(std::iter::once(config.as_path()).chain(loaded.secrets()))?;
            if !no_dates {
                validity::check_now(&loaded.certificates())?;
            }
            let name = config.display().to_string();
            cli::print(&format!("{} is valid\n", printable(&name)))
        }
        Action::Run { config } => serve(&config::find(config.as_deref(), NAME)?),
    })
}

/// Certificates and keys, before anything is asked of a card or a network.
fn check_files(config: &Config) -> Result<(), Failure> {
    let cmp = &config.cmp;
    let own = [renewal::own(cmp)]
        .into_iter()
        .chain(renewal::bootstrap(cmp));
    for credentials in own {
        let resolver = credentials.resolver(Slot::Current);
        let resolver = resolver.map_err(|e| Failure::new(e.to_string()))?;
        tls::client_config_by(&cmp.ca, resolver)?;
    }
    let issuers: Vec<&Path> = config.rsp.ci.iter().map(PathBuf::as_path).collect();
    tls::roots(&issuers).map(drop)
}

/// From now on a write beyond the limit of a file's size (RLIMIT_FSIZE) fails like one on a full disk:
/// by default it ends the process, with a profile enabled and nobody there to disable it.
fn return_file_limits() -> Result<(), Failure> {
    let kind = tokio::signal::unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    let handler = tokio::signal::unix::signal(kind);
    let handler = handler.map_err(|e| Failure::new(format!("cannot catch SIGXFSZ: {e}")));
    // What counts is that there is one; it stays when this is dropped.
    handler.map(drop)
}

/// Yields the configuration at each SIGHUP. One that can't be used is logged, and the present one stays.
fn reload_at_hangup(file: PathBuf) -> Result<mpsc::Receiver<Config>, Failure> {
    let hangup = signal::hangup()?;
    // Several signals in a row are one wish.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(reload(file, hangup, sender));
    Ok(receiver)
}

async fn reload(file: PathBuf, mut hangup: signal::Hangup, sender: mpsc::Sender<Config>) {
    while hangup.wait().await {
        let loaded = Config::load(&file).and_then(|config| {
            check_files(&config)?;
            Ok(config)
        });
        match loaded {
            Ok(config) => {
                Certificates::new(config.certificates()).look(validity::now());
                if sender.send(config).await.is_err() {
                    return;
                }
            }
            Err(failure) => {
                tracing::error!(%failure, "the configuration can't be used; the earlier one stays");
            }
        }
    }
}

fn serve(file: &Path) -> Result<(), Failure> {
    let config = &Config::load(file)?;
    // What is in a token may come later. Without keys it may be a car that was reset: the journal knows (`daemon::run`).
    if matches!(config.cmp.key, KeyName::File(_)) && !config.cmp.has_no_keys() {
        check_files(config)?;
    }
    let certificates = Certificates::new(config.certificates());
    // Before the card is asked for, which may take its time.
    certificates.look(validity::now());
    let counters = Arc::new(Counters::default());
    let euicc = Box::new(LpaEuicc::open(config, &counters)?);
    cli::block_on(async move {
        let stop = signal::stop()?;
        return_file_limits()?;
        let reload = reload_at_hangup(file.to_owned())?;
        tokio::spawn(certificates.watch(stop.clone()));
        let announce = |api: &std::path::Path| {
            // A supervisor that closed stdout does not want to know.
            if let Err(failure) = ready::announce("aid-agent", &[("api", api.display())]) {
                tracing::warn!(%failure, "not announced");
            }
        };
        // Large, and alive for the whole program.
        Box::pin(daemon::run(
            config,
            euicc,
            counters,
            announce,
            reload,
            stop.wait(),
        ))
        .await?;
        Ok(())
    })
}
