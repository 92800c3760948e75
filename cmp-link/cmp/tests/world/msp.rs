//! An MSP that answers as a test tells it, over mutual TLS, and notes what it was asked.

use super::pki::Pki;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Status, body and headers.
type Answer = (u16, String, Vec<(&'static str, String)>);

/// Header of an answer, not sent: how long the MSP takes, ms.
pub const TAKES: &str = "x-takes-ms";

#[derive(Default)]
struct Inner {
    answers: Vec<(String, Answer)>,
    asked: Vec<Asked>,
}

#[derive(Clone)]
pub struct Msp {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Msp {
    pub async fn start(pki: &Pki) -> Self {
        let listener = aid_serve::http::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&inner));
        let never = std::future::pending::<()>();
        tokio::spawn(aid_serve::http::serve(
            listener,
            Some(pki.server()),
            router,
            never,
        ));
        Self { address, inner }
    }

    /// From now on, paths that begin so are answered so.
    pub fn answer(&self, path: &str, status: u16, body: &str) {
        self.answer_with(path, status, body, &[]);
    }

    /// The same with headers.
    pub fn answer_with(
        &self,
        path: &str,
        status: u16,
        body: &str,
        headers: &[(&'static str, &str)],
    ) {
        let mut inner = self.inner.lock().unwrap();
        inner.answers.retain(|(p, ..)| p != path);
        let headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned()));
        let answer = (status, body.to_owned(), headers.collect());
        inner.answers.push((path.to_owned(), answer));
    }

    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let inner = self.inner.lock().unwrap();
        inner
            .asked
            .iter()
            .filter(|a| a.path.starts_with(path))
            .cloned()
            .collect()
    }

    /// Waits until it was asked that often.
    pub async fn wait(&self, path: &str, count: usize) -> Vec<Asked> {
        for _ in 0..500 {
            let asked = self.asked(path);
            if asked.len() >= count {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "{path} was asked {} times, not {count}",
            self.asked(path).len()
        );
    }
}

async fn handle(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (status, text, more) = noted(&inner, method, &uri, headers, &body);
    let mut answer = (StatusCode::from_u16(status).unwrap(), text).into_response();
    for (name, value) in more {
        if name == TAKES {
            tokio::time::sleep(Duration::from_millis(value.parse().unwrap())).await;
            continue;
        }
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// Notes a call; yields what it is answered with.
fn noted(
    inner: &Mutex<Inner>,
    method: Method,
    uri: &Uri,
    headers: HeaderMap,
    body: &Bytes,
) -> Answer {
    let mut inner = inner.lock().unwrap();
    let path = uri.path().to_owned();
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let found = inner
        .answers
        .iter()
        .find(|(p, ..)| path.starts_with(p.as_str()));
    let answer = match found {
        Some((_, answer)) => answer.clone(),
        None if path.starts_with("/v1/statuses") => (201, String::new(), Vec::new()),
        None if method == Method::DELETE => (204, String::new(), Vec::new()),
        None => (500, String::new(), Vec::new()),
    };
    inner.asked.push(Asked {
        method,
        path,
        headers,
        body,
    });
    answer
}
