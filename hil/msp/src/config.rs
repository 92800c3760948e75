//! Configuration of `aid-msp`: read once, checked as a whole, then turned into typed values.
//! `aid-msp.example.toml` explains every key.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aid_aid1::account_id::{Policy, Secret};
use aid_aid1::agreed::{self, Several};
use aid_aid1::body::SubscriptionType;
use aid_aid1::client::{CmpClient, DEFAULT_TIMEOUT, Settings};
use aid_aid1::headers::{Credentials, PartyId};
use aid_aid1::phone::{PhoneKey, PhoneNumber};
use aid_aid1::redirect::{AllowList, Pattern};
use aid_aid1::server::Certificate;
use aid_id::Iccid;
use aid_shell::cli::Failure;
use aid_shell::config::{beside, load};
use aid_shell::limit::Rate;
use aid_shell::{admin, password, telemetry, tls};
use serde::Deserialize;

use crate::misbehave::Wire;
use crate::store::{Subscription, SubscriptionState, SwapPolicy};

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
    /// Control API; none if absent, and no misbehaviour either.
    pub(crate) control: Option<Control>,
    /// The CMPs.
    #[serde(default)]
    pub(crate) cmp: Vec<Cmp>,
    /// ES2+ calls of the SM-DP+; not listened for if absent.
    pub(crate) es2: Option<Listener>,
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

/// `[aid1]` and `[es2]`: a listener with mutual TLS.
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

/// `[[cmp]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cmp {
    /// Its `client-id`.
    pub(crate) client_id: PartyId,
    /// Ours at it.
    pub(crate) own_client_id: Option<PartyId>,
    /// Shown to customers; the `client_id` if absent.
    pub(crate) name: Option<String>,
    /// Base of its AID1 operations.
    pub(crate) url: String,
    /// CA of its server certificate.
    pub(crate) ca: PathBuf,
    /// Our client certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// API key that we send.
    pub(crate) api_key_out: Option<String>,
    /// `user:password` that we send instead.
    pub(crate) basic_out: Option<String>,
    /// API keys that we accept.
    #[serde(default)]
    pub(crate) api_key_in: Several,
    /// `user:password` that we accept.
    #[serde(default)]
    pub(crate) basic_in: Several,
    /// Common names of its client certificates.
    #[serde(default)]
    pub(crate) common_name: Several,
    /// SHA-256 of its client certificates.
    #[serde(default)]
    pub(crate) certificate_sha256: Several,
    /// Shared secrets of account ids.
    pub(crate) account_id_secret: Several,
    /// Accept times as strings, as the specification's own example has `exp`.
    #[serde(default = "yes")]
    pub(crate) account_id_times_as_strings: bool,
    /// Whether account ids must carry `ver`.
    #[serde(default)]
    pub(crate) account_id_ver: bool,
    /// AES-256 keys, hexadecimal; the first encrypts.
    pub(crate) phone_key: Several,
    /// Allow-list.
    pub(crate) redirect_uris: Vec<Pattern>,
    /// Its touchpoint, for onboarding that begins here (§4.2).
    pub(crate) touchpoint: Option<String>,
    /// How activation codes are answered.
    #[serde(default)]
    pub(crate) mode: Mode,
}

/// How activation codes are answered (AID.02 §7.7).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// 200 with the code, unless the SM-DP+ takes too long.
    #[default]
    Sync,
    /// 201, then Send Activation Code.
    Async,
    /// The one or the other, by the parity of activationCodeRequestID.
    Mixed,
}

/// `[[subscriber]]`: a customer with his first subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscriber {
    /// Name to log in with.
    pub(crate) user: String,
    /// Argon2id hash of the password.
    pub(crate) password: String,
    /// Name of the subscription; the user's if absent.
    pub(crate) id: Option<String>,
    /// Phone number.
    pub(crate) msisdn: String,
    /// Shown for this subscription.
    pub(crate) msp_name: Option<String>,
    /// Kind of subscription.
    #[serde(default = "default_type")]
    pub(crate) subscription_type: String,
    /// Reporting group.
    pub(crate) customer_group: Option<String>,
    /// Active profiles before one is swapped.
    #[serde(default = "default_max")]
    pub(crate) max_profiles: u32,
    /// What happens then: candidate, own, refuse.
    #[serde(default = "default_swap")]
    pub(crate) swap: String,
    /// Shown before the customer agrees.
    pub(crate) fee: Option<String>,
    /// Whether the option can be booked.
    #[serde(default = "default_eligible")]
    pub(crate) eligible: bool,
    /// The subscription's ICCIDs.
    #[serde(default)]
    pub(crate) iccids: Vec<Iccid>,
}

fn yes() -> bool {
    true
}

/// `[[subscription]]`: one more of a customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct More {
    /// Its name.
    pub(crate) id: String,
    /// The customer.
    pub(crate) user: String,
    /// As in `[[subscriber]]`.
    pub(crate) msisdn: String,
    /// As in `[[subscriber]]`.
    pub(crate) msp_name: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_type")]
    pub(crate) subscription_type: String,
    /// As in `[[subscriber]]`.
    pub(crate) customer_group: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_max")]
    pub(crate) max_profiles: u32,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_swap")]
    pub(crate) swap: String,
    /// As in `[[subscriber]]`.
    pub(crate) fee: Option<String>,
    /// As in `[[subscriber]]`.
    #[serde(default = "default_eligible")]
    pub(crate) eligible: bool,
    /// As in `[[subscriber]]`.
    #[serde(default)]
    pub(crate) iccids: Vec<Iccid>,
}

impl From<&Subscriber> for More {
    fn from(s: &Subscriber) -> Self {
        let s = s.clone();
        Self {
            id: s.id.unwrap_or_else(|| s.user.clone()),
            user: s.user,
            msisdn: s.msisdn,
            msp_name: s.msp_name,
            subscription_type: s.subscription_type,
            customer_group: s.customer_group,
            max_profiles: s.max_profiles,
            swap: s.swap,
            fee: s.fee,
            eligible: s.eligible,
            iccids: s.iccids,
        }
    }
}

impl More {
    /// The subscription, checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn checked(&self) -> Result<Subscription, String> {
        let id = &self.id;
        let wrong =
            |what: &str, e: &dyn std::fmt::Display| format!("subscription {id:?}, {what} {e}");
        if id.is_empty()
            || id.len() > 100
            || id.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(format!(
                "subscription {id:?}: its name has 1 to 100 characters without spaces"
            ));
        }
        self.msisdn
            .parse::<PhoneNumber>()
            .map_err(|e| wrong("msisdn:", &e))?;
        if self.max_profiles == 0 {
            return Err(wrong("max_profiles", &"must be at least 1 (AID.02 §4.3.1)"));
        }
        Ok(Subscription {
            id: id.clone(),
            user: self.user.clone(),
            label: self.msp_name.clone(),
            msisdn: self.msisdn.clone(),
            kind: self
                .subscription_type
                .parse()
                .map_err(|e| wrong("subscription_type", &e))?,
            customer_group: self.customer_group.clone(),
            max_profiles: self.max_profiles,
            swap: self
                .swap
                .parse()
                .map_err(|()| wrong("swap", &"is none of candidate, own, refuse"))?,
            fee: self.fee.clone(),
            eligible: self.eligible,
            state: SubscriptionState::Active,
        })
    }
}

fn default_name() -> String {
    "Mobile Service Provider".into()
}

fn default_requester() -> String {
    "1.3.6.1.4.1.99999.1".into()
}

fn default_type() -> String {
    SubscriptionType::Private.as_str().into()
}

fn default_swap() -> String {
    SwapPolicy::Candidate.as_str().into()
}

fn default_eligible() -> bool {
    true
}

fn default_max() -> u32 {
    10
}

/// A CMP, ready to use.
#[derive(Debug, Clone)]
pub(crate) struct CmpParty {
    /// Its `client-id`.
    pub(crate) client_id: PartyId,
    /// Shown to customers.
    pub(crate) name: String,
    /// Calls it.
    pub(crate) client: CmpClient,
    /// What it proves itself with.
    pub(crate) credentials: Vec<Credentials>,
    /// Its client certificates.
    pub(crate) certificates: Vec<Certificate>,
    /// Secrets of account ids.
    pub(crate) secrets: Vec<Secret>,
    /// What was agreed about account ids.
    pub(crate) policy: Policy,
    /// Phone number cipher.
    pub(crate) phone_key: PhoneKey,
    /// Where browsers may be sent.
    pub(crate) redirects: AllowList,
    /// Its touchpoint, for onboarding that begins here.
    pub(crate) touchpoint: Option<String>,
    /// How activation codes are answered.
    pub(crate) mode: Mode,
    /// Calls it outside the contract.
    pub(crate) wire: Wire,
    /// The key of `phone_key`, for what its type would not encrypt.
    pub(crate) raw_phone_key: [u8; 32],
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

    /// Makes the paths relative to the file, and lists what TLS needs.
    fn resolve(&mut self, file: &Path) {
        self.database = beside(file, &self.database);
        let (pages, smdp) = (&mut self.touchpoint, &mut self.smdp);
        let listeners = std::iter::once(&mut self.aid1).chain(&mut self.es2);
        let listeners = listeners.flat_map(|l| [&mut l.cert, &mut l.key, &mut l.client_ca]);
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
        self.admin.resolve(file);
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

    /// The CMPs with their keys and certificates.
    ///
    /// # Errors
    /// A file or a value is not usable.
    pub(crate) fn parties(&self) -> Result<Vec<CmpParty>, Failure> {
        self.cmp.iter().map(|cmp| self.party(cmp)).collect()
    }

    fn party(&self, cmp: &Cmp) -> Result<CmpParty, Failure> {
        let id = &cmp.client_id;
        let wrong =
            |what: &str, e: &dyn std::fmt::Display| Failure::new(format!("cmp {id}, {what}: {e}"));
        let at = |e: String| Failure::new(format!("cmp {id}: {e}"));
        let own_id = match cmp
            .own_client_id
            .clone()
            .or_else(|| self.aid1.own_id.clone())
        {
            Some(own) => own,
            None => "msp".parse().map_err(|e| wrong("own_client_id", &e))?,
        };
        let settings = Settings {
            base_url: cmp.url.clone(),
            tls: tls::client_config(&cmp.ca, Some((&cmp.cert, &cmp.key)))?
                .as_ref()
                .clone(),
            own_id,
            target_id: cmp.client_id.clone(),
            credentials: agreed::credentials_out(
                cmp.api_key_out.as_deref(),
                cmp.basic_out.as_deref(),
            )
            .map_err(at)?,
            timeout: DEFAULT_TIMEOUT,
        };
        // `id:key` or the key alone.
        let newest = cmp.phone_key.iter().next().unwrap_or_default();
        let newest = newest.rsplit(':').next().unwrap_or_default();
        let mut raw_phone_key = [0; 32];
        for (byte, pair) in raw_phone_key.iter_mut().zip(newest.as_bytes().chunks(2)) {
            // That it is hexadecimal is said below.
            let hex = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
        }
        Ok(CmpParty {
            wire: Wire::new(&settings).map_err(|e| wrong("url", &e))?,
            raw_phone_key,
            client_id: cmp.client_id.clone(),
            name: cmp.name.clone().unwrap_or_else(|| id.to_string()),
            client: CmpClient::new(settings).map_err(|e| wrong("url", &e))?,
            credentials: agreed::credentials_in(&cmp.api_key_in, &cmp.basic_in).map_err(at)?,
            certificates: agreed::certificates(&cmp.common_name, &cmp.certificate_sha256)
                .map_err(at)?,
            secrets: agreed::secrets(&cmp.account_id_secret).map_err(at)?,
            touchpoint: cmp.touchpoint.clone(),
            policy: Policy {
                times_as_strings: cmp.account_id_times_as_strings,
                ver_required: cmp.account_id_ver,
                ..Policy::default()
            },
            phone_key: agreed::phone_key(&cmp.phone_key).map_err(at)?,
            redirects: AllowList::new(cmp.redirect_uris.clone()),
            mode: cmp.mode,
        })
    }
}

/// Longest time for a synchronous answer; AID.02 §7.7.1 allows three seconds.
pub(crate) const SYNC_LIMIT: Duration = Duration::from_millis(2500);

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
