//! `agent.toml`: parsed once, unknown keys refused, paths made absolute, bearer rules checked.
//! AID traffic never uses the OP's bearer (R-2-12).

mod bearers;
mod bus;

use crate::keys::KeyName;
use aid_cli::cli::Failure;
use aid_port::{DeviceTable, EuiccTable};
use serde::Deserialize;
use std::path::{Path, PathBuf};

pub use bearers::BearerList;
pub use bus::Bus;

/// The commented example, also committed beside the crate.
pub const EXAMPLE: &str = include_str!("../aid-agent.example.toml");

/// The agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the journal.
    pub journal: PathBuf,
    /// Unix socket of the local API.
    pub api: PathBuf,
    /// Users who may use the API besides root and the agent's own.
    #[serde(default)]
    pub api_uids: Vec<u32>,
    /// The D-Bus on which the same calls are offered.
    #[serde(default)]
    pub dbus: Bus,
    /// How the card is reached.
    pub euicc: EuiccTable,
    /// What the car says about itself to SM-DP+ servers.
    #[serde(default)]
    pub device: DeviceTable,
    /// The CMP.
    pub cmp: Cmp,
    /// Trust in SM-DP+ servers.
    #[serde(default)]
    pub rsp: Rsp,
    /// The admin bearers, best first.
    #[serde(default)]
    pub bearer: BearerList,
    /// The OP's own interface: never used for AID traffic (R-2-12). Empty: not known.
    #[serde(default)]
    pub op_interface: String,
    /// When sessions end.
    #[serde(default)]
    pub session: Session,
}

/// When sessions end by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Seconds for which a session goes on after the ignition was switched off, 0 to 86,400.
    pub grace_s: u32,
    /// Whether users whose profile is installed can log in while there is no connection to the CMP.
    pub offline: bool,
    /// File of the car's secret for that, made when absent. Default: `offline.secret` beside the folder of the journal.
    pub offline_secret: PathBuf,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            grace_s: 600,
            offline: true,
            offline_secret: PathBuf::new(),
        }
    }
}

/// How the CMP is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cmp {
    /// HOST:PORT of its MQTT listener.
    pub address: String,
    /// PEM of the CA of its certificate.
    pub ca: PathBuf,
    /// PEM of this car's certificate.
    pub cert: PathBuf,
    /// Its key: a file, or a `pkcs11:` URI.
    pub key: KeyName,
    /// Has its certificate renewed over AID2 once two thirds of its life are over.
    #[serde(default = "yes")]
    pub renew: bool,
    /// For the car that slept until its certificate had expired.
    pub bootstrap: Option<Bootstrap>,
}

fn yes() -> bool {
    true
}

/// `[cmp.bootstrap]`: a certificate that lives long, and is good for nothing but having the other one renewed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// PEM of the certificate.
    pub cert: PathBuf,
    /// Its key: a file, or a `pkcs11:` URI.
    pub key: KeyName,
}

/// Trust in SM-DP+ servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rsp {
    /// DER certificates of the issuers.
    #[serde(default)]
    pub ci: Vec<PathBuf>,
    /// For a bench: servers on this machine, in private networks and on other ports than 443 are reached, too.
    #[serde(default)]
    pub private_smdp: bool,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Unreadable, not TOML, unknown keys, or a rule broken.
    pub fn load(file: &Path) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::new(format!("{}: {what}", file.display()));
        let mut config: Self = aid_cli::config::load(file)?;
        config.bearer.check(&config.op_interface).map_err(wrong)?;
        if config.cmp.host_port().is_none() {
            let got = &config.cmp.address;
            return Err(wrong(format!("cmp.address must be HOST:PORT, got {got:?}")));
        }
        if config.session.grace_s > 86_400 {
            let text = "session.grace_s must be at most 86400 (a day)";
            return Err(wrong(text.into()));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let euicc = &mut config.euicc;
        euicc.check(folder).map_err(|e| wrong(e.to_string()))?;
        euicc.settings().map_err(|e| wrong(e.to_string()))?;
        config.device.device().map_err(|e| wrong(e.to_string()))?;
        let paths = [
            &mut config.journal,
            &mut config.api,
            &mut config.cmp.ca,
            &mut config.cmp.cert,
        ];
        for path in paths.into_iter().chain(&mut config.rsp.ci) {
            *path = aid_cli::config::beside(file, path);
        }
        config.cmp.key.resolve(file);
        if let Some(bootstrap) = &mut config.cmp.bootstrap {
            bootstrap.cert = aid_cli::config::beside(file, &bootstrap.cert);
            bootstrap.key.resolve(file);
        }
        let secret = &mut config.session.offline_secret;
        *secret = match secret.as_os_str().is_empty() {
            true => config.journal.with_file_name("offline.secret"),
            false => aid_cli::config::beside(file, secret),
        };
        Ok(config)
    }
}

impl Config {
    /// The files of its certificates.
    #[must_use]
    pub fn certificates(&self) -> Vec<PathBuf> {
        let cmp = [&self.cmp.cert, &self.cmp.ca].into_iter();
        let bootstrap = self.cmp.bootstrap.iter().map(|b| &b.cert);
        cmp.chain(bootstrap).chain(&self.rsp.ci).cloned().collect()
    }

    /// The files of its secrets: keys, and PINs of tokens.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Path> {
        let bootstrap = self.cmp.bootstrap.iter().map(|b| &b.key);
        let keys = [&self.cmp.key].into_iter().chain(bootstrap);
        keys.filter_map(KeyName::secret_file)
    }
}

impl Cmp {
    /// The key is not there: the car was reset to its factory state, or was never set up. A certificate alone may be left of
    /// a reset that lost power between the two.
    #[must_use]
    pub fn has_no_keys(&self) -> bool {
        let gone = |file: &Path| {
            std::fs::symlink_metadata(file).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        match &self.key {
            KeyName::File(file) => gone(file),
            // The token is asked when the key is needed; a reset destroys the key before the certificate.
            KeyName::Token(_) => gone(&self.cert),
        }
    }

    /// Host and port of `address`.
    #[must_use]
    pub fn host_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host, port.parse().ok()?)).filter(|_| !host.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).expect("write");
        Config::load(&file).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_is_valid_and_paths_are_relative_to_it() {
        let config = load(EXAMPLE).expect("example");
        assert!(config.journal.is_absolute());
        assert_eq!(config.cmp.host_port(), Some(("localhost", 8883)));
    }

    #[test]
    fn the_card_is_named_in_the_new_and_in_the_old_way() {
        let port = "port = \"socket:127.0.0.1:7816\"";
        assert!(EXAMPLE.contains(port));
        for (text, expected) in [
            ("socket = \"127.0.0.1:7816\"", "socket:127.0.0.1:7816"),
            ("port = \"at:/dev/ttyUSB2\"", "at:/dev/ttyUSB2"),
        ] {
            let config = load(&EXAMPLE.replace(port, text)).expect(text);
            let settings = config.euicc.settings().expect("settings");
            assert_eq!(settings.address.to_string(), expected);
        }
        for (text, expected) in [
            ("", "euicc.port"),
            ("port = \"/dev/ttyUSB2\"", "did you mean at:/dev/ttyUSB2?"),
            ("port = \"pcsc\"\nisdr_aid = \"1\"", "isdr_aid"),
        ] {
            let error = load(&EXAMPLE.replace(port, text)).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
        let device = EXAMPLE.replace("[device]\n", "[device]\nimei = \"1\"\n");
        let error = load(&device).expect_err("imei");
        assert!(error.contains("device.imei"), "{error}");
    }

    #[test]
    fn unknown_keys_and_bad_addresses_are_refused() {
        assert!(
            load(&format!("colour = 1\n{EXAMPLE}"))
                .expect_err("key")
                .contains("colour")
        );
        assert!(
            load(&EXAMPLE.replace("localhost:8883", "localhost"))
                .expect_err("port")
                .contains("HOST:PORT")
        );
    }
}
