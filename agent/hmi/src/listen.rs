//! The listeners of the page: a loopback port, or a unix socket whose peers are judged by their user id.

use aid_cli::cli::Failure;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;

/// Most connections at a time. A browser opens six and one for events.
const CONNECTIONS: usize = 32;
/// Most connections of strangers among them: a further one takes the place of the oldest. So nobody who was not let in
/// keeps the driver out, and a browser that asks at once is let in before its place is taken.
const STRANGERS: usize = 12;
/// Time that a stranger has to show a cookie or a token.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// Longest wait for a request's head, so also the longest idle time of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after the operating system refused a connection (too many open files).
const PAUSE: Duration = Duration::from_millis(100);

/// Whose a connection is: none of a stranger, who has little time, and not every place.
#[derive(Debug, Clone)]
pub(crate) struct Guest(Arc<watch::Sender<Option<String>>>);

impl Guest {
    fn new(name: Option<String>) -> Self {
        Self(Arc::new(watch::Sender::new(name)))
    }

    /// A request had a valid cookie or token, which names the browser.
    pub(crate) fn let_in(&self, browser: &str) {
        let differs = self.0.borrow().as_deref() != Some(browser);
        if differs {
            self.0.send_replace(Some(browser.to_owned()));
        }
    }

    fn is_known(&self) -> bool {
        self.0.borrow().is_some()
    }

    fn name(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until they were let in, or their time is up.
    async fn introduced(&self) {
        let mut known = self.0.subscribe();
        let _ = tokio::time::timeout(INTRODUCTION, known.wait_for(Option::is_some)).await;
    }
}

/// The open connections, the oldest first.
#[derive(Debug, Default)]
struct Open(VecDeque<(Guest, AbortHandle)>);

impl Open {
    /// Ends connections until there is a place for one more: the oldest of strangers where they have all of theirs, and
    /// where all places are taken the oldest of whoever has most. So no cookie keeps another one out.
    fn make_place(&mut self) {
        self.0.retain(|(_, task)| !task.is_finished());
        let strangers = self.0.iter().filter(|(guest, _)| !guest.is_known());
        for _ in STRANGERS..=strangers.count() {
            self.end_oldest(None);
        }
        while self.0.len() >= CONNECTIONS {
            let greediest = self.greediest();
            self.end_oldest(greediest.as_deref());
        }
    }

    /// Who has most connections.
    fn greediest(&self) -> Option<String> {
        let mut counts: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for (guest, _) in &self.0 {
            *counts.entry(guest.name()).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.and_then(|(name, _)| name)
    }

    fn end_oldest(&mut self, of: Option<&str>) {
        let at = self
            .0
            .iter()
            .position(|(guest, _)| guest.name().as_deref() == of);
        if let Some((_, task)) = at.and_then(|at| self.0.remove(at)) {
            task.abort();
        }
    }
}

/// A listener, and who may connect.
#[derive(Debug)]
pub(crate) enum Listener {
    /// Whoever is on this machine.
    Tcp(TcpListener),
    /// These users.
    Unix(UnixListener, Vec<u32>),
}

/// Listens on a loopback address.
///
/// # Errors
/// The address can't be used.
pub(crate) async fn tcp(address: SocketAddr) -> Result<(Listener, SocketAddr), Failure> {
    let wrong = |e| {
        let text = format!("cannot listen on {address}: {e}; choose another address for listen");
        Failure::new(text)
    };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let own = listener.local_addr().map_err(wrong)?;
    Ok((Listener::Tcp(listener), own))
}

/// Listens on a unix socket.
///
/// # Errors
/// The path can't be used, or another program listens there.
pub(crate) fn unix(path: &Path, uids: &[u32]) -> Result<Listener, Failure> {
    let wrong = |e: std::io::Error| {
        let path = path.display();
        Failure::new(format!(
            "cannot listen on {path}: {e}; choose another socket"
        ))
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(wrong(std::io::ErrorKind::AddrInUse.into()));
    }
    // What is left is the socket of an HMI that lost power.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(wrong)?;
    // Open on purpose: each connection is judged by the user id of its sender. Stated here, because of the umask.
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, mode).map_err(wrong)?;
    let own = rustix::process::geteuid().as_raw();
    let uids = uids.iter().copied().chain([0, own]).collect();
    Ok(Listener::Unix(listener, uids))
}

/// Accepts until the task is dropped.
pub(crate) async fn serve(listener: Listener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = Open::default();
    loop {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| {
                // A request is small, and somebody waits for the answer.
                let _ = stream.set_nodelay(true);
                Some(Accepted::Tcp(stream))
            }),
            Listener::Unix(unix, uids) => unix.accept().await.map(|(stream, _)| {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                if let Some(uid) = uid.filter(|uid| uids.contains(uid)) {
                    return Some(Accepted::Unix(stream, uid));
                }
                tracing::warn!(?uid, "this user may not use the HMI (socket_uids)");
                None
            }),
        };
        let accepted = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        open.make_place();
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let router = router.clone();
        let (guest, task) = match accepted {
            Accepted::Tcp(stream) => {
                let guest = Guest::new(None);
                let task = tokio::spawn(connection(stream, router, guest.clone(), place));
                (guest, task)
            }
            // The kernel has said who it is.
            Accepted::Unix(stream, uid) => {
                let guest = Guest::new(Some(format!("uid {uid}")));
                let task = tokio::spawn(connection(stream, router, guest.clone(), place));
                (guest, task)
            }
        };
        open.0.push_back((guest, task.abort_handle()));
    }
}

/// A connection of somebody who may connect.
enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream, u32),
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    guest: Guest,
    place: OwnedSemaphorePermit,
) {
    // The door finds it there.
    let router = router.layer(Extension(guest.clone()));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => Some(ended),
        () = guest.introduced() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None if guest.is_known() => served.await,
        None => {
            tracing::debug!("a connection without a cookie or token was ended");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    drop(place);
}
