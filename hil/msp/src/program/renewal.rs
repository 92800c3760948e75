//! Keys, secrets, certificates and CMPs that change while `serve` runs: the file is read again when it, or a certificate
//! or key that it names, has changed, and at SIGHUP (R-5.2-8, R-6-2, R-6-5).

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
use crate::agreed::Agreed;
use crate::config::Config;
use crate::msp::Msp;

/// What the next request, call or connection finds replaced; anything else waits for a restart.
const LIVE: [&str; 25] = [
    "cmp",
    "aid1.cert",
    "aid1.key",
    "aid1.client_ca",
    "aid1.own_id",
    "touchpoint.cert",
    "touchpoint.key",
    "smdp.url",
    "smdp.ca",
    "smdp.cert",
    "smdp.key",
    "smdp.requester",
    "smdp.address",
    "smdp.profile_type",
    "smdp.release_separately",
    "es2.cert",
    "es2.key",
    "es2.client_ca",
    "es2.common_name",
    "es2.certificate_sha256",
    "admin.cert",
    "admin.key",
    "admin.client_ca",
    "admin.common_name",
    "admin.certificate_sha256",
];

/// What is replaced, beside what the MSP has agreed.
pub(super) struct Renewal {
    pub(super) path: PathBuf,
    /// What was in force at the start.
    pub(super) values: Values,
    pub(super) aid1: Live<ServerConfig>,
    pub(super) touchpoint: Live<ServerConfig>,
    /// Of the SM-DP+'s calls, where they are listened for.
    pub(super) es2: Option<Live<ServerConfig>>,
    /// Who may call as the SM-DP+.
    pub(super) es2_admitted: Option<Live<Vec<Certificate>>>,
    /// Of the admin listener.
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
        msp: &Msp,
        stop: Stop,
    ) -> impl Future<Output = ()> {
        live::follow(files, stop, move || self.renew(msp))
    }

    /// All of it or, where anything is wrong, nothing.
    fn renew(&self, msp: &Msp) -> Result<Vec<PathBuf>, String> {
        let text = |failure: Failure| failure.text;
        let values = Values::read(&self.path).map_err(text)?;
        let config = Config::read(&self.path).map_err(text)?;
        let tls = listeners_tls(&config).map_err(text)?;
        let agreed = Agreed::new(&config).map_err(text)?;
        let names = self.values.differing(&values, &LIVE);
        if !names.is_empty() {
            let names = names.join(", ");
            tracing::warn!(%names, "these changes wait for a restart");
        }
        self.aid1.renew(tls.aid1);
        self.touchpoint.renew(tls.touchpoint);
        // A listener that comes or goes is told above.
        if let (Some(live), Some(new)) = (&self.es2, tls.es2) {
            live.renew(new);
        }
        if let (Some(live), Some(new)) = (&self.es2_admitted, tls.es2_admitted) {
            live.renew(Arc::new(new));
        }
        self.admin.renew(tls.admin, tls.admin_admitted);
        self.certificates
            .renew(certificates(&config), validity::now());
        msp.renew(agreed);
        Ok(files(&self.path, &config))
    }
}
