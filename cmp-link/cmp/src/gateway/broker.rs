//! The gateway over somebody else's MQTT broker (AID2): one client with a shared subscription to all
//! cars' topics. The broker checks certificates and topics; nothing is left to its queues: what has to
//! wait is in the database, and a publication that nobody takes says that the car is away.

use crate::config::{BROKER_CLIENT, Gateway};
use crate::gauges;
use crate::service::{Frame, Service, Taken};
use crate::store::Tx;
use aid_cli::signal::Stop;
use aid_cli::tls;
use aid_id::Eid;
use aid_serve::http::check_address;
use aid_serve::live::Live;
use aid_serve::peer::common_name;
use aid_wire::{Direction, Envelope, MAX_MESSAGE, Up, parse_topic, topic_down};
use rumqttc::mqttbytes::v5::PubAckReason;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, PublishNotice, PublishNoticeError,
    PublishOptions, PublishResult, QoS, SubscribeReasonCode,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
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
    reached: watch::Sender<AtBroker>,
}

/// Whether the broker is reached and has taken the subscription; why not otherwise, for `/readyz`.
pub type AtBroker = Result<(), String>;

impl Broker {
    /// The client that the configuration describes; none where we are the server ourselves.
    #[must_use]
    pub fn new(gateway: &Gateway, tls: Live<ClientConfig>) -> Option<Self> {
        let (host, port) = gateway.broker_address()?.ok()?;
        let nowhere = format!("the broker {host}:{port} is not reached yet");
        Some(Self {
            host: host.to_owned(),
            port,
            client_id: client_id(gateway),
            filter: format!("$share/{}/aid/v1/+/up", gateway.share),
            tls,
            reached: watch::Sender::new(Err(nowhere)),
        })
    }

    /// Whether vehicles can be reached by the broker, as it changes.
    #[must_use]
    pub fn reached(&self) -> watch::Receiver<AtBroker> {
        self.reached.subscribe()
    }

    fn note(&self, state: AtBroker) {
        gauges::broker(state.is_ok());
        self.reached.send_modify(|now| *now = state);
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
    pub async fn serve(self, service: Arc<Service>, stop: Stop) {
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
                    let granted = |code: &SubscribeReasonCode| {
                        matches!(code, SubscribeReasonCode::Success(_))
                    };
                    if !ack.return_codes.iter().all(granted) {
                        let why = format!(
                            "the broker {}:{} refuses the subscription to the vehicles: {:?}",
                            self.host, self.port, ack.return_codes
                        );
                        tracing::error!("{why}");
                        self.note(Err(why));
                        continue;
                    }
                    pause = PAUSE;
                    self.note(Ok(()));
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
                    let why = format!(
                        "no connection to the broker {}:{}: {error}",
                        self.host, self.port
                    );
                    self.note(Err(why));
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

/// Vehicles that are read at once when the broker is reached.
const PAGE: u32 = 500;

/// Takes the cars' messages one after the other, in the order in which the broker sent them.
struct Worker {
    service: Arc<Service>,
    queue: mpsc::Sender<Box<Frame>>,
    reached: Reached,
}

impl Worker {
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

    /// Who is there is not known after a start: every car is sent what waits for it. A car that is
    /// away shows by that nobody takes it.
    async fn reach_all(&self) -> Result<(), String> {
        let mut after = None;
        loop {
            let look = async move |_: &Service, tx: &Tx<'_>| {
                let page = tx.vehicles(after, PAGE).await?;
                let waited_for = match (page.first(), page.last()) {
                    (Some(first), Some(last)) => tx.waited_for(first.eid, last.eid).await?,
                    _ => Vec::new(),
                };
                Ok((page, waited_for))
            };
            let (page, waited_for) = self.service.look(look).await.map_err(|e| e.to_string())?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.eid);
            for vehicle in &page {
                self.reach(vehicle.eid);
            }
            for eid in waited_for {
                if let Err(error) = self.service.greet(eid).await {
                    // The others are reached all the same; what this one waits for is sent again later.
                    tracing::error!(%eid, %error, "a car was not sent what it waits for");
                }
            }
        }
    }

    fn reach(&self, eid: Eid) {
        let number = self.service.connect(eid, None, self.queue.clone());
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
        match self.service.up(eid, None, envelope).await {
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
async fn publish(
    client: AsyncClient,
    mut frames: mpsc::Receiver<Box<Frame>>,
    service: Arc<Service>,
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

/// Our client id: as configured, else the common name of our certificate, to which brokers may bind it.
fn client_id(gateway: &Gateway) -> String {
    let own = || {
        let chain = tls::certificates(&gateway.cert).ok()?;
        common_name(chain.first()?)
    };
    let id = gateway.client_id.clone().or_else(own);
    id.unwrap_or_else(|| BROKER_CLIENT.to_owned())
}

/// An access control list for mosquitto and brokers that read its format: each car its own two topics
/// (%u is the common name of its certificate, its EID), the CMP's instances all of them.
///
/// # Errors
/// A name that a line of the list cannot carry, or that is a car's.
pub fn acl(cmp: &[String]) -> Result<String, String> {
    let mut text = "# Each car, named by the common name of its certificate, touches its own two topics only.\n\
                    pattern write aid/v1/%u/up\n\
                    pattern read aid/v1/%u/down\n\
                    \n\
                    # The CMP, named by the common name of its certificate, hears all cars and speaks to them.\n"
        .to_owned();
    for name in cmp {
        if name.is_empty()
            || name.trim() != name
            || name.contains(|c: char| c.is_control() || matches!(c, '/' | '+' | '#'))
        {
            return Err(format!(
                "the CMP's common name {name:?} must be without spaces around it, control characters and / + #"
            ));
        }
        if name.parse::<Eid>().is_ok() {
            return Err(format!(
                "the CMP's common name {name} is an EID: a car would be taken for the CMP"
            ));
        }
        // Writing into a String does not fail.
        let _ = write!(
            text,
            "user {name}\ntopic read aid/v1/+/up\ntopic write aid/v1/+/down\n"
        );
    }
    Ok(text)
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

/// A configuration of mosquitto: mutual TLS, the certificate's name as the user and as the client id, whatever a client
/// calls itself, nothing kept. Without that binding a car that calls itself as another client evicts that one.
///
/// # Errors
/// `listen` is no HOST:PORT, or a value that a line cannot carry.
pub fn mosquitto(what: Mosquitto<'_>) -> Result<String, String> {
    check_address("--listen", what.listen).map_err(|e| e.text)?;
    let wrong = || format!("{:?} must be HOST:PORT", what.listen);
    let (host, port) = what.listen.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if port == 0 {
        return Err(format!(
            "{:?} has no port that cars could know; give one",
            what.listen
        ));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let user = what.user.unwrap_or_default();
    for path in [
        what.cert,
        what.key,
        what.client_ca,
        what.acl,
        Path::new(user),
    ] {
        // A line break would begin another setting.
        if path.to_string_lossy().contains(char::is_control) {
            return Err(format!(
                "{path:?} has a control character; choose another name"
            ));
        }
    }
    let (cert, key) = (what.cert.display(), what.key.display());
    let (ca, acl) = (what.client_ca.display(), what.acl.display());
    let mut text = format!(
        "# Written by `aid-cmp gateway mosquitto`. Orders wait in the CMP's database, not here.\n\
         listener {port} {host}\n\
         certfile {cert}\n\
         keyfile {key}\n\
         cafile {ca}\n\
         require_certificate true\n\
         # A client is who its certificate says, whatever it calls itself: its user name and its client id.\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n\
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

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn the_list_gives_each_car_its_own_topics() {
        let text = acl(&names(&["cmp", "cmp-2"])).unwrap();
        assert!(text.contains("pattern write aid/v1/%u/up\n"));
        for name in ["cmp", "cmp-2"] {
            let own = format!("user {name}\ntopic read aid/v1/+/up\ntopic write aid/v1/+/down\n");
            assert!(text.contains(&own), "{text}");
        }
        for bad in [
            "",
            " cmp",
            "a\ntopic readwrite #",
            "a/b",
            "+",
            "#",
            "89049032000001000000000831934057",
        ] {
            assert!(acl(&names(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_client_is_who_its_certificate_says() {
        let path = Path::new("/x/y.pem");
        let what = Mosquitto {
            listen: "127.0.0.1:8883",
            cert: path,
            key: path,
            client_ca: path,
            acl: path,
            user: None,
        };
        let text = mosquitto(what).unwrap();
        for line in [
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",
            "allow_anonymous false",
        ] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
        let evil = Path::new("/x\nallow_anonymous true");
        for wrong in [
            Mosquitto {
                listen: "8883",
                ..what
            },
            Mosquitto {
                listen: "127.0.0.1:0",
                ..what
            },
            Mosquitto {
                listen: "a\nallow_anonymous true:1",
                ..what
            },
            Mosquitto { cert: evil, ..what },
            Mosquitto { acl: evil, ..what },
            Mosquitto {
                user: Some("a\nb"),
                ..what
            },
        ] {
            assert!(mosquitto(wrong).is_err(), "{wrong:?}");
        }
    }
}
