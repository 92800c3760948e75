//! The bearers of AID traffic, best first: which one the next connection tries, and which one carried the last.
//! AID traffic never leaves through another bearer (AID.02 §2, R-2-12).
//!
//! A bearer that failed is tried after the others until its pause is over; the pause doubles with each failure in a row.
//! No bearer is ever given up: where all have failed, they are tried in their order.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// First pause of a bearer that failed.
const PAUSE: Duration = Duration::from_secs(60);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Where connections leave from; the default leaves it to the operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearer {
    /// Network interface that sockets are bound to (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// Source address that sockets are bound to.
    pub source: Option<IpAddr>,
}

impl Bearer {
    /// The interface, else the source address, else `default`.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.interface, self.source) {
            (Some(interface), _) => interface.clone(),
            (None, Some(source)) => source.to_string(),
            (None, None) => "default".to_owned(),
        }
    }

    /// Can an address of this family be reached from the source address?
    #[must_use]
    pub fn speaks(&self, to: IpAddr) -> bool {
        self.source.is_none_or(|s| s.is_ipv4() == to.is_ipv4())
    }

    /// A TCP socket that is bound to this bearer and not connected yet.
    ///
    /// # Errors
    /// The interface or the address does not exist (now), or the process may not bind to it.
    pub fn socket(&self, to: SocketAddr) -> io::Result<Socket> {
        let wrong = |what: &dyn std::fmt::Display, e: io::Error| {
            io::Error::new(e.kind(), format!("no admin bearer: {what}: {e}"))
        };
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(interface) = &self.interface {
            socket
                .bind_device(Some(interface.as_bytes()))
                .map_err(|e| wrong(&format_args!("interface {interface}"), e))?;
        }
        if let Some(source) = self.source {
            socket
                .bind(&SocketAddr::new(source, 0).into())
                .map_err(|e| wrong(&format_args!("address {source}"), e))?;
        }
        Ok(socket)
    }

    /// A connection through this bearer.
    pub(crate) fn connect(&self, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let socket = self.socket(to)?;
        socket.connect_timeout(&to.into(), timeout)?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }
}

/// What is known of one bearer.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    /// Failures since it last worked.
    failures: u32,
    /// Until then others are tried first.
    until: Option<Instant>,
}

impl Record {
    fn rests(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

#[derive(Debug)]
struct Book {
    records: Vec<Record>,
    /// The bearer of the last connection that came up.
    used: Option<usize>,
}

/// The bearers of one kind of connection, best first, at least one.
///
/// The CMP and an SM-DP+ may be reachable through different bearers: each kind of connection has a `Bearers` of its own.
#[derive(Debug)]
pub struct Bearers {
    list: Vec<Bearer>,
    book: Mutex<Book>,
}

impl Bearers {
    /// These, best first; the operating system's choice if there are none.
    #[must_use]
    pub fn new(mut list: Vec<Bearer>) -> Self {
        if list.is_empty() {
            list.push(Bearer::default());
        }
        let records = vec![Record::default(); list.len()];
        let book = Mutex::new(Book {
            records,
            used: None,
        });
        Self { list, book }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of bearers, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The names of all bearers, best first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(Bearer::name).collect()
    }

    /// All bearers in the order in which a connection tries them now, with their numbers.
    #[must_use]
    pub fn order(&self, now: Instant) -> Vec<(usize, &Bearer)> {
        let book = self.book();
        let mut order: Vec<_> = self.list.iter().enumerate().collect();
        order.sort_by_key(|(n, _)| book.records.get(*n).is_some_and(|r| r.rests(now)));
        order
    }

    /// Those that are better than the one in use, and may be tried now.
    #[must_use]
    pub fn better(&self, now: Instant) -> Vec<(usize, &Bearer)> {
        let book = self.book();
        let used = book.used.unwrap_or(0);
        let better = self.list.iter().enumerate().take(used);
        better
            .filter(|(n, _)| book.records.get(*n).is_some_and(|r| !r.rests(now)))
            .collect()
    }

    /// When [`Bearers::better`] is worth a look: the end of the first pause of a bearer that is better than the one in use.
    /// None while the best is in use.
    #[must_use]
    pub fn better_at(&self, now: Instant) -> Option<Instant> {
        let book = self.book();
        let better = book.records.iter().take(book.used.unwrap_or(0));
        better.map(|r| r.until.unwrap_or(now)).min()
    }

    /// A connection through bearer `n` came up. Its earlier failures count until the server answers: a captive portal
    /// takes any connection.
    pub fn connected(&self, n: usize) {
        self.book().used = Some(n);
    }

    /// The server answered through the connection that came up last.
    pub fn answered(&self) {
        let mut book = self.book();
        let used = book.used;
        if let Some(record) = used.and_then(|n| book.records.get_mut(n)) {
            *record = Record::default();
        }
    }

    /// A connection through bearer `n` did not come up.
    pub fn failed(&self, n: usize, now: Instant) {
        if let Some(record) = self.book().records.get_mut(n) {
            let doublings = record.failures.min(8);
            record.failures += 1;
            let pause = PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
            record.until = now.checked_add(pause);
        }
    }

    /// The connection that came up last has fallen silent, or what answered is not the server: its bearer is tried after the others.
    pub fn fell_silent(&self, now: Instant) {
        let used = self.book().used;
        if let Some(used) = used {
            self.failed(used, now);
        }
    }

    /// This interface carries packets again: bearers on it are tried without waiting for the end of their pause.
    pub fn carries_again(&self, interface: &str) {
        let mut book = self.book();
        for (n, bearer) in self.list.iter().enumerate() {
            if bearer.interface.as_deref() == Some(interface)
                && let Some(record) = book.records.get_mut(n)
            {
                record.until = None;
            }
        }
    }

    /// Is this the interface of the connection that came up last?
    #[must_use]
    pub fn uses(&self, interface: &str) -> bool {
        let used = self.book().used;
        let bearer = used.and_then(|n| self.list.get(n));
        bearer.is_some_and(|bearer| bearer.interface.as_deref() == Some(interface))
    }

    /// Name of the bearer in use; of the best one before any connection came up.
    #[must_use]
    pub fn name(&self) -> String {
        let used = self.book().used.unwrap_or(0);
        self.list.get(used).map_or_else(String::new, Bearer::name)
    }
}

impl From<Bearer> for Bearers {
    fn from(bearer: Bearer) -> Self {
        Self::new(vec![bearer])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Bearers, Instant) {
        let list = ["wwan0", "wlan0", "eth0"].map(|name| Bearer {
            interface: Some(name.to_owned()),
            source: None,
        });
        (Bearers::new(list.into()), Instant::now())
    }

    fn order(bearers: &Bearers, now: Instant) -> Vec<usize> {
        let order = bearers.order(now);
        order.into_iter().map(|(n, _)| n).collect()
    }

    fn better(bearers: &Bearers, now: Instant) -> Vec<usize> {
        let better = bearers.better(now);
        better.into_iter().map(|(n, _)| n).collect()
    }

    #[test]
    fn what_failed_is_tried_after_the_others_until_its_pause_is_over() {
        let (bearers, now) = three();
        assert_eq!(order(&bearers, now), [0, 1, 2]);
        bearers.failed(0, now);
        assert_eq!(order(&bearers, now), [1, 2, 0]);
        bearers.failed(1, now);
        bearers.failed(2, now);
        assert_eq!(order(&bearers, now), [0, 1, 2], "none is given up");
        assert_eq!(order(&bearers, now + PAUSE), [0, 1, 2]);
    }

    #[test]
    fn pauses_double_to_a_limit_and_end_with_success() {
        let (bearers, mut now) = three();
        bearers.connected(2);
        bearers.answered();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            bearers.failed(0, now);
            bearers.failed(1, now);
            let at = bearers.better_at(now).expect("a worse one is in use");
            pauses.push((at - now).as_secs());
            assert!(better(&bearers, now).is_empty());
            assert_eq!(better(&bearers, at), [0, 1]);
            now = at;
        }
        assert_eq!(pauses[..5], [60, 120, 240, 480, 900]);
        assert!(pauses[5..].iter().all(|pause| *pause == 900));
        bearers.connected(0);
        bearers.answered();
        assert_eq!(bearers.better_at(now), None);
        assert!(better(&bearers, now + MAX_PAUSE).is_empty());
        bearers.failed(0, now);
        assert_eq!(order(&bearers, now + PAUSE), [0, 1, 2]);
    }

    #[test]
    fn a_silent_connection_moves_to_the_next_bearer_and_its_name_follows() {
        let (bearers, now) = three();
        assert_eq!(bearers.name(), "wwan0");
        // Nothing was in use: nobody is to blame.
        bearers.fell_silent(now);
        assert_eq!(order(&bearers, now), [0, 1, 2]);
        bearers.connected(0);
        bearers.answered();
        bearers.fell_silent(now);
        assert_eq!(order(&bearers, now), [1, 2, 0]);
        bearers.connected(1);
        bearers.answered();
        assert_eq!(bearers.name(), "wlan0");
        assert!(bearers.uses("wlan0") && !bearers.uses("wwan0"));
        assert!(better(&bearers, now).is_empty());
        bearers.carries_again("eth0");
        assert!(better(&bearers, now).is_empty());
        bearers.carries_again("wwan0");
        assert_eq!(better(&bearers, now), [0]);
        bearers.failed(0, now);
        assert!(better(&bearers, now + PAUSE).is_empty());
        assert_eq!(better(&bearers, now + 2 * PAUSE), [0]);
    }

    #[test]
    fn a_connection_that_nobody_answers_does_not_excuse_its_bearer() {
        let (bearers, mut now) = three();
        for pause in [60, 120, 240] {
            bearers.connected(0);
            bearers.fell_silent(now);
            assert_eq!(order(&bearers, now), [1, 2, 0]);
            bearers.connected(1);
            bearers.answered();
            assert_eq!(
                bearers.better_at(now),
                Some(now + Duration::from_secs(pause))
            );
            now += Duration::from_secs(pause);
        }
    }

    // R-2-12
    #[test]
    fn a_bearer_that_does_not_exist_is_an_error_and_no_other_is_taken() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let missing = Bearer {
            interface: Some("aid-no-such-if".to_owned()),
            source: None,
        };
        let error = missing.socket(to).expect_err("no such interface");
        assert!(error.to_string().contains("no admin bearer"), "{error}");
        let foreign = Bearer {
            interface: None,
            source: Some(IpAddr::from([203, 0, 113, 9])),
        };
        let error = foreign.socket(to).expect_err("no address of ours");
        assert!(error.to_string().contains("203.0.113.9"), "{error}");
        assert_eq!(Bearers::new(Vec::new()).name(), "default");
    }
}
