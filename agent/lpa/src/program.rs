//! `aid-lpa`: the LPA on the command line. Results on stdout, progress and logs on stderr.
//! Called by the thin binary and by the bench.

use crate::config::{Config, EXAMPLE};
use crate::download::{DownloadRequest, Stage};
use crate::meter::{Meter, Tally};
use crate::report;
use crate::{Card, CardPort, HttpsClient, Lpa};
use aid_cli::cli::{self, Failure, LogArgs};
use aid_cli::printable::printable;
use aid_cli::validity;
use aid_id::{ActivationCode, Iccid};
use aid_port::Address;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zeroize::Zeroizing;

/// SGP.22 Local Profile Assistant: profiles of an eUICC, from and for SM-DP+ servers.
#[derive(Parser)]
#[command(name = "aid-lpa", version)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    /// Configuration file (see example-config).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the card is reached: socket:HOST:PORT, socket:PATH, at:TTY[:BAUD], pcsc[:READER],
    /// spi:DEVICE[,HZ], i2c:DEVICE,ADDRESS, exec:COMMAND.
    #[arg(long, global = true, value_name = "PORT")]
    euicc: Option<Address>,
    /// The older form of --euicc socket:ADDR.
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        hide = true,
        conflicts_with = "euicc"
    )]
    socket: Option<String>,
    /// Certificate issuer of SM-DP+ servers, DER or PEM; may be given several times.
    #[arg(long, global = true, value_name = "FILE")]
    ci: Vec<PathBuf>,
    /// For a bench: reach SM-DP+ servers on this machine, in private networks and on other ports than 443, too.
    #[arg(long, global = true)]
    private_smdp: bool,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The chip itself.
    #[command(subcommand)]
    Chip(Chip),
    /// Profiles on the chip.
    #[command(subcommand)]
    Profile(Profile),
    /// Notifications that wait for their SM-DP+.
    #[command(subcommand)]
    Notification(Notification),
    /// Print a commented example configuration.
    ExampleConfig,
    /// Check the file given with --config.
    CheckConfig,
}

#[derive(Subcommand)]
enum Chip {
    /// EID, versions, certificate issuers, memory, addresses.
    Info,
}

#[derive(Subcommand)]
enum Profile {
    /// List all profiles.
    List,
    /// Download and install a profile.
    Download {
        /// Activation code, e.g. `1$smdp.example.com$MATCHING-ID`; without it the card's default
        /// SM-DP+ is asked.
        code: Option<String>,
        /// Confirmation code, where the profile needs one.
        #[arg(long)]
        confirmation_code: Option<String>,
        /// Enable it at once.
        #[arg(long)]
        enable: bool,
    },
    /// Enable a profile; the enabled one is disabled by that.
    Enable {
        /// ICCID, 18 to 20 digits.
        iccid: String,
    },
    /// Disable a profile.
    Disable {
        /// ICCID, 18 to 20 digits.
        iccid: String,
    },
    /// Delete a profile for good; it must be disabled.
    Delete {
        /// ICCID, 18 to 20 digits.
        iccid: String,
    },
    /// Give a profile a nickname.
    Nickname {
        /// ICCID, 18 to 20 digits.
        iccid: String,
        /// Up to 64 bytes; empty removes it.
        name: String,
    },
}

#[derive(Subcommand)]
enum Notification {
    /// List pending notifications.
    List,
    /// Deliver pending notifications in order; each is removed after its server accepted it.
    Process {
        /// Only this sequence number.
        sequence: Option<u64>,
    },
    /// Remove a notification undelivered; its server will not know.
    Remove {
        /// Sequence number.
        sequence: u64,
    },
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs `aid-lpa` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("aid-lpa", args, act)
}

fn act(args: Args) -> Result<(), Failure> {
    let mut config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    match (&args.action, &args.config) {
        (Action::ExampleConfig, _) => return cli::print(EXAMPLE),
        (Action::CheckConfig, Some(file)) => {
            validity::check_now(&config.ci)?;
            let name = file.display().to_string();
            return cli::print(&format!("{} is valid\n", printable(&name)));
        }
        (Action::CheckConfig, None) => return Err(Failure::usage("give --config FILE")),
        _ => {}
    }
    let given = args.euicc.or(args.socket.map(Address::Socket));
    config.euicc.port = given.or(config.euicc.port);
    if !args.ci.is_empty() {
        config.ci = args.ci;
    }
    config.private_smdp |= args.private_smdp;
    let tally = Arc::new(Tally::default());
    let mut lpa = Port::open(&config, &tally)?;
    let result = perform(&mut lpa, &args.action, &tally);
    lpa.release();
    let value = result?;
    let apdus = tally.apdus.load(Ordering::Relaxed);
    tracing::debug!(apdus, "done");
    match args.json {
        true => cli::print(&format!("{value}\n")),
        false => cli::print(&report::text(&value)),
    }
}

/// HTTPS that is set up only when an operation needs it: local management needs no issuers.
#[derive(Debug)]
enum Servers {
    Ready(HttpsClient),
    Unconfigured,
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
                what: "no certificate issuer is configured; give --ci FILE".into(),
            }),
        }
    }
}

type Port = Lpa<CardPort, Servers>;

impl Port {
    fn open(config: &Config, tally: &Arc<Tally>) -> Result<Self, Failure> {
        let settings = config.euicc.settings().map_err(|_| {
            let text = "no card is named; give --euicc PORT or --config FILE. PORT is";
            Failure::usage(format!("{text} {}", aid_port::SYNTAX))
        })?;
        let port = CardPort::open(&settings).map_err(|e| Failure::new(e.to_string()))?;
        let meter: Arc<dyn Meter> = Arc::<Tally>::clone(tally);
        let servers = match config.ci.is_empty() {
            true => Servers::Unconfigured,
            false => Servers::Ready(HttpsClient::new(
                &config.ci,
                config.bearer(),
                config.private_smdp,
                Arc::clone(&meter),
            )?),
        };
        let mut card = Card::new(port, meter);
        let isdr = config.euicc.isdr();
        if let Some(aid) = isdr.map_err(|e| Failure::new(e.to_string()))? {
            card = card.with_isdr(&aid);
        }
        Ok(Self::new(card, servers).with_device(config.device()?))
    }
}

fn perform(lpa: &mut Port, action: &Action, tally: &Tally) -> Result<Value, Failure> {
    Ok(match action {
        Action::ExampleConfig | Action::CheckConfig => Value::Null,
        Action::Chip(Chip::Info) => report::chip(&lpa.chip_info()?),
        Action::Profile(Profile::List) => report::profiles(&lpa.profiles()?),
        Action::Profile(Profile::Download {
            code,
            confirmation_code,
            enable,
        }) => {
            let code: Option<ActivationCode> = match code {
                Some(text) => Some(
                    text.parse()
                        .map_err(|e| Failure::usage(format!("this is no activation code: {e}")))?,
                ),
                None => None,
            };
            let confirmation_code = confirmation_code.clone().map(Zeroizing::new);
            let request = DownloadRequest {
                code,
                confirmation_code,
            };
            let done = lpa.download(&request, &mut progress())?;
            if *enable {
                lpa.enable(&done.iccid)?;
            }
            report::download(&done, *enable, tally)
        }
        Action::Profile(Profile::Enable { iccid }) => {
            lpa.enable(&parse(iccid)?)?;
            json!({"iccid": iccid, "state": "enabled"})
        }
        Action::Profile(Profile::Disable { iccid }) => {
            lpa.disable(&parse(iccid)?)?;
            json!({"iccid": iccid, "state": "disabled"})
        }
        Action::Profile(Profile::Delete { iccid }) => {
            lpa.delete(&parse(iccid)?)?;
            json!({"iccid": iccid, "state": "deleted"})
        }
        Action::Profile(Profile::Nickname { iccid, name }) => {
            if name.len() > 64 {
                let got = name.len();
                return Err(Failure::usage(format!(
                    "a nickname has up to 64 bytes, got {got}"
                )));
            }
            lpa.set_nickname(&parse(iccid)?, name)?;
            json!({"iccid": iccid, "nickname": name})
        }
        Action::Notification(Notification::List) => report::notifications(&lpa.notifications()?),
        Action::Notification(Notification::Process { sequence }) => {
            if let Some(sequence) = sequence {
                pending(lpa, *sequence)?;
            }
            let delivered = lpa.deliver(*sequence)?;
            if let Some(error) = delivered.error {
                let text = format!(
                    "{} accepted, {} wait on the card: {error}",
                    delivered.accepted.len(),
                    delivered.waiting.len()
                );
                return Err(Failure::new(text));
            }
            json!({"accepted": delivered.accepted})
        }
        Action::Notification(Notification::Remove { sequence }) => {
            pending(lpa, *sequence)?;
            lpa.remove_notification(*sequence)?;
            json!({"removed": sequence})
        }
    })
}

/// A number that is mistyped must not look like a notification that was delivered or removed.
fn pending(lpa: &mut Port, sequence: u64) -> Result<(), Failure> {
    let mut all = lpa.notifications()?.into_iter();
    if all.any(|n| n.seq_number == sequence) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "no notification {sequence} is pending on the card; `notification list` shows those that are"
    )))
}

fn parse(iccid: &str) -> Result<Iccid, Failure> {
    let wrong = |e| Failure::usage(format!("{iccid:?} is no ICCID: {e}"));
    iccid.parse().map_err(wrong)
}

/// Shows each stage once on stderr.
fn progress() -> impl FnMut(Stage) {
    let mut last = "";
    move |stage| {
        if stage.name() != last {
            last = stage.name();
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{last} ...");
        }
    }
}
