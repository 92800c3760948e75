//! Keys, secrets, certificates and MSPs that change while `serve` runs: the file is read again when it,
//! or a certificate or key that it names, has changed, and at SIGHUP (R-5.2-8, R-6-2, R-6-5).

use super::serve::{Vehicles, listeners_tls};
use crate::config::{File, check};
use crate::gateway::Doors;
use crate::service::Service;
use aid_cli::config::Values;
use aid_cli::signal::Stop;
use aid_cli::validity::{self, Certificates};
use aid_serve::admin;
use aid_serve::live::{self, Live};
use rustls::{ClientConfig, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the next request, call or connection finds replaced; anything else waits for a restart.
const LIVE: [&str; 16] = [
    "msp",
    "aid1.cert",
    "aid1.key",
    "aid1.client_ca",
    "portal.cert",
    "portal.key",
    "gateway.cert",
    "gateway.key",
    "gateway.client_ca",
    "gateway.bootstrap_ca",
    "gateway.ca",
    "admin.cert",
    "admin.key",
    "admin.client_ca",
    "admin.common_name",
    "admin.certificate_sha256",
];

/// TLS towards vehicles.
pub(super) enum LiveVehicles {
    /// They connect to us.
    Server(Live<Doors>),
    /// They connect to a broker, as we do.
    Broker(Live<ClientConfig>),
}

/// What is replaced.
pub(super) struct Renewal {
    pub(super) path: PathBuf,
    /// What was in force at the start.
    pub(super) values: Values,
    pub(super) aid1: Live<ServerConfig>,
    pub(super) portal: Live<ServerConfig>,
    pub(super) vehicles: LiveVehicles,
    /// Of the admin listener.
    pub(super) admin: admin::Renewable,
    /// Those whose dates are watched.
    pub(super) certificates: Certificates,
}

/// The files whose change matters.
pub(super) fn files(path: &Path, file: &File) -> Vec<PathBuf> {
    let (aid1, portal, gateway) = (&file.aid1, &file.portal, &file.gateway);
    let mut files = vec![path.to_owned()];
    files.extend([&aid1.cert, &aid1.key, &aid1.client_ca].map(Clone::clone));
    files.extend([&portal.cert, &portal.key, &gateway.cert, &gateway.key].map(Clone::clone));
    let maybe = [&gateway.client_ca, &gateway.bootstrap_ca, &gateway.ca];
    let admin = &file.admin;
    let maybe = maybe
        .into_iter()
        .chain([&admin.cert, &admin.key, &admin.client_ca]);
    files.extend(maybe.flatten().cloned());
    let msps = file.msp.iter();
    files.extend(msps.flat_map(|m| [m.ca.clone(), m.cert.clone(), m.key.clone()]));
    files
}

/// The files whose certificates have dates to be watched; there are keys among them.
pub(super) fn certificates(path: &Path, file: &File) -> Vec<PathBuf> {
    let mut files = files(path, file);
    files.extend(file.telemetry.as_ref().and_then(|t| t.ca.clone()));
    files.extend(file.enrolment.iter().map(|e| e.ca_cert.clone()));
    files.extend(file.vehicle_ca.iter().filter_map(|ca| ca.cert.clone()));
    files.extend(file.webhooks.iter().map(|w| w.ca.clone()));
    files
}

impl Renewal {
    /// Replaces until the stop.
    pub(super) fn follow(
        self,
        files: Vec<PathBuf>,
        service: Arc<Service>,
        stop: Stop,
    ) -> impl Future<Output = ()> + Send {
        live::follow(files, stop, move || self.renew(&service))
    }

    /// All of it or, where anything is wrong, nothing.
    fn renew(&self, service: &Service) -> Result<Vec<PathBuf>, String> {
        let text = |failure: aid_cli::cli::Failure| failure.text;
        let values = Values::read(&self.path).map_err(text)?;
        let config = check(&self.path).map_err(text)?;
        let tls = listeners_tls(&config).map_err(text)?;
        let names = self.values.differing(&values, &LIVE);
        if !names.is_empty() {
            let names = names.join(", ");
            tracing::warn!(%names, "these changes wait for a restart");
        }
        match (&self.vehicles, tls.vehicles) {
            (LiveVehicles::Server(live), Vehicles::Server(new)) => live.renew(new),
            (LiveVehicles::Broker(live), Vehicles::Broker(new)) => live.renew(new),
            // From a server to a broker or back: told above.
            _ => {}
        }
        // A listener that comes to TLS or leaves it: told above.
        self.admin.renew(tls.admin, tls.admin_admitted);
        self.aid1.renew(tls.aid1);
        self.portal.renew(tls.portal);
        self.certificates.renew(
            certificates(&self.path, &config.fixed.file),
            validity::now(),
        );
        let watched = files(&self.path, &config.fixed.file);
        service.renew(config.agreed);
        Ok(watched)
    }
}
