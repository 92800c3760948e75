//! Certificates and keys that change while `serve` runs: the file is read again when it, or a certificate or key that it
//! names, has changed, and at SIGHUP (AID.02 §6). Parties and pairs are in the database, and are followed by `upkeep`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aid_cli::cli::Failure;
use aid_cli::config::Values;
use aid_cli::signal::Stop;
use aid_cli::validity::{self, Certificates};
use aid_serve::admin;
use aid_serve::live::{self, Live};
use aid_serve::peer::Certificate;
use rustls::ServerConfig;

use super::serve::listeners_tls;
use crate::carriers::OwnTls;
use crate::config::Config;
use crate::hub::Hub;

/// What the next connection or call finds replaced; anything else waits for a restart.
const LIVE: [&str; 16] = [
    "aid1.cert",
    "aid1.key",
    "aid1.client_ca",
    "client.cert",
    "client.key",
    "client.ca",
    "console.cert",
    "console.key",
    "console.client_ca",
    "console.common_name",
    "console.certificate_sha256",
    "admin.cert",
    "admin.key",
    "admin.client_ca",
    "admin.common_name",
    "admin.certificate_sha256",
];

/// What is replaced.
pub(super) struct Renewal {
    pub(super) path: PathBuf,
    /// What was in force at the start.
    pub(super) values: Values,
    pub(super) aid1: Live<ServerConfig>,
    pub(super) console: Option<Live<ServerConfig>>,
    pub(super) console_admitted: Option<Live<Vec<Certificate>>>,
    pub(super) admin: admin::Renewable,
    /// Those whose dates are watched.
    pub(super) certificates: Certificates,
}

/// The files whose change matters.
pub(super) fn files(path: &Path, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(config.certificates_and_keys.iter().cloned());
    files
}

/// The files whose certificates have dates to be watched; there are keys among them.
pub(super) fn certificates(config: &Config) -> Vec<PathBuf> {
    let telemetry = config.telemetry.as_ref().and_then(|t| t.ca.clone());
    let files = config.certificates_and_keys.iter().cloned();
    files.chain(telemetry).collect()
}

impl Renewal {
    /// Replaces until the stop.
    pub(super) fn follow(
        self,
        files: Vec<PathBuf>,
        hub: &Hub,
        stop: Stop,
    ) -> impl Future<Output = ()> + use<> {
        let hub = hub.clone();
        live::follow(files, stop, move || self.renew(&hub))
    }

    /// All of it or, where anything is wrong, nothing.
    fn renew(&self, hub: &Hub) -> Result<Vec<PathBuf>, String> {
        let text = |failure: Failure| failure.text;
        let values = Values::read(&self.path).map_err(text)?;
        let config = Config::read(&self.path).map_err(text)?;
        let tls = listeners_tls(&config).map_err(text)?;
        let own = OwnTls::read(&config.client).map_err(text)?;
        let names = self.values.differing(&values, &LIVE);
        if !names.is_empty() {
            let names = names.join(", ");
            tracing::warn!(%names, "these changes wait for a restart");
        }
        self.aid1.renew(tls.aid1);
        if let (Some(live), Some(new)) = (&self.console, tls.console) {
            live.renew(new);
        }
        if let (Some(live), Some(new)) = (&self.console_admitted, tls.console_admitted) {
            live.renew(Arc::new(new));
        }
        self.admin.renew(tls.admin, tls.admin_admitted);
        self.certificates
            .renew(certificates(&config), validity::now());
        hub.renew(own);
        Ok(files(&self.path, &config))
    }
}
