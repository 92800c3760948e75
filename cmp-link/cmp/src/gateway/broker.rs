//! The gateway over somebody else's MQTT broker (AID2): one client with a shared subscription to all
//! cars' topics. The broker checks certificates and topics; nothing is left to its queues: what has to
//! wait is in the database, and a publication that nobody takes says that the car is away.
//! Called by `serve`; `acl` and `mosquitto` write what such a broker needs.

use crate::config::Gateway;
use crate::service::{Frame, Service, Taken};
use crate::store::{Store, StoreError};
use aid_id::Eid;
use aid_shell::live::Live;
use aid_shell::signal::Stop;
use aid_wire::{Direction, Envelope, MAX_MESSAGE, Up, parse_topic, topic_down};
use rumqttc::mqttbytes::v5::PubAckReason;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, PublishNotice, PublishNoticeError,
    PublishOptions, PublishResult, QoS,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// First pause before another connection, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 250;
/// Longest pause, ms.
const MAX_PAUSE: u64 = 30_000;
/// Messages to all cars that may wait here; more are sent again later.
const QUEUE: usize = 4096;
/// Messages of all cars that may wait for their turn.
const INBOX: usize = 1024;
/// Messages to cars that the broker has not acknowledged.
const IN_FLIGHT: u16 = 256;
/// Time for the goodbye.
const CLOSE: Duration = Duration::from_millis(500);

/// Numbers of the connections that the service knows, by car.
type Reached = Arc<Mutex<BTreeMap<Eid, u64>>>;

/// What is needed to be a client of the broker.
#[derive(Debug)]
pub struct Broker {
    host: String,
    port: u16,
    client_id: String,
    filter: String,
    tls: Live<ClientConfig>,
}

impl Broker {
    /// The client that the configuration describes; none where we are the server ourselves.
    #[must_use]
    pub fn new(gateway: &Gateway, tls: Live<ClientConfig>) -> Option<Self> {
        let (host, port) = gateway.broker_address()?.ok()?;
        Some(Self {
            host: host.to_owned(),
            port,
            client_id: gateway.client_id.clone(),
            filter: format!("$share/{}/aid/v1/+/up", gateway.share),
            tls,
        })
    }

    fn client(&self) -> Result<(AsyncClient, EventLoop), String> {
        let mut options =
            MqttOptions::new(self.client_id.as_str(), (self.host.as_str(), self.port));
        options.set_keep_alive(30);
        options.set_clean_start(true);
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        options.set_max_packet_size(Some(MAX_MESSAGE as u32 + 1024));
        let name = ServerName::try_from(self.host.clone()).map_err(|e| e.to_string())?;
        let (tls, address) = (self.tls.clone(), (self.host.clone(), self.port));
        options.set_socket_connector(move |_, _| {
            // As it is now: the certificate may have been replaced since the last connection.
            let tls = TlsConnector::from(tls.now());
            let (name, address) = (name.clone(), address.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                tls.connect(name, stream).await
            }
        });
        Ok(AsyncClient::builder(options)
            .capacity(usize::from(IN_FLIGHT))
            .build())
    }

    /// Serves vehicles until the stop; the broker may come and go.
    pub async fn serve<S: Store>(self, service: Arc<Service<S>>, stop: Stop) {
        let (client, events) = match self.client() {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "the broker can't be used"),
        };
        let (queue, frames) = mpsc::channel(QUEUE);
        let (inbox, messages) = mpsc::channel(INBOX);
        let reached: Reached = Arc::default();
        let worker = Worker {
            service: Arc::clone(&service),
            queue,
            reached: Arc::clone(&reached),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(worker.run(messages));
        tasks.spawn(publish(client.clone(), frames, service, reached));
        tokio::select! {
            () = stop.wait() => {}
            () = self.listen(events, &client, inbox) => {}
        }
        // Without a connection there is nobody to say goodbye to.
        let _ = tokio::time::timeout(CLOSE, client.disconnect_now()).await;
        tasks.abort_all();
    }

    /// Connects, subscribes, and hands on what comes.
    async fn listen(
        &self,
        mut events: EventLoop,
        client: &AsyncClient,
        inbox: mpsc::Sender<Input>,
    ) {
        let mut pause = PAUSE;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let subscribed = client.try_subscribe(self.filter.as_str(), QoS::AtLeastOnce);
                    if let Err(error) = subscribed {
                        tracing::warn!(%error, "cannot subscribe at the broker");
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    pause = PAUSE;
                    tracing::info!(host = self.host, port = self.port, codes = ?ack.return_codes, "at the broker");
                    if inbox.send(Input::Connected).await.is_err() {
                        return;
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if inbox.send(Input::Message(Box::new(publish))).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(host = self.host, port = self.port, %error, "no connection to the broker");
                    let jitter = uuid::Uuid::new_v4().as_u64_pair().0 % (pause / 2 + 1);
                    tokio::time::sleep(Duration::from_millis(pause / 2 + jitter)).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }
}

enum Input {
    Connected,
    Message(Box<Publish>),
}

/// Takes the cars' messages one after the other, in the order in which the broker sent them.
struct Worker<S> {
    service: Arc<Service<S>>,
    queue: mpsc::Sender<Box<Frame>>,
    reached: Reached,
}

impl<S: Store> Worker<S> {
    async fn run(self, mut messages: mpsc::Receiver<Input>) {
        while let Some(input) = messages.recv().await {
            let done = match input {
                Input::Connected => self.reach_all().await,
                Input::Message(publish) => self.message(&publish).await,
            };
            if let Err(error) = done {
                // Nothing is lost: the car sends it again until it is answered.
                tracing::error!(%error, "a message was not stored");
            }
        }
    }

    /// Who is there is not known after a start: everybody is sent what waits for him. A car that is
    /// away shows by that nobody takes it.
    async fn reach_all(&self) -> Result<(), String> {
        let vehicles = self.service.store.vehicles().await;
        for vehicle in vehicles.map_err(|e| e.to_string())? {
            self.reach(vehicle.eid);
            if let Err(error) = self.greet_where_work_waits(vehicle.eid).await {
                // The others are reached all the same; what this one waits for is sent again later.
                tracing::error!(eid = %vehicle.eid, %error, "a car was not sent what it waits for");
            }
        }
        Ok(())
    }

    async fn greet_where_work_waits(&self, eid: Eid) -> Result<(), StoreError> {
        if self.service.has_work(eid).await? {
            self.service.greet(eid).await?;
        }
        Ok(())
    }

    fn reach(&self, eid: Eid) {
        let number = self.service.connect(eid, self.queue.clone());
        if let Ok(mut reached) = self.reached.lock() {
            reached.insert(eid, number);
        }
    }

    fn is_reached(&self, eid: Eid) -> bool {
        self.reached.lock().is_ok_and(|r| r.contains_key(&eid))
    }

    async fn message(&self, publish: &Publish) -> Result<(), String> {
        let topic = String::from_utf8_lossy(&publish.topic);
        let Some((eid, Direction::Up)) = parse_topic(&topic) else {
            tracing::warn!(%topic, "a message on a topic that is no car's");
            return Ok(());
        };
        let envelope = match Envelope::<Up>::decode(&publish.payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%eid, %error, "a message was refused");
                return Ok(());
            }
        };
        tracing::trace!(
            target: "trace",
            "<- MQTT {eid} {} bytes #{} {:?}",
            publish.payload.len(), envelope.sequence, envelope.body
        );
        // A car says hello when it subscribed; one that is not known speaks after our own restart.
        let arrives = matches!(envelope.body, Up::Hello { .. }) || !self.is_reached(eid);
        if arrives {
            self.reach(eid);
        }
        match self.service.up(eid, envelope).await {
            Ok(Taken::Done) if arrives => self.service.greet(eid).await.map_err(|e| e.to_string()),
            Ok(Taken::Done) => Ok(()),
            Ok(Taken::Foreign) => {
                tracing::warn!(%eid, "a message of a car that does not take part");
                self.service.gone(eid);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Publishes what the service says to cars. A publication that nobody takes: the car is away.
async fn publish<S: Store>(
    client: AsyncClient,
    mut frames: mpsc::Receiver<Box<Frame>>,
    service: Arc<Service<S>>,
    reached: Reached,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(away) = open.join_next(), if !open.is_empty() => {
                if let Ok(Some((eid, number))) = away {
                    service.disconnect(eid, number);
                    if let Ok(mut reached) = reached.lock()
                        && reached.get(&eid) == Some(&number)
                    {
                        reached.remove(&eid);
                    }
                }
            }
            frame = frames.recv() => {
                let Some(frame) = frame else {
                    return;
                };
                let Frame { eid, bytes, what } = *frame;
                tracing::trace!(target: "trace", "-> MQTT {eid} {} bytes {what}", bytes.len());
                let options = PublishOptions::new(QoS::AtLeastOnce);
                let number = reached.lock().ok().and_then(|r| r.get(&eid).copied());
                let sent = client.publish_tracked(topic_down(&eid), bytes, options).await;
                match (sent, number) {
                    (Ok(notice), Some(number)) => {
                        open.spawn(async move { nobody(notice).await.then_some((eid, number)) });
                    }
                    (Ok(_), None) => {}
                    (Err(error), _) => tracing::warn!(%eid, %error, "a message was not sent"),
                }
            }
        }
    }
}

/// Whether the broker said that nobody is there to take it.
async fn nobody(notice: PublishNotice) -> bool {
    match notice.wait_async().await {
        Ok(PublishResult::Qos1(ack)) => ack.reason == PubAckReason::NoMatchingSubscribers,
        Err(PublishNoticeError::V5PubAck(reason)) => reason == PubAckReason::NoMatchingSubscribers,
        _ => false,
    }
}

/// An access control list for mosquitto and brokers that read its format: each car its own two topics
/// (%u is the common name of its certificate, its EID), the CMP all of them.
#[must_use]
pub fn acl(cmp: &str) -> String {
    format!(
        "# Each car, named by the common name of its certificate, touches its own two topics only.\n\
         pattern write aid/v1/%u/up\n\
         pattern read aid/v1/%u/down\n\
         \n\
         # The CMP, named by the common name of its certificate, hears all cars and speaks to them.\n\
         user {cmp}\n\
         topic read aid/v1/+/up\n\
         topic write aid/v1/+/down\n"
    )
}

/// What a mosquitto of our own needs besides the access control list.
#[derive(Debug, Clone, Copy)]
pub struct Mosquitto<'a> {
    /// HOST:PORT.
    pub listen: &'a str,
    /// Its certificate, with its key.
    pub cert: &'a Path,
    /// The key.
    pub key: &'a Path,
    /// CA of the cars' and the CMP's certificates.
    pub client_ca: &'a Path,
    /// The access control list.
    pub acl: &'a Path,
    /// The user that it runs as when it is started by root.
    pub user: Option<&'a str>,
}

/// A configuration of mosquitto: mutual TLS, the certificate's name as the user, nothing kept.
///
/// # Errors
/// `listen` is no HOST:PORT.
pub fn mosquitto(what: Mosquitto<'_>) -> Result<String, String> {
    let wrong = || format!("{:?} must be HOST:PORT", what.listen);
    let (host, port) = what.listen.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (cert, key) = (what.cert.display(), what.key.display());
    let (ca, acl) = (what.client_ca.display(), what.acl.display());
    let mut text = format!(
        "# Written by `aid-cmp gateway mosquitto`. Orders wait in the CMP's database, not here.\n\
         listener {port} {host}\n\
         certfile {cert}\n\
         keyfile {key}\n\
         cafile {ca}\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         allow_anonymous false\n\
         acl_file {acl}\n\
         persistence false\n\
         message_size_limit {MAX_MESSAGE}\n\
         # Certificates of cars that were retired: crlfile /path/to/crl.pem\n"
    );
    if let Some(user) = what.user {
        // Writing into a String does not fail.
        let _ = writeln!(text, "user {user}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_gives_each_car_its_own_topics() {
        let text = acl("cmp");
        assert!(text.contains("pattern write aid/v1/%u/up\n"));
        assert!(text.contains("user cmp\ntopic read aid/v1/+/up\n"));
    }
}
