//! The admin listener: `/metrics` (Prometheus), `/healthz` (the process lives), `/readyz` (it can serve),
//! `/openapi.json` where the program has an API.
//! For the operator's own machine: loopback without TLS by default, TLS anywhere else.

use crate::http::{self, bind};
use crate::live::{Live, Tls};
use crate::peer::{Certificate, Several};
use crate::{door, metrics, telemetry};
use aid_cli::cli::Failure;
use aid_cli::config::beside;
use aid_cli::signal::Stop;
use aid_cli::tls;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rustls::ServerConfig;
use serde::Deserialize;
use serde_json::json;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Longest time that a check for readiness may take.
const CHECK: Duration = Duration::from_secs(3);

/// `[admin]` of a configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HOST:PORT; port 0 takes a free one.
    #[serde(default = "loopback")]
    pub listen: String,
    /// Server certificate; needed unless `listen` is loopback.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// CA of the clients, where only they may look.
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`: common names of the clients' certificates.
    #[serde(default)]
    pub common_name: Several,
    /// With `client_ca`: SHA-256 of the clients' certificates.
    #[serde(default)]
    pub certificate_sha256: Several,
}

fn loopback() -> String {
    "127.0.0.1:0".into()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: loopback(),
            cert: None,
            key: None,
            client_ca: None,
            common_name: Several::default(),
            certificate_sha256: Several::default(),
        }
    }
}

impl Config {
    /// Makes paths relative to the configuration file.
    pub fn resolve(&mut self, config: &Path) {
        for path in [&mut self.cert, &mut self.key, &mut self.client_ca] {
            *path = path.as_ref().map(|p| beside(config, p));
        }
    }

    /// Certificates and keys, where there are some.
    ///
    /// # Errors
    /// Half a pair, an unusable file, or no TLS on an address that others reach.
    pub fn tls(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                tls::server_config(cert, key, self.client_ca.as_deref()).map(Some)
            }
            (None, None) if self.client_ca.is_none() => {
                let host = self.listen.rsplit_once(':').map_or("", |(host, _)| host);
                if telemetry::is_local(host) {
                    return Ok(None);
                }
                // AID.02 §6: all communication of the service is encrypted.
                Err(Failure::new(format!(
                    "admin.listen {:?} is not on this machine alone: give admin.cert and admin.key, or 127.0.0.1",
                    self.listen
                )))
            }
            _ => Err(Failure::new(
                "admin.cert and admin.key belong together, admin.client_ca needs them",
            )),
        }
    }

    /// The clients that may look, where `client_ca` demands certificates; an empty list admits no one.
    ///
    /// # Errors
    /// A value that no certificate can have, or names without `client_ca`.
    pub fn admitted(&self) -> Result<Option<Vec<Certificate>>, Failure> {
        if self.client_ca.is_some() {
            return door::named("admin", &self.common_name, &self.certificate_sha256).map(Some);
        }
        if self.common_name.is_empty() && self.certificate_sha256.is_empty() {
            return Ok(None);
        }
        Err(Failure::new(
            "admin.common_name and admin.certificate_sha256 need admin.client_ca: without it nobody shows a certificate",
        ))
    }

    /// Takes the address.
    ///
    /// # Errors
    /// As [`Config::tls`], [`Config::admitted`] and [`bind`].
    pub async fn open(&self) -> Result<Listener, Failure> {
        let tls = self.tls()?;
        let admitted = self.admitted()?.map(door::live);
        let listener = bind(&self.listen).await?;
        let tls = tls.map(Live::new);
        Ok(Listener {
            listener,
            tls,
            admitted,
        })
    }
}

/// Whether a part of the program can do its work.
pub type Check = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What the listener shows.
pub struct Shown {
    /// Asked for each `/readyz`.
    pub ready: Arc<dyn Fn() -> Check + Send + Sync>,
    /// The API's description, JSON; none where the program has no API of its own.
    pub openapi: Option<Arc<str>>,
}

/// The open listener.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    tls: Option<Live<ServerConfig>>,
    admitted: Option<Live<Vec<Certificate>>>,
}

/// What of the open listener is replaced while it serves.
#[derive(Debug, Clone)]
pub struct Renewable {
    tls: Option<Live<ServerConfig>>,
    admitted: Option<Live<Vec<Certificate>>>,
}

impl Renewable {
    /// Puts certificates, keys and admitted clients in force. A listener that comes to TLS or leaves it, or that begins
    /// or ends to demand client certificates, stays as it is until a restart.
    pub fn renew(&self, tls: Option<Arc<ServerConfig>>, admitted: Option<Vec<Certificate>>) {
        // Both or nothing: certificates of a new CA are not judged by the old list, nor the other way round.
        if self.admitted.is_some() != admitted.is_some() {
            return;
        }
        if let (Some(live), Some(new)) = (&self.admitted, admitted) {
            live.renew(Arc::new(new));
        }
        if let (Some(live), Some(new)) = (&self.tls, tls) {
            live.renew(new);
        }
    }
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.listener.local_addr()?)
    }

    /// Its certificates and keys and who may look, to be replaced while it serves.
    #[must_use]
    pub fn renewable(&self) -> Renewable {
        Renewable {
            tls: self.tls.clone(),
            admitted: self.admitted.clone(),
        }
    }

    /// Serves until the process stops. While requests are still running down it says "not ready".
    pub async fn serve(self, shown: Shown, stop: Stop) {
        self.serve_beside(shown, Router::new(), stop).await;
    }

    /// As [`Self::serve`], with paths of the program's own beside those that all have.
    pub async fn serve_beside(self, shown: Shown, own: Router, stop: Stop) {
        let mut router = router(shown, stop.clone()).merge(own);
        if let Some(admitted) = self.admitted {
            router = door::guard(router, "admin", admitted);
        }
        let tls = self.tls.map_or_else(|| None.into(), Tls::from);
        http::serve(self.listener, tls, router, stop).await;
    }
}

fn router(shown: Shown, stop: Stop) -> Router {
    let Shown { ready, openapi } = shown;
    let json = |status, body: String| -> Response {
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    // One at a time: checks that never end must not pile up.
    let turn = Arc::new(Mutex::new(()));
    let readyz = move || async move {
        let problem = if stop.is_set() {
            Some("stopping".to_owned())
        } else {
            match timeout(CHECK, uncancelled(turn, ready)).await {
                Ok(Ok(())) => None,
                Ok(Err(problem)) => Some(problem),
                Err(_) => Some("the check takes too long".to_owned()),
            }
        };
        match problem {
            None => json(StatusCode::OK, json!({"ready": true}).to_string()),
            Some(why) => json(
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"ready": false, "why": why}).to_string(),
            ),
        }
    };
    let router = Router::new()
        .route(
            "/metrics",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
                    metrics::render(),
                )
            }),
        )
        .route(
            "/healthz",
            get(move || async move { json(StatusCode::OK, json!({"alive": true}).to_string()) }),
        )
        .route("/readyz", get(readyz));
    match openapi {
        None => router,
        Some(openapi) => router.route(
            "/openapi.json",
            get(move || async move { json(StatusCode::OK, openapi.to_string()) }),
        ),
    }
}

/// Checks in a task of its own once it is its turn: a check that is cut off because its caller hung up would count as a
/// failure.
async fn uncancelled(
    turn: Arc<Mutex<()>>,
    ready: Arc<dyn Fn() -> Check + Send + Sync>,
) -> Result<(), String> {
    let held = turn.lock_owned().await;
    let check = tokio::spawn(async move {
        let found = ready().await;
        drop(held);
        found
    });
    check
        .await
        .unwrap_or_else(|_| Err("the check failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::{Semaphore, mpsc};

    // A probe that hangs up in the middle of a check does not cancel it, and the next one waits for its end.
    #[tokio::test]
    async fn a_check_ends_whatever_its_caller_does() {
        let running = Arc::new(AtomicUsize::new(0));
        let go_on = Arc::new(Semaphore::new(0));
        let (tell, mut told) = mpsc::unbounded_channel();
        let ready: Arc<dyn Fn() -> Check + Send + Sync> = {
            let (running, go_on) = (Arc::clone(&running), Arc::clone(&go_on));
            Arc::new(move || {
                let (running, go_on, tell) =
                    (Arc::clone(&running), Arc::clone(&go_on), tell.clone());
                Box::pin(async move {
                    let before = running.fetch_add(1, Ordering::SeqCst);
                    let _ = tell.send(("begun", before));
                    let permit = go_on.acquire().await;
                    permit.map_err(|e| e.to_string())?.forget();
                    let _ = tell.send(("ended", running.fetch_sub(1, Ordering::SeqCst)));
                    Ok(())
                })
            })
        };
        let turn = Arc::new(Mutex::new(()));
        let probe = || tokio::spawn(uncancelled(Arc::clone(&turn), Arc::clone(&ready)));
        let first = probe();
        assert_eq!(told.recv().await, Some(("begun", 0)));
        first.abort();
        assert!(first.await.is_err_and(|e| e.is_cancelled()));
        let second = probe();
        go_on.add_permits(1);
        assert_eq!(told.recv().await, Some(("ended", 1)));
        assert_eq!(told.recv().await, Some(("begun", 0)));
        go_on.add_permits(1);
        assert_eq!(second.await.expect("no panic"), Ok(()));
    }

    // R-6-7
    #[test]
    fn without_tls_on_loopback_only() {
        let config = |listen: &str| Config {
            listen: listen.into(),
            ..Config::default()
        };
        for local in ["127.0.0.1:0", "[::1]:9", "localhost:1"] {
            assert!(config(local).tls().expect("allowed").is_none(), "{local}");
        }
        for open in ["0.0.0.0:9", "[::]:9", "10.0.0.1:9", ":9", "9"] {
            assert!(config(open).tls().is_err(), "{open}");
        }
        let mut half = config("127.0.0.1:0");
        half.cert = Some("cert.pem".into());
        assert!(half.tls().expect_err("half").text.contains("admin.key"));
    }
}
