//! The link to the CMP (AID2): MQTT 5 over TLS through an admin bearer and no other.
//! `dialer` opens its connections; `backoff` says when to try again.
//! The journal is the outbox, whatever the MQTT client forgets: with a connection goes what it queued.

use crate::backoff::Backoff;
use crate::boot_clock;
use crate::card::Counters;
use crate::dialer::{Dialer, Refusal};
use crate::inbox::Publication;
use crate::renewal::Probed;
use aid_agent_core::MAX_MESSAGE;
use aid_cli::validity;
use rumqttc::mqttbytes::v5::{
    ConnAck, PubAck, PubAckReason, RetainForwardRule, SubAck, SubscribeFilter, SubscribeReasonCode,
};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, PublishOptions, QoS, StateError,
};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Time that the server has from TLS to SUBACK.
const SUBSCRIBED: Duration = Duration::from_secs(30);
/// Bytes of a PUBLISH beside topic and payload, at most: header, lengths, packet identifier, properties.
const OVERHEAD: usize = 16;
/// Time for the goodbye to the CMP.
const CLOSE: Duration = Duration::from_millis(500);

/// What the link says.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    Up,
    /// It does not stand: why, and how the CMP refuses the certificate where it does.
    Down(String, Option<Refusal>),
    Message(Publication),
    /// The server refuses a message of ours, or takes one again (`None`); the link stands.
    Refused(Option<String>),
}

/// Sends to the CMP.
pub(crate) struct Link {
    client: AsyncClient,
    topic: String,
    /// Where the CMP's messages come.
    pub(crate) down: String,
    /// Largest packet that the server takes, bytes.
    largest: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// Queues a message; a full queue loses it, the outbox sends it again.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        let (size, largest) = (
            bytes.len() + self.topic.len() + OVERHEAD,
            self.largest.load(Ordering::Relaxed),
        );
        if u32::try_from(size).is_ok_and(|size| size > largest) {
            // The MQTT client would end the connection over it, again and again.
            tracing::error!(
                size,
                largest,
                "a message is too large for the server; not sent"
            );
            return;
        }
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
    dialer: &Arc<Dialer>,
    counters: &Arc<Counters>,
    tell: impl Fn(LinkEvent) + Send + Sync + 'static,
) -> Link {
    let mut options = MqttOptions::new(eid, (dialer.host.clone(), dialer.port));
    options.set_keep_alive(30);
    options.set_outgoing_inflight_upper_limit(16);
    options.set_max_packet_size(Some(MAX_MESSAGE as u32 + 1024));
    let own = Arc::clone(dialer);
    let (dialer, counters) = (Arc::clone(dialer), Arc::clone(counters));
    let late = SUBSCRIBED + dialer.patience();
    // The client's own limit is 5 s: too short for a bearer that is slow.
    options.set_connect_timeout(late);
    let (through, own_counters) = (Arc::clone(&dialer), Arc::clone(&counters));
    options.set_socket_connector(move |_, _| {
        let (dialer, counters) = (Arc::clone(&through), Arc::clone(&counters));
        async move { dialer.connect(&counters).await }
    });
    let (client, events) = AsyncClient::builder(options).capacity(64).build();
    let down = format!("aid/v1/{eid}/down");
    let stopping = Arc::new(AtomicBool::new(false));
    let largest = Arc::new(AtomicU32::new(u32::MAX));
    let runner = Runner {
        events,
        client: client.clone(),
        dialer,
        counters: own_counters,
        late,
        topic: down.clone(),
        largest: Arc::clone(&largest),
        stopping: Arc::clone(&stopping),
        refused: false,
    };
    // The CMP says no more of it than a TLS alert.
    let tell = move |event| match event {
        LinkEvent::Down(error, refusal) => {
            let reason = validity::own_is_refused(&own.certificate(), validity::now());
            let error = match reason {
                Some(reason) => format!("{error}; {reason}"),
                None => error,
            };
            tell(LinkEvent::Down(error, refusal));
        }
        event => tell(event),
    };
    Link {
        client,
        topic: format!("aid/v1/{eid}/up"),
        down,
        largest,
        stopping,
        task: tokio::spawn(runner.run(tell)),
    }
}

/// The client's loop.
struct Runner {
    events: EventLoop,
    client: AsyncClient,
    dialer: Arc<Dialer>,
    counters: Arc<Counters>,
    /// Time from the first name lookup to SUBACK.
    late: Duration,
    topic: String,
    largest: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    /// The last message was refused.
    refused: bool,
}

impl Runner {
    async fn run(mut self, tell: impl Fn(LinkEvent)) {
        let mut backoff = Backoff::new();
        loop {
            let Err(why) = self.connection(&mut backoff, &tell).await else {
                return;
            };
            // What it queued would overtake the outbox, which is sent when the link is up again; and
            // what ended this connection would end the next.
            self.events.clean();
            self.events.reset_session_state();
            tell(LinkEvent::Down(why, self.dialer.take_refusal()));
            let random = uuid::Uuid::new_v4().as_u128() as u64;
            let pause = backoff.down(boot_clock::now(), random);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// One connection, from TCP to its end. `Ok` when the agent stops.
    async fn connection(
        &mut self,
        backoff: &mut Backoff,
        tell: &impl Fn(LinkEvent),
    ) -> Result<(), String> {
        let late = tokio::time::Instant::now() + self.late;
        let dialer = Arc::clone(&self.dialer);
        let counters = Arc::clone(&self.counters);
        let outlived = dialer.outlived(&counters);
        tokio::pin!(outlived);
        let mut subscribed = false;
        loop {
            let event = if subscribed {
                tokio::select! {
                    event = self.events.poll() => event,
                    why = &mut outlived => return Err(why),
                }
            } else {
                let event = tokio::time::timeout_at(late, self.events.poll()).await;
                event.map_err(|_| {
                    dialer.fell_silent();
                    "the server does not answer CONNECT or SUBSCRIBE".to_owned()
                })?
            };
            let stopping = self.stopping.load(Ordering::Relaxed);
            match event {
                Ok(Event::Incoming(Packet::ConnAck(connack))) => self.subscribe(&connack)?,
                Ok(Event::Incoming(Packet::SubAck(suback))) => {
                    granted(&suback)?;
                    subscribed = true;
                    dialer.answered();
                    backoff.up(boot_clock::now());
                    tell(LinkEvent::Up);
                }
                Ok(Event::Incoming(Packet::PubAck(puback))) => self.puback(&puback, tell),
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    tell(LinkEvent::Message(Publication {
                        topic: publish.topic.to_vec(),
                        retained: publish.retain,
                        payload: publish.payload.to_vec(),
                    }));
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) if stopping => return Ok(()),
                Ok(_) => {}
                Err(_) if stopping => return Ok(()),
                Err(error) => {
                    if silent(&error) {
                        dialer.fell_silent();
                    }
                    note(&dialer, &error);
                    return Err(error.to_string());
                }
            }
        }
    }

    fn subscribe(&mut self, connack: &ConnAck) -> Result<(), String> {
        let limit = connack.properties.as_ref().and_then(|p| p.max_packet_size);
        self.largest
            .store(limit.unwrap_or(u32::MAX), Ordering::Relaxed);
        self.refused = false;
        let mut filter = SubscribeFilter::new(self.topic.as_str(), QoS::AtLeastOnce);
        // What a broker retained is of an unknown age; `inbox` ignores it, too.
        filter.retain_forward_rule = RetainForwardRule::Never;
        let asked = self.client.try_subscribe_many([filter]);
        asked.map_err(|error| format!("cannot subscribe: {error}"))
    }

    /// A refusal is about one message, which the outbox sends again later: it ends no connection.
    fn puback(&mut self, puback: &PubAck, tell: &impl Fn(LinkEvent)) {
        use PubAckReason::{NoMatchingSubscribers, Success};
        if matches!(puback.reason, Success | NoMatchingSubscribers) {
            if std::mem::take(&mut self.refused) {
                tell(LinkEvent::Refused(None));
            }
            return;
        }
        self.refused = true;
        let said = puback
            .properties
            .as_ref()
            .and_then(|p| p.reason_string.as_deref());
        let text = format!(
            "the server refuses a message: PUBACK {:?} {}",
            puback.reason,
            said.unwrap_or_default()
        );
        tell(LinkEvent::Refused(Some(text.trim_end().to_owned())));
    }
}

/// Notes what an error says about the car's certificate.
fn note(dialer: &Dialer, error: &ConnectionError) {
    // What TLS says, the connection notes itself.
    if let ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) = error {
        dialer.refused(Refusal::NotAdmitted);
    }
}

/// Tries a certificate on a connection of its own, up to CONNACK.
pub(crate) async fn probe(eid: &str, dialer: &Arc<Dialer>, counters: &Arc<Counters>) -> Probed {
    let mut options = MqttOptions::new(eid, (dialer.host.clone(), dialer.port));
    let late = SUBSCRIBED + dialer.patience();
    options.set_connect_timeout(late);
    let (through, counters) = (Arc::clone(dialer), Arc::clone(counters));
    options.set_socket_connector(move |_, _| {
        let (dialer, counters) = (Arc::clone(&through), Arc::clone(&counters));
        async move { dialer.connect(&counters).await }
    });
    let (_client, mut events) = AsyncClient::builder(options).capacity(4).build();
    let first = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    };
    match tokio::time::timeout(late, first).await {
        Ok(Ok(())) => Probed::Admitted,
        Ok(Err(error)) => {
            note(dialer, &error);
            match dialer.take_refusal() {
                Some(_) => Probed::Refused(error.to_string()),
                None => Probed::Unreached(error.to_string()),
            }
        }
        Err(_) => Probed::Unreached("the server does not answer CONNECT".into()),
    }
}

/// Did the network swallow the connection, so that the next one had better take another bearer?
fn silent(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Timeout(_) | ConnectionError::MqttState(StateError::AwaitPingResp) => true,
        ConnectionError::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::NetworkDown | io::ErrorKind::HostUnreachable
        ),
        _ => false,
    }
}

/// Whether the server lets the car listen.
fn granted(suback: &SubAck) -> Result<(), String> {
    let refusal = suback
        .return_codes
        .iter()
        .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
    match refusal {
        Some(code) => Err(format!("the server refuses the subscription: {code:?}")),
        None => Ok(()),
    }
}
