//! A lean client: hyper over keep-alive connections, with requests that were made before the clock runs.

use super::people::{Waiting, first};
use aid_aid1::body::{Body as _, ProfileType, SendActivationCode};
use aid_aid1::headers::{Credentials, Headers, PartyId};
use aid_aid1::operation::Operation as _;
use aid_cli::cli::Failure;
use aid_cmp::config::File;
use aid_id::ActivationCode;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Request, StatusCode};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

/// Largest answer that is read, bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// An MSP as AID1 knows it.
pub(super) struct Sender {
    own_id: PartyId,
    target_id: PartyId,
    credentials: Credentials,
    tls: Arc<ClientConfig>,
    connections: u32,
}

/// Connections to one server.
pub(in crate::figures) struct Lines(Vec<SendRequest<Body>>);

/// Requests that nobody has sent yet.
type Open = Arc<Mutex<std::vec::IntoIter<Request<Body>>>>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Sender {
    /// The first MSP of the CMP's configuration.
    pub(super) fn new(
        config: &File,
        tls: Arc<ClientConfig>,
        connections: u32,
    ) -> Result<Self, Failure> {
        let none = || Failure::new("the set-up's MSP has no api_key_in");
        let msp = first(config)?;
        let key = msp.api_key_in.iter().next().ok_or_else(none)?;
        Ok(Self {
            own_id: msp.client_id.clone(),
            target_id: msp.own_client_id.clone(),
            credentials: Credentials::api_key(key)?,
            tls,
            connections,
        })
    }

    /// Send Activation Code for this request (§7.7.2.1), under an id of its own.
    pub(super) fn request(&self, call: &Waiting) -> Result<Request<Body>, Failure> {
        let headers = Headers {
            request_id: Uuid::new_v4(),
            correlation_id: Uuid::from_bytes(call.correlation),
            client_id: self.own_id.clone(),
            target_id: self.target_id.clone(),
        };
        let matching_id = Uuid::new_v4().simple().to_string().to_uppercase();
        let body = SendActivationCode::Code {
            request_id: Uuid::from_bytes(call.request),
            activation_code: ActivationCode::new("smdp.example", &matching_id, None, false)?,
            profile_type: ProfileType::Personal,
            iccid: call.iccid.clone(),
            swapped_iccid: None,
        };
        let operation = SendActivationCode::CONTRACT;
        let mut request = Request::builder()
            .method(operation.method.clone())
            .uri(operation.path.with(&call.token.to_string()))
            .body(Body::from(body.to_bytes()))?;
        let map = request.headers_mut();
        *map = headers.to_map(&self.credentials);
        map.insert(HOST, HeaderValue::from_static("localhost"));
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// Connects as often as was asked for.
    pub(super) async fn open(&self, port: u16) -> Result<Lines, String> {
        open(&self.tls, self.connections, port).await
    }
}

/// Connects as often as is asked for.
pub(in crate::figures) async fn open(
    tls: &Arc<ClientConfig>,
    connections: u32,
    port: u16,
) -> Result<Lines, String> {
    let mut lines = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let name = ServerName::try_from("localhost").map_err(text)?;
        let tls = TlsConnector::from(Arc::clone(tls));
        let stream = tls.connect(name, stream).await.map_err(text)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(text)?;
        // What it fails with, the sender's next request fails with.
        tokio::spawn(connection);
        lines.push(sender);
    }
    Ok(Lines(lines))
}

impl Lines {
    /// Sends all of these, each connection its next when it has its answer: how long that took, and each
    /// of them.
    pub(in crate::figures) async fn send(
        &mut self,
        requests: Vec<Request<Body>>,
        answer: StatusCode,
    ) -> Result<(Duration, Vec<Duration>), String> {
        let open: Open = Arc::new(Mutex::new(requests.into_iter()));
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        for line in std::mem::take(&mut self.0) {
            tasks.spawn(one_after_the_other(line, Arc::clone(&open), answer));
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (line, mut own) = done.map_err(text)??;
            self.0.push(line);
            times.append(&mut own);
        }
        Ok((begin.elapsed(), times))
    }
}

async fn one_after_the_other(
    mut line: SendRequest<Body>,
    open: Open,
    answer: StatusCode,
) -> Result<(SendRequest<Body>, Vec<Duration>), String> {
    let mut times = Vec::new();
    loop {
        let next = open.lock().map_err(text)?.next();
        let Some(request) = next else {
            return Ok((line, times));
        };
        let begin = Instant::now();
        line.ready().await.map_err(text)?;
        let response = line.send_request(request).await.map_err(text)?;
        let status = response.status();
        let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER)
            .await
            .map_err(text)?;
        times.push(begin.elapsed());
        if status != answer {
            let body = String::from_utf8_lossy(&body);
            return Err(format!(
                "a call was answered {status}, not {answer}: {body}"
            ));
        }
    }
}
