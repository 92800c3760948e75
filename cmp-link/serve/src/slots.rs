//! How many connections a listener holds at once: altogether, from one network, and with one client certificate, so
//! that nobody alone can take all of them.
//!
//! A connection counts towards the network that it comes from until a client certificate is verified, and towards that
//! certificate from then on: many vehicles or partners may share an address of a carrier or of a load balancer, but
//! strangers there do not keep them out for long, because a handshake has a time limit.

use crate::proxy;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncRead;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections from one address where the configuration says nothing.
pub const PER_ADDRESS: usize = 128;
/// Connections of one client certificate to an HTTP listener: a partner with several servers and connection pools.
pub const PER_CERTIFICATE: usize = 512;
/// Shortest time between two lines of the log about refused connections.
const REPORT: Duration = Duration::from_secs(60);

/// `[connections]` of a server's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Connections at once from one address (IPv6: one /64) to one listener, as long as they have not shown a client
    /// certificate; at least 1.
    pub per_address: usize,
    /// Load balancers in front, by address: each of their connections begins with a PROXY header, version 1 or 2, which
    /// says where the client is. From any other address such a header is an error.
    pub proxies: Vec<IpAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            per_address: PER_ADDRESS,
            proxies: Vec::new(),
        }
    }
}

impl Config {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// Which one does not.
    pub fn check(&self) -> Result<(), String> {
        if self.per_address == 0 {
            return Err("connections.per_address must be at least 1".into());
        }
        match self.proxies.iter().find(|proxy| proxy.is_unspecified()) {
            Some(proxy) => Err(format!(
                "connections.proxies: {proxy} is no address of a load balancer"
            )),
            None => Ok(()),
        }
    }
}

/// A listening socket, and how its connections are counted.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    config: Config,
}

impl Listener {
    /// Counts the connections of a socket as the configuration says.
    #[must_use]
    pub fn new(tcp: TcpListener, config: &Config) -> Self {
        let config = config.clone();
        Self { tcp, config }
    }

    /// The socket, and the configuration for [`Slots::new`].
    #[must_use]
    pub fn into_parts(self) -> (TcpListener, Config) {
        (self.tcp, self.config)
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::new(tcp, &Config::default())
    }
}

/// Who has one IPv6 address has the other 2^64 of its network too: that network, or the IPv4 address.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            IpAddr::V6((u128::from(v6) >> 64 << 64).into())
        }
        other => other.to_canonical(),
    }
}

/// Whom a connection counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Network(IpAddr),
    /// SHA-256 of a verified client certificate.
    Certificate([u8; 32]),
}

/// The share of a holder is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug)]
struct Shared {
    config: Config,
    per_certificate: usize,
    held: Mutex<BTreeMap<Holder, usize>>,
    /// Refused connections since the last line of the log, and when that was.
    refused: Mutex<(u64, Option<Instant>)>,
}

impl Shared {
    fn take(&self, holder: Holder) -> Result<(), Full> {
        let most = match holder {
            Holder::Network(_) => self.config.per_address,
            Holder::Certificate(_) => self.per_certificate,
        };
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(holder).or_insert(0);
        if *count >= most {
            drop(held);
            self.report(holder, most);
            return Err(Full);
        }
        *count += 1;
        Ok(())
    }

    fn give_back(&self, holder: Holder) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&holder);
            }
        }
    }

    /// One line a minute at most: whoever is refused can come again at will.
    fn report(&self, holder: Holder, most: usize) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.0 += 1;
        if refused.1.is_some_and(|last| last.elapsed() < REPORT) {
            return;
        }
        let (count, _) = std::mem::replace(&mut *refused, (0, Some(Instant::now())));
        let who = match holder {
            Holder::Network(address) => address.to_string(),
            Holder::Certificate(_) => "one client certificate".to_owned(),
        };
        tracing::warn!(
            from = who,
            most,
            count,
            "connections were refused: too many at once"
        );
    }
}

/// The connections of a listener.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Slots {
    /// At most `total` connections, and `per_certificate` that show the same client certificate.
    #[must_use]
    pub fn new(total: usize, per_certificate: usize, config: Config) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total.min(Semaphore::MAX_PERMITS))),
            shared: Arc::new(Shared {
                config,
                per_certificate,
                held: Mutex::default(),
                refused: Mutex::default(),
            }),
        }
    }

    /// Waits until one more connection may be accepted; none once the listener has ended.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Begins a connection from this address. Behind a load balancer its PROXY header is read first, for as long as a
    /// handshake may take.
    ///
    /// # Errors
    /// The share of the address is used up, or the header is missing or malformed.
    pub async fn begin(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        stream: &mut (impl AsyncRead + Unpin),
        peer: SocketAddr,
    ) -> io::Result<Slot> {
        let mut client = peer;
        if self.is_proxy(peer.ip()) {
            let header = tokio::time::timeout(crate::http::HANDSHAKE, proxy::client(stream)).await;
            // A health check of the load balancer itself has no client.
            client = header??.unwrap_or(peer);
        }
        let holder = Holder::Network(network(client.ip()));
        self.shared.take(holder).map_err(|Full| {
            io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "too many connections from this address",
            )
        })?;
        Ok(Slot {
            _permit: permit,
            shared: Arc::clone(&self.shared),
            holder,
            client,
        })
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let proxies = &self.shared.config.proxies;
        proxies.iter().any(|proxy| proxy.to_canonical() == address)
    }
}

/// A connection; dropping it gives its place back.
#[derive(Debug)]
pub struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    holder: Holder,
    client: SocketAddr,
}

impl Slot {
    /// Where the client is; behind a load balancer what that says.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// From now on the connection counts towards its client certificate, which was verified, and not towards its address.
    ///
    /// # Errors
    /// The certificate has too many connections already.
    pub fn identify(&mut self, fingerprint: [u8; 32]) -> Result<(), Full> {
        let holder = Holder::Certificate(fingerprint);
        self.shared.take(holder)?;
        self.shared.give_back(self.holder);
        self.holder = holder;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.give_back(self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(per_address: usize, proxies: &[&str]) -> Slots {
        let proxies = proxies.iter().map(|p| p.parse().expect("address"));
        let proxies = proxies.collect();
        Slots::new(
            100,
            2,
            Config {
                per_address,
                proxies,
            },
        )
    }

    async fn begin(slots: &Slots, header: &str, from: &str) -> io::Result<Slot> {
        let from = SocketAddr::new(from.parse().expect("address"), 9);
        slots
            .begin(slots.free().await, &mut header.as_bytes(), from)
            .await
    }

    #[tokio::test]
    async fn one_network_has_its_share_and_leaves_the_others_theirs() {
        let slots = slots(2, &[]);
        let one = begin(&slots, "", "2001:db8::1").await.expect("first");
        let _two = begin(&slots, "", "2001:db8::2").await.expect("second");
        assert!(begin(&slots, "", "2001:db8::3").await.is_err());
        let _other = begin(&slots, "", "2001:db8:0:1::1").await.expect("other");
        let _v4 = begin(&slots, "", "::ffff:10.0.0.1").await.expect("IPv4");
        let _v4 = begin(&slots, "", "10.0.0.1").await.expect("the same");
        assert!(begin(&slots, "", "10.0.0.1").await.is_err());
        drop(one);
        let _three = begin(&slots, "", "2001:db8::3").await.expect("free again");
        assert_eq!(slots.free.available_permits(), 95);
    }

    #[tokio::test]
    async fn who_has_shown_a_certificate_leaves_the_share_of_the_address() {
        let slots = slots(1, &[]);
        let mut kept = Vec::new();
        for number in 0..4 {
            let mut slot = begin(&slots, "", "10.0.0.1").await.expect("place");
            slot.identify([number / 2; 32]).expect("identified");
            kept.push(slot);
        }
        let mut third = begin(&slots, "", "10.0.0.1").await.expect("place");
        assert_eq!(third.identify([0; 32]), Err(Full));
        drop(third);
        kept.clear();
        assert!(slots.shared.held.lock().expect("lock").is_empty());
    }

    #[tokio::test]
    async fn behind_a_load_balancer_the_client_counts_and_nobody_else_may_say_who_it_is() {
        let slots = slots(1, &["10.9.9.9"]);
        let header = |client: &str| format!("PROXY TCP4 {client} 10.0.0.1 4711 443\r\n");
        let begin = async |client: &str| begin(&slots, &header(client), "10.9.9.9").await;
        let one = begin("192.0.2.1").await.expect("first");
        assert_eq!(one.client(), "192.0.2.1:4711".parse().expect("address"));
        assert!(begin("192.0.2.1").await.is_err());
        let _two = begin("192.0.2.2").await.expect("another client");
        // What is said by anybody else is not read, and becomes part of a handshake that fails.
        let mut stream = std::io::Cursor::new(header("192.0.2.3").into_bytes());
        let stranger = "192.0.2.9:1".parse().expect("address");
        let slot = slots.begin(None, &mut stream, stranger).await;
        assert_eq!(slot.expect("slot").client(), stranger);
        assert_eq!(stream.position(), 0);
    }

    #[test]
    fn a_configuration_must_make_sense() {
        assert!(Config::default().check().is_ok());
        let none = Config {
            per_address: 0,
            ..Config::default()
        };
        assert!(none.check().is_err());
        let anybody = Config {
            proxies: vec!["0.0.0.0".parse().expect("address")],
            ..Config::default()
        };
        assert!(anybody.check().is_err());
    }
}
