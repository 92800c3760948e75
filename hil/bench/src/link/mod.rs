//! Links between parts: a proxy of ours on each, which passes bytes on and, on demand, is a bad network. Faults are layers
//! that can be combined; all randomness comes from the seed of the run.

mod http;
mod pass;
mod random;

pub(crate) use http::{Door, HttpFault, HttpRule};
pub(crate) use random::Seeded;

use aid_cli::cli::Failure;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a link does to what passes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// Time that each piece takes, one way.
    pub(crate) delay: Duration,
    /// Up to so much more, at random.
    pub(crate) jitter: Duration,
    /// Bytes a second, each way.
    pub(crate) bandwidth: Option<u64>,
    /// Nothing passes, and nobody hears of it.
    pub(crate) black_hole: bool,
    /// Nobody comes through: who tries is refused at once.
    pub(crate) cut: bool,
    /// So many connections more are accepted and closed at once.
    pub(crate) refuse: u64,
    /// Connections break after so many bytes more, both ways together.
    pub(crate) cut_after: Option<u64>,
    /// What is done to HTTP messages.
    pub(crate) http: Vec<HttpRule>,
    /// Faults that wait for an opportunity, and have had none yet.
    pub(crate) waiting: Vec<&'static str>,
}

impl Rules {
    /// A fault has happened.
    fn happened(&mut self, fault: &str) {
        self.waiting.retain(|waiting| *waiting != fault);
    }
}

/// What the threads of a link share.
struct Shared {
    /// Faults that were taken away before they happened.
    missed: Mutex<Vec<&'static str>>,
    target: SocketAddr,
    rules: Mutex<Rules>,
    /// Both ends of each connection.
    open: Mutex<Vec<(u64, TcpStream, TcpStream)>>,
    number: AtomicU64,
    /// Bytes that passed.
    bytes: AtomicU64,
    ended: AtomicBool,
    /// Legal hostility: pieces of odd sizes, small pauses, odd but valid headers.
    hostile: bool,
    seed: u64,
    /// What is known of the TLS on this link, where its messages can be looked into.
    door: Mutex<Option<Door>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener that has a port already, and no target yet.
pub(crate) struct Reserved(TcpListener);

impl Reserved {
    /// Takes a free port.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn new() -> Result<Self, Failure> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map(Self)
            .map_err(|e| Failure::new(format!("no free port on 127.0.0.1 for a link: {e}")))
    }

    /// Its port.
    ///
    /// # Errors
    /// The operating system does not say.
    pub(crate) fn port(&self) -> Result<u16, Failure> {
        Ok(self.0.local_addr()?.port())
    }
}

/// A link. Dropping it ends its connections.
pub(crate) struct Link {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Link {
    /// Passes what comes to the reserved port on to `target`.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn open(
        reserved: Reserved,
        target: u16,
        hostile: bool,
        seed: u64,
    ) -> Result<Self, Failure> {
        let listener = reserved.0;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            missed: Mutex::default(),
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            rules: Mutex::default(),
            open: Mutex::default(),
            number: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            hostile,
            seed,
            door: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("link".into())
            .spawn(move || accept(&listener, &of_thread))?;
        Ok(Self { shared, address })
    }

    /// Adds a layer; one that waits for an opportunity puts its name into [`Rules::waiting`].
    pub(crate) fn fault(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut lock(&self.shared.rules));
    }

    /// Adds a layer on HTTP messages; `door` gives the keys where the link has none yet. Connections that are open break,
    /// because nobody can look into those.
    ///
    /// # Errors
    /// `door` fails.
    pub(crate) fn http(
        &self,
        rule: HttpRule,
        door: impl FnOnce() -> Result<Door, Failure>,
    ) -> Result<(), Failure> {
        let mut keys = lock(&self.shared.door);
        if keys.is_none() {
            *keys = Some(door()?);
        }
        drop(keys);
        let mut rules = lock(&self.shared.rules);
        let is_first = rules.http.is_empty();
        rules.waiting.push(rule.fault.name());
        rules.http.push(rule);
        drop(rules);
        if is_first {
            self.break_all();
        }
        Ok(())
    }

    /// Takes all layers away. Connections that hang in a black hole break: nobody could mend those.
    pub(crate) fn mend(&self) {
        let was = std::mem::take(&mut *lock(&self.shared.rules));
        lock(&self.shared.missed).extend(was.waiting);
        if was.black_hole {
            self.break_all();
        }
    }

    /// Breaks every connection that is open.
    pub(crate) fn break_all(&self) {
        for (_, near, far) in lock(&self.shared.open).drain(..) {
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        }
    }

    /// The far side of every connection is gone, and the near side does not hear of it.
    pub(crate) fn half_open(&self) {
        for (_, _, far) in lock(&self.shared.open).iter() {
            let _ = far.shutdown(Shutdown::Both);
        }
        lock(&self.shared.rules).black_hole = true;
    }

    /// Faults that were asked for and have not happened: what they were to show was not shown.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let waiting = lock(&self.shared.rules).waiting.clone();
        lock(&self.shared.missed)
            .iter()
            .copied()
            .chain(waiting)
            .collect()
    }

    /// Bytes that passed so far, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.break_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((near, _)) = listener.accept() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let number = shared.number.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        let _ = std::thread::Builder::new()
            .name("link".into())
            .spawn(move || pass::connection(near, number, &shared));
    }
}

#[cfg(test)]
mod tests;
