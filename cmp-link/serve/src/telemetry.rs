//! Exports OpenTelemetry spans to a collector: OTLP over HTTP with JSON (opentelemetry-proto 1.x).
//! Called at the start of aid-cmp and aid-msp; spans come as OTLP JSON objects (`aid_aid1::span`).
//!
//! The export is a task with a bounded queue: a slow or dead collector loses spans, never requests.

use crate::metrics::Counter;
use aid_cli::cli::Failure;
use aid_cli::config::beside;
use aid_cli::tls;
use axum::body::Body;
use axum::http::{Method, Request, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest time for one export, and for the last one at the end.
const LIMIT: Duration = Duration::from_secs(5);
/// How long spans are collected before they are sent together.
const LINGER: Duration = Duration::from_secs(1);
/// Spans that may wait.
const QUEUE: usize = 4096;
/// Spans of one export.
const BATCH: usize = 512;

static LOST: Counter = Counter::new("aid_spans_lost", "Spans that no collector got");

/// `[telemetry]` of a configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Base URL of the collector's OTLP/HTTP receiver; `http://` on this machine only.
    pub otlp_endpoint: String,
    /// CA of its server certificate, for `https://`.
    pub ca: Option<PathBuf>,
}

impl Config {
    /// Makes paths relative to the configuration file.
    pub fn resolve(&mut self, config: &Path) {
        self.ca = self.ca.as_ref().map(|ca| beside(config, ca));
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// Key, value and remedy.
    pub fn check(&self) -> Result<(), Failure> {
        Collector::new(self).map(|_| ())
    }
}

/// Whether a host is this machine.
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

/// Where spans go.
#[derive(Debug, Clone)]
struct Collector {
    host: String,
    port: u16,
    path: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Collector {
    fn new(config: &Config) -> Result<Self, Failure> {
        let url = &config.otlp_endpoint;
        let wrong = |what: &str| {
            Failure::new(format!(
                "telemetry.otlp_endpoint {url:?} {what}; give e.g. http://127.0.0.1:4318"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let host = uri.host().filter(|h| !h.is_empty());
        let host = host.ok_or_else(|| wrong("names no host"))?.to_owned();
        let (tls, port) = match (uri.scheme_str(), &config.ca) {
            (Some("https"), Some(ca)) => (Some(tls::client_config(ca, None)?), 443),
            (Some("https"), None) => {
                return Err(wrong("needs telemetry.ca, the CA of its server"));
            }
            (Some("http"), _) if is_local(&host) => (None, 80),
            // AID.02 §6: all communication of the service is encrypted.
            (Some("http"), _) => {
                return Err(wrong("must be https:// unless it is on this machine"));
            }
            _ => return Err(wrong("must begin with https://")),
        };
        Ok(Self {
            port: uri.port_u16().unwrap_or(port),
            path: format!("{}/v1/traces", uri.path().trim_end_matches('/')),
            host,
            tls,
        })
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, self.port)).await;
        let stream = stream.map_err(|e| e.to_string())?;
        match &self.tls {
            None => self.exchange(stream, body).await,
            Some(tls) => {
                let server = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
                let connector = TlsConnector::from(Arc::clone(tls));
                let stream = connector.connect(server, stream).await;
                self.exchange(stream.map_err(|e| e.to_string())?, body)
                    .await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, body: String) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let wrong = |e: hyper::Error| e.to_string();
        let handshake = http1::handshake::<_, Body>(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(wrong)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Body::from(body))
            .map_err(|e| e.to_string())?;
        let answer = sender.send_request(request).await.map_err(wrong);
        connection.abort();
        let status = answer?.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it answered {status}"))
        }
    }
}

/// Takes spans; clones share one queue.
#[derive(Debug, Clone)]
pub struct Exporter(mpsc::Sender<Value>);

impl Exporter {
    /// Queues a span, an OTLP JSON object. Where the queue is full it is lost.
    pub fn send(&self, span: Value) {
        if self.0.try_send(span).is_err() {
            LOST.add(&[]);
        }
    }
}

/// The running export.
#[derive(Debug)]
pub struct Export {
    task: JoinHandle<()>,
    end: mpsc::Sender<()>,
}

impl Export {
    /// Sends what is left, for a few seconds at most.
    pub async fn finish(mut self) {
        drop(self.end);
        if timeout(LIMIT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Starts the export of spans under the name `service`. Needs a tokio runtime.
///
/// # Errors
/// As [`Config::check`].
pub fn start(service: &'static str, config: &Config) -> Result<(Exporter, Export), Failure> {
    let collector = Collector::new(config)?;
    let (spans, queue) = mpsc::channel(QUEUE);
    let (end, ended) = mpsc::channel(1);
    let task = tokio::spawn(run(service, collector, queue, ended));
    Ok((Exporter(spans), Export { task, end }))
}

async fn run(
    service: &'static str,
    collector: Collector,
    mut queue: mpsc::Receiver<Value>,
    mut ended: mpsc::Receiver<()>,
) {
    let mut reachable = true;
    loop {
        let mut batch = Vec::new();
        let first = tokio::select! {
            got = queue.recv_many(&mut batch, BATCH) => got,
            _ = ended.recv() => 0,
        };
        if first > 0 {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                _ = ended.recv() => {}
            }
        }
        while batch.len() < BATCH
            && let Ok(span) = queue.try_recv()
        {
            batch.push(span);
        }
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let sent = timeout(LIMIT, collector.post(envelope(service, &batch))).await;
        let sent = sent.unwrap_or_else(|_| Err("it does not answer".into()));
        if let Err(reason) = &sent {
            LOST.add_many(&[], count);
            if reachable {
                let host = &collector.host;
                tracing::warn!(host, reason, "the collector gets no spans");
            }
        }
        reachable = sent.is_ok();
    }
}

/// ExportTraceServiceRequest, as OTLP maps it to JSON.
fn envelope(service: &str, spans: &[Value]) -> String {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceSpans": [{
        "resource": {"attributes": [text("service.name", service), text("service.version", version)]},
        "scopeSpans": [{"scope": {"name": "aid", "version": version}, "spans": spans}],
    }]})
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::post;

    // R-6-7
    #[test]
    fn spans_leave_this_machine_encrypted_only() {
        let check = |url: &str| {
            let config = Config {
                otlp_endpoint: url.into(),
                ca: None,
            };
            config.check().map_err(|e| e.text)
        };
        for good in [
            "http://127.0.0.1:4318",
            "http://localhost",
            "http://[::1]:1/x",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert!(
            check("https://otel.example")
                .expect_err("CA")
                .contains("telemetry.ca")
        );
        for bad in ["http://10.0.0.1:4318", "ftp://127.0.0.1", "nothing", ""] {
            assert!(
                check(bad).expect_err("refused").contains("otlp_endpoint"),
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn a_collector_gets_what_was_sent_until_the_end() {
        let (tell, mut hear) = mpsc::channel::<String>(8);
        let router = Router::new().route(
            "/base/v1/traces",
            post(move |body: String| async move {
                tell.send(body).await.expect("heard");
            }),
        );
        let listener = crate::http::bind("127.0.0.1:0").await.expect("bind");
        let at = listener.local_addr().expect("address");
        tokio::spawn(crate::http::serve(
            listener,
            None,
            router,
            std::future::pending::<()>(),
        ));
        let config = Config {
            otlp_endpoint: format!("http://{at}/base/"),
            ca: None,
        };
        let (exporter, export) = start("test", &config).expect("start");
        exporter.send(json!({"name": "one"}));
        exporter.send(json!({"name": "two"}));
        export.finish().await;
        let got: Value = serde_json::from_str(&hear.recv().await.expect("a batch")).expect("JSON");
        let resource = &got["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][0]["value"]["stringValue"],
            "test"
        );
        let names: Vec<_> = resource["scopeSpans"][0]["spans"]
            .as_array()
            .expect("spans")
            .iter()
            .map(|s| s["name"].as_str().expect("name"))
            .collect();
        assert_eq!(names, ["one", "two"]);
        // Nobody waits for one that is gone.
        exporter.send(json!({}));
    }
}
