//! A party that is made from the contract: it records what it gets, and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aid_cli::{signal, tls};
use aid_serve::http;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::world::{Folder, until};

/// A request that a party got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: String,
    /// Path with query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Common name of the client certificate.
    pub(crate) common_name: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What a party answers: status, body, more headers, and how long it takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) after: Duration,
}

pub(crate) fn says(status: u16, body: &str) -> Says {
    Says {
        status,
        body: body.as_bytes().to_vec(),
        ..Says::default()
    }
}

type AnswerFn = Arc<dyn Fn(&Got) -> Says + Send + Sync>;

/// The usual success of an operation.
pub(crate) fn success(got: &Got) -> Says {
    let code = "{ \"activationCode\":\"1$smdp.example$ABC\",  \"profileType\":\"personal\",\"swappedIccid\":null}";
    match (got.method.as_str(), got.path.as_str()) {
        ("POST", path) if path.starts_with("/v1/activation-code-requests/") => says(200, code),
        ("GET", _) => says(200, "{\"profiles\": [ ]}"),
        ("DELETE", _) => says(204, ""),
        (_, path) if path.ends_with("/invalidate") => says(204, ""),
        (_, path) if path.ends_with("/profiles") || path.contains("/activation-codes/") => {
            says(200, "")
        }
        _ => says(201, ""),
    }
}

/// What ends a server, and its end.
type Running = (signal::Trigger, tokio::task::JoinHandle<()>);

/// The server of a party.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) url: String,
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<AnswerFn>>,
    running: Arc<Mutex<Option<Running>>>,
}

impl Party {
    pub(crate) async fn start(folder: &Folder) -> Self {
        let listener = http::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let party = Self {
            url: format!("https://localhost:{port}"),
            port,
            got: Arc::default(),
            answer: Arc::new(Mutex::new(Arc::new(success))),
            running: Arc::default(),
        };
        party.serve(folder, listener);
        party
    }

    fn serve(&self, folder: &Folder, listener: tokio::net::TcpListener) {
        let config = tls::server_config(
            &folder.path("server.pem"),
            &folder.path("server.key"),
            Some(&folder.path("ca.pem")),
        );
        let (trigger, stop) = signal::manual();
        let router = Router::new().fallback(record).with_state(self.clone());
        let task = tokio::spawn(http::serve(listener, Some(config.unwrap()), router, stop));
        *self.running.lock().unwrap() = Some((trigger, task));
    }

    /// It is away from now on: nobody listens.
    pub(crate) async fn leave(&self) {
        let running = self.running.lock().unwrap().take();
        let (trigger, task) = running.unwrap();
        trigger.stop();
        task.await.unwrap();
    }

    /// It is back.
    pub(crate) async fn come_back(&self, folder: &Folder) {
        let listener = http::bind(&format!("127.0.0.1:{}", self.port))
            .await
            .unwrap();
        self.serve(folder, listener);
    }

    pub(crate) fn answer(&self, answer: impl Fn(&Got) -> Says + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.got.lock().unwrap().clear();
    }

    /// Waits until requests have come; yields them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Got> {
        until("requests", async || self.got().len() >= count).await;
        self.got()
    }
}

async fn record(State(party): State<Party>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.unwrap().to_vec();
    let peer = parts.extensions.get::<http::Peer>().unwrap();
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let got = Got {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), text(v)))
            .collect(),
        body,
        common_name: peer.common_name.clone().unwrap(),
    };
    party.got.lock().unwrap().push(got.clone());
    let answer = Arc::clone(&party.answer.lock().unwrap());
    let says = answer(&got);
    tokio::time::sleep(says.after).await;
    let mut response = Response::new(axum::body::Body::from(says.body.clone()));
    *response.status_mut() = StatusCode::from_u16(says.status).unwrap();
    let headers = response.headers_mut();
    if !says.body.is_empty() {
        headers.insert("content-type", "application/json".parse().unwrap());
    }
    for (name, value) in says.headers {
        headers.insert(name, value.parse().unwrap());
    }
    response
}
