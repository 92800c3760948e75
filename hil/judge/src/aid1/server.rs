//! The judge's own AID1 server: what the system under test calls. It records what came, byte by byte, and answers as the
//! running test says.

use super::link::message;
use super::variant::Variant;
use super::wire::{Request, Wire};
use super::{Auth, mask};
use crate::evidence::Evidence;
use crate::subject::Setting;
use aid_cli::cli::Failure;
use aid_cli::{certificate, tls};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::Deserialize;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Requests that are kept.
const MAX_KEPT: usize = 4_000;
/// How long a connection may rest.
const IDLE: Duration = Duration::from_secs(60);

/// Where the system under test finds the judge.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTarget {
    /// Address to listen on: the one to which the target's URL of its partner leads.
    pub(crate) listen: SocketAddr,
    /// The judge's server certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// CA of the target's client certificate.
    pub(crate) client_ca: PathBuf,
    /// The API key that the target was given...
    pub(crate) api_key: Option<String>,
    /// ...or `user:password`.
    pub(crate) basic: Option<String>,
    /// Common name of the target's client certificate, where it is to be checked.
    pub(crate) common_name: Option<String>,
}

/// A request that the target made.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    /// What came.
    pub(crate) request: Request,
    /// Common name of the client's certificate; none: there was no certificate.
    pub(crate) certificate: Option<String>,
    /// What it was answered with; 0: with silence.
    pub(crate) status: u16,
    at_us: u64,
    answered: (u64, String, Vec<u8>),
}

impl Got {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.request.body).unwrap_or(Value::Null)
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.request.target.split('?').next().unwrap_or_default()
    }

    /// When it was whole, microseconds since the run began.
    pub(crate) const fn at_us(&self) -> u64 {
        self.at_us
    }

    /// For a report.
    pub(crate) fn message(&self, way: (&str, &str)) -> aid_report::Message {
        let id = self
            .request
            .headers
            .get("correlation-id")
            .map(str::to_owned);
        let bytes = (self.request.head.as_str(), self.request.body.as_slice());
        message(way, self.at_us, self.title(), bytes, id)
    }

    /// Method and path, tokens masked.
    pub(crate) fn title(&self) -> String {
        format!(
            "{} {}",
            self.request.method,
            mask::text(&self.request.target)
        )
    }
}

/// An answer of the judge.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Status; 0: the connection is closed without an answer.
    pub(crate) status: u16,
    /// Body; empty: none.
    pub(crate) body: String,
}

impl Reply {
    /// Without a body.
    pub(crate) const fn empty(status: u16) -> Self {
        Self {
            status,
            body: String::new(),
        }
    }

    /// With a JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            body: body.to_string(),
            ..Self::empty(status)
        }
    }

    /// A refusal in the words of §5.5.
    pub(crate) fn refusal(status: u16, code: &str, error: &str) -> Self {
        Self::json(status, &serde_json::json!({"code": code, "error": error}))
    }
}

type Script = Box<dyn FnMut(&Request) -> Reply + Send>;

struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    script: Mutex<Script>,
    got: Mutex<Vec<Got>>,
    /// Handshakes and messages that failed.
    troubles: Mutex<Vec<String>>,
    came: Condvar,
    failed: Condvar,
    /// Connections that are open, or were.
    sockets: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
    open: AtomicUsize,
    began: Instant,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that panicked left is whole: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The judge's server. Dropping it closes it.
pub(crate) struct Server {
    shared: Arc<Shared>,
    own: Arc<ServerConfig>,
    address: SocketAddr,
    /// The party that the judge plays, and the system under test.
    names: (&'static str, &'static str),
    /// What the target has to prove itself with.
    pub(crate) auth: Auth,
    /// Common name that its certificate has to have.
    pub(crate) common_name: Option<String>,
    shown: usize,
    /// What stands between the target and the judge, in a self-test.
    pub(crate) variant: Option<&'static Variant>,
}

impl Server {
    /// Listens. Until a script is set, every call is answered 500.
    pub(crate) fn start(
        target: &ServerTarget,
        setting: &Setting,
        names: (&'static str, &'static str),
    ) -> Result<Self, Failure> {
        let ca = setting.beside(&target.client_ca);
        let roots = Arc::new(tls::roots(&[&ca])?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, tls::provider())
            // A client without a certificate is let in, so that its request can prove that it had none.
            .allow_unauthenticated()
            .build()
            .map_err(|e| Failure::new(format!("{} verifies no client: {e}", ca.display())))?;
        let (cert, key) = (setting.beside(&target.cert), setting.beside(&target.key));
        let mut own = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(tls::certificates(&cert)?, tls::private_key(&key)?)?;
        own.alpn_protocols = vec![b"http/1.1".to_vec()];
        let own = Arc::new(own);
        let address = target.listen;
        let listener = TcpListener::bind(address).map_err(|e| {
            Failure::new(format!(
                "the judge can't listen on {address}, where the {} expects the {}: {e}; stop what listens there",
                names.1, names.0
            ))
        })?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tls: Mutex::new(Arc::clone(&own)),
            script: Mutex::new(Box::new(|_| {
                Reply::refusal(500, "90", "Internal Server Error")
            })),
            got: Mutex::new(Vec::new()),
            troubles: Mutex::new(Vec::new()),
            came: Condvar::new(),
            failed: Condvar::new(),
            sockets: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            began: setting.began,
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self {
            shared,
            own,
            address,
            names,
            auth: Auth::of(target.api_key.as_deref(), target.basic.as_deref())?,
            common_name: target.common_name.clone(),
            shown: 0,
            variant: None,
        })
    }

    /// The request as the variant of a self-test makes it.
    pub(crate) fn disguised(&self, mut got: Got) -> Got {
        if let Some(variant) = self.variant {
            (variant.got)(&mut got.request);
        }
        got
    }

    /// From now on the target is answered so.
    pub(crate) fn answer(&self, script: impl FnMut(&Request) -> Reply + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    /// The server is a stranger's from the next connection on; `None`: its own again.
    pub(crate) fn pretend(&self, stranger: Option<&Arc<ServerConfig>>) {
        *lock(&self.shared.tls) = Arc::clone(stranger.unwrap_or(&self.own));
    }

    /// Number of requests so far: where later ones begin.
    pub(crate) fn mark(&self) -> usize {
        lock(&self.shared.got).len()
    }

    /// The requests from `mark` on.
    pub(crate) fn since(&mut self, mark: usize, evidence: &mut Evidence) -> Vec<Got> {
        let got = lock(&self.shared.got);
        for one in got.iter().skip(self.shown) {
            let (own, peer) = self.names;
            let id = one.request.headers.get("correlation-id").map(str::to_owned);
            evidence.message(one.message((peer, own)));
            let (at_us, head, body) = &one.answered;
            let title = match one.status {
                0 => "(no answer)".to_owned(),
                status => status.to_string(),
            };
            evidence.message(message((own, peer), *at_us, title, (head, body), id));
        }
        let list = got.iter().skip(mark).cloned().collect();
        let shown = got.len();
        drop(got);
        self.shown = shown;
        list
    }

    /// Waits until a request from `mark` on is as `wanted`; an error says what came instead.
    pub(crate) fn wait(
        &mut self,
        mark: usize,
        patience: Duration,
        evidence: &mut Evidence,
        wanted: impl Fn(&Got) -> bool,
    ) -> Result<Got, String> {
        let end = Instant::now() + patience;
        let found = {
            let mut got = lock(&self.shared.got);
            loop {
                if let Some(found) = got.iter().skip(mark).find(|got| wanted(got)) {
                    break Some(found.clone());
                }
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break None;
                }
                let waited = self.shared.came.wait_timeout(got, left);
                got = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        };
        let since = self.since(mark, evidence);
        found.map(|got| self.disguised(got)).ok_or_else(|| {
            let seconds = patience.as_secs();
            let others: Vec<_> = since.iter().map(Got::title).collect();
            let mut text = match others.is_empty() {
                true => format!("no call within {seconds} s"),
                false => format!("within {seconds} s only {}", others.join(", ")),
            };
            if let Some(trouble) = lock(&self.shared.troubles).last() {
                text.push_str(&format!("; a connection failed: {trouble}"));
            }
            text
        })
    }

    /// Where this request is among those that came, plus one: where later ones begin.
    pub(crate) fn position(&self, got: &Got) -> usize {
        let list = lock(&self.shared.got);
        list.iter()
            .position(|one| one.at_us == got.at_us)
            .map_or(0, |at| at + 1)
    }

    /// Waits until more than `before` connections have failed.
    pub(crate) fn wait_for_trouble(&self, before: usize, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut troubles = lock(&self.shared.troubles);
        loop {
            if troubles.len() > before {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.failed.wait_timeout(troubles, left);
            troubles = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the connections that rest.
    pub(crate) fn hang_up(&self) {
        for socket in lock(&self.shared.sockets).drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Connections and handshakes that failed so far.
    pub(crate) fn troubles(&self) -> usize {
        lock(&self.shared.troubles).len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        if shared.open.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
            continue;
        }
        shared.open.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            if let Err(trouble) = serve(socket, &shared) {
                let mut troubles = lock(&shared.troubles);
                if troubles.len() < MAX_KEPT {
                    troubles.push(trouble);
                }
                drop(troubles);
                shared.failed.notify_all();
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn serve(socket: TcpStream, shared: &Shared) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let _ = socket.set_nodelay(true);
    let config = Arc::clone(&lock(&shared.tls));
    let session = ServerConnection::new(config).map_err(|e| text(&e))?;
    let other = socket.try_clone().map_err(|e| text(&e))?;
    if let Ok(socket) = socket.try_clone() {
        let mut sockets = lock(&shared.sockets);
        // Those that have ended are in the way of nobody, but no more than this many.
        if sockets.len() >= MAX_CONNECTIONS {
            sockets.remove(0);
        }
        sockets.push(socket);
    }
    let mut wire = Wire::new(StreamOwned::new(session, socket), other, IDLE);
    loop {
        wire.renew(IDLE);
        let request = match wire.request() {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(super::Trouble::Timeout(_)) => return Ok(()),
            Err(trouble) => return Err(trouble.to_string()),
        };
        if shared.stop.load(Ordering::SeqCst) {
            return Ok(());
        }
        let at = Instant::now();
        let since = |at: Instant| {
            u64::try_from(at.duration_since(shared.began).as_micros()).unwrap_or(u64::MAX)
        };
        let shown = wire.stream().conn.peer_certificates();
        let shown = shown.and_then(|chain| chain.first()).map(|certificate| {
            certificate::common_name(certificate).unwrap_or_else(|| "(without a name)".to_owned())
        });
        let reply = (lock(&shared.script))(&request);
        let close = request
            .headers
            .get("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let body = reply.body.into_bytes();
        let mut head = format!("HTTP/1.1 {} \r\n", reply.status);
        if !body.is_empty() {
            head.push_str("content-type: application/json\r\n");
        }
        if reply.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        let got = Got {
            request,
            certificate: shown,
            status: reply.status,
            at_us: since(at),
            answered: (
                since(Instant::now()),
                head.trim_end().to_owned(),
                body.clone(),
            ),
        };
        let mut kept = lock(&shared.got);
        if kept.len() < MAX_KEPT {
            kept.push(got);
        }
        drop(kept);
        // The answer first: who waits may act on what the target does with it.
        let mut sent = Ok(());
        if reply.status != 0 {
            let mut bytes = head.into_bytes();
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&body);
            sent = wire.send(&bytes).map_err(|trouble| trouble.to_string());
        }
        shared.came.notify_all();
        sent?;
        if reply.status == 0 || close {
            return Ok(());
        }
    }
}
