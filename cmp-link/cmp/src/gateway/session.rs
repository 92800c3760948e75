//! One vehicle's MQTT 5 session; the protocol is mqtt-protocol-core's, sans-IO.
//! QoS 1 from the vehicle is acknowledged when its message is on disk, and not before.

mod connect;

use super::Known;
use super::headers::Headers;
use super::patience::Patience;
use crate::service::{Bootstrapped, Frame, QUEUE, Service, Taken};
use aid_cli::signal::Stop;
use aid_id::Eid;
use aid_wire::{Envelope, Up, topic_down, topic_up};
use connect::has_reserved_flag;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{Packet, Property, Qos, v5_0};
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::result_code::{
    DisconnectReasonCode, PubackReasonCode, SubackReasonCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

/// Largest MQTT packet, bytes.
pub(crate) const MAX_PACKET: u32 = 64 * 1024;
/// Messages of a vehicle that may be unacknowledged.
const IN_FLIGHT: u16 = 16;
/// Longest time for one write.
const WRITE: Duration = Duration::from_secs(20);

/// Bytes that are read at once.
const READ: usize = 2048;

/// Why a session ends; `None` is an orderly end.
type End = Option<String>;

/// What a session waited for.
enum Next {
    Stop,
    Silence,
    /// Bytes of the vehicle; none: it has closed the connection.
    Read(io::Result<Vec<u8>>),
    /// A message to the vehicle; none: the service dropped the sender.
    Frame(Option<Box<Frame>>),
}

/// Reads what comes. The buffer is on the stack while there is something to read, and not in every connection that waits.
async fn read(stream: &mut TlsStream<TcpStream>) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        let mut bytes = [0; READ];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    })
    .await
}

pub(super) struct Session {
    stream: TlsStream<TcpStream>,
    service: Arc<Service>,
    /// The common name of its certificate, for the log.
    name: Box<str>,
    /// The car, by its certificate. Without one the connection is refused with a reason code.
    eid: Option<Eid>,
    certificate: [u8; 32],
    /// It showed its bootstrap certificate: nothing but renewal is served.
    bootstrap: bool,
    stop: Stop,
    mqtt: Connection<role::Server>,
    connected: bool,
    /// Number of the subscription at the service.
    subscribed: Option<u64>,
    /// The sender is the service's once the vehicle has subscribed: when it drops it, the session ends.
    queue: (Option<mpsc::Sender<Box<Frame>>>, mpsc::Receiver<Box<Frame>>),
    /// Messages that wait until the vehicle has acknowledged others (Receive Maximum).
    waiting: VecDeque<Box<Frame>>,
    /// The QoS of its subscription.
    granted: Qos,
    headers: Headers,
    patience: Patience,
    out: Vec<u8>,
}

impl Session {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        service: Arc<Service>,
        name: Box<str>,
        car: Option<Known>,
        stop: Stop,
    ) -> Self {
        let options = ConnectionOptions::new()
            .maximum_packet_size_recv(MAX_PACKET)
            .receive_maximum(IN_FLIGHT);
        let mut mqtt = Connection::with_options(Version::V5_0, options);
        mqtt.set_auto_ping_response(true);
        mqtt.set_auto_pub_response(false);
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            stream,
            service,
            name,
            eid: car.as_ref().map(|car| car.eid),
            certificate: car.as_ref().map_or([0; 32], |car| car.certificate),
            bootstrap: car.is_some_and(|car| car.bootstrap),
            stop,
            mqtt,
            connected: false,
            subscribed: None,
            queue: (Some(sender), receiver),
            waiting: VecDeque::new(),
            granted: Qos::AtLeastOnce,
            headers: Headers::default(),
            patience: Patience::new(Instant::now()),
            out: Vec::new(),
        }
    }

    /// Runs to the end of the connection. What only a message needs is in boxes of its own, here and below: a vehicle is
    /// silent most of the time, and there are many.
    pub(super) async fn run(&mut self) -> Result<(), String> {
        let end = self.turns().await;
        if let (Some(eid), Some(number)) = (self.eid, self.subscribed) {
            self.service.disconnect(eid, number);
        }
        Box::pin(self.close()).await;
        end.map_or(Ok(()), |reason| Err(format!("{}: {reason}", self.name)))
    }

    async fn close(&mut self) {
        let _ = self.flush().await;
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    async fn turns(&mut self) -> End {
        let stopped = self.stop.clone().wait();
        tokio::pin!(stopped);
        loop {
            let next = tokio::select! {
                () = &mut stopped => Next::Stop,
                () = sleep_until(self.patience.end()) => Next::Silence,
                read = read(&mut self.stream) => Next::Read(read),
                frame = self.queue.1.recv() => Next::Frame(frame),
            };
            if let Err(end) = Box::pin(self.turn(next)).await {
                return end;
            }
        }
    }

    async fn turn(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Stop => {
                self.disconnect(DisconnectReasonCode::ServerShuttingDown)
                    .await;
                return Err(None);
            }
            Next::Silence => {
                let events = self.mqtt.notify_timer_fired(TimerKind::PingreqRecv);
                let _ = self.events(events).await;
                return Err(Some("silent for too long".into()));
            }
            Next::Read(read) => {
                let bytes = read.map_err(|error| Some(error.to_string()))?;
                if bytes.is_empty() {
                    return Err(None);
                }
                self.received(&bytes).await?;
            }
            Next::Frame(Some(frame)) if self.waiting.len() < QUEUE => self.waiting.push_back(frame),
            // It acknowledges nothing. The database sends that again.
            Next::Frame(Some(_)) => {}
            Next::Frame(None) => {
                self.dropped().await;
                return Err(Some("it was cut off, or it connected again".into()));
            }
        }
        // What was queued meanwhile leaves in the same write.
        while self.waiting.len() < QUEUE
            && let Ok(frame) = self.queue.1.try_recv()
        {
            self.waiting.push_back(frame);
        }
        self.publish_waiting();
        self.flush().await.map_err(Some)
    }

    async fn flush(&mut self) -> Result<(), String> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        let write = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        match timeout(WRITE, write).await {
            Ok(done) => done.map_err(|e| e.to_string()),
            Err(_) => Err("it does not read".into()),
        }
    }

    async fn received(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.patience.heard(Instant::now());
        if !self.headers.fit(bytes) {
            return self.malformed("a malformed fixed header").await;
        }
        let mut cursor = Cursor::new(bytes);
        while (cursor.position() as usize) < bytes.len() {
            let events = self.mqtt.recv(&mut cursor);
            self.events(events).await?;
        }
        Ok(())
    }

    async fn events(&mut self, events: Vec<Event>) -> Result<(), End> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend(packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => self.packet(packet).await?,
                Event::RequestTimerReset { kind, duration_ms } => {
                    if kind == TimerKind::PingreqRecv {
                        self.patience.wait(Instant::now(), duration_ms);
                    }
                }
                Event::NotifyError(error) => return Err(Some(format!("MQTT: {error:?}"))),
                Event::RequestClose => return Err(None),
                Event::RequestTimerCancel(_) | Event::NotifyPacketIdReleased(_) => {}
            }
        }
        Ok(())
    }

    /// Sends what needs no further events.
    fn send(&mut self, packet: impl Into<Packet>) {
        for event in self.mqtt.send(packet.into()) {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend(packet.to_continuous_buffer());
                }
                Event::RequestTimerReset {
                    kind: TimerKind::PingreqRecv,
                    duration_ms,
                } => self.patience.wait(Instant::now(), duration_ms),
                Event::NotifyError(error) => tracing::warn!(?error, "a packet was not sent"),
                _ => {}
            }
        }
    }

    async fn disconnect(&mut self, reason: DisconnectReasonCode) {
        if self.connected
            && let Ok(packet) = v5_0::Disconnect::builder().reason_code(reason).build()
        {
            self.send(packet);
        }
        let _ = self.flush().await;
    }

    /// Ends the connection for what MQTT does not allow (§2.2.1: a packet id is not 0).
    async fn malformed(&mut self, what: &str) -> Result<(), End> {
        self.disconnect(DisconnectReasonCode::ProtocolError).await;
        Err(Some(format!("MQTT: {what}")))
    }

    /// The service dropped the sender.
    async fn dropped(&mut self) {
        let again = self.eid.is_some_and(|eid| self.service.is_online(eid));
        self.disconnect(if again {
            DisconnectReasonCode::SessionTakenOver
        } else {
            DisconnectReasonCode::NotAuthorized
        })
        .await;
    }

    async fn packet(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::V5_0Connect(connect) if has_reserved_flag(&connect) => {
                self.malformed("the reserved flag of CONNECT is set").await
            }
            Packet::V5_0Connect(connect) => self.connect(&connect),
            Packet::V5_0Subscribe(subscribe) => self.subscribe(&subscribe).await,
            Packet::V5_0Unsubscribe(unsubscribe) => {
                let count = unsubscribe.entries().len();
                let codes = vec![UnsubackReasonCode::NotAuthorized; count];
                let builder = v5_0::Unsuback::builder().packet_id(unsubscribe.packet_id());
                if let Ok(packet) = builder.reason_codes(codes).build() {
                    self.send(packet);
                }
                Ok(())
            }
            Packet::V5_0Publish(publish) => self.message(&publish).await,
            Packet::V5_0Disconnect(_) => Err(None),
            Packet::V5_0Auth(_) => Err(Some("it wants to authenticate by AUTH".into())),
            // Pings are answered by the protocol, acknowledgements need nothing: the database knows.
            _ => Ok(()),
        }
    }

    async fn subscribe(&mut self, subscribe: &v5_0::Subscribe) -> Result<(), End> {
        let Some(eid) = self.eid else {
            return Err(Some("SUBSCRIBE by nobody".into()));
        };
        if subscribe.packet_id() == 0 {
            return self.malformed("a SUBSCRIBE with packet id 0").await;
        }
        // CONNACK said that there are none (MQTT 5 §3.2.2.3.12).
        if has(&subscribe.props, |p| {
            matches!(p, Property::SubscriptionIdentifier(_))
        }) {
            let reason = DisconnectReasonCode::SubscriptionIdentifiersNotSupported;
            self.disconnect(reason).await;
            return Err(Some("it uses a subscription identifier".into()));
        }
        let entries = subscribe.entries();
        if entries.iter().any(|e| e.topic_filter().contains('\0')) {
            return self.malformed("U+0000 in a topic filter").await;
        }
        let own = topic_down(&eid);
        let mut granted = None;
        let mut codes = Vec::with_capacity(entries.len());
        for entry in entries {
            codes.push(if entry.topic_filter() != own {
                tracing::warn!(%eid, "subscription to a topic that is not the vehicle's own");
                SubackReasonCode::NotAuthorized
            } else if entry.sub_opts().qos() == Qos::AtMostOnce {
                granted = Some(Qos::AtMostOnce);
                SubackReasonCode::GrantedQos0
            } else {
                granted = Some(Qos::AtLeastOnce);
                SubackReasonCode::GrantedQos1
            });
        }
        let builder = v5_0::Suback::builder().packet_id(subscribe.packet_id());
        if let Ok(packet) = builder.reason_codes(codes).build() {
            self.send(packet);
        }
        if let Some(granted) = granted {
            self.granted = granted;
            tracing::trace!(target: "trace", "<- MQTT {eid} SUBSCRIBE");
            if self.bootstrap {
                // Its messages go to the connection with the certificate that is bound.
                return Ok(());
            }
            let sender = self.queue.0.take().unwrap_or_else(|| {
                // A second subscription in one session: what waited is sent again.
                let (sender, receiver) = mpsc::channel(QUEUE);
                self.queue.1 = receiver;
                sender
            });
            let certificate = Some(self.certificate);
            self.subscribed = Some(self.service.connect(eid, certificate, sender));
            // It was admitted when it connected, which may be long ago; from here on `cut_off` sees it.
            let admitted = Box::pin(self.service.admits(eid, &self.certificate)).await;
            if !admitted.map_err(|error| Some(error.to_string()))? {
                self.disconnect(DisconnectReasonCode::NotAuthorized).await;
                return Err(Some("it does not take part any more".into()));
            }
            if let Err(error) = Box::pin(self.service.greet(eid)).await {
                return Err(Some(error.to_string()));
            }
        }
        Ok(())
    }

    async fn message(&mut self, publish: &v5_0::Publish) -> Result<(), End> {
        let Some(eid) = self.eid else {
            return Err(Some("PUBLISH by nobody".into()));
        };
        if publish.packet_id() == Some(0) {
            return self.malformed("a PUBLISH with packet id 0").await;
        }
        // CONNACK said that there are none (MQTT 5 §3.2.2.3.5).
        if publish.retain() {
            self.disconnect(DisconnectReasonCode::RetainNotSupported)
                .await;
            return Err(Some("it sends a retained message".into()));
        }
        if publish.topic_name().contains('\0') {
            return self.malformed("U+0000 in a topic").await;
        }
        let reason = if publish.topic_name() != topic_up(&eid) {
            tracing::warn!(%eid, "publication to a topic that is not the vehicle's own");
            PubackReasonCode::NotAuthorized
        } else if publish.qos() == Qos::ExactlyOnce {
            self.disconnect(DisconnectReasonCode::QosNotSupported).await;
            return Err(Some("QoS 2 is not offered".into()));
        } else {
            self.taken(eid, publish.payload().as_slice()).await?
        };
        if publish.qos() == Qos::AtLeastOnce
            && let Some(id) = publish.packet_id()
            && let Ok(packet) = v5_0::Puback::builder()
                .packet_id(id)
                .reason_code(reason)
                .build()
        {
            self.send(packet);
        }
        Ok(())
    }

    /// Gives the message to the service. A store that fails ends the connection without an
    /// acknowledgement, so the vehicle sends it again.
    async fn taken(&mut self, eid: Eid, payload: &[u8]) -> Result<PubackReasonCode, End> {
        let envelope = match Envelope::<Up>::decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%eid, %error, "a message was refused");
                return Ok(PubackReasonCode::PayloadFormatInvalid);
            }
        };
        tracing::trace!(
            target: "trace",
            "<- MQTT {eid} {} bytes #{} {:?}", payload.len(), envelope.sequence, envelope.body
        );
        if self.bootstrap {
            return self.bootstrapped(eid, envelope).await;
        }
        // Boxed: what only a message needs is not part of every connection that is silent.
        match Box::pin(self.service.up(eid, Some(&self.certificate), envelope)).await {
            Ok(Taken::Done) => Ok(PubackReasonCode::Success),
            Ok(Taken::Foreign) => {
                self.disconnect(DisconnectReasonCode::NotAuthorized).await;
                Err(Some("it does not take part any more".into()))
            }
            Err(error) => {
                self.disconnect(DisconnectReasonCode::QuotaExceeded).await;
                Err(Some(format!("a message was not stored: {error}")))
            }
        }
    }

    /// As `taken`, for a vehicle with its bootstrap certificate.
    async fn bootstrapped(
        &mut self,
        eid: Eid,
        envelope: Envelope<Up>,
    ) -> Result<PubackReasonCode, End> {
        match Box::pin(self.service.bootstrap(eid, envelope)).await {
            Ok(Bootstrapped::Answered(frame)) => {
                self.waiting.extend(frame);
                Ok(PubackReasonCode::Success)
            }
            Ok(Bootstrapped::Refused) => Ok(PubackReasonCode::NotAuthorized),
            Ok(Bootstrapped::Foreign) => {
                self.disconnect(DisconnectReasonCode::NotAuthorized).await;
                Err(Some("it does not take part any more".into()))
            }
            Err(error) => {
                self.disconnect(DisconnectReasonCode::QuotaExceeded).await;
                Err(Some(format!("a message was not stored: {error}")))
            }
        }
    }

    /// Sends what waits, as much of it as the vehicle takes before it acknowledges (MQTT 5 §4.9).
    fn publish_waiting(&mut self) {
        let Some(eid) = self.eid else {
            return;
        };
        while let Some(frame) = self.waiting.pop_front() {
            let acknowledged = self.granted == Qos::AtLeastOnce;
            let mut id = None;
            if acknowledged {
                let full = self.mqtt.get_receive_maximum_vacancy_for_send() == Some(0);
                match self.mqtt.acquire_packet_id() {
                    Ok(free) if !full => id = Some(free),
                    taken => {
                        if let Ok(free) = taken {
                            self.mqtt.release_packet_id(free);
                        }
                        self.waiting.push_front(frame);
                        return;
                    }
                }
            }
            tracing::trace!(target: "trace", "-> MQTT {eid} {} bytes {}", frame.bytes.len(), frame.what);
            let packet = v5_0::Publish::builder()
                .topic_name(topic_down(&eid))
                .and_then(|b| {
                    let b = b.qos(self.granted).payload(frame.bytes);
                    match id {
                        Some(id) => b.packet_id(id).build(),
                        None => b.build(),
                    }
                });
            match packet {
                Ok(packet) => self.send(packet),
                Err(error) => tracing::warn!(?error, "a message was not sent"),
            }
        }
        // An empty queue takes no memory: most vehicles are silent.
        self.waiting = VecDeque::new();
    }
}

/// Whether a packet has such a property.
fn has(properties: &[Property], is: impl Fn(&Property) -> bool) -> bool {
    properties.iter().any(is)
}
