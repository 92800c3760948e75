//! Serves the software eUICC: over sockets, as a PC/SC card, to lpac, as an AT modem; on SPI and I2C
//! in the crate `aid-t1`. Its NVM is a file.

mod answer;
mod at;
mod client;
mod config;
mod credentials;
mod frame;
mod nvm;
mod port;
mod quirk;
mod revocation;
mod script;
mod seeded;
mod serve;
mod served;
mod setup;
mod store_data;
mod trace;
mod transport;

use aid_cli::cli::{self, Arguments, Failure, LogArgs};
use aid_cli::printable::printable;
use aid_cli::validity;
use aid_rsp::es10::{eid_check_digits_fit, eid_from_digits};
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use clap::{Parser, Subcommand};
use config::{CardArgs, Wanted};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use nvm::{FileNvm, OpenError};

/// A software eUICC (SGP.22 v2.4) and, once a profile is enabled, a working USIM.
#[derive(Debug, Parser)]
#[command(name = "euicc-sim", version)]
struct Cli {
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the card until SIGTERM or SIGINT.
    #[command(after_help = serve_help())]
    Serve(CardArgs),
    /// Check configuration, certificates, key and memory, and stop.
    CheckConfig(CardArgs),
    /// Print a commented configuration.
    ExampleConfig,
    /// List the quirks that --quirk takes.
    Quirks,
    /// Mint a PKI in the layout of SGP.26: CI, EUM, eUICC, and an SM-DP+ (DPauth, DPpb, DPtls).
    MintPki {
        /// Folder that is made.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// EID of the eUICC, 32 digits.
        #[arg(long, value_name = "DIGITS", default_value = credentials::TEST_EID)]
        eid: String,
        /// Host name in the SM-DP+'s TLS certificate.
        #[arg(long, value_name = "NAME", default_value = "localhost")]
        tls_name: String,
        /// Where the SM-DP+'s certificates say that revocation lists are, e.g. http://smdp.example.com/crl/ci.crl.
        #[arg(long, value_name = "URL")]
        crl_url: Option<String>,
        /// Keys that repeat themselves, for recordings.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
    },
    /// Sign the next revocation list (CRL) of a test CI: the certificates that its last list revokes, and these.
    MintCrl {
        /// Folder with CertificateIssuer, as mint-pki makes it.
        #[arg(long, value_name = "DIR")]
        pki: PathBuf,
        /// Certificate in DER that is revoked; may be given several times.
        #[arg(long, value_name = "FILE")]
        revoke: Vec<PathBuf>,
        /// The list, which is replaced. Default: CertificateIssuer/ci.crl in --pki.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Write a SAIP profile package (DER) with known numbers and keys, to be loaded into an SM-DP+ for tests:
    /// XOR test algorithm with K 000102030405060708090A0B0C0D0E0F, PIN 0000 (disabled), PUK 12345678.
    TestProfile {
        /// File that is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// ICCID, 18 to 20 digits.
        #[arg(long, value_name = "DIGITS", default_value = "8988000000000000001")]
        iccid: String,
        /// IMSI, 6 to 15 digits.
        #[arg(long, value_name = "DIGITS", default_value = "001010000000001")]
        imsi: String,
        /// Milenage with these instead of the test algorithm, 32 hexadecimal digits each.
        #[arg(long, value_name = "K:OPC")]
        milenage: Option<String>,
    },
    /// Look at the memory of a card that is not being served, or repair it.
    Nvm {
        /// The memory.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Give up everything from the first damaged place on; the file as it was is kept beside it.
        #[arg(long)]
        repair: bool,
    },
    /// Send APDUs to a card that is being served, and print its answers.
    Apdu {
        /// Where the card listens: HOST:PORT or the path of a unix socket.
        #[arg(long, value_name = "ADDR")]
        socket: String,
        /// Command APDUs in hexadecimal digits, or `reset`, or `atr`.
        #[arg(required = true, value_name = "HEX")]
        apdus: Vec<String>,
    },
    /// Stand between clients and a card, and write down what they say as an APDU script.
    Record(script::RecordArgs),
    /// Play APDU scripts to a card, and compare its answers.
    Replay(script::ReplayArgs),
}

const SERVE_HELP: &str = "\
Examples:
  euicc-sim serve --socket 127.0.0.1:9000 --nvm card.nvm
      a card of its own; card.nvm.pki has the certificates that an SM-DP+ needs
  euicc-sim serve --pki sgp26 --nvm card.nvm --vpcd 127.0.0.1:35963 --at ./modem
      a card with the SGP.26 test keys, in PC/SC and behind AT commands at once
  euicc-sim serve --socket ./card.sock --quirk 61xx --quirk power-cut=12 --seed 7
When everything is bound one JSON line on stdout says so, with the real addresses.";

fn serve_help() -> String {
    format!("{SERVE_HELP}\n\n{}", quirk::list())
}

impl Arguments for Cli {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

/// Runs the program; the first argument is its name.
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    cli::main("euicc-sim", args, |cli: Cli| match cli.command {
        Command::Serve(args) => serve::run(&args.with_usual_config()),
        Command::CheckConfig(args) => check(&args.with_usual_config()),
        Command::ExampleConfig => cli::print(config::EXAMPLE),
        Command::Quirks => cli::print(&quirk::list()),
        Command::MintPki {
            dir,
            eid,
            tls_name,
            crl_url,
            seed,
        } => mint(&dir, &eid, &tls_name, crl_url.as_deref(), seed),
        Command::MintCrl { pki, revoke, out } => mint_crl(&pki, &revoke, out),
        Command::TestProfile {
            out,
            iccid,
            imsi,
            milenage,
        } => test_profile(&out, &iccid, &imsi, milenage.as_deref()),
        Command::Nvm { file, repair } => nvm_file(&file, repair),
        Command::Apdu { socket, apdus } => client::run(&socket, &apdus),
        Command::Record(args) => script::record(&args),
        Command::Replay(args) => script::replay(&args),
    })
}

fn check(args: &CardArgs) -> Result<(), Failure> {
    if args.config.is_none() && args.pki.is_none() && args.nvm.is_none() {
        return Err(Failure::usage(
            "there is nothing to check; give --config FILE, --pki DIR or --nvm FILE",
        ));
    }
    let wanted = Wanted::read(args)?;
    let existing = wanted.nvm.clone().filter(|nvm| nvm.exists());
    let own = matches!(wanted.pki, config::Pki::Own);
    let memory = wanted.nvm.as_ref();
    let memory = memory.map_or_else(|| "none".into(), |p| p.display().to_string());
    // Checking makes nothing: a PKI of the card's own is minted by serve.
    if own
        && !wanted
            .nvm
            .as_deref()
            .is_some_and(|nvm| Wanted::own_pki(nvm).exists())
    {
        return cli::print(&format!(
            "the configuration is valid: PKI not minted yet, memory {memory}\n"
        ));
    }
    // First: of a chain whose time is over, the card would say less.
    let warnings = validity::check(&setup::certificates(&wanted), validity::now())?;
    let setup = setup::Setup::new(wanted)?;
    if existing.is_some() {
        setup.card()?;
    }
    validity::warn(&warnings);
    let eid = setup.eid();
    cli::print(&format!(
        "the configuration is valid: EID {eid}, memory {memory}\n"
    ))
}

fn mint(
    dir: &Path,
    eid: &str,
    tls_name: &str,
    crl_url: Option<&str>,
    seed: Option<u64>,
) -> Result<(), Failure> {
    let digits = eid_from_digits(eid)
        .ok_or_else(|| Failure::usage(format!("--eid {eid:?} is no EID; write its 32 digits")))?;
    if !eid_check_digits_fit(&digits) {
        tracing::warn!("{}", setup::wrong_check_digits(eid));
    }
    if dir.join("CertificateIssuer").exists() {
        let text = format!("{} has a PKI already; choose another --dir", dir.display());
        return Err(Failure::new(text));
    }
    credentials::write(&credentials::mint(&digits, tls_name, crl_url, seed)?, dir)?;
    cli::print(&format!(
        "minted a PKI for EID {eid} in {}\n",
        dir.display()
    ))
}

fn mint_crl(pki: &Path, revoke: &[PathBuf], out: Option<PathBuf>) -> Result<(), Failure> {
    let out = out.unwrap_or_else(|| revocation::usual_file(pki));
    let now = u64::try_from(validity::now()).unwrap_or_default();
    let (number, revoked) = revocation::mint(pki, revoke, &out, now)?;
    cli::print(&format!(
        "revocation list {number} in {} revokes {revoked} certificates\n",
        out.display()
    ))
}

fn test_profile(
    out: &Path,
    iccid: &str,
    imsi: &str,
    milenage: Option<&str>,
) -> Result<(), Failure> {
    let algorithm = match milenage {
        None => Algorithm::UsimTest {
            k: std::array::from_fn(|n| n as u8),
        },
        Some(keys) => self::milenage(keys).ok_or_else(|| {
            let wrong = "--milenage wants K:OPC, 32 hexadecimal digits, a colon, 32 more";
            Failure::usage(wrong.to_owned())
        })?,
    };
    let package = ProfileBuilder::new(iccid, imsi, algorithm).build()?;
    aid_cli::private::write(out, &package).map_err(|e| {
        let out = out.display();
        Failure::new(format!("cannot write {out}: {e}; choose another --out"))
    })?;
    cli::print(&format!("{} bytes in {}\n", package.len(), out.display()))
}

/// K and OPc with a colon between them.
fn milenage(keys: &str) -> Option<Algorithm> {
    let (k, opc) = keys.split_once(':')?;
    let key = |digits| hex::decode(digits).ok()?.try_into().ok();
    Some(Algorithm::Milenage {
        k: key(k)?,
        opc: key(opc)?,
    })
}

fn nvm_file(file: &Path, repair: bool) -> Result<(), Failure> {
    if !file.exists() {
        let text = format!("there is no {}; serve --nvm makes one", file.display());
        return Err(Failure::new(text));
    }
    let text = if repair {
        FileNvm::repair(file)?
    } else {
        let nvm = FileNvm::open(file)?;
        format!("{}: {}", file.display(), nvm.summary())
    };
    cli::print(&format!("{}\n", printable(&text)))
}
