//! The command line of `aid-lpa`.

use crate::trust::Trust;
use aid_cli::cli::{self, LogArgs};
use aid_port::Address;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// SGP.22 Local Profile Assistant: profiles of an eUICC, from and for SM-DP+ servers.
#[derive(Parser)]
#[command(name = "aid-lpa", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) logs: LogArgs,
    /// Configuration file; default: lpa.toml here or in /etc/aid, if there is one.
    #[arg(long, global = true, env = "AID_LPA_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the card is reached: socket:HOST:PORT, socket:PATH, at:TTY[:BAUD], pcsc[:READER],
    /// spi:DEVICE[,HZ], i2c:DEVICE,ADDRESS, exec:COMMAND.
    #[arg(long, global = true, value_name = "PORT")]
    pub(crate) euicc: Option<Address>,
    /// The older form of --euicc socket:ADDR.
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        hide = true,
        conflicts_with = "euicc"
    )]
    pub(crate) socket: Option<String>,
    /// Certificate issuer of SM-DP+ servers, DER or PEM; may be given several times.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ci: Vec<PathBuf>,
    /// Issuers to trust: live (the GSMA's), test (those of SGP.26), or a file as with --ci. The certificates of live
    /// and test are looked for in --ci-folder.
    #[arg(long, global = true, value_name = "live|test|FILE")]
    pub(crate) trust: Option<Trust>,
    /// Folder with the certificates of issuers.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) ci_folder: Option<PathBuf>,
    /// For a bench: reach SM-DP+ servers on this machine, in private networks, by IP address and on other ports than
    /// 443, too, and those whose CERT.DPauth has another name.
    #[arg(long, global = true)]
    pub(crate) private_smdp: bool,
    /// IMEI of the device, 15 digits.
    #[arg(long, global = true, value_name = "DIGITS")]
    pub(crate) imei: Option<String>,
    /// Record every APDU for Wireshark (GSMTAP in pcap).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Print one JSON object: {"command", "ok", "result"} or {"command", "ok", "error"}.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show progress on stderr with --json, too, one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) progress: bool,
    /// Agree without being asked. A Confirmation Code is asked for all the same.
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// The chip itself.
    #[command(subcommand)]
    Chip(Chip),
    /// Look for profiles that wait for this card: at its default SM-DP+ and its SM-DS.
    Discover {
        /// This SM-DP+ instead of the card's default one.
        #[arg(long, value_name = "ADDRESS")]
        smdp: Option<String>,
        /// This SM-DS instead of the card's root SM-DS.
        #[arg(long, value_name = "ADDRESS")]
        smds: Option<String>,
    },
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
pub(crate) enum Chip {
    /// EID, versions, capabilities, certificate issuers, memory, rules, addresses.
    Info,
    /// Delete all operational profiles and field-loaded test profiles, and remove the default SM-DP+ address.
    Purge,
    /// Load a revocation list of a certificate issuer, so that the card refuses servers whose certificate is revoked.
    LoadCrl {
        /// The list (CRL), DER.
        file: PathBuf,
    },
    /// Show the default SM-DP+ address, or set it.
    DefaultSmdp {
        /// Host name, up to 255 bytes.
        address: Option<String>,
        /// Remove the address.
        #[arg(long, conflicts_with = "address")]
        clear: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Profile {
    /// List all profiles.
    List,
    /// Download and install a profile.
    Download {
        /// Activation code as it was pasted, e.g. `LPA:1$smdp.example.com$MATCHING-ID`; without it and --smdp the card's
        /// default SM-DP+ is asked.
        code: Option<String>,
        /// SM-DP+ address, instead of an activation code.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "code")]
        smdp: Option<String>,
        /// Matching id for --smdp.
        #[arg(long, value_name = "ID", requires = "smdp")]
        matching_id: Option<String>,
        /// Confirmation Code, where the profile needs one; asked for on a terminal.
        #[arg(long)]
        confirmation_code: Option<String>,
        /// Show what the server offers, and install nothing.
        #[arg(long, conflicts_with = "enable")]
        preview: bool,
        /// Enable it at once.
        #[arg(long)]
        enable: bool,
        /// Longest wait for an answer to the question whether it shall be installed, seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        wait: u64,
    },
    /// Enable a profile; the enabled one is disabled by that.
    Enable {
        /// ICCID, 18 to 20 digits, or AID of the ISD-P.
        profile: String,
        /// 1: the card tells the device by a proactive REFRESH; 0: it switches without a word. Default: refresh_flag of the
        /// configuration, or 1.
        #[arg(value_name = "REFRESH_FLAG", value_parser = refresh_flag)]
        refresh: Option<bool>,
    },
    /// Disable a profile.
    Disable {
        /// ICCID, 18 to 20 digits, or AID of the ISD-P.
        profile: String,
        /// 1: the card tells the device by a proactive REFRESH; 0: it switches without a word. Default: refresh_flag of the
        /// configuration, or 1.
        #[arg(value_name = "REFRESH_FLAG", value_parser = refresh_flag)]
        refresh: Option<bool>,
    },
    /// Delete a profile for good; it must be disabled.
    Delete {
        /// ICCID, 18 to 20 digits, or AID of the ISD-P.
        profile: String,
    },
    /// Give a profile a nickname.
    Nickname {
        /// ICCID, 18 to 20 digits, or AID of the ISD-P.
        profile: String,
        /// Up to 64 bytes; empty removes it.
        #[arg(default_value = "")]
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Notification {
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
        #[arg(required_unless_present = "all")]
        sequence: Option<u64>,
        /// All of them.
        #[arg(long, conflicts_with = "sequence")]
        all: bool,
    },
    /// Print a pending notification, so that `replay` can send it again.
    Dump {
        /// Sequence number.
        sequence: u64,
    },
    /// Send a notification that `dump --json` printed; the card is not needed.
    Replay {
        /// The file; - is standard input.
        file: PathBuf,
    },
}

impl cli::Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// refreshFlag as lpac has it.
fn refresh_flag(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("the refresh flag is 0 or 1".to_owned()),
    }
}

impl Action {
    /// The refreshFlag that the command line names.
    pub(crate) const fn refresh_flag(&self) -> Option<bool> {
        match self {
            Self::Profile(Profile::Enable { refresh, .. } | Profile::Disable { refresh, .. }) => {
                *refresh
            }
            _ => None,
        }
    }

    /// The command's words, as the envelope has them.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Chip(Chip::Info) => "chip info",
            Self::Chip(Chip::Purge) => "chip purge",
            Self::Chip(Chip::LoadCrl { .. }) => "chip load-crl",
            Self::Chip(Chip::DefaultSmdp { .. }) => "chip default-smdp",
            Self::Discover { .. } => "discover",
            Self::Profile(Profile::List) => "profile list",
            Self::Profile(Profile::Download { .. }) => "profile download",
            Self::Profile(Profile::Enable { .. }) => "profile enable",
            Self::Profile(Profile::Disable { .. }) => "profile disable",
            Self::Profile(Profile::Delete { .. }) => "profile delete",
            Self::Profile(Profile::Nickname { .. }) => "profile nickname",
            Self::Notification(Notification::List) => "notification list",
            Self::Notification(Notification::Process { .. }) => "notification process",
            Self::Notification(Notification::Remove { .. }) => "notification remove",
            Self::Notification(Notification::Dump { .. }) => "notification dump",
            Self::Notification(Notification::Replay { .. }) => "notification replay",
            Self::ExampleConfig => "example-config",
            Self::CheckConfig => "check-config",
        }
    }
}
