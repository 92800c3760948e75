//! What the card is and how it is reached: flags, and a configuration file that says the same.
//! A flag wins over the file.

use crate::frame::{is_host_port, is_path};
use crate::quirk::Quirks;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_euicc::card::Clock;
use aid_rsp::es10::{GetRatResponse, OperatorId, ppr};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What `example-config` prints.
pub(crate) const EXAMPLE: &str = r#"# Configuration of euicc-sim. Paths are relative to this file. A flag of `serve` wins over its key.

# The card's non-volatile memory. It is made when it is absent; one process at a time.
# Without this line the card forgets everything when the program ends.
nvm = "euicc.nvm"

# Where clients find the card: HOST:PORT (port 0: any, see the ready line), or the path of a unix
# socket. Two bytes of length, then an APDU: docs/wire/apdu-socket.md.
# Loopback only: there is no access control.
listen = "127.0.0.1:0"
# Further ways, each optional, all for the same card:
# vpcd = "127.0.0.1:35963"          # a PC/SC card: connects to the vpcd of a pcscd
# vpcd_listen = "127.0.0.1:35964"   # a PC/SC card for a vpcd in reverse mode, which connects to us
# lpac_stdio = "127.0.0.1:0"        # lpac's JSON lines: docs/wire/lpac-stdio.md
# at = "./modem"                    # an AT modem: a pty, linked at this path: docs/wire/at-modem.md

# The EID, 32 digits. It must be that of the eUICC certificate; without this line it is taken from there.
eid = "89049032123451234512345678901235"
# Refuse an EID whose check digits are wrong; without this line there is a warning.
# strict_eid = true

# Certificates and key, one by one. `pki = "DIR"` in the place of this section takes them from a folder
# in the layout of SGP.26 (euicc-sim mint-pki makes one); with neither the card mints its own.
[certificates]
# CERT.EUM.ECDSA and CERT.EUICC.ECDSA (DER or PEM), the card's private key (PEM or DER).
eum = "EUM/CERT_EUM_ECDSA_NIST.der"
euicc = "eUICC/CERT_EUICC_ECDSA_NIST.der"
key = "eUICC/SK_EUICC_ECDSA_NIST.pem"
# The CIs that the card trusts, at least the one that issued the EUM certificate.
ci = ["CertificateIssuer/CERT_CI_ECDSA_NIST.der"]

[card]
# What the logs call it.
name = "car"
# Memory for profiles in bytes.
memory = 1048576
# Root SM-DS address that the card tells; empty: none.
root_ds = ""
# Take profiles of class test, with keys that everybody knows.
test_profiles = false
# Randomness that repeats itself: only for tests and recordings, never where keys must be secret.
# seed = 1
# What time it is for the validity of certificates: "system", "none" (it does not know, as a real card),
# or seconds since 1970 in quotation marks.
clock = "system"
# How it misbehaves; euicc-sim quirks lists the names.
quirks = []

# Rules Authorisation Table: which operators may set which Profile Policy Rules (ppr1: the profile can
# not be disabled, ppr2: it can not be deleted), and whether the user has to consent. MCC and MNC in
# digits, E for any. Without this section every operator may set both, with consent.
# [[card.rat]]
# rules = ["ppr1", "ppr2"]
# operators = ["26201", "EEEEEE"]
# consent = true
"#;

/// Flags of `serve` and `check-config`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CardArgs {
    /// Configuration file; every flag wins over its key there. Default, where no flag says what the card is or where it
    /// is reached: euicc.toml here, or /etc/aid/euicc.toml.
    #[arg(long, env = "AID_EUICC_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Serve APDUs with two bytes of length before each (docs/wire/apdu-socket.md), at HOST:PORT or on
    /// a unix socket.
    #[arg(
        long,
        value_name = "PATH|HOST:PORT",
        help_heading = "Ways to reach it, several at once"
    )]
    pub(crate) socket: Option<String>,
    /// Be a PC/SC card: connect to the vpcd of a pcscd, usually at 127.0.0.1:35963.
    #[arg(
        long,
        value_name = "HOST:PORT",
        help_heading = "Ways to reach it, several at once"
    )]
    pub(crate) vpcd: Option<String>,
    /// Be a PC/SC card for a vpcd in reverse mode, which connects to here.
    #[arg(
        long,
        value_name = "HOST:PORT",
        help_heading = "Ways to reach it, several at once"
    )]
    pub(crate) vpcd_listen: Option<String>,
    /// Serve lpac's stdio driver: JSON lines (docs/wire/lpac-stdio.md).
    #[arg(
        long,
        value_name = "HOST:PORT",
        help_heading = "Ways to reach it, several at once"
    )]
    pub(crate) lpac_stdio: Option<String>,
    /// Be an AT modem with the card in it: a pty, linked at PATH (docs/wire/at-modem.md).
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Ways to reach it, several at once"
    )]
    pub(crate) at: Option<PathBuf>,
    /// The EID, 32 digits; default: that of the certificate.
    #[arg(long, value_name = "DIGITS", help_heading = "The card")]
    pub(crate) eid: Option<String>,
    /// Refuse an EID whose check digits are wrong, instead of a warning (SGP.29).
    #[arg(long, help_heading = "The card")]
    pub(crate) strict_eid: bool,
    /// Certificates and key: a folder in the layout of SGP.26. Without it (and without a
    /// configuration) the card mints its own, kept beside the memory as NVM.pki.
    #[arg(long, value_name = "DIR", help_heading = "The card")]
    pub(crate) pki: Option<PathBuf>,
    /// The card's memory, made when absent; without it the card forgets everything at the end.
    #[arg(long, value_name = "FILE", help_heading = "The card")]
    pub(crate) nvm: Option<PathBuf>,
    /// Memory for profiles.
    #[arg(long, value_name = "BYTES", help_heading = "The card")]
    pub(crate) memory: Option<u32>,
    /// Take profiles of class test, with keys that everybody knows (SGP.22 testProfileSupport).
    #[arg(long, help_heading = "The card")]
    pub(crate) test_profiles: bool,
    /// Randomness that repeats itself, for tests and recordings.
    #[arg(long, value_name = "NUMBER", help_heading = "The card")]
    pub(crate) seed: Option<u64>,
    /// What time it is for the validity of certificates: system, none (the card does not know, as a real
    /// one), or seconds since 1970 [default: system].
    #[arg(long, value_name = "TIME", help_heading = "The card")]
    pub(crate) clock: Option<String>,
    /// Misbehave; repeatable. `euicc-sim quirks` lists the names and their arguments.
    #[arg(long = "quirk", value_name = "NAME[=ARG]", help_heading = "The card")]
    pub(crate) quirks: Vec<String>,
}

impl CardArgs {
    /// With the configuration file from its usual places, where no flag says what the card is or how it is reached.
    #[must_use]
    pub(crate) fn with_usual_config(mut self) -> Self {
        let ways = [
            &self.socket,
            &self.vpcd,
            &self.vpcd_listen,
            &self.lpac_stdio,
        ];
        let files = [&self.at, &self.pki, &self.nvm];
        if ways.iter().all(|way| way.is_none()) && files.iter().all(|file| file.is_none()) {
            self.config = config::find_if_any(self.config.as_deref(), "euicc");
        }
        self
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    nvm: Option<PathBuf>,
    listen: Option<String>,
    vpcd: Option<String>,
    vpcd_listen: Option<String>,
    lpac_stdio: Option<String>,
    at: Option<PathBuf>,
    eid: Option<String>,
    #[serde(default)]
    strict_eid: bool,
    pki: Option<PathBuf>,
    certificates: Option<Certificates>,
    #[serde(default)]
    card: CardSection,
}

/// The section `[certificates]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificates {
    pub(crate) eum: PathBuf,
    pub(crate) euicc: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ci: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CardSection {
    name: Option<String>,
    memory: Option<u32>,
    root_ds: String,
    test_profiles: bool,
    rat: Option<Vec<Authorisation>>,
    seed: Option<u64>,
    clock: Option<String>,
    quirks: Vec<String>,
}

/// `[[card.rat]]`: a Profile Policy Authorisation Rule (SGP.22 §2.9.3).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorisation {
    rules: Vec<Rule>,
    operators: Vec<String>,
    #[serde(default)]
    consent: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Ppr1,
    Ppr2,
}

/// The table; the error is the text that names no operator.
fn rat(table: &[Authorisation]) -> Result<GetRatResponse, String> {
    let operator = |digits: &String| OperatorId::from_digits(digits).ok_or(digits.clone());
    let mut rules = Vec::with_capacity(table.len());
    for entry in table {
        let bits = entry.rules.iter().fold(0, |bits, rule| {
            bits | match rule {
                Rule::Ppr1 => ppr::PPR1,
                Rule::Ppr2 => ppr::PPR2,
            }
        });
        let operators = entry
            .operators
            .iter()
            .map(operator)
            .collect::<Result<_, _>>()?;
        rules.push((bits, operators, entry.consent));
    }
    Ok(GetRatResponse { rules })
}

/// Where the card finds the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// It does not know.
    None,
    /// The operating system's.
    System,
    /// Always the same: seconds since 1970.
    At(u64),
}

impl Time {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "system" => Some(Self::System),
            seconds => seconds.parse().ok().map(Self::At),
        }
    }
}

impl Clock for Time {
    fn unix_seconds(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::At(seconds) => Some(*seconds),
            Self::System => {
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH);
                since.ok().map(|since| since.as_secs())
            }
        }
    }
}

/// Where certificates and key come from.
#[derive(Debug, Clone)]
pub(crate) enum Pki {
    /// Named one by one in the configuration, paths resolved.
    Files(Certificates),
    /// A folder in the layout of SGP.26.
    Folder(PathBuf),
    /// Minted by the program.
    Own,
}

/// Flags and file together, paths resolved.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) socket: Option<String>,
    pub(crate) vpcd: Option<String>,
    pub(crate) vpcd_listen: Option<String>,
    pub(crate) lpac_stdio: Option<String>,
    pub(crate) at: Option<PathBuf>,
    pub(crate) eid: Option<String>,
    /// Wrong check digits are an error, not a warning.
    pub(crate) strict_eid: bool,
    pub(crate) pki: Pki,
    pub(crate) nvm: Option<PathBuf>,
    pub(crate) name: String,
    pub(crate) memory: Option<u32>,
    pub(crate) root_ds: String,
    pub(crate) test_profiles: bool,
    /// Rules Authorisation Table, where one is configured.
    pub(crate) rules: Option<GetRatResponse>,
    pub(crate) seed: Option<u64>,
    pub(crate) time: Time,
    pub(crate) quirks: Quirks,
    /// The configuration, for errors.
    pub(crate) source: String,
}

impl Wanted {
    /// Reads the configuration and lets the flags win.
    ///
    /// # Errors
    /// A sentence that names the file or flag.
    pub(crate) fn read(args: &CardArgs) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => config::load(path)?,
            None => File::default(),
        };
        let beside = |path: PathBuf| match &args.config {
            Some(config) => config::beside(config, &path),
            None => path,
        };
        // A unix path is relative to the configuration file; an address stays as it is.
        let address = |text: String| match is_path(&text) {
            true => beside(text.into()).display().to_string(),
            false => text,
        };
        let source = args.config.as_ref();
        let source = source.map_or_else(|| "the command line".into(), |p| p.display().to_string());
        let pki = match (&args.pki, file.pki, file.certificates) {
            (Some(dir), ..) => Pki::Folder(dir.clone()),
            (None, Some(_), Some(_)) => {
                let text =
                    format!("{source}: pki and [certificates] say the same thing; remove one");
                return Err(Failure::new(text));
            }
            (None, Some(dir), None) => Pki::Folder(beside(dir)),
            (None, None, Some(c)) => Pki::Files(Certificates {
                eum: beside(c.eum),
                euicc: beside(c.euicc),
                key: beside(c.key),
                ci: c.ci.into_iter().map(beside).collect(),
            }),
            (None, None, None) => Pki::Own,
        };
        let mut quirks = Quirks::default();
        for quirk in file.card.quirks.iter().chain(&args.quirks) {
            quirks.add(quirk).map_err(Failure::usage)?;
        }
        let clock = args.clock.as_deref().or(file.card.clock.as_deref());
        let clock = clock.unwrap_or("system");
        let time = Time::parse(clock).ok_or_else(|| {
            Failure::usage(format!(
                "{source}: clock {clock:?} is no time; give system, none, or seconds since 1970"
            ))
        })?;
        let rules = file.card.rat.as_deref().map(rat).transpose();
        let rules = rules.map_err(|digits| {
            Failure::new(format!(
                "{source}: card.rat: {digits:?} is no operator; give MCC and MNC in 5 or 6 digits, E for any"
            ))
        })?;
        let wanted = Self {
            socket: args.socket.clone().or(file.listen.map(address)),
            vpcd: args.vpcd.clone().or(file.vpcd),
            vpcd_listen: args.vpcd_listen.clone().or(file.vpcd_listen),
            lpac_stdio: args.lpac_stdio.clone().or(file.lpac_stdio),
            at: args.at.clone().or(file.at.map(beside)),
            eid: args.eid.clone().or(file.eid),
            strict_eid: args.strict_eid || file.strict_eid,
            pki,
            nvm: args.nvm.clone().or(file.nvm.map(beside)),
            name: file.card.name.unwrap_or_else(|| "card".into()),
            memory: args.memory.or(file.card.memory),
            root_ds: file.card.root_ds,
            test_profiles: args.test_profiles || file.card.test_profiles,
            rules,
            seed: args.seed.or(file.card.seed),
            time,
            quirks,
            source,
        };
        wanted.addresses()?;
        if wanted.root_ds.len() > 255 {
            let text = format!("{}: card.root_ds is longer than 255 bytes", wanted.source);
            return Err(Failure::new(text));
        }
        Ok(wanted)
    }

    /// Are those that can only be HOST:PORT such? A socket may be a path too.
    fn addresses(&self) -> Result<(), Failure> {
        let ways = [
            ("vpcd", &self.vpcd),
            ("vpcd-listen", &self.vpcd_listen),
            ("lpac-stdio", &self.lpac_stdio),
        ];
        for (name, way) in ways {
            if let Some(text) = way.as_deref().filter(|text| !is_host_port(text)) {
                return Err(Failure::usage(format!(
                    "{}: {name} {text:?} is no HOST:PORT; give e.g. 127.0.0.1:35963",
                    self.source
                )));
            }
        }
        Ok(())
    }

    /// Is there a way to reach the card at all?
    pub(crate) fn reachable(&self) -> Result<(), Failure> {
        let ways = [
            &self.socket,
            &self.vpcd,
            &self.vpcd_listen,
            &self.lpac_stdio,
        ];
        if ways.iter().all(|way| way.is_none()) && self.at.is_none() {
            return Err(Failure::usage(
                "nobody could reach the card; give at least one of --socket, --vpcd, --vpcd-listen, \
                 --lpac-stdio, --at, or a --config with listen",
            ));
        }
        Ok(())
    }

    /// The folder of a PKI that the program minted for its memory.
    pub(crate) fn own_pki(nvm: &Path) -> PathBuf {
        let mut name = nvm.as_os_str().to_owned();
        name.push(".pki");
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_authorisation_table_is_read() {
        let section = |text: &str| toml::from_str::<CardSection>(text);
        let read = |text: &str| rat(&section(text).unwrap().rat.unwrap());
        let table = read(
            "[[rat]]\nrules = [\"ppr1\"]\noperators = [\"26201\", \"EEEEEE\"]\nconsent = true\n",
        );
        let table = table.unwrap();
        let (bits, operators, consent) = &table.rules[0];
        assert_eq!((*bits, *consent), (ppr::PPR1, true));
        assert_eq!(operators[0].mcc_mnc, [0x62, 0xF2, 0x10]);
        assert_eq!(operators[1].mcc_mnc, [0xEE; 3]);
        let wrong = read("[[rat]]\nrules = []\noperators = [\"2620\"]\n");
        assert_eq!(wrong, Err("2620".into()));
        assert!(section("[[rat]]\nrules = [\"ppr3\"]\noperators = []\n").is_err());
    }
}
