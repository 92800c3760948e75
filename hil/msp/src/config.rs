//! Configuration of `aid-msp`: read, checked as a whole, then turned into typed values.
//! `aid-msp.example.toml` explains every key. `cmp` is what is agreed with a CMP, `customer` who has which subscription.

mod cmp;
mod customer;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aid_aid1::headers::PartyId;
use aid_cli::cli::Failure;
use aid_cli::config::{beside, load};
use aid_serve::limit::Rate;
use aid_serve::page::theme::{self, Theme};
use aid_serve::peer::{Certificate, Several};
use aid_serve::{admin, door, password, slots, telemetry};
use serde::Deserialize;

use crate::touchpoint::COLOUR;

pub(crate) use cmp::{Cmp, CmpParty, Mode};
pub(crate) use customer::{More, Subscriber};

/// The commented example.
pub const EXAMPLE: &str = include_str!("../aid-msp.example.toml");

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// SQLite file.
    pub(crate) database: PathBuf,
    /// AID1 server.
    pub(crate) aid1: Listener,
    /// AID5 pages.
    pub(crate) touchpoint: Touchpoint,
    /// ES2+.
    pub(crate) smdp: Smdp,
    /// Metrics, health, the API's description.
    #[serde(default)]
    pub(crate) admin: admin::Config,
    /// Export of traces; absent: none.
    pub(crate) telemetry: Option<telemetry::Config>,
    /// How often somebody may call or try to log in.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// How many connections one client may have.
    #[serde(default)]
    pub(crate) connections: slots::Config,
    /// Control API; none if absent, and no misbehaviour either.
    pub(crate) control: Option<Control>,
    /// The CMPs.
    #[serde(default)]
    pub(crate) cmp: Vec<Cmp>,
    /// ES2+ calls of the SM-DP+; not listened for if absent.
    pub(crate) es2: Option<Es2>,
    /// Which cars get a profile; all if absent.
    #[serde(default)]
    pub(crate) eligibility: Eligibility,
    /// The customers, each with a first subscription.
    #[serde(default)]
    pub(crate) subscriber: Vec<Subscriber>,
    /// Their further subscriptions.
    #[serde(default)]
    pub(crate) subscription: Vec<More>,
    /// The files among it that TLS with others needs.
    #[serde(skip)]
    pub(crate) certificates_and_keys: Vec<PathBuf>,
}

/// The status that refuses an EID: the text of AID.02 §7.7 has 423, its JSON has none but 422.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) enum RefusedEid {
    /// As the text has it.
    #[default]
    #[serde(rename = "423")]
    Locked,
    /// As the JSON has it.
    #[serde(rename = "422")]
    Unprocessable,
}

/// `[eligibility]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Eligibility {
    /// First digits of the EIDs that get a profile; all if empty.
    #[serde(default)]
    pub(crate) eids: Vec<String>,
    /// EIDs, or their first digits, that get none.
    #[serde(default)]
    pub(crate) refused_eids: Vec<String>,
    /// `deviceType`s that get a profile; all if empty.
    #[serde(default)]
    pub(crate) device_types: Vec<String>,
    /// The status that refuses an EID.
    #[serde(default)]
    pub(crate) refused_eid_status: RefusedEid,
}

/// `[limits]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// AID1 requests of one CMP.
    pub(crate) aid1: Rate,
    /// Logins at the touchpoint from one address.
    pub(crate) login: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            aid1: Rate::new(500.0, 1000),
            login: Rate::new(1.0, 50),
        }
    }
}

/// `[aid1]`: a listener with mutual TLS; who may call is in `[[cmp]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// HOST:PORT
    pub(crate) listen: String,
    /// Server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the callers' client certificates.
    pub(crate) client_ca: PathBuf,
    /// Our `target-id`; any if absent.
    pub(crate) own_id: Option<PartyId>,
}

/// `[es2]`: the listener for the SM-DP+, with mutual TLS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Es2 {
    /// HOST:PORT
    pub(crate) listen: String,
    /// Server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the SM-DP+'s client certificates.
    pub(crate) client_ca: PathBuf,
    /// Common names of its client certificates.
    #[serde(default)]
    pub(crate) common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub(crate) certificate_sha256: Several,
}

impl Es2 {
    /// The certificates of the SM-DP+; an empty list admits no one.
    ///
    /// # Errors
    /// A value that no certificate can have.
    pub(crate) fn admitted(&self) -> Result<Vec<Certificate>, Failure> {
        door::named("es2", &self.common_name, &self.certificate_sha256)
    }
}

/// `[touchpoint]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Touchpoint {
    /// HOST:PORT
    pub(crate) listen: String,
    /// Server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Shown to customers.
    #[serde(default = "default_name")]
    pub(crate) name: String,
    /// `https://...` as browsers see it, for onboarding that begins here; absent: it cannot.
    pub(crate) base_url: Option<String>,
    /// What the pages look like; its name is that of the pages, where it has one.
    #[serde(default)]
    pub(crate) theme: theme::Config,
}

impl Touchpoint {
    /// What the pages look like, checked.
    ///
    /// # Errors
    /// A value of `[touchpoint.theme]` is not usable.
    pub(crate) fn theme(&self) -> Result<Theme, Failure> {
        let theme = self.theme.theme(&self.name, COLOUR);
        theme.map_err(|e| Failure::new(format!("touchpoint.{e}")))
    }
}

/// `[control]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// HOST:PORT of this machine: the API has no encryption.
    pub(crate) listen: SocketAddr,
}

/// `[smdp]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smdp {
    /// Base of ES2+.
    pub(crate) url: String,
    /// CA of its server certificate.
    pub(crate) ca: PathBuf,
    /// Our client certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// functionRequesterIdentifier.
    #[serde(default = "default_requester")]
    pub(crate) requester: String,
    /// Address for activation codes, where ConfirmOrder does not give one.
    pub(crate) address: Option<String>,
    /// Profile type to order.
    pub(crate) profile_type: Option<String>,
    /// ReleaseProfile after ConfirmOrder, instead of its releaseFlag.
    #[serde(default)]
    pub(crate) release_separately: bool,
}

fn default_name() -> String {
    "Mobile Service Provider".into()
}

fn default_requester() -> String {
    "1.3.6.1.4.1.99999.1".into()
}

impl Config {
    /// Reads and checks a file; its paths become relative to it.
    ///
    /// # Errors
    /// One sentence with file, key and remedy.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let mut config: Self = load(file)?;
        config.resolve(file);
        let wrong = |what: String| Failure::new(format!("{}: {what}", file.display()));
        config.check().map_err(wrong)?;
        Ok(config)
    }

    /// The private keys that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.aid1.key, &self.touchpoint.key, &self.smdp.key];
        let es2 = self.es2.iter().map(|es2| &es2.key);
        let cmps = self.cmp.iter().map(|cmp| &cmp.key);
        let all = own
            .into_iter()
            .chain(&self.admin.key)
            .chain(es2)
            .chain(cmps);
        all.map(PathBuf::as_path)
    }

    /// Makes the paths relative to the file, and lists what TLS needs.
    fn resolve(&mut self, file: &Path) {
        self.database = beside(file, &self.database);
        let (pages, smdp) = (&mut self.touchpoint, &mut self.smdp);
        let aid1 = &mut self.aid1;
        let aid1 = [&mut aid1.cert, &mut aid1.key, &mut aid1.client_ca];
        let es2 = self.es2.iter_mut();
        let es2 = es2.flat_map(|l| [&mut l.cert, &mut l.key, &mut l.client_ca]);
        let listeners = aid1.into_iter().chain(es2);
        let cmps = self.cmp.iter_mut();
        let cmps = cmps.flat_map(|c| [&mut c.ca, &mut c.cert, &mut c.key]);
        let paths = [&mut pages.cert, &mut pages.key]
            .into_iter()
            .chain([&mut smdp.ca, &mut smdp.cert, &mut smdp.key])
            .chain(listeners)
            .chain(cmps);
        for path in paths {
            *path = beside(file, path);
            self.certificates_and_keys.push(path.clone());
        }
        pages.theme.resolve(file);
        self.admin.resolve(file);
        let admin = [&self.admin.cert, &self.admin.key, &self.admin.client_ca];
        let admin = admin.into_iter().flatten().cloned();
        self.certificates_and_keys.extend(admin);
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.resolve(file);
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(control) = &self.control
            && !control.listen.ip().is_loopback()
        {
            return Err(format!(
                "[control] listen {} is not of this machine alone; write 127.0.0.1:PORT",
                control.listen
            ));
        }
        let mut users = BTreeSet::new();
        for s in &self.subscriber {
            let user = &s.user;
            if user.is_empty() || user.chars().count() > 100 {
                return Err(format!(
                    "subscriber {user:?}: user needs 1 to 100 characters"
                ));
            }
            if !users.insert(user) {
                return Err(format!("subscriber {user:?} is there twice; remove one"));
            }
            if !password::is_hash(&s.password) {
                return Err(format!(
                    "subscriber {user:?}: password must be a hash; `aid-msp hash-password` makes one of standard input"
                ));
            }
        }
        let mut ids = BTreeSet::new();
        let mut iccids = BTreeSet::new();
        for s in self.all_subscriptions() {
            s.checked()?;
            if !users.contains(&s.user) {
                return Err(format!(
                    "subscription {:?}: there is no subscriber {:?}; add one",
                    s.id, s.user
                ));
            }
            if let Some(iccid) = s
                .iccids
                .iter()
                .find(|iccid| !iccids.insert((*iccid).clone()))
            {
                return Err(format!(
                    "ICCID {iccid} is in two pools or twice in one; remove one"
                ));
            }
            if !ids.insert(s.id.clone()) {
                return Err(format!(
                    "subscription {:?} is there twice; rename one",
                    s.id
                ));
            }
        }
        for url in self
            .cmp
            .iter()
            .filter_map(|cmp| cmp.touchpoint.as_ref())
            .chain(self.touchpoint.base_url.as_ref())
        {
            if !url.starts_with("https://") || url.contains(['#', ' ']) {
                return Err(format!("{url:?} must begin with https:// (AID.02 §6)"));
            }
        }
        for (name, rate) in [("aid1", self.limits.aid1), ("login", self.limits.login)] {
            rate.check().map_err(|e| format!("limits.{name}: {e}"))?;
        }
        self.connections.check()?;
        let mut clients = BTreeSet::new();
        for cmp in &self.cmp {
            let id = &cmp.client_id;
            if !clients.insert(id.as_str()) {
                return Err(format!("cmp {id} is there twice; remove one"));
            }
            if cmp.redirect_uris.is_empty() {
                return Err(format!(
                    "cmp {id}: redirect_uris is empty, so nobody could come back; name its portal"
                ));
            }
        }
        Ok(())
    }

    /// The first subscriptions of all customers, and the further ones.
    pub(crate) fn all_subscriptions(&self) -> impl Iterator<Item = More> {
        let first = self.subscriber.iter().map(More::from);
        first.chain(self.subscription.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("msp.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file).map_err(|f| f.text)
    }

    #[test]
    fn the_example_is_valid_and_its_paths_are_beside_it() {
        let config = read(EXAMPLE).unwrap();
        assert!(config.database.is_absolute());
        assert_eq!(config.cmp[0].mode, Mode::Sync);
        assert_eq!(config.subscriber[0].max_profiles, 10);
    }

    #[test]
    fn what_is_commented_out_in_the_example_is_valid_too() {
        let text: String = EXAMPLE
            .lines()
            .map(|l| match l.strip_prefix("# ").map(str::trim_start) {
                Some(rest)
                    if rest.split_once(" = ").is_some_and(|(k, _)| {
                        k.bytes()
                            .all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
                    }) =>
                {
                    format!("{rest}\n")
                }
                Some(rest) if rest.starts_with('[') => format!("{rest}\n"),
                _ => format!("{l}\n"),
            })
            .collect();
        let config = read(&text).unwrap();
        assert_eq!(config.smdp.profile_type.as_deref(), Some("personal"));
        assert!(config.control.is_some() && config.es2.is_some());
        assert_eq!(config.all_subscriptions().count(), 2);
    }

    #[test]
    fn wrong_values_are_named() {
        for (from, to, says) in [
            ("mode = \"sync\"", "mode = \"later\"", "later"),
            (
                "password = \"$argon2id",
                "password = \"wonderland",
                "hash-password",
            ),
            ("# swap = \"candidate\"", "swap = \"none\"", "swap"),
            ("\"https://localhost:8644\"", "\"http://x\"", "http://x"),
            (
                "client_id = \"cmpdemo1\"",
                "client_id = \"cmp-1\"",
                "client-id",
            ),
            ("msisdn = \"4915112345678\"", "msisdn = \"+49151\"", "alice"),
            ("# max_profiles = 10", "max_profiles = 0", "max_profiles"),
            (
                "# iccids = []",
                "iccids = [\"8944500805172032953\", \"8944500805172032953\"]",
                "8944500805172032953",
            ),
            ("database =", "data_base =", "data_base"),
        ] {
            let error = read(&EXAMPLE.replacen(from, to, 1)).unwrap_err();
            assert!(
                error.contains(says) && error.contains("msp.toml"),
                "{error}"
            );
        }
    }
}
