//! `aid-hil init` on a set-up that exists: further cars, drivers and profiles.
//!
//! Nothing that exists is written again but `msp.toml`, which gets the drivers as further `[[subscriber]]` tables at
//! its end. A failure takes away what it has made.

use super::ports::BLOCK;
use super::{Car, DRIVERS, Subject, aid_pki, configs, random, write};
use crate::leftovers;
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_cli::{config, private};
use aid_rsp::crypto::{Crypto as _, KeyPair, PrivateKey, SoftwareCrypto};
use aid_rsp::{es10, pki};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Largest certificate or key of a set-up, bytes.
const MAX_FILE: u64 = 64 << 10;
/// Cars and profiles of one set-up: more than a bench can start.
const MOST: usize = 1_000;

/// Where ports are looked for when no card says where it listens.
const FIRST_PORT: u16 = 10_240;
/// Ports behind the first card's that belong, or may belong, to servers.
const PARTS: u16 = 16;

/// What is to be added.
#[derive(Debug, Clone, Default)]
pub(super) struct Additions {
    /// So many cars.
    pub(super) cars: usize,
    /// Drivers, by their user names at the CMP.
    pub(super) drivers: Vec<String>,
    /// So many profiles in the SM-DP+'s inventory.
    pub(super) profiles: usize,
}

impl Additions {
    /// Is there anything?
    pub(super) fn any(&self) -> bool {
        self.cars + self.profiles > 0 || !self.drivers.is_empty()
    }
}

/// What was added.
#[derive(Debug)]
struct Added {
    cars: Vec<Car>,
    drivers: Vec<Driver>,
    profiles: Vec<(PathBuf, String)>,
}

/// A driver whose credentials were just made; at the MSP it is `name@msp.example`.
#[derive(Debug)]
struct Driver {
    name: String,
    password: String,
    pin: String,
    msp_user: String,
    msp_password: String,
}

impl Driver {
    fn new(name: &str) -> Result<Self, Failure> {
        Ok(Self {
            name: name.to_owned(),
            password: random::alphanumeric(16)?,
            pin: random::digits(6)?,
            msp_user: format!("{name}@msp.example"),
            msp_password: random::alphanumeric(16)?,
        })
    }
}

/// Files that are removed again unless the whole succeeds.
#[derive(Default)]
struct Made {
    files: Vec<PathBuf>,
    kept: bool,
}

impl Made {
    fn file(&mut self, file: PathBuf, bytes: &[u8]) -> Result<(), Failure> {
        write::file(&file, bytes)?;
        self.files.push(file);
        Ok(())
    }

    /// Files that others are about to write.
    fn expect(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.files.extend(files);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.kept {
            for file in &self.files {
                let _ = std::fs::remove_file(file);
            }
        }
    }
}

/// Adds to the set-up in `dir`, and prints what was added.
pub(super) fn run(dir: &Path, additions: &Additions, json: bool) -> Result<(), Failure> {
    let dir = dir.canonicalize().map_err(|e| {
        Failure::new(format!(
            "cannot open {}: {e}; give the directory of a set-up that aid-hil init wrote",
            dir.display()
        ))
    })?;
    let mut made = Made::default();
    let added = Added {
        cars: add_cars(&dir, additions.cars, &mut made)?,
        profiles: add_profiles(&dir, additions.profiles, &mut made)?,
        // Last: what it changes was there before.
        drivers: add_drivers(&dir, &additions.drivers)?,
    };
    made.kept = true;
    print(&dir, &added, json)
}

fn add_cars(dir: &Path, count: usize, made: &mut Made) -> Result<Vec<Car>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let now = SystemTime::now();
    let mut taken = card_ports(dir)?;
    let first = load(&dir.join("agent.toml"))?;
    let issuer = aid_pki::cars_issuer(&dir.join("pki/aid"), now)?;
    let eum = Eum::read(dir)?;
    let mut cars = Vec::new();
    for _ in 0..count {
        let suffix = free_suffix(dir)?;
        let car = Car {
            eid: random::eid()?,
            port: free_port(&taken)?,
            suffix,
        };
        taken.insert(car.port);
        let suffix = &car.suffix;
        let aid = dir.join("pki/aid");
        made.expect(["pem", "key"].map(|kind| aid.join(format!("car{suffix}.{kind}"))));
        aid_pki::car(&aid, &car, &issuer, now)?;
        eum.certify(dir, &car, now, made)?;
        let card = configs::euicc(&car, None);
        made.file(dir.join(format!("euicc{suffix}.toml")), card.as_bytes())?;
        let tcu = configs::another_agent(&first, &car)?;
        made.file(dir.join(format!("agent{suffix}.toml")), tcu.as_bytes())?;
        cars.push(car);
    }
    Ok(cars)
}

/// The first suffix that no file of a car has.
fn free_suffix(dir: &Path) -> Result<String, Failure> {
    (2..=MOST)
        .map(|n| format!("-{n}"))
        .find(|suffix| {
            [
                format!("agent{suffix}.toml"),
                format!("euicc{suffix}.toml"),
                format!("pki/aid/car{suffix}.pem"),
                format!("pki/aid/car{suffix}.key"),
            ]
            .iter()
            .all(|file| !dir.join(file).exists())
        })
        .ok_or_else(|| Failure::new(format!("this set-up has {MOST} cars already; make another")))
}

/// The ports that the set-up's cards listen on.
fn card_ports(dir: &Path) -> Result<BTreeSet<u16>, Failure> {
    let mut ports = BTreeSet::new();
    let suffixes = (2..=MOST).map(|n| format!("-{n}"));
    for suffix in std::iter::once(String::new()).chain(suffixes) {
        let file = dir.join(format!("euicc{suffix}.toml"));
        if !file.exists() {
            continue;
        }
        let listen = load(&file)?;
        let port = listen
            .get("listen")
            .and_then(toml::Value::as_str)
            .and_then(|text| text.parse::<SocketAddr>().ok())
            .map(|address| address.port());
        ports.extend(port);
    }
    Ok(ports)
}

/// A port for another card: from the end of the set-up's own block, then above it. Its other parts, whose ports come
/// right behind the first card's, may not be running now.
fn free_port(taken: &BTreeSet<u16>) -> Result<u16, Failure> {
    let first = taken.first().copied().unwrap_or(FIRST_PORT);
    let block = first.saturating_add(PARTS)..=first.saturating_add(BLOCK - 2);
    let above = first.saturating_add(BLOCK)..=u16::MAX;
    block
        .rev()
        .chain(above)
        .find(|port| {
            !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        })
        .ok_or_else(|| Failure::new(format!("no port from {first} on is free on 127.0.0.1")))
}

/// The test EUM of a set-up, which certifies its cards.
struct Eum {
    identity: pki::Identity,
}

impl Eum {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let folder = dir.join("pki/rsp/EUM");
        let certificate = folder.join("CERT_EUM_ECDSA_NIST.der");
        let certificate = config::read(&certificate, MAX_FILE, "EUM certificate")?;
        let file = folder.join("SK_EUM_ECDSA_NIST.pem");
        let key = config::read(&file, MAX_FILE, "EUM key")?;
        let wrong = |e: &dyn std::fmt::Display| {
            Failure::new(format!(
                "the EUM key {} can't be used: {e}; new cars need the key that init wrote",
                file.display()
            ))
        };
        let private = PrivateKey::from_pem_or_der(&key).map_err(|e| wrong(&e))?;
        let public = SoftwareCrypto::new()
            .public_key(&private)
            .map_err(|e| wrong(&e))?;
        let key = KeyPair { private, public };
        Ok(Self {
            identity: pki::Identity { certificate, key },
        })
    }

    fn certify(
        &self,
        dir: &Path,
        car: &Car,
        now: SystemTime,
        made: &mut Made,
    ) -> Result<(), Failure> {
        let ((from, to), suffix) = (super::rsp_validity(now), &car.suffix);
        let eid = es10::eid_from_digits(&car.eid)
            .ok_or_else(|| Failure::new(format!("{:?} is no EID of 32 digits", car.eid)))?;
        let (crypto, rng) = (SoftwareCrypto::new(), &mut random::rng());
        let euicc = pki::mint_euicc(
            &self.identity,
            &pki::MintParams::loopback(&eid, from, to),
            &crypto,
            rng,
        )?;
        let folder = dir.join("pki/rsp/eUICC");
        let certificate = folder.join(format!("CERT_EUICC_ECDSA_NIST{suffix}.der"));
        let key = folder.join(format!("SK_EUICC_ECDSA_NIST{suffix}.pem"));
        made.expect([
            certificate.clone(),
            certificate.with_extension("pem"),
            key.clone(),
        ]);
        let _open = leftovers::gate();
        euicc.write_to(&certificate, &key).map_err(|e| {
            Failure::new(format!(
                "cannot write the card's certificate {e}; is the disk full or the directory read-only?"
            ))
        })
    }
}

fn add_profiles(
    dir: &Path,
    count: usize,
    made: &mut Made,
) -> Result<Vec<(PathBuf, String)>, Failure> {
    let mut profiles = Vec::new();
    for _ in 0..count {
        let file = (2..=MOST)
            .map(|n| dir.join(format!("inventory/op-{n}.der")))
            .find(|file| !file.exists())
            .ok_or_else(|| {
                Failure::new(format!(
                    "the inventory has {MOST} profiles already; smdp.toml can have a template that makes them"
                ))
            })?;
        let subject = Subject::build()?;
        made.file(file.clone(), &subject.package)?;
        profiles.push((file, subject.iccid));
    }
    Ok(profiles)
}

fn add_drivers(dir: &Path, names: &[String]) -> Result<Vec<Driver>, Failure> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let file = dir.join("msp.toml");
    let before = config::read(&file, config::MAX_CONFIG, "configuration")?;
    let msp = load(&file)?;
    let subscribers = msp.get("subscriber").and_then(toml::Value::as_array);
    let text = |name: &str| -> BTreeSet<String> {
        let values = subscribers.into_iter().flatten();
        let values = values.filter_map(|one| one.get(name)?.as_str());
        values.map(str::to_owned).collect()
    };
    let (mut users, mut numbers) = (text("user"), text("msisdn"));
    let mut drivers = Vec::new();
    let mut tables = String::new();
    for name in names {
        let driver = Driver::new(name)?;
        if !users.insert(driver.msp_user.clone()) {
            return Err(Failure::new(format!(
                "msp.toml has the subscriber {} already; choose another name",
                driver.msp_user
            )));
        }
        let number = (1..=99_999_999)
            .map(configs::msisdn)
            .find(|number| numbers.insert(number.clone()))
            .ok_or_else(|| Failure::new("msp.toml has used up its phone numbers"))?;
        tables.push_str(&configs::subscriber(
            &driver.msp_user,
            &driver.msp_password,
            &number,
            None,
        )?);
        drivers.push(driver);
    }
    let mut after = before;
    after.extend_from_slice(tables.as_bytes());
    // Whole or not at all: the file holds the secrets that both sides share.
    let new = dir.join("msp.toml.new");
    let _open = leftovers::gate();
    private::write(&new, &after)
        .and_then(|()| std::fs::File::open(&new)?.sync_all())
        .and_then(|()| std::fs::rename(&new, &file))
        .map_err(|e| {
            let _ = std::fs::remove_file(&new);
            Failure::new(format!(
                "cannot write {}: {e}; is the disk full or the directory read-only?",
                file.display()
            ))
        })?;
    Ok(drivers)
}

fn load(file: &Path) -> Result<toml::Table, Failure> {
    config::load_as(
        file,
        "configuration",
        "give the directory of a set-up that aid-hil init wrote",
    )
}

/// A user name that both portals take and that needs no quoting in a shell.
pub(super) fn user_name(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !fits {
        return Err("a user name has 1 to 32 lower-case letters and digits".to_owned());
    }
    if text == DRIVERS[0].0 {
        return Err(format!("{text} is the set-up's first driver already"));
    }
    Ok(text.to_owned())
}

fn print(dir: &Path, added: &Added, json: bool) -> Result<(), Failure> {
    if json {
        let cars: Vec<_> = added
            .cars
            .iter()
            .map(|car| {
                json!({
                    "eid": car.eid, "port": car.port,
                    "agent": format!("agent{}.toml", car.suffix),
                    "euicc": format!("euicc{}.toml", car.suffix),
                })
            })
            .collect();
        let drivers: Vec<_> = added
            .drivers
            .iter()
            .map(|driver| {
                json!({
                    "user": driver.name, "password": driver.password, "pin": driver.pin,
                    "msp_user": driver.msp_user, "msp_password": driver.msp_password,
                })
            })
            .collect();
        let profiles: Vec<_> = added
            .profiles
            .iter()
            .map(|(file, iccid)| json!({"file": file, "iccid": iccid}))
            .collect();
        let all = json!({"dir": dir, "cars": cars, "drivers": drivers, "profiles": profiles});
        return cli::print(&format!("{all}\n"));
    }
    let mut text = String::new();
    for Car { suffix, eid, .. } in &added.cars {
        text.push_str(&format!(
            "Car with EID {eid}: agent{suffix}.toml, euicc{suffix}.toml. Tell the CMP: \
             aid-cmp vehicle add {eid} --config cmp.toml\n"
        ));
    }
    for driver in &added.drivers {
        let name = &driver.name;
        text.push_str(&format!(
            "Driver {name}: password {}, PIN in the car {}; at the MSP {}, password {}. Tell the CMP: \
             aid-cmp user add {name} --config cmp.toml; aid-msp knows the subscriber from its next start.\n",
            driver.password, driver.pin, driver.msp_user, driver.msp_password,
        ));
    }
    for (file, iccid) in &added.profiles {
        let file = file.strip_prefix(dir).unwrap_or(file);
        text.push_str(&format!(
            "Profile with ICCID {iccid}: {}. A running aid-smdp finds it by itself.\n",
            printable(&file.display().to_string())
        ));
    }
    cli::print(&text)
}
