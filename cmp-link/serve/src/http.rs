//! HTTP/1.1 listener with or without TLS: the peer's identity for handlers, and limits on everything
//! that a stranger can hold open or fill up.

mod refusal;

use crate::live::Tls;
use crate::peer;
use crate::slots::{Listener, PER_CERTIFICATE, Slot, Slots};
use aid_cli::cli::{Failure, TRACE};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{IntoFuture, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use refusal::{Refusal, Refuse, plain};

/// Longest TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest wait for a complete request head, so also the longest idle time of a connection.
pub const IDLE: Duration = Duration::from_secs(60);
/// Longest time for a request body to arrive and be answered.
pub const REQUEST: Duration = Duration::from_secs(60);
/// Largest request head, bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// Largest request body, bytes; a router may set its own with `DefaultBodyLimit`.
pub const MAX_BODY: usize = 1 << 20;
/// Most connections at once; others wait in the operating system's queue. `slots` says how many one client may have.
pub const MAX_CONNECTIONS: usize = 1024;
/// Longest wait for a client to end a connection that the server closes.
pub const LINGER: Duration = Duration::from_secs(2);
/// Longest wait for running requests after a stop.
pub const DRAIN: Duration = Duration::from_secs(5);

/// In the extensions of a response: the connection is closed instead of answering, as a crash would.
/// For counterparts that misbehave on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Cut;

/// In the extensions of a request: when the server stops. An answer without an end has to end itself then.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns when the server stops.
    pub async fn begun(mut self) {
        // An error says that the server is gone already.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Who sent a request; handlers take `ConnectInfo<Peer>` or `Extension<Peer>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Common name of the verified client certificate; none without one.
    pub common_name: Option<String>,
    /// SHA-256 of that certificate; zeros without one.
    pub fingerprint: [u8; 32],
    /// Where it connects from; behind a load balancer of the configuration what that says.
    pub addr: SocketAddr,
}

impl Peer {
    /// Its client certificate, for a list of those that may come in.
    #[must_use]
    pub fn shown(&self) -> peer::Shown<'_> {
        peer::Shown {
            common_name: self.common_name.as_deref(),
            sha256: self.fingerprint,
        }
    }

    /// Whether TLS verified a client certificate.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.fingerprint != [0; 32]
    }
}

/// Whether a text is HOST:PORT as [`bind`] wants it, without asking anybody where the host is. `key` names it.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn check_address(key: &str, address: &str) -> Result<(), Failure> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(plain),
        };
        host && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if good {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{key} {address:?} must be HOST:PORT, e.g. 127.0.0.1:8443 or [::1]:8443; port 0 takes a free one"
    )))
}

/// Listens on HOST:PORT; port 0 takes a free one.
///
/// # Errors
/// The address is no address, in use, or not allowed; says what to do.
pub async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        let remedy = match e.kind() {
            io::ErrorKind::AddrInUse => "another program has it: stop that or choose another port",
            io::ErrorKind::PermissionDenied => "choose a port above 1023",
            io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
            _ => "give HOST:PORT, e.g. 127.0.0.1:0",
        };
        Failure::new(format!("cannot listen on {address}: {e}; {remedy}"))
    })
}

/// Serves the router until `shutdown` resolves, then lets running requests end for [`DRAIN`]. What the
/// HTTP layer refuses by itself is one line of text.
///
/// With TLS that wants client certificates, only connections that showed one reach the router.
pub async fn serve(
    listener: impl Into<Listener>,
    tls: impl Into<Tls>,
    router: Router,
    shutdown: impl IntoFuture<Output = ()>,
) {
    serve_refusing(listener, tls, router, plain, shutdown).await;
}

/// As [`serve`], with refusals in the form that `refuse` gives them: 400, 414 and 431 for a head that
/// can't be read, 408 for a request that takes longer than [`REQUEST`], 500 for a handler that panics.
pub async fn serve_refusing(
    listener: impl Into<Listener>,
    tls: impl Into<Tls>,
    router: Router,
    refuse: Refuse,
    shutdown: impl IntoFuture<Output = ()>,
) {
    let router = router
        .layer(axum::middleware::from_fn(trace))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let site = Site { router, refuse };
    let Tls(tls) = tls.into();
    let (listener, config) = listener.into().into_parts();
    let slots = Slots::new(MAX_CONNECTIONS, PER_CERTIFICATE, config);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let shutdown = shutdown.into_future();
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let permit = slots.free().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = next => match accepted {
                Ok((mut stream, addr)) => {
                    // As it is now: certificates may have been replaced since the last connection.
                    let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.now()));
                    let site = site.clone();
                    let (slots, stopped) = (slots.clone(), stopped.clone());
                    connections.spawn(async move {
                        let ended = match slots.begin(permit, &mut stream, addr).await {
                            Ok(slot) => connection(stream, slot, acceptor, site, stopped).await,
                            Err(error) => Err(error.into()),
                        };
                        if let Err(error) = ended {
                            tracing::debug!(%addr, %error, "connection ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: give others time to close theirs.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("connections were cut after {} s", DRAIN.as_secs());
    }
}

/// What a connection is served with.
#[derive(Clone)]
struct Site {
    router: Router,
    refuse: Refuse,
}

async fn connection(
    stream: TcpStream,
    mut slot: Slot,
    acceptor: Option<TlsAcceptor>,
    site: Site,
    stopped: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut peer = Peer {
        common_name: None,
        fingerprint: [0; 32],
        addr: slot.client(),
    };
    let Some(acceptor) = acceptor else {
        return requests(stream, peer, site, stopped).await;
    };
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let mutual = stream.get_ref().1.peer_certificates().is_some();
    // Counted by benchmarks: a handshake is cryptography that a request has to pay for.
    tracing::debug!(target: "figures", handshake = 1, mutual, "TLS connection");
    if let Some(certificate) = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
    {
        peer.common_name = peer::common_name(certificate);
        peer.fingerprint = peer::fingerprint(certificate);
        slot.identify(peer.fingerprint)
            .map_err(|_| "too many connections with this client certificate")?;
    }
    requests(stream, peer, site, stopped).await
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    site: Site,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let refuse = site.refuse;
    let stopping = Stopping(stopped.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(stopping.clone());
        let site = site.clone();
        Box::pin(async move {
            let response = call(site, request).await;
            match response.extensions().get::<Cut>() {
                None => Ok(response),
                Some(Cut) => Err(io::Error::other("cut on purpose")),
            }
        })
    });
    let stream = refusal::Answering::new(stream, refuse);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        done = poll_fn(|cx| connection.poll_without_shutdown(cx)) => Some(done),
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let Some(done) = ended else {
        Pin::new(&mut connection).graceful_shutdown();
        return Ok(connection.await?);
    };
    linger(connection.into_parts().io.into_inner()).await;
    Ok(done?)
}

/// Closes a connection so that its last answer arrives: a socket that is dropped with unread data in
/// it is reset, and a client that still sends its body then loses the answer that it did not wait for.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let ended = async {
        stream.shutdown().await?;
        let mut rest = stream.take(MAX_BODY as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // A client that is gone or goes on for ever has nothing more to wait for.
    let _ = timeout(LINGER, ended).await;
}

/// One request: ended where its body or handler takes longer than [`REQUEST`], and answered even
/// where its handler panics; only the request is lost then. The handler has a task of its own, so that
/// a client that hangs up does not stop it between what it stores and what it does after that.
async fn call(site: Site, request: Request) -> Response {
    use hyper::service::Service as _;
    if let Err(status) = check_head(&request) {
        return refusal::response(site.refuse, status);
    }
    let service = hyper_util::service::TowerToHyperService::new(site.router);
    let mut answer = tokio::spawn(service.call(request));
    match timeout(REQUEST, &mut answer).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => {
            tracing::error!("a handler panicked; its request was answered with 500");
            refusal::response(site.refuse, StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => {
            answer.abort();
            refusal::response(site.refuse, StatusCode::REQUEST_TIMEOUT)
        }
    }
}

/// Looks at what every request must have, whatever it asks for: one Host (RFC 9112 §3.2), and a body as it is, because
/// nothing here decodes one (RFC 9110 §8.4).
fn check_head(request: &Request) -> Result<(), StatusCode> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    let may_lack = request.version() < Version::HTTP_11;
    if hosts > 1 || hosts == 0 && !may_lack {
        return Err(StatusCode::BAD_REQUEST);
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if encodings.iter().all(plain) {
        Ok(())
    } else {
        Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }
}

/// Why a request has no body that could be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It has more bytes than are read.
    TooLarge,
    /// It ends early, or its chunks are none.
    Broken,
}

/// The whole body of a request, at most `limit` bytes.
///
/// # Errors
/// [`BodyError`]; the connection can't be used for another request then.
pub async fn whole(mut body: Body, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        // What is no data is a trailer, which nobody asked for.
        if let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// A path as the trace shows it: a segment that is as long as a token is one, and shows as its length. The shortest is an
/// MSP token, a UUID; names of operations are shorter.
fn shown(path: &str) -> String {
    const LONGEST: usize = 31;
    let segments = path.split('/').map(|segment| match segment.len() {
        0..=LONGEST => segment.to_owned(),
        length => format!("<{length} characters>"),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Middleware that shows each request and response under `--trace`; [`serve`] applies it already.
pub async fn trace(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: TRACE, tracing::Level::TRACE) {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), shown(request.uri().path()));
    let from = request
        .extensions()
        .get::<Peer>()
        .and_then(|peer| peer.common_name.clone())
        .unwrap_or_default();
    let bytes = request.body().size_hint().exact();
    tracing::trace!(target: TRACE, "<- HTTP {method} {path} {} bytes {from}", bytes.unwrap_or(0));
    let response = next.run(request).await;
    let (status, bytes) = (
        response.status().as_u16(),
        response.body().size_hint().exact(),
    );
    tracing::trace!(target: TRACE, "-> HTTP {status} {method} {path} {} bytes", bytes.unwrap_or(0));
    response
}
