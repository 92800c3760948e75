//! Opens the connection to the CMP: the first admin bearer that carries it, TLS with the car's certificate.

use crate::card::Counters;
use crate::config::Cmp;
use crate::interfaces::{Change, Interfaces};
use crate::keys::{KeyError, Slot};
use crate::renewal;
use crate::renewal::credentials::Credentials;
use aid_lpa::{Bearer, Bearers};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{SocketAddr, TcpStream as Unconnected};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Time that one bearer has to open a TCP connection.
const EACH: Duration = Duration::from_secs(10);
/// Time that it has for the TLS handshake then.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Time that a name server has.
const LOOKUP: Duration = Duration::from_secs(8);
/// Shortest pause between two looks at better bearers.
const LOOK: Duration = Duration::from_secs(1);

/// How a CMP refuses a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// TLS says that it has expired.
    Expired,
    /// TLS says something else against it.
    Certificate,
    /// The car may not take part with it (CONNACK 0x87).
    NotAdmitted,
}

impl Refusal {
    /// What an alert of the CMP says of our certificate (RFC 8446 §6.2).
    fn of(error: &io::Error) -> Option<Self> {
        use rustls::AlertDescription as Alert;
        let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        match inner {
            rustls::Error::AlertReceived(Alert::CertificateExpired) => Some(Self::Expired),
            rustls::Error::AlertReceived(
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired,
            ) => Some(Self::Certificate),
            _ => None,
        }
    }
}

/// What every connection needs, checked before anything runs.
pub(crate) struct Dialer {
    /// Loaded when it is needed: a token may not be there at the start.
    tls: Mutex<Option<TlsConnector>>,
    ca: PathBuf,
    /// Certificate and keys, and which of them.
    identity: (Credentials, Slot),
    /// How the CMP last refused the certificate.
    refusal: Arc<Mutex<Option<Refusal>>>,
    name: ServerName<'static>,
    pub(crate) host: String,
    pub(crate) port: u16,
    bearers: Arc<Bearers>,
    /// What the CMP's name last resolved to: a name server that is away must not keep the car offline.
    known: Mutex<Vec<SocketAddr>>,
}

impl Dialer {
    /// With certificate and key of `[cmp]`, which are read when they are needed.
    ///
    /// # Errors
    /// `cmp.address` is no HOST:PORT.
    pub(crate) fn new(cmp: &Cmp, bearers: Bearers) -> Result<Self, String> {
        let (host, port) = cmp.host_port().ok_or("cmp.address must be HOST:PORT")?;
        let name = ServerName::try_from(host.to_owned());
        Ok(Self {
            tls: Mutex::default(),
            ca: cmp.ca.clone(),
            identity: (renewal::own(cmp), Slot::Current),
            refusal: Arc::default(),
            name: name.map_err(|e| format!("cmp.address: {e}"))?,
            host: host.to_owned(),
            port,
            bearers: Arc::new(bearers),
            known: Mutex::default(),
        })
    }

    /// The same with another certificate and key.
    pub(crate) fn with(&self, identity: Credentials, slot: Slot) -> Self {
        Self {
            tls: Mutex::default(),
            ca: self.ca.clone(),
            identity: (identity, slot),
            refusal: Arc::default(),
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port,
            bearers: Arc::clone(&self.bearers),
            known: Mutex::new(self.known()),
        }
    }

    /// Reads certificate and key, where that was not done.
    ///
    /// # Errors
    /// They can't be used.
    pub(crate) fn load(&self) -> Result<TlsConnector, KeyError> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &*tls {
            return Ok(tls.clone());
        }
        let (credentials, slot) = &self.identity;
        let resolver = credentials.resolver(*slot)?;
        let config = aid_cli::tls::client_config_by(&self.ca, resolver);
        let config = config.map_err(|f| KeyError(f.text))?;
        Ok(tls.insert(TlsConnector::from(config)).clone())
    }

    /// The file of the certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.identity.0.certificate(self.identity.1)
    }

    /// Notes that the CMP refused the certificate.
    pub(crate) fn refused(&self, refusal: Refusal) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// How the CMP refused the certificate since the last time that this was asked.
    pub(crate) fn take_refusal(&self) -> Option<Refusal> {
        let mut last = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        last.take()
    }

    /// Name of the bearer in use.
    pub(crate) fn bearer(&self) -> String {
        self.bearers.name()
    }

    /// Time that name servers and bearers may take until TLS stands.
    pub(crate) fn patience(&self) -> Duration {
        let bearers = u32::try_from(self.bearers.count()).unwrap_or(u32::MAX);
        LOOKUP + (EACH + HANDSHAKE).saturating_mul(bearers)
    }

    /// The connection stood and fell silent: the next one tries another bearer first.
    pub(crate) fn fell_silent(&self) {
        self.bearers.fell_silent(Instant::now());
    }

    /// The CMP answered: its bearer's earlier failures are forgotten. TCP alone proves nothing, a captive portal takes any
    /// connection.
    pub(crate) fn answered(&self) {
        self.bearers.answered();
    }

    /// A TLS connection whose payload is counted.
    ///
    /// # Errors
    /// No address, no bearer that reaches it, or TLS fails.
    pub(crate) async fn connect(&self, counters: &Arc<Counters>) -> io::Result<Heard> {
        let addresses = self
            .resolved(
                LOOKUP,
                tokio::net::lookup_host((self.host.as_str(), self.port)),
            )
            .await?;
        let stream = self.open(&addresses, counters).await?;
        let refusal = Arc::clone(&self.refusal);
        Ok(Heard { stream, refusal })
    }

    /// Resolves when the connection had better be made anew, and says why: its interface is gone, or a better bearer than
    /// the one in use carries connections again.
    pub(crate) async fn outlived(&self, counters: &Arc<Counters>) -> String {
        let interfaces = Interfaces::new();
        loop {
            let now = Instant::now();
            let look = self.bearers.better_at(now);
            let look = look.map(|at| at.max(now + LOOK).into());
            let turn = async {
                match look {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changes = interfaces.next() => {
                    for Change { name, carries } in changes {
                        if carries {
                            self.bearers.carries_again(&name);
                        } else if self.bearers.uses(&name) {
                            self.fell_silent();
                            return format!("the interface {name} is down");
                        }
                    }
                }
                () = turn => {
                    let addresses = self.known();
                    for (n, bearer) in self.bearers.better(Instant::now()) {
                        // Up to TLS: the present connection is not given up for a captive portal.
                        match self.through(bearer, &addresses, counters).await {
                            Ok(_) => {
                                return format!("the better bearer {} carries again", bearer.name());
                            }
                            Err(_) => self.bearers.failed(n, Instant::now()),
                        }
                    }
                }
            }
        }
    }

    /// A connection through the first bearer that carries it.
    async fn open(
        &self,
        addresses: &[SocketAddr],
        counters: &Arc<Counters>,
    ) -> io::Result<TlsStream<Counted>> {
        let mut last = None;
        for (n, bearer) in self.bearers.order(Instant::now()) {
            match self.through(bearer, addresses, counters).await {
                Ok(stream) => {
                    self.bearers.connected(n);
                    return Ok(stream);
                }
                Err(error) => {
                    self.bearers.failed(n, Instant::now());
                    if self.bearers.count() > 1 {
                        tracing::warn!(bearer = %bearer.name(), %error, "a bearer does not reach the CMP");
                    }
                    last = Some(error);
                }
            }
        }
        let host = &self.host;
        Err(last.unwrap_or_else(|| io::Error::other(format!("no bearer reaches {host}"))))
    }

    /// A connection through one bearer.
    async fn through(
        &self,
        bearer: &Bearer,
        addresses: &[SocketAddr],
        counters: &Arc<Counters>,
    ) -> io::Result<TlsStream<Counted>> {
        let tls = self.load().map_err(io::Error::other)?;
        let stream = Counted {
            stream: reach(addresses, bearer).await?,
            counters: Arc::clone(counters),
        };
        let connected = within(HANDSHAKE, tls.connect(self.name.clone(), stream)).await;
        connected.inspect_err(|error| note(&self.refusal, error))
    }

    /// What a lookup says, or what an earlier one said where it fails or hangs.
    async fn resolved(
        &self,
        limit: Duration,
        lookup: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let found = within(limit, lookup).await.map(Vec::from_iter);
        let error = match found {
            Ok(found) if !found.is_empty() => {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.clone_from(&found);
                return Ok(found);
            }
            Ok(_) => io::Error::other(format!("the name {} has no address", self.host)),
            Err(error) => io::Error::new(
                error.kind(),
                format!("the name {} can't be resolved: {error}", self.host),
            ),
        };
        let known = self.known();
        if known.is_empty() {
            return Err(error);
        }
        tracing::warn!(%error, "the addresses of an earlier lookup are used");
        Ok(known)
    }

    fn known(&self) -> Vec<SocketAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {limit:?}"),
        )
    };
    timeout(limit, work).await.map_err(late)?
}

/// A TCP connection through one bearer. The addresses share its time: one that swallows packets must not use up that of the
/// others.
async fn reach(addresses: &[SocketAddr], bearer: &Bearer) -> io::Result<TcpStream> {
    let name = bearer.name();
    let mut last = io::Error::new(
        io::ErrorKind::NotFound,
        format!("the CMP has no address that the bearer {name} reaches"),
    );
    let usable: Vec<_> = addresses
        .iter()
        .filter(|to| bearer.speaks(to.ip()))
        .collect();
    let share = EACH / u32::try_from(usable.len().max(1)).unwrap_or(u32::MAX);
    for address in usable {
        let socket: Unconnected = bearer.socket(*address)?.into();
        socket.set_nonblocking(true)?;
        match within(share, TcpSocket::from_std_stream(socket).connect(*address)).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Notes what an error of TLS says about the certificate.
fn note(place: &Mutex<Option<Refusal>>, error: &io::Error) {
    if let Some(refusal) = Refusal::of(error) {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }
}

/// A TLS connection that notes how the CMP refuses the certificate: with TLS 1.3 the alert comes after the handshake.
pub(crate) struct Heard {
    stream: TlsStream<Counted>,
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl AsyncRead for Heard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &result {
            note(&this.refusal, error);
        }
        result
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Err(error)) = &result {
            note(&this.refusal, error);
        }
        result
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A TCP stream whose payload is counted.
pub(crate) struct Counted {
    stream: TcpStream,
    counters: Arc<Counters>,
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let got = (buf.filled().len() - before) as u64;
        this.counters
            .admin_rx_bytes
            .fetch_add(got, Ordering::Relaxed);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(sent)) = &result {
            this.counters
                .admin_tx_bytes
                .fetch_add(*sent as u64, Ordering::Relaxed);
        }
        result
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyName, KeyStore};
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;
    use tokio::net::TcpListener;

    fn dialer(list: Vec<Bearer>) -> Dialer {
        let tls = rustls::ClientConfig::builder_with_provider(aid_cli::tls::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let keys = KeyStore::new(KeyName::File(PathBuf::new()));
        Dialer {
            tls: Mutex::new(Some(TlsConnector::from(Arc::new(tls)))),
            ca: PathBuf::new(),
            identity: (Credentials::new(Path::new(""), keys), Slot::Current),
            refusal: Arc::default(),
            name: ServerName::try_from("cmp.example").expect("name"),
            host: "cmp.example".to_owned(),
            port: 8883,
            bearers: Arc::new(Bearers::new(list)),
            known: Mutex::default(),
        }
    }

    const LIMIT: Duration = Duration::from_millis(50);

    fn from(source: [u8; 4]) -> Bearer {
        Bearer {
            interface: None,
            source: Some(IpAddr::from(source)),
        }
    }

    #[tokio::test]
    async fn a_name_server_that_hangs_or_fails_does_not_forget_the_cmp() {
        let dialer = dialer(Vec::new());
        let address = SocketAddr::from(([192, 0, 2, 1], 8883));
        type Addresses = std::vec::IntoIter<SocketAddr>;
        let hangs = || std::future::pending::<io::Result<Addresses>>();
        let error = dialer
            .resolved(LIMIT, hangs())
            .await
            .expect_err("nothing known");
        assert!(error.to_string().contains("cmp.example"), "{error}");
        let good = async { Ok(vec![address].into_iter()) };
        assert_eq!(
            dialer.resolved(LIMIT, good).await.expect("found"),
            [address]
        );
        assert_eq!(
            dialer.resolved(LIMIT, hangs()).await.expect("known"),
            [address]
        );
        let empty = async { Ok(Vec::new().into_iter()) };
        assert_eq!(
            dialer.resolved(LIMIT, empty).await.expect("known"),
            [address]
        );
        let fails = async { Err::<Addresses, _>(io::Error::other("SERVFAIL")) };
        assert_eq!(
            dialer.resolved(LIMIT, fails).await.expect("known"),
            [address]
        );
    }

    // R-2-12
    #[tokio::test]
    async fn nothing_leaves_but_through_a_bearer_that_is_listed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("listener");
        let address = listener.local_addr().expect("address");
        let stream = reach(&[address], &from([127, 0, 0, 2])).await;
        let source = stream.expect("reached").local_addr().expect("address");
        assert_eq!(source.ip(), IpAddr::from([127, 0, 0, 2]));
        // An address that no interface here has.
        let foreign = from([203, 0, 113, 9]);
        let error = reach(&[address], &foreign).await.expect_err("no bearer");
        assert!(error.to_string().contains("203.0.113.9"), "{error}");
        let counters = Arc::new(Counters::default());
        let error = dialer(vec![foreign]).open(&[address], &counters).await;
        assert!(error.is_err());
    }

    #[tokio::test]
    async fn a_captive_portal_is_a_failure_of_its_bearer() {
        let portal = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("listener");
        let address = portal.local_addr().expect("address");
        // It takes every connection, and speaks no TLS.
        let portal = tokio::spawn(async move {
            while let Ok((mut stream, _)) = portal.accept().await {
                use tokio::io::AsyncWriteExt as _;
                let _ = stream.write_all(b"HTTP/1.1 302 Found\r\n\r\n").await;
            }
        });
        let dialer = dialer(vec![from([127, 0, 0, 2]), from([127, 0, 0, 3])]);
        let counters = Arc::new(Counters::default());
        assert!(dialer.open(&[address], &counters).await.is_err());
        // Neither is excused by the connection that it took.
        let rest = dialer.bearers.better(Instant::now());
        assert!(rest.is_empty());
        dialer.bearers.connected(1);
        assert!(dialer.bearers.better(Instant::now()).is_empty());
        portal.abort();
    }
}
