//! The HTTPS port over ureq and rustls: trust in the RSP's certificate issuers only, sockets bound
//! to the admin bearer, payload counted, one connection kept for a whole download.
//! SGP.22 §2.6.6 (TLS 1.2 or later, server authentication), §6.2. Called by agent and command line.

use crate::es9::{Http, HttpAnswer, HttpError};
use crate::meter::Meter;
use crate::tcp::{Bearer, BearerConnector};
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_id::smdp_address;
use aid_rsp::es9::{
    ADMIN_PROTOCOL, CONTENT_TYPE, Function as _, HandleNotificationRequest, MAX_RESPONSE,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, RustlsConnector};

/// Longest wait for one function of the server.
const CALL: Duration = Duration::from_secs(60);
/// Longest wait for a notification to be accepted: an operation on the card, such as the disabling
/// of a profile whose user has left, may be waiting behind it.
const NOTIFY: Duration = Duration::from_secs(10);
/// Longest time that an idle connection is used again.
const IDLE: Duration = Duration::from_secs(30);

/// HTTPS to SM-DP+ servers.
#[derive(Debug)]
pub struct HttpsClient {
    agent: ureq::Agent,
    private: bool,
}

impl HttpsClient {
    /// A client that trusts these certificate issuers (DER or PEM files) and no other. Servers in private networks, on this
    /// machine and on other ports than 443 are reached where `private` says so: on a bench. An activation code is somebody
    /// else's word, and must not make a car look around in its own network.
    ///
    /// # Errors
    /// A file is unreadable or no CA certificate, or the list is empty.
    pub fn new(
        ci: &[PathBuf],
        bearer: Bearer,
        private: bool,
        meter: Arc<dyn Meter>,
    ) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for file in ci {
            // Says which file is no trust anchor; ureq would leave it out silently.
            tls::roots(&[file])?;
            for certificate in tls::certificates(file)? {
                roots.push(Certificate::from_der(&certificate).to_owned());
            }
        }
        if roots.is_empty() {
            return Err(Failure::new(
                "no certificate issuer is configured; name the CI of the SM-DP+ servers",
            ));
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(tls::provider())
            .build();
        let config = Config::builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("gsma-rsp-lpad")
            .accept_encoding("")
            .tls_config(tls)
            .timeout_global(Some(CALL))
            .max_idle_age(IDLE)
            .max_idle_connections_per_host(1)
            .build();
        let connector =
            BearerConnector::new(bearer, private, meter).chain(RustlsConnector::default());
        Ok(Self {
            agent: ureq::Agent::with_parts(config, connector, DefaultResolver::default()),
            private,
        })
    }
}

impl Http for HttpsClient {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        if !self.private {
            smdp_address::check(server).map_err(|not| HttpError::Unreachable {
                server: server.to_owned(),
                what: format!("{not}; on a bench set private_smdp"),
            })?;
        }
        let wrong = |error: ureq::Error| explain(server, &error);
        let mut request = self.agent.post(format!("https://{server}{path}"));
        if path == HandleNotificationRequest::PATH {
            let limited = request.config().timeout_global(Some(NOTIFY));
            request = limited.build();
        }
        let mut response = request
            .header("Content-Type", CONTENT_TYPE)
            .header("X-Admin-Protocol", ADMIN_PROTOCOL)
            .send(body)
            .map_err(wrong)?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE as u64)
            .read_to_vec()
            .map_err(wrong)?;
        Ok(HttpAnswer { status, body })
    }
}

fn explain(server: &str, error: &ureq::Error) -> HttpError {
    let server = server.to_owned();
    let what = match error {
        ureq::Error::BodyExceedsLimit(_) => {
            let max = MAX_RESPONSE;
            return HttpError::TooLong { server, max };
        }
        ureq::Error::Rustls(tls) => {
            let what = tls.to_string();
            return HttpError::Tls { server, what };
        }
        ureq::Error::Io(io) => {
            let tls = io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            if let Some(tls) = tls {
                let what = tls.to_string();
                return HttpError::Tls { server, what };
            }
            io.to_string()
        }
        other => other.to_string(),
    };
    HttpError::Unreachable { server, what }
}
