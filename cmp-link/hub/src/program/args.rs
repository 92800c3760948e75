//! The command line of `aid-hub`: nouns and verbs.

use std::path::PathBuf;

use aid_aid1::headers::PartyId;
use aid_cli::cli::{Arguments, LogArgs};
use aid_cli::irreversible::Irreversible;
use clap::{Parser, Subcommand};

use crate::core::pair::PairState;
use crate::store::CallState;

/// The aggregation layer of GSMA AID.02: one interface for each MSP and each CMP.
#[derive(Parser, Debug)]
#[command(name = "aid-hub", version)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) logs: LogArgs,
    /// Configuration file; default: hub.toml here, or /etc/aid/hub.toml.
    #[arg(long, global = true, env = "AID_HUB_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) irreversible: Irreversible,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Serve the parties until SIGTERM or SIGINT.
    Serve,
    /// Make the database, or bring it up to date; `serve` does that too.
    Migrate,
    /// Copy the SQLite database into a new file, while aid-hub serves.
    Backup {
        /// The copy; it must not exist.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Print a commented configuration.
    ExampleConfig,
    /// Check the configuration with its keys and certificates.
    CheckConfig,
    /// MSPs and CMPs.
    #[command(subcommand)]
    Party(PartyAction),
    /// Which MSP and which CMP may call each other.
    #[command(subcommand)]
    Pair(PairAction),
    /// Calls that were stored.
    #[command(subcommand)]
    Call(CallAction),
    /// Who changed what, when and why; oldest first.
    Audit(AuditArgs),
    /// Calls of each pair, operation and day.
    Meter(MeterArgs),
}

impl Command {
    /// Columns of the table that a terminal shows of a list; none where a command has one result.
    pub(super) fn columns(&self) -> Option<&'static [&'static str]> {
        Some(match self {
            Self::Party(PartyAction::List) => &["id", "role", "name", "state", "url", "reason"],
            Self::Pair(PairAction::List) => &["pair", "state", "msp_as", "cmp_as", "rate", "keep"],
            Self::Call(CallAction::List { .. }) => &[
                "id",
                "state",
                "pair",
                "operation",
                "attempts",
                "next_at",
                "created_at",
                "last_error",
            ],
            Self::Audit(_) => &["at", "actor", "action", "subject", "reason"],
            Self::Meter(_) => &[
                "day",
                "pair",
                "environment",
                "operation",
                "calls",
                "refused",
                "failed",
                "kept",
                "delivered",
            ],
            _ => return None,
        })
    }
}

/// Why something is done, for the audit trail.
fn reason(text: &str) -> Result<String, String> {
    let length = text.trim().chars().count();
    match (1..=500).contains(&length) {
        true => Ok(text.trim().to_owned()),
        false => Err("must not be empty, and at most 500 characters".into()),
    }
}

#[derive(clap::Args, Debug)]
pub(super) struct Reason {
    /// Why, for the audit trail.
    #[arg(long, value_parser = reason)]
    pub(super) reason: String,
}

#[derive(Subcommand, Debug)]
pub(super) enum PartyAction {
    /// Add parties from their descriptions; prints the API keys that were made, once.
    Add {
        /// Description, TOML (docs/hub.md); may be given several times.
        #[arg(long, value_name = "FILE", required = true)]
        file: Vec<PathBuf>,
        /// Replace a party that exists already; keys and pairs that the description does not name stay.
        #[arg(long)]
        replace: bool,
    },
    /// Show one.
    Show {
        /// Its client-id.
        id: PartyId,
    },
    /// List them.
    List,
    /// Refuse its calls, and call it no more; what was accepted for it waits.
    Suspend {
        /// Its client-id.
        id: PartyId,
        #[command(flatten)]
        why: Reason,
    },
    /// End a suspension.
    Resume {
        /// Its client-id.
        id: PartyId,
        #[command(flatten)]
        why: Reason,
    },
    /// Accept another client certificate beside the present one, by whatever the party is known: common name, hash or both;
    /// with --only, end the old ones.
    Rotate {
        /// Its client-id.
        id: PartyId,
        /// The new certificate, PEM or DER.
        #[arg(long, value_name = "FILE", conflicts_with = "sha256")]
        certificate: Option<PathBuf>,
        /// SHA-256 of the new certificate, 64 hexadecimal digits.
        #[arg(long, value_name = "HASH")]
        sha256: Option<String>,
        /// Common name of the new certificate, beside the present one.
        #[arg(long, value_name = "NAME")]
        common_name: Option<String>,
        /// From now on only what is newest is accepted.
        #[arg(long)]
        only: bool,
    },
    /// Make a new API key that the party may call with, beside those that it has; printed once. With --out, one that the hub
    /// is going to call the party with.
    RotateKey {
        /// Its client-id.
        id: PartyId,
        /// The older keys end; without a new key, so that a rotation is finished by it.
        #[arg(long)]
        only: bool,
        /// Of the hub at the party: the key that is made is used from --out --only on, when the party accepts it.
        #[arg(long)]
        out: bool,
    },
    /// Remove a party that has no pairs.
    Remove {
        /// Its client-id.
        id: PartyId,
        #[command(flatten)]
        why: Reason,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum PairAction {
    /// Let an MSP and a CMP call each other; `all` stands for everybody of that role who is there now.
    Add {
        /// client-id of the MSP, or all.
        msp: String,
        /// client-id of the CMP, or all.
        cmp: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change what was agreed; what is not named stays.
    Set {
        /// client-id of the MSP.
        msp: PartyId,
        /// client-id of the CMP.
        cmp: PartyId,
        #[command(flatten)]
        terms: Terms,
    },
    /// Show one.
    Show {
        /// client-id of the MSP.
        msp: PartyId,
        /// client-id of the CMP.
        cmp: PartyId,
    },
    /// List them.
    List,
    /// Refuse its calls; what was accepted waits.
    Suspend {
        /// client-id of the MSP.
        msp: PartyId,
        /// client-id of the CMP.
        cmp: PartyId,
        #[command(flatten)]
        why: Reason,
    },
    /// End a suspension.
    Resume {
        /// client-id of the MSP.
        msp: PartyId,
        /// client-id of the CMP.
        cmp: PartyId,
        #[command(flatten)]
        why: Reason,
    },
    /// Remove a pair, and whose its tokens are.
    Remove {
        /// client-id of the MSP.
        msp: PartyId,
        /// client-id of the CMP.
        cmp: PartyId,
        #[command(flatten)]
        why: Reason,
    },
}

/// What is agreed about a pair.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct Terms {
    /// live, sandbox or suspended.
    #[arg(long)]
    pub(super) state: Option<PairState>,
    /// The same as --state sandbox.
    #[arg(long, conflicts_with = "state")]
    pub(super) sandbox: bool,
    /// The name under which the CMP knows the MSP.
    #[arg(long, value_name = "CLIENT-ID")]
    pub(super) msp_as: Option<PartyId>,
    /// The name under which the MSP knows the CMP.
    #[arg(long, value_name = "CLIENT-ID")]
    pub(super) cmp_as: Option<PartyId>,
    /// Calls per second, both directions together.
    #[arg(long, value_name = "PER-SECOND")]
    pub(super) rate: Option<f64>,
    /// Calls at once; twice the rate if absent.
    #[arg(long, requires = "rate")]
    pub(super) burst: Option<u32>,
    /// Whether the hub accepts calls for a party that is away.
    #[arg(long, value_name = "true|false")]
    pub(super) keep: Option<bool>,
}

#[derive(Subcommand, Debug)]
pub(super) enum CallAction {
    /// List them, oldest first.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<CallState>,
        /// Only those of this pair, MSP/CMP.
        #[arg(long, value_name = "MSP/CMP")]
        pair: Option<String>,
        /// The last so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
    },
    /// Show one.
    Show {
        /// Its number.
        id: i64,
    },
    /// Deliver a dead letter, or one that waits, now.
    Replay {
        /// Its number.
        id: i64,
        #[command(flatten)]
        why: Reason,
    },
    /// Give a call up that waits or is dead; its content is erased.
    Drop {
        /// Its number.
        id: i64,
        #[command(flatten)]
        why: Reason,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct AuditArgs {
    /// Since this day, such as 2026-11-30 (UTC).
    #[arg(long, value_name = "DAY", value_parser = day_start)]
    pub(super) since: Option<i64>,
    /// The last so many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) limit: u16,
}

#[derive(clap::Args, Debug)]
pub(super) struct MeterArgs {
    /// First day, such as 2026-11-01 (UTC).
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub(super) from: Option<String>,
    /// Last day.
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub(super) to: Option<String>,
    /// Only this pair, MSP/CMP.
    #[arg(long, value_name = "MSP/CMP")]
    pub(super) pair: Option<String>,
    /// Print CSV (RFC 4180) with a line of names.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

fn day(text: &str) -> Result<String, String> {
    let day: jiff::civil::Date = text
        .parse()
        .map_err(|_| "write a day as 2026-11-30".to_owned())?;
    Ok(day.to_string())
}

fn day_start(text: &str) -> Result<i64, String> {
    let instant = format!("{}T00:00:00Z", day(text)?);
    let time: jiff::Timestamp = instant
        .parse()
        .map_err(|_| "write a day as 2026-11-30".to_owned())?;
    Ok(time.as_millisecond())
}
