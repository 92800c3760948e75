//! A listening socket, TCP or unix: one thread per client, one card for all.

use crate::frame;
use crate::served::Served;
use aid_cli::cli::Failure;
use aid_cli::private;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Rest after an accept that failed: where the process is out of files, the next one fails at once.
const REST: Duration = Duration::from_millis(100);

/// Most clients of one listener at a time; each has a thread.
const MAX_CLIENTS: usize = 64;

/// A socket of either kind.
pub(crate) trait Stream: Read + Write + Send + 'static {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// What is done with a client until it goes.
pub(crate) type Talk = fn(&mut dyn Stream, &Served) -> io::Result<()>;

/// A bound socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds HOST:PORT, or the path of a unix socket.
    pub(crate) fn bind(listen: &str) -> Result<Self, Failure> {
        let wrong = |e: &io::Error| {
            let remedy = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program has it: stop that or choose another address"
                }
                io::ErrorKind::PermissionDenied => "check the permissions of the address",
                _ => "give HOST:PORT, e.g. 127.0.0.1:0, or the path of a unix socket",
            };
            Failure::new(format!("cannot listen on {listen}: {e}; {remedy}"))
        };
        if !frame::is_path(listen) {
            return TcpListener::bind(listen)
                .map(Self::Tcp)
                .map_err(|e| wrong(&e));
        }
        let path = PathBuf::from(listen);
        // A socket that nobody answers on was left by a program that died.
        let is_socket = fs::symlink_metadata(&path).is_ok_and(|m| {
            use std::os::unix::fs::FileTypeExt as _;
            m.file_type().is_socket()
        });
        if is_socket && UnixStream::connect(&path).is_err() {
            fs::remove_file(&path).map_err(|e| wrong(&e))?;
        }
        if !is_socket && fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::new(format!(
                "cannot listen on {listen}: something else than a socket is there; choose another path"
            )));
        }
        let listener = UnixListener::bind(&path).map_err(|e| wrong(&e))?;
        // Whoever reaches the card can do with it what its owner can.
        private::socket(&path).map_err(|e| wrong(&e))?;
        Ok(Self::Unix(listener, path))
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|e| e.to_string(), |a| a.to_string()),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// Waits for one client.
    pub(crate) fn accept_one(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener, _) => Box::new(listener.accept()?.0),
        })
    }

    /// Serves clients until the card is stopped.
    pub(crate) fn accept_all(&self, card: &Arc<Served>, talk: Talk) {
        let clients = Arc::new(AtomicUsize::new(0));
        loop {
            let started = match self {
                Self::Tcp(listener) => listener.accept().and_then(|(stream, peer)| {
                    stream.set_nodelay(true)?;
                    start(stream, peer.to_string(), card, &clients, talk)
                }),
                Self::Unix(listener, _) => listener
                    .accept()
                    .and_then(|(stream, _)| start(stream, "unix".into(), card, &clients, talk)),
            };
            if let Err(error) = started {
                tracing::warn!("a client could not be served: {error}");
                if card.is_stopped_within(REST) {
                    return;
                }
            }
        }
    }
}

/// One fewer client when it goes, however it goes.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(
    mut stream: impl Stream,
    peer: String,
    card: &Arc<Served>,
    clients: &Arc<AtomicUsize>,
    talk: Talk,
) -> io::Result<()> {
    let before = clients.fetch_add(1, Ordering::Relaxed);
    let place = Place(Arc::clone(clients));
    if before >= MAX_CLIENTS {
        return Err(io::Error::other(format!("{MAX_CLIENTS} are connected")));
    }
    let card = Arc::clone(card);
    std::thread::Builder::new().spawn(move || {
        let _place = place;
        tracing::debug!(peer, "client connected");
        if let Err(error) = talk(&mut stream, &card) {
            tracing::debug!(peer, "client lost: {error}");
        }
    })?;
    Ok(())
}
