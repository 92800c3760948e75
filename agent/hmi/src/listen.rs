//! The listeners of the page: a loopback port, or a unix socket whose peers are judged by their user id.

use aid_cli::cli::Failure;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Most connections at a time. A browser opens six and one for events.
const CONNECTIONS: usize = 32;
/// Longest wait for a request's head, so also the longest idle time of a connection.
const HEAD: Duration = Duration::from_secs(30);
/// Largest head of a request, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after the operating system refused a connection (too many open files).
const PAUSE: Duration = Duration::from_millis(100);

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
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| {
                // A request is small, and somebody waits for the answer.
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, router.clone(), place));
            }),
            Listener::Unix(unix, uids) => unix.accept().await.map(|(stream, _)| {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                if uid.is_some_and(|uid| uids.contains(&uid)) {
                    tokio::spawn(connection(stream, router.clone(), place));
                } else {
                    tracing::warn!(?uid, "this user may not use the HMI (socket_uids)");
                }
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "no connection accepted");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
    drop(place);
}
