//! The HTTPS port over ureq and rustls: trust in the RSP's certificate issuers only, sockets bound
//! to an admin bearer, payload counted, one connection kept for a whole download, pauses that servers ask for kept.
//! SGP.22 §2.6.6 (TLS 1.2 or later, server authentication), §6.2.

use crate::bearer::Bearers;
use crate::es9::{Http, HttpAnswer, HttpError};
use crate::meter::Meter;
use crate::tcp::BearerConnector;
use crate::trust::TrustedIssuers;
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_id::smdp_address;
use aid_rsp::es9::{
    ADMIN_PROTOCOL, CONTENT_TYPE, Function as _, HandleNotificationRequest, MAX_RESPONSE,
};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, RustlsConnector};

/// Longest wait for one function of the server.
const CALL: Duration = Duration::from_secs(60);
/// Longest wait for a notification to be accepted: an operation on the card, such as the disabling
/// of a profile whose user has left, may be waiting behind it.
const NOTIFY: Duration = Duration::from_secs(10);
/// Longest wait for a revocation list, which the download goes on without.
const LIST: Duration = Duration::from_secs(10);
/// Longest time that an idle connection is used again.
const IDLE: Duration = Duration::from_secs(30);

/// Longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// Calls of one function, the first included, while a server asks for pauses that are waited for.
const MAX_CALLS: u32 = 3;
/// Servers whose pauses are remembered.
const MAX_PAUSES: usize = 256;

/// HTTPS to SM-DP+ servers.
#[derive(Debug)]
pub struct HttpsClient {
    agent: ureq::Agent,
    bearers: Arc<Bearers>,
    private: bool,
    /// Longest pause that is waited for; a longer one is an error until it is over.
    patience: Duration,
    /// Servers that asked for a pause, and when it ends.
    pauses: BTreeMap<String, Instant>,
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
        bearers: impl Into<Bearers>,
        private: bool,
        meter: Arc<dyn Meter>,
    ) -> Result<Self, Failure> {
        let issuers = TrustedIssuers::of_files(ci)?;
        Self::with_issuers(&issuers, bearers, private, meter)
    }

    /// The same with the issuers of a named trust set.
    ///
    /// # Errors
    /// The set is empty.
    pub fn with_issuers(
        issuers: &TrustedIssuers,
        bearers: impl Into<Bearers>,
        private: bool,
        meter: Arc<dyn Meter>,
    ) -> Result<Self, Failure> {
        let roots: Vec<Certificate<'static>> = issuers
            .certificates()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
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
        let bearers = Arc::new(bearers.into());
        let connector = BearerConnector::new(Arc::clone(&bearers), private, meter)
            .chain(RustlsConnector::default());
        Ok(Self {
            agent: ureq::Agent::with_parts(config, connector, DefaultResolver::default()),
            bearers,
            private,
            patience: Duration::ZERO,
            pauses: BTreeMap::new(),
        })
    }

    /// Waits for pauses that servers ask for (Retry-After), as long as they are not longer than this, and calls again.
    /// Without it, a server that asked for a pause is not called before its end ([`HttpError::Later`]).
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What is left of the pause that a server asked for.
    fn pause_left(&mut self, server: &str) -> Option<Duration> {
        let end = *self.pauses.get(server)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.pauses.remove(server);
            return None;
        }
        Some(left)
    }

    /// Waits until a server may be called.
    #[allow(
        clippy::disallowed_methods,
        reason = "the server names a time, and there is no event that would end it"
    )]
    fn await_turn(&mut self, server: &str) -> Result<(), HttpError> {
        let Some(left) = self.pause_left(server) else {
            return Ok(());
        };
        if left > self.patience {
            return Err(HttpError::Later {
                server: server.to_owned(),
                seconds: left.as_secs().max(1),
            });
        }
        tracing::info!(%server, seconds = left.as_secs(), "the server asks for a pause; waiting");
        std::thread::sleep(left);
        self.pauses.remove(server);
        Ok(())
    }

    /// Notes the pause that an answer asks for; true when it is short enough to be waited for.
    fn note_pause(&mut self, server: &str, status: u16, retry_after: Option<&str>) -> bool {
        if !matches!(status, 429 | 503) {
            return false;
        }
        let Some(pause) = retry_after.and_then(|value| pause(value, SystemTime::now())) else {
            return false;
        };
        let now = Instant::now();
        self.pauses.retain(|_, until| *until > now);
        if self.pauses.len() < MAX_PAUSES || self.pauses.contains_key(server) {
            self.pauses.insert(server.to_owned(), now + pause);
        }
        pause <= self.patience
    }
}

/// The pause of a Retry-After header (RFC 9110 §10.2.3): seconds, or the date of its end.
fn pause(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let pause = match value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        // A number with too many digits is a long time.
        true => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        false => {
            let end = httpdate::parse_http_date(value).ok()?;
            end.duration_since(now).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

impl Http for HttpsClient {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        if !self.private {
            smdp_address::check(server).map_err(|not| HttpError::Unreachable {
                server: server.to_owned(),
                what: format!("{not}; on a bench set private_smdp"),
            })?;
        }
        let mut calls = 1;
        loop {
            self.await_turn(server)?;
            let (answer, retry_after) = self.post_once(server, path, body)?;
            let again = self.note_pause(server, answer.status, retry_after.as_deref());
            if !again || calls == MAX_CALLS {
                return Ok(answer);
            }
            calls += 1;
        }
    }

    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError> {
        let unreachable = |server: &str, what: String| HttpError::Unreachable {
            server: server.to_owned(),
            what,
        };
        let uri: Uri = url
            .parse()
            .map_err(|e| unreachable(url, format!("the URL is malformed: {e}")))?;
        let server = uri.authority().map(|a| a.as_str().to_owned());
        let server = server.unwrap_or_default();
        // A certificate is somebody else's word as long as nobody has verified it.
        if !self.private {
            smdp_address::check(&server).map_err(|not| {
                unreachable(&server, format!("{not}; on a bench set private_smdp"))
            })?;
        }
        let request = self.agent.get(uri).config();
        // The list has its issuer's signature, and most are published over plain HTTP.
        let request = request.https_only(false).timeout_global(Some(LIST));
        let wrong = |error: ureq::Error| match error {
            ureq::Error::BodyExceedsLimit(_) => HttpError::TooLong {
                server: server.clone(),
                max,
            },
            error => explain(&server, &error),
        };
        let mut response = request.build().call().map_err(wrong)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(max as u64);
        let body = body.read_to_vec().map_err(wrong)?;
        Ok(HttpAnswer { status, body })
    }
}

impl HttpsClient {
    fn post_once(
        &self,
        server: &str,
        path: &str,
        body: &[u8],
    ) -> Result<(HttpAnswer, Option<String>), HttpError> {
        let wrong = |error: ureq::Error| {
            let silent = fell_silent(&error);
            let error = explain(server, &error);
            // What speaks no TLS, or with another's certificate, may be a captive portal.
            if silent || matches!(error, HttpError::Tls { .. }) {
                self.bearers.fell_silent(Instant::now());
            }
            error
        };
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
        self.bearers.answered();
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_RESPONSE as u64)
            .read_to_vec()
            .map_err(wrong)?;
        Ok((HttpAnswer { status, body }, retry_after))
    }
}

/// Did the network swallow a connection that stood, so that the next one had better take another bearer?
fn fell_silent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(reason) => !matches!(reason, ureq::Timeout::Connect),
        ureq::Error::Io(io) => matches!(
            io.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::NetworkDown | io::ErrorKind::HostUnreachable
        ),
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_seconds_or_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(24 * 3600)),
            ("Fri, 01 Jan 2100 00:00:00 GMT", Some(24 * 3600)),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            assert_eq!(pause(value, now).map(|p| p.as_secs()), seconds, "{value:?}");
        }
    }
}
