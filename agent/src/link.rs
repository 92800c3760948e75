//! The link to the CMP (AID2): MQTT 5 over TLS through the admin bearer and no other.
//! TLS, byte counting and the bearer are in our socket connector; reconnects with backoff and jitter.
//! Called by the daemon's loop; the journal is the outbox, whatever the MQTT client forgets.

use crate::card::Counters;
use crate::config::{Bearer, Cmp};
use aid_agent_core::MAX_MESSAGE;
use aid_shell::validity;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, PublishOptions, QoS};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// First pause before another connection, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 250;
/// Longest pause, ms.
const MAX_PAUSE: u64 = 60_000;
/// Time for the goodbye to the CMP.
const CLOSE: Duration = Duration::from_millis(500);

/// What the link says.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Up,
    Down(String),
    Message(Vec<u8>),
}

/// Sends to the CMP.
pub(crate) struct Link {
    client: AsyncClient,
    topic: String,
    stopping: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// Queues a message; a full queue loses it, the outbox sends it again.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        if let Err(error) = self.client.try_publish(self.topic.as_str(), bytes, options) {
            tracing::warn!(%error, "a message was not queued; it is sent again later");
        }
    }

    /// Says goodbye, so that the CMP does not take a stop for a lost car.
    pub(crate) async fn close(self) {
        self.stopping.store(true, Ordering::Relaxed);
        let goodbye = async {
            // Without a connection there is nobody to say goodbye to.
            if self.client.disconnect_now().await.is_ok() {
                let _ = self.task.await;
            }
        };
        if tokio::time::timeout(CLOSE, goodbye).await.is_err() {
            tracing::debug!("the link was cut");
        }
    }
}

/// Builds the client and runs it on a task.
pub(crate) fn start(
    eid: &str,
    cmp: &Cmp,
    bearer: &Bearer,
    counters: Arc<Counters>,
    tell: impl Fn(LinkEvent) + Send + 'static,
) -> Result<Link, String> {
    let (host, port) = cmp.host_port().ok_or("cmp.address must be HOST:PORT")?;
    let tls = TlsConnector::from(
        aid_shell::tls::client_config(&cmp.ca, Some((&cmp.cert, &cmp.key))).map_err(|f| f.text)?,
    );
    let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("cmp.address: {e}"))?;
    let mut options = MqttOptions::new(eid, (host, port));
    options.set_keep_alive(30);
    options.set_outgoing_inflight_upper_limit(16);
    options.set_max_packet_size(Some(MAX_MESSAGE as u32 + 1024));
    let (bearer, address) = (bearer.clone(), (host.to_owned(), port));
    options.set_socket_connector(move |_, _| {
        let (bearer, tls, name) = (bearer.clone(), tls.clone(), name.clone());
        let (address, counters) = (address.clone(), Arc::clone(&counters));
        async move {
            let stream = connect(&address.0, address.1, &bearer).await?;
            tls.connect(name, Counted { stream, counters }).await
        }
    });
    let (client, events) = AsyncClient::builder(options).capacity(64).build();
    let down = format!("aid/v1/{eid}/down");
    let stopping = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stopping);
    // The CMP says no more of it than a TLS alert.
    let own = cmp.cert.clone();
    let tell = move |event| match event {
        LinkEvent::Down(error) => {
            let reason = validity::own_is_refused(&own, validity::now());
            tell(LinkEvent::Down(match reason {
                Some(reason) => format!("{error}; {reason}"),
                None => error,
            }));
        }
        event => tell(event),
    };
    let task = tokio::spawn(run(events, client.clone(), down, tell, stopped));
    Ok(Link {
        client,
        topic: format!("aid/v1/{eid}/up"),
        stopping,
        task,
    })
}

async fn run(
    mut events: EventLoop,
    client: AsyncClient,
    topic: String,
    tell: impl Fn(LinkEvent),
    stopping: Arc<AtomicBool>,
) {
    let mut pause = PAUSE;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                if let Err(error) = client.try_subscribe(topic.as_str(), QoS::AtLeastOnce) {
                    tracing::warn!(%error, "cannot subscribe");
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                pause = PAUSE;
                tell(LinkEvent::Up);
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                tell(LinkEvent::Message(publish.payload.to_vec()));
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) if stopping.load(Ordering::Relaxed) => return,
            Ok(_) => {}
            Err(_) if stopping.load(Ordering::Relaxed) => return,
            Err(error) => {
                tell(LinkEvent::Down(error.to_string()));
                // Half fixed, half drawn: a fleet does not come back in step.
                let jitter = uuid::Uuid::new_v4().as_u128() as u64 % (pause / 2 + 1);
                tokio::time::sleep(Duration::from_millis(pause / 2 + jitter)).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

/// A TCP connection through the configured bearer.
async fn connect(host: &str, port: u16, bearer: &Bearer) -> io::Result<TcpStream> {
    let source: Option<IpAddr> = bearer.source.parse().ok();
    let mut last = io::Error::new(
        io::ErrorKind::NotFound,
        format!("{host} has no usable address"),
    );
    for address in tokio::net::lookup_host((host, port)).await? {
        if source.is_some_and(|s| s.is_ipv4() != address.is_ipv4()) {
            continue;
        }
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        if !bearer.interface.is_empty() {
            socket
                .bind_device(Some(bearer.interface.as_bytes()))
                .map_err(|e| {
                    let text = format!("no admin bearer: interface {}: {e}", bearer.interface);
                    io::Error::new(e.kind(), text)
                })?;
        }
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A TCP stream whose payload is counted.
struct Counted {
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
