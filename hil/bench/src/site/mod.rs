//! A set-up of all parts in one directory: keys, certificates, configurations, a profile, a driver.
//! Written by `aid-hil init` for people, and by the demo for itself; both get the same files.

mod aid_pki;
mod configs;
mod extend;
mod fleet;
mod ports;
mod profile;
mod random;
mod rsp_targets;
mod targets;
mod write;

pub(crate) use fleet::{Fleet, FleetVehicle};
pub(crate) use profile::{Aka, Subject};

use crate::leftovers::{self, Doomed, empty};
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_cli::private;
pub(crate) use ports::Ports;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Options of `aid-hil init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Directory to write, made if absent; must be empty, or a set-up where something is added.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Add N cars to the set-up in --dir (default 1): certificates, card and configurations.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u8).range(1..=50), help_heading = LATER)]
    add_car: Option<u8>,
    /// Add a driver to the set-up in --dir: a subscriber of the MSP; repeat for several.
    #[arg(long, value_name = "USER", value_parser = extend::user_name, help_heading = LATER)]
    add_driver: Vec<String>,
    /// Add N profiles to the SM-DP+'s inventory of the set-up in --dir (default 1).
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u8).range(1..=100), help_heading = LATER)]
    add_profile: Option<u8>,
    /// SAIP profile package in DER for the SM-DP+; default: one that our own builder makes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["add_car", "add_driver", "add_profile"])]
    profile: Option<PathBuf>,
    /// The MSP answers 201 and sends the activation code later.
    #[arg(long, conflicts_with_all = ["add_car", "add_driver", "add_profile"])]
    async_ac: bool,
    /// CMP and MSP reach each other through aid-hub (docs/hub.md).
    #[arg(long)]
    hub: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

/// Heading of what adds to a set-up that exists.
const LATER: &str = "To add to a set-up";

/// What differs between set-ups.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// Profile package to serve instead of one of our own.
    pub(crate) profile: Option<&'a Path>,
    /// Does the MSP answer 201 and send the activation code later?
    pub(crate) async_ac: bool,
    /// Do CMP and MSP reach each other through aid-hub?
    pub(crate) hub: bool,
    /// Cars, drivers and profiles beyond the first.
    pub(crate) more: More,
    /// Where the parts call each other; none: where each listens.
    pub(crate) dial: Option<&'a Dial>,
}

/// Ports on 127.0.0.1 at which the parts call each other: those of the called parts, or of links in between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dial {
    /// ES9+ of the SM-DP+, for cars.
    pub(crate) es9: u16,
    /// ES2+ of the SM-DP+, for the MSP.
    pub(crate) es2: u16,
    /// AID1 of the MSP, for the CMP.
    pub(crate) msp_aid1: u16,
    /// AID1 of the CMP, for the MSP.
    pub(crate) cmp_aid1: u16,
    /// The CMP's gateway, for each car.
    pub(crate) gateway: Vec<u16>,
}

/// What a set-up has more of than one car, one driver and one profile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct More {
    /// Cars beyond the first.
    pub(crate) cars: usize,
    /// Drivers beyond the first, at most two.
    pub(crate) drivers: usize,
    /// Profiles at the SM-DP+ beyond the first.
    pub(crate) profiles: usize,
    /// Active profiles of a subscription before one is swapped; none: the MSP's default.
    pub(crate) pool: Option<u32>,
    /// Memory of each card for profiles, bytes; none: the card's default.
    pub(crate) memory: Option<u32>,
    /// The vehicles' gateway is somebody else's MQTT broker on its port, not the CMP itself.
    pub(crate) broker: bool,
    /// Instances of the CMP beyond the first, as clients of that broker.
    pub(crate) instances: usize,
}

/// A car of a set-up.
#[derive(Debug, Clone)]
pub(crate) struct Car {
    /// What its files are called with: empty for the first, then `-2` and so on.
    pub(crate) suffix: String,
    /// Its card, 32 digits.
    pub(crate) eid: String,
    /// Where its card listens.
    pub(crate) port: u16,
}

/// The driver.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    /// User name at the CMP.
    pub(crate) name: &'static str,
    /// Password of the CMP portal.
    pub(crate) password: String,
    /// PIN for the car, digits.
    pub(crate) pin: String,
    /// User name at the MSP.
    pub(crate) msp_user: &'static str,
    /// Password at the MSP.
    pub(crate) msp_password: String,
}

/// A set-up on disk.
#[derive(Debug)]
pub(crate) struct Site {
    /// Where everything is, absolute.
    pub(crate) dir: PathBuf,
    /// The card, 32 digits.
    pub(crate) eid: String,
    /// Where the parts listen.
    pub(crate) ports: Ports,
    /// Who drives.
    pub(crate) driver: Driver,
    /// All cars; the first is that of `eid`.
    pub(crate) cars: Vec<Car>,
    /// All drivers; the first is `driver`.
    pub(crate) drivers: Vec<Driver>,
    /// The profile at the SM-DP+.
    pub(crate) subject: Subject,
    /// Where the parts call each other.
    dial: Dial,
}

/// Profiles at the SM-DP+ of `aid-hil init` beyond the first; the first by name is that of the guide.
const SPARES: usize = 12;

/// File of the revocation list of the CI, and the last part of its URL; short, because a card gets it with each certificate.
const REVOCATION_LIST: &str = "ci.crl";

/// Names of the drivers at the CMP and at the MSP.
const DRIVERS: [(&str, &str); 3] = [
    ("ada", "ada@msp.example"),
    ("bob", "bob@msp.example"),
    ("cyd", "cyd@msp.example"),
];

impl Driver {
    fn new(name: &'static str, msp_user: &'static str) -> Result<Self, Failure> {
        Ok(Self {
            name,
            password: random::alphanumeric(16)?,
            pin: random::digits(6)?,
            msp_user,
            msp_password: random::alphanumeric(16)?,
        })
    }
}

impl Site {
    /// Writes a set-up into a directory that is empty or absent.
    pub(crate) fn create(dir: &Path, options: Options<'_>) -> Result<Self, Failure> {
        // The profile first: a file that is no profile must leave nothing behind.
        let subject = match options.profile {
            Some(file) => Subject::from_file(file)?,
            None => Subject::build()?,
        };
        let absent = !dir.exists();
        let dir = make_dir(dir)?;
        // Until it is whole.
        let doomed = Doomed::new(&dir, absent);
        let site = Self::fill(dir.clone(), subject, options);
        drop(doomed);
        if site.is_err() {
            // Half a set-up helps nobody, and would be in the way of the next one.
            let _ = empty(&dir, absent);
        }
        site
    }

    fn fill(dir: PathBuf, subject: Subject, options: Options<'_>) -> Result<Self, Failure> {
        let now = SystemTime::now();
        let more = options.more;
        let (ports, cards) = Ports::free(more.cars)?;
        let mut cars = Vec::new();
        for (n, port) in [ports.euicc].into_iter().chain(cards).enumerate() {
            let suffix = if n == 0 {
                String::new()
            } else {
                format!("-{}", n + 1)
            };
            let eid = random::eid()?;
            cars.push(Car { suffix, eid, port });
        }
        aid_pki::write(&dir.join("pki/aid"), &cars, more.instances, now)?;
        let es9 = options.dial.map_or(ports.es9, |dial| dial.es9);
        write_rsp_pki(&dir.join("pki/rsp"), &cars, es9, now)?;
        write::file(&dir.join("inventory/op.der"), &subject.package)?;
        for n in 0..more.profiles {
            let file = dir.join(format!("inventory/op-{}.der", n + 2));
            write::file(&file, &Subject::build()?.package)?;
        }
        let state = dir.join("state");
        let open = leftovers::gate();
        private::create_dir_all(&state).map_err(|e| {
            Failure::new(format!(
                "cannot make {}: {e}; is the disk full or the directory read-only?",
                state.display()
            ))
        })?;
        drop(open);
        let drivers = DRIVERS
            .iter()
            .take(1 + more.drivers)
            .map(|(name, msp_user)| Driver::new(name, msp_user))
            .collect::<Result<Vec<_>, _>>()?;
        let dial = options.dial.cloned().unwrap_or_else(|| Dial {
            es9: ports.es9,
            es2: ports.es2,
            msp_aid1: if options.hub {
                ports.hub
            } else {
                ports.msp_aid1
            },
            cmp_aid1: if options.hub {
                ports.hub
            } else {
                ports.cmp_aid1
            },
            gateway: vec![ports.gateway; cars.len()],
        });
        let site = Self {
            dial,
            ports,
            driver: drivers[0].clone(),
            eid: cars[0].eid.clone(),
            cars,
            drivers,
            dir,
            subject,
        };
        configs::write_all(&site, options)?;
        rsp_targets::write_all(&site)?;
        Ok(site)
    }

    /// Whether CMP and MSP reach each other through a hub.
    pub(crate) fn has_hub(&self) -> bool {
        self.path("hub.toml").exists()
    }

    /// Makes the folder of the logs.
    pub(crate) fn make_logs(&self) -> std::io::Result<()> {
        let _open = leftovers::gate();
        private::create_dir_all(&self.path("logs"))
    }

    /// A file of the set-up.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }
}

fn make_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let wrong = |e: std::io::Error| {
        Failure::new(format!(
            "cannot write to {}: {e}; give a directory that is empty or absent, in one that can be written",
            dir.display()
        ))
    };
    let _open = leftovers::gate();
    private::create_dir_all(dir).map_err(wrong)?;
    if std::fs::read_dir(dir).map_err(wrong)?.next().is_some() {
        let add = if dir.join("cmp.toml").exists() {
            ", or add to it with --add-car, --add-driver, --add-profile"
        } else {
            ""
        };
        let dir = dir.display();
        return Err(Failure::new(format!(
            "{dir} is not empty; give a directory that is empty or absent{add}"
        )));
    }
    dir.canonicalize().map_err(wrong)
}

/// The RSP certificates, and a revocation list, which revokes nothing; `es9` is the port that LPAs call the SM-DP+ at.
fn write_rsp_pki(dir: &Path, cars: &[Car], es9: u16, now: SystemTime) -> Result<(), Failure> {
    use aid_rsp::{crypto::SoftwareCrypto, es10, pki};
    let (from, to) = rsp_validity(now);
    let url = format!("https://localhost:{es9}/crl/{REVOCATION_LIST}");
    let wrong = |e| {
        Failure::new(format!(
            "cannot write the RSP certificates {e}; is the disk full or the directory read-only?"
        ))
    };
    let mut minted: Option<pki::RspPki> = None;
    for Car { suffix, eid, .. } in cars {
        let bytes = es10::eid_from_digits(eid)
            .ok_or_else(|| Failure::new(format!("{eid:?} is no EID of 32 digits")))?;
        let params = pki::MintParams {
            crl_url: Some(&url),
            ..pki::MintParams::loopback(&bytes, from, to)
        };
        let (crypto, rng) = (SoftwareCrypto::new(), &mut random::rng());
        if let Some(pki) = &minted {
            let euicc = pki.mint_euicc(&params, &crypto, rng)?;
            let folder = dir.join("eUICC");
            let _open = leftovers::gate();
            euicc
                .write_to(
                    &folder.join(format!("CERT_EUICC_ECDSA_NIST{suffix}.der")),
                    &folder.join(format!("SK_EUICC_ECDSA_NIST{suffix}.pem")),
                )
                .map_err(wrong)?;
        } else {
            let pki = pki::RspPki::mint(&params, &crypto, rng)?;
            let open = leftovers::gate();
            pki.write_to(dir).map_err(wrong)?;
            drop(open);
            let list = pki.ci.revocation_list(
                &pki::CrlParams {
                    number: 1,
                    base: None,
                    part: None,
                    this_update: from,
                    entries: &[],
                },
                &crypto,
            )?;
            let file = dir.join("CertificateIssuer").join(REVOCATION_LIST);
            write::file(&file, &list)?;
            minted = Some(pki);
        }
    }
    Ok(())
}

/// Begin and end of validity of RSP certificates, Unix seconds: a day back, because a car's clock may be behind; two
/// years on, because set-ups are kept.
fn rsp_validity(now: SystemTime) -> (u64, u64) {
    use aid_rsp::pki::DAY;
    let seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    (seconds.saturating_sub(DAY), seconds + 730 * DAY)
}

/// `aid-hil init`.
pub(crate) fn init(args: &InitArgs) -> Result<(), Failure> {
    let additions = extend::Additions {
        cars: args.add_car.map_or(0, usize::from),
        drivers: args.add_driver.clone(),
        profiles: args.add_profile.map_or(0, usize::from),
    };
    if additions.any() {
        return extend::run(&args.dir, &additions, args.json);
    }
    let site = Site::create(
        &args.dir,
        Options {
            profile: args.profile.as_deref(),
            async_ac: args.async_ac,
            hub: args.hub,
            ..Options::default()
        },
    )?;
    // The judge orders more than one.
    for n in 1..=SPARES {
        let file = site.path(&format!("inventory/spare-{n}.der"));
        write::file(&file, &Subject::build()?.package)?;
    }
    crate::story::books::connect(&site)?;
    let driver = &site.driver;
    if args.json {
        let json = serde_json::json!({
            "dir": site.dir, "eid": site.eid, "iccid": site.subject.iccid,
            "user": driver.name, "password": driver.password, "pin": driver.pin,
            "msp_user": driver.msp_user, "msp_password": driver.msp_password,
            "portal": format!("https://localhost:{}/", site.ports.portal),
        });
        return cli::print(&format!("{json}\n"));
    }
    cli::print(&format!(
        "{dir} has keys, certificates, configurations and a profile (ICCID {iccid}) for the car with EID {eid}.\n\
         At the CMP:  user {name}, password {password}, PIN in the car {pin}; portal https://localhost:{portal}/\n\
         At the MSP:  user {msp_user}, password {msp_password}\n\
         {hub}Start the parts as docs/guide.md says, or judge them: aid-hil judge cmp --target {dir}/cmp-target.toml\n",
        dir = printable(&site.dir.display().to_string()),
        hub = if site.has_hub() {
            "Start aid-hub first: aid-hub serve --config hub.toml\n"
        } else {
            ""
        },
        iccid = site.subject.iccid,
        eid = site.eid,
        name = driver.name,
        password = driver.password,
        pin = driver.pin,
        portal = site.ports.portal,
        msp_user = driver.msp_user,
        msp_password = driver.msp_password,
    ))
}

#[cfg(test)]
mod tests;
