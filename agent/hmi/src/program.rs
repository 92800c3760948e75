//! `aid-hmi`: command line, logs on stderr, readiness line with the address on stdout.

use crate::agent::Agent;
use crate::config::{Config, EXAMPLE};
use crate::door::Door;
use crate::listen;
use crate::routes::{self, Hmi};
use crate::session::Sessions;
use aid_cli::cli::{self, Failure, LogArgs};
use aid_cli::config;
use aid_cli::printable::printable;
use aid_cli::supervisor::Supervisor;
use aid_cli::{ready, signal};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Name of the configuration file, without its end.
const NAME: &str = "hmi";

/// The page of the car's screen: who is logged in, login, logout; over the agent's local API.
#[derive(Parser)]
#[command(name = "aid-hmi", version)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// Configuration file; default: hmi.toml here, or /etc/aid/hmi.toml.
    #[arg(long, global = true, value_name = "FILE", env = "AID_HMI_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Serve the page until SIGINT or SIGTERM.
    Run,
    /// Print a commented example configuration.
    ExampleConfig,
    /// Check the configuration file.
    CheckConfig,
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs `aid-hmi` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-hmi", args, |args: Args| match args.action {
        Action::ExampleConfig => cli::print(EXAMPLE),
        Action::CheckConfig => {
            let file = config::find(args.config.as_deref(), NAME)?;
            Config::load(&file)?;
            let name = file.display().to_string();
            cli::print(&format!("{} is valid\n", printable(&name)))
        }
        Action::Run => serve(&config::find(args.config.as_deref(), NAME)?),
    })
}

fn serve(file: &Path) -> Result<(), Failure> {
    let config = Config::load(file)?;
    cli::block_on(async move {
        let stop = signal::stop()?;
        let (listener, door) = match (&config.socket, config.listen) {
            (Some(socket), _) => (listen::unix(socket, &config.socket_uids)?, Door::Socket),
            (None, Some(address)) => {
                let (listener, own) = listen::tcp(address).await?;
                (listener, Door::Loopback(own))
            }
            (None, None) => return Err(Failure::new("set either listen or socket")),
        };
        let agent = Arc::new(Agent::new(config.agent.clone()));
        let sessions = Sessions::new()?;
        let shown = match (&door, &config.start_page) {
            (Door::Socket, _) => config
                .socket
                .iter()
                .map(|s| s.display().to_string())
                .collect(),
            // This line ends in a journal. The token is for who may read the start page.
            (Door::Loopback(own), Some(_)) => format!("http://{own}/"),
            (Door::Loopback(_), None) => door.address(sessions.token()).unwrap_or_default(),
        };
        let hmi = Hmi::new(Arc::clone(&agent), sessions, door, &config);
        hmi.start_page()?;
        let follow = tokio::spawn(async move { agent.follow().await });
        let served = tokio::spawn(listen::serve(listener, routes::router(hmi)));
        let supervisor = Supervisor::from_env();
        if let Err(failure) = ready::announce("aid-hmi", &[("hmi", shown)]) {
            tracing::warn!(%failure, "not announced");
        }
        stop.wait().await;
        supervisor.stopping();
        served.abort();
        follow.abort();
        for file in config.socket.iter().chain(&config.start_page) {
            let _ = std::fs::remove_file(file);
        }
        Ok(())
    })
}
