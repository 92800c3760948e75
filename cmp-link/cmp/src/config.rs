//! Configuration of `aid-cmp`: one TOML file, unknown keys refused, everything checked at the start.

mod msp;
mod values;

use crate::store::Database;
use crate::{openid, portal};
use aid_aid1::agreed;
use aid_aid1::server::Gate;
use aid_cli::cli::Failure;
use aid_cli::config::{beside, load};
use aid_cli::tls;
use aid_cmp_core::decide::Policy;
use aid_serve::limit::Rate;
use aid_serve::page::{Site, theme};
use aid_serve::{admin, slots, telemetry};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use msp::{Msp, MspFile};

/// The commented example that `example-config` prints.
pub const EXAMPLE: &str = include_str!("../aid-cmp.example.toml");

/// The file as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// SQLite file or PostgreSQL server.
    pub database: Database,
    /// Key of the car PINs, 64 hexadecimal digits; not in the database.
    pub account_pin_key: String,
    /// AID1 API.
    pub aid1: Api,
    /// User portal.
    pub portal: Portal,
    /// MQTT for vehicles.
    pub gateway: Gateway,
    /// What the specification leaves open.
    #[serde(default)]
    pub policy: Policy,
    /// Metrics, health, the API's description.
    #[serde(default)]
    pub admin: admin::Config,
    /// Issues certificates at the end of the assembly line; absent: nobody does.
    pub enrolment: Option<Enrolment>,
    /// Issues certificates that vehicles ask for over AID2; absent: nobody does.
    pub vehicle_ca: Option<VehicleCa>,
    /// Calls addresses that hear of orders and alarms; absent: none is called.
    pub webhooks: Option<Webhooks>,
    /// Export of traces; absent: none.
    pub telemetry: Option<telemetry::Config>,
    /// How often somebody may call or try to log in.
    #[serde(default)]
    pub limits: Limits,
    /// How many connections one client may have.
    #[serde(default)]
    pub connections: slots::Config,
    /// The MSPs.
    #[serde(default)]
    pub msp: Vec<MspFile>,
}

impl File {
    /// The private keys that it names.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Path> {
        let own = [&self.aid1.key, &self.portal.key, &self.gateway.key];
        let msps = self.msp.iter().map(|msp| &msp.key);
        let enrolment = self.enrolment.iter().map(|e| &e.ca_key);
        let all = own.into_iter().chain(&self.admin.key).chain(msps);
        let renewal = self.vehicle_ca.iter().filter_map(|ca| ca.key.as_ref());
        let all = all.chain(enrolment).chain(renewal);
        all.map(PathBuf::as_path)
    }
}

/// `[limits]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// AID1 requests of one MSP.
    pub aid1: Rate,
    /// Sign-ins, registrations, and changes of password and PIN at the portal from one address, all together.
    pub login: Rate,
    /// Requests of one key of the admin API.
    pub api: Rate,
    /// Accounts that strangers may make in an hour where registration is open, from all addresses together.
    pub registrations_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            aid1: Rate::new(500.0, 1000),
            login: Rate::new(1.0, 50),
            api: Rate::new(50.0, 200),
            registrations_per_hour: 100,
        }
    }
}

/// `[enrolment]`: the CA of the vehicles' certificates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Its certificate, one that `gateway.client_ca` has.
    pub ca_cert: PathBuf,
    /// Its key.
    pub ca_key: PathBuf,
    /// Validity of the certificates, days.
    #[serde(default = "enrolment_days")]
    pub days: u16,
}

fn enrolment_days() -> u16 {
    730
}

/// `[vehicle_ca]`: who issues the certificates that vehicles ask for over AID2: a CA of ours, or a command of the operator's
/// PKI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VehicleCa {
    /// Our CA's certificate, one that `gateway.client_ca` has, and behind it those of its issuers.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Validity of the certificates, days.
    #[serde(default = "enrolment_days")]
    pub days: u16,
    /// Program and arguments that get a request on stdin (PEM), and write the chain to stdout (PEM, the vehicle's first).
    #[serde(default)]
    pub command: Vec<String>,
    /// Longest time that the command may take, seconds, 1 to 300.
    #[serde(default = "command_s")]
    pub command_s: u16,
}

fn command_s() -> u16 {
    30
}

impl VehicleCa {
    /// Whether it is one of the two, and complete.
    fn check(&self) -> Result<(), String> {
        match (&self.cert, &self.key, self.command.is_empty()) {
            (Some(cert), Some(key), true) => {
                tls::certificates(cert).map_err(|e| e.text)?;
                std::fs::metadata(key)
                    .map(drop)
                    .map_err(|e| format!("vehicle_ca.key {} can't be read: {e}", key.display()))?;
                match self.days {
                    0 => Err("vehicle_ca.days must be at least 1".into()),
                    _ => Ok(()),
                }
            }
            (None, None, false) if (1..=300).contains(&self.command_s) => Ok(()),
            (None, None, false) => Err("vehicle_ca.command_s must be 1 to 300".into()),
            _ => Err("vehicle_ca needs cert and key (our own CA), or command".into()),
        }
    }
}

/// `[webhooks]`: how addresses that hear of orders and alarms are called.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// CA of their servers.
    pub ca: PathBuf,
}

/// A listener that demands client certificates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// HOST:PORT; port 0 takes a free one.
    pub listen: String,
    /// Server certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CA of the clients.
    pub client_ca: PathBuf,
}

/// MQTT for vehicles: our own server (`listen`), or a broker that we are a client of (`broker`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// HOST:PORT of our own server; port 0 takes a free one.
    pub listen: Option<String>,
    /// Most vehicles at once.
    #[serde(default = "max_vehicles")]
    pub max_vehicles: usize,
    /// `mqtts://HOST[:PORT]` of a broker.
    pub broker: Option<String>,
    /// Our client id at the broker; each instance needs its own. Absent: the common name of `cert`, which is what a
    /// broker makes of it that binds ids to certificates.
    pub client_id: Option<String>,
    /// Group of the shared subscription: instances of one CMP have the same.
    #[serde(default = "broker_client")]
    pub share: String,
    /// Our certificate: that of the server, or that of the broker's client.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// CA of the vehicles; absent where a broker checks them.
    pub client_ca: Option<PathBuf>,
    /// CA of certificates with which a vehicle may do nothing but have its certificate renewed; absent: there are none.
    pub bootstrap_ca: Option<PathBuf>,
    /// CA of the broker's certificate; absent: `client_ca`.
    pub ca: Option<PathBuf>,
}

/// Vehicles at once where the configuration says nothing.
fn max_vehicles() -> usize {
    20_000
}

/// Common name of our certificate at a broker, and group of our subscriptions, where nothing else is said.
pub const BROKER_CLIENT: &str = "aid-cmp";

fn broker_client() -> String {
    BROKER_CLIENT.into()
}

impl Gateway {
    /// Host and port of the broker.
    ///
    /// # Errors
    /// No `mqtts://HOST[:PORT]`.
    pub fn broker_address(&self) -> Option<Result<(&str, u16), String>> {
        let url = self.broker.as_deref()?;
        let wrong = || format!("gateway.broker {url:?} must be mqtts://HOST[:PORT]");
        let Some(rest) = url.strip_prefix("mqtts://") else {
            return Some(Err(wrong()));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(']') || host.starts_with('[') => {
                (host, port.parse().ok())
            }
            _ => (rest, Some(8883)),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(match port {
            Some(port) if !host.is_empty() && !host.contains(['/', '@', '?']) => Ok((host, port)),
            _ => Err(wrong()),
        })
    }

    /// Whether it is one of the two, and complete.
    fn check(&self) -> Result<(), String> {
        match (&self.listen, self.broker_address()) {
            (Some(_), Some(_)) => {
                Err("gateway has both listen and broker; remove one of them".into())
            }
            (None, None) => Err("gateway needs listen = \"HOST:PORT\" (our own server) or \
                                 broker = \"mqtts://HOST:PORT\""
                .into()),
            (Some(_), None) if self.client_ca.is_none() => {
                Err("gateway.client_ca is needed: the CA of the vehicles' certificates".into())
            }
            (None, Some(Ok(_))) if self.ca.is_none() && self.client_ca.is_none() => {
                Err("gateway.ca is needed: the CA of the broker's certificate".into())
            }
            (None, Some(Err(error))) => Err(error),
            (None, Some(Ok(_))) if self.bootstrap_ca.is_some() => Err(
                "gateway.bootstrap_ca works with gateway.listen only: behind a broker nobody sees which certificate a \
                 vehicle shows"
                    .into(),
            ),
            _ if self.max_vehicles == 0 => Err("gateway.max_vehicles must be at least 1".into()),
            _ if self.share.is_empty() || self.share.contains(['/', '+', '#']) => Err(format!(
                "gateway.share {:?} must be a name without / + #",
                self.share
            )),
            _ => Ok(()),
        }
    }
}

/// The portal's listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// HOST:PORT; port 0 takes a free one.
    pub listen: String,
    /// Server certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// `https://...` as browsers see it.
    pub base_url: String,
    /// Anybody may make an account; else the operator does.
    #[serde(default)]
    pub open_registration: bool,
    /// What the pages look like.
    #[serde(default)]
    pub theme: theme::Config,
    /// Sign-in with another identity provider, beside passwords; absent: none.
    pub openid: Option<openid::Config>,
}

/// What is agreed with the MSPs: replaced in a running server when the file changes.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// The MSPs.
    pub msps: Vec<Arc<Msp>>,
    /// Who may call AID1; its parties are in the order of `msps`.
    pub gate: Gate,
}

impl Agreed {
    /// Whether each MSP has certificates of its own.
    ///
    /// # Errors
    /// Two MSPs, and the certificate that they share.
    pub fn certificates_apart(&self) -> Result<(), String> {
        let msps = self.msps.iter().zip(self.gate.certificates());
        let parties = msps.map(|(msp, theirs)| (msp.name.as_str(), theirs, msp.hub));
        agreed::certificates_apart(parties).map_err(|e| format!("[[msp]]: {e}"))
    }
}

/// What stays as it is until the next start.
#[derive(Debug)]
pub struct Fixed {
    /// As written, paths made absolute or relative to the working directory.
    pub file: File,
    /// Key of the car PINs.
    pub pin_key: [u8; 32],
    /// Theme and texts of the portal.
    pub site: Site,
    /// The identity provider, where there is one.
    pub openid: Option<openid::Provider>,
}

/// Everything, checked.
#[derive(Debug)]
pub struct Config {
    /// As written, and what stays as it is.
    pub fixed: Fixed,
    /// What is agreed with the MSPs.
    pub agreed: Agreed,
}

/// Reads the file only as far as the database and the PIN key, for commands that need no more.
///
/// # Errors
/// As [`File`] demands.
pub fn read(path: &Path) -> Result<File, Failure> {
    let mut file: File = load(path)?;
    if let Database::Sqlite(database) = &mut file.database {
        *database = beside(path, database);
    }
    let api = &mut file.aid1;
    for item in [&mut api.cert, &mut api.key, &mut api.client_ca] {
        *item = beside(path, item);
    }
    let gateway = &mut file.gateway;
    let optional = [
        &mut gateway.client_ca,
        &mut gateway.bootstrap_ca,
        &mut gateway.ca,
    ];
    for item in [&mut gateway.cert, &mut gateway.key]
        .into_iter()
        .chain(optional.into_iter().flatten())
    {
        *item = beside(path, item);
    }
    for item in [&mut file.portal.cert, &mut file.portal.key] {
        *item = beside(path, item);
    }
    file.portal.theme.resolve(path);
    if let Some(openid) = &mut file.portal.openid {
        openid.resolve(path);
    }
    file.admin.resolve(path);
    if let Some(enrolment) = &mut file.enrolment {
        for item in [&mut enrolment.ca_cert, &mut enrolment.ca_key] {
            *item = beside(path, item);
        }
    }
    if let Some(ca) = &mut file.vehicle_ca {
        for item in [&mut ca.cert, &mut ca.key].into_iter().flatten() {
            *item = beside(path, item);
        }
    }
    if let Some(webhooks) = &mut file.webhooks {
        webhooks.ca = beside(path, &webhooks.ca);
    }
    if let Some(telemetry) = &mut file.telemetry {
        telemetry.resolve(path);
    }
    for msp in &mut file.msp {
        for item in [&mut msp.ca, &mut msp.cert, &mut msp.key] {
            *item = beside(path, item);
        }
    }
    pin_key(&file.account_pin_key)
        .ok_or_else(|| wrong(path, "account_pin_key must be 64 hexadecimal digits"))?;
    Ok(file)
}

/// The PIN key of its text.
#[must_use]
pub fn pin_key(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {what}", path.display()))
}

/// Reads and checks everything, certificates and keys among it.
///
/// # Errors
/// One sentence that names file, value and remedy.
pub fn check(path: &Path) -> Result<Config, Failure> {
    let file = read(path)?;
    let pin_key = pin_key(&file.account_pin_key)
        .ok_or_else(|| wrong(path, "account_pin_key must be 64 hexadecimal digits"))?;
    file.gateway.check().map_err(|e| wrong(path, e))?;
    values::places(&file).map_err(|e| wrong(path, e))?;
    file.connections.check().map_err(|e| wrong(path, e))?;
    file.admin.tls()?;
    if let Some(webhooks) = &file.webhooks {
        tls::client_config(&webhooks.ca, None)?;
    }
    if let Some(enrolment) = &file.enrolment {
        tls::certificates(&enrolment.ca_cert)?;
        std::fs::metadata(&enrolment.ca_key).map_err(|e| {
            let key = enrolment.ca_key.display();
            wrong(path, format!("enrolment.ca_key {key} can't be read: {e}"))
        })?;
    }
    if let Some(ca) = &file.vehicle_ca {
        ca.check().map_err(|e| wrong(path, e))?;
    }
    if let Some(telemetry) = &file.telemetry {
        telemetry.check()?;
    }
    for (name, rate) in [
        ("aid1", file.limits.aid1),
        ("login", file.limits.login),
        ("api", file.limits.api),
    ] {
        rate.check()
            .map_err(|e| wrong(path, format!("limits.{name}: {e}")))?;
    }
    let (mut msps, mut parties) = (Vec::new(), Vec::new());
    for (at, msp) in file.msp.iter().enumerate() {
        let before = file.msp.get(..at).unwrap_or_default();
        let (checked, party) = msp::check(msp, before)
            .map_err(|e| wrong(path, format!("[[msp]] {:?}: {e}", msp.name)))?;
        msps.push(Arc::new(checked));
        parties.push(party);
    }
    // Without an MSP nobody may call, whatever target-id they use.
    let gate = Gate::new(parties);
    let theme = file.portal.theme.theme(portal::NAME, portal::COLOUR);
    let theme = theme.map_err(|e| wrong(path, format!("portal.{e}")))?;
    let openid = file.portal.openid.as_ref();
    let openid = openid.map(|openid| openid.provider(&file.portal.base_url));
    Ok(Config {
        fixed: Fixed {
            openid: openid.transpose()?,
            site: Site::new(theme, portal::TABLES),
            file,
            pin_key,
        },
        agreed: Agreed { msps, gate },
    })
}
