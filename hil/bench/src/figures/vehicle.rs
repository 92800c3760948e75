//! A light vehicle: MQTT 5 over mutual TLS with nothing behind it but a buffer; the protocol is
//! mqtt-protocol-core's, the client's side of what the gateway uses.

use crate::site::{Fleet, FleetVehicle};
use aid_cli::cli::Failure;
use aid_id::{Eid, Id};
use aid_wire::{Down, Envelope, OrderOutcome, Up, WIRE_VERSION, topic_down, topic_up};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::Event;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, SubEntry, SubOpts, v5_0};
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Source addresses that the fleet shares: ports that wait after a connection are not in the way.
const SOURCES: u8 = 8;

/// Connects vehicles.
pub(crate) struct Dialer {
    vehicles: Vec<FleetVehicle>,
    /// Of each vehicle: certificate and key, and whom it trusts.
    tls: Vec<TlsConnector>,
    gateway: SocketAddr,
}

/// A vehicle that is connected and subscribed.
pub(crate) struct Connected {
    pub(super) eid: Eid,
    stream: TlsStream<TcpStream>,
    mqtt: Connection<role::Client>,
    out: Vec<u8>,
    inbox: Vec<Packet>,
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn connect(eid: Eid) -> Result<v5_0::Connect, String> {
    v5_0::Connect::builder()
        .client_id(eid.as_str())
        .map(|b| b.clean_start(true).keep_alive(0))
        .and_then(|b| b.build())
        .map_err(|e| format!("{e:?}"))
}

impl Dialer {
    pub(crate) fn new(fleet: &Fleet, port: u16) -> Result<Self, Failure> {
        let roots = Arc::new(aid_cli::tls::roots(&[&fleet.ca])?);
        let provider = aid_cli::tls::provider();
        let trust = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
        let trust: Arc<dyn ServerCertVerifier> = trust;
        Self::trusting(fleet, port, &trust)
    }

    /// Cars that trust the gateway if `trust` does.
    pub(super) fn trusting(
        fleet: &Fleet,
        port: u16,
        trust: &Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, Failure> {
        let provider = aid_cli::tls::provider();
        let key = PrivateKeyDer::try_from(fleet.key.clone()).map_err(Failure::new)?;
        // One key for all certificates, read once: what is measured is the gateway.
        let key = provider.key_provider.load_private_key(key)?;
        let tls = fleet.vehicles.iter().map(|vehicle| {
            let chain = vec![CertificateDer::from(vehicle.certificate.clone())];
            let own = CertifiedKey::new(chain, Arc::clone(&key));
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(trust))
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
            // Each handshake is a full one.
            config.resumption = Resumption::disabled();
            Ok(TlsConnector::from(Arc::new(config)))
        });
        Ok(Self {
            vehicles: fleet.vehicles.clone(),
            tls: tls.collect::<Result<_, rustls::Error>>()?,
            gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        })
    }

    /// Connects by TLS.
    async fn dial(&self, n: usize) -> Result<TlsStream<TcpStream>, String> {
        let socket = TcpSocket::new_v4().map_err(text)?;
        let source = Ipv4Addr::new(127, 0, 0, 2 + (n % usize::from(SOURCES)) as u8);
        socket.bind(SocketAddr::from((source, 0))).map_err(text)?;
        let stream = socket.connect(self.gateway).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let name = ServerName::try_from("localhost").map_err(text)?;
        self.tls[n].connect(name, stream).await.map_err(text)
    }

    /// Connects, and leaves when the gateway has said that the car takes part.
    pub(super) async fn knock(&self, n: usize) -> Result<(), String> {
        let mut stream = self.dial(n).await?;
        let packet = connect(self.vehicles[n].eid)?.to_continuous_buffer();
        stream.write_all(&packet).await.map_err(text)?;
        // CONNACK (MQTT 5 §3.2): type, length, flags, reason code.
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(text)?;
        match head {
            [0x20, _, _, 0] => Ok(()),
            other => Err(format!("CONNECT was answered {other:02x?}")),
        }
    }

    pub(crate) async fn connect(&self, n: usize) -> Result<Connected, String> {
        let (vehicle, stream) = (&self.vehicles[n], self.dial(n).await?);
        let mut connected = Connected {
            eid: vehicle.eid,
            stream,
            mqtt: Connection::new(Version::V5_0),
            out: Vec::new(),
            inbox: Vec::new(),
        };
        connected.enter().await?;
        Ok(connected)
    }
}

impl Connected {
    async fn enter(&mut self) -> Result<(), String> {
        self.send(connect(self.eid)?).await?;
        match self.next().await? {
            Packet::V5_0Connack(ack) if ack.reason_code() == ConnectReasonCode::Success => {}
            other => return Err(format!("CONNECT was answered {other:?}")),
        }
        let id = self
            .mqtt
            .acquire_packet_id()
            .map_err(|e| format!("{e:?}"))?;
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        let entry = SubEntry::new(topic_down(&self.eid), options).map_err(|e| format!("{e:?}"))?;
        let subscribe = v5_0::Subscribe::builder()
            .packet_id(id)
            .entries(vec![entry])
            .build()
            .map_err(|e| format!("{e:?}"))?;
        self.send(subscribe).await?;
        // An order may overtake the acknowledgement; it waits in the inbox.
        let mut early = Vec::new();
        loop {
            match self.next().await? {
                Packet::V5_0Suback(_) => break,
                packet => early.push(packet),
            }
        }
        early.append(&mut self.inbox);
        self.inbox = early;
        Ok(())
    }

    /// Waits for an order and acknowledges its publication.
    pub(super) async fn order(&mut self) -> Result<Id, String> {
        loop {
            if let Down::Order { order_id, .. } = self.message().await? {
                return Ok(order_id);
            }
        }
    }

    /// Says that it is done, and waits until the CMP has that on disk.
    pub(super) async fn done(&mut self, order_id: Id) -> Result<(), String> {
        let outcome = OrderOutcome::NotFound;
        self.publish(order_id, Up::OrderResult { order_id, outcome })
            .await?;
        loop {
            match self.message().await? {
                Down::Ack { message_id } if message_id == order_id => return Ok(()),
                _ => {}
            }
        }
    }

    /// Publishes a message under this id.
    pub(crate) async fn publish(&mut self, message_id: Id, body: Up) -> Result<(), String> {
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id,
            correlation_id: message_id,
            sequence: 1,
            expires_at: None,
            body,
        };
        let payload = envelope.encode().map_err(text)?;
        let id = self
            .mqtt
            .acquire_packet_id()
            .map_err(|e| format!("{e:?}"))?;
        let publish = v5_0::Publish::builder()
            .topic_name(topic_up(&self.eid))
            .map(|b| b.qos(Qos::AtLeastOnce).packet_id(id).payload(payload))
            .and_then(|b| b.build())
            .map_err(|e| format!("{e:?}"))?;
        self.send(publish).await
    }

    /// Waits for a message and acknowledges its publication.
    pub(crate) async fn message(&mut self) -> Result<Down, String> {
        loop {
            let Packet::V5_0Publish(publish) = self.next().await? else {
                continue;
            };
            if let Some(id) = publish.packet_id() {
                let ack = v5_0::Puback::builder().packet_id(id).build();
                self.send(ack.map_err(|e| format!("{e:?}"))?).await?;
            }
            let envelope = Envelope::<Down>::decode(publish.payload().as_slice());
            return Ok(envelope.map_err(text)?.body);
        }
    }

    /// Waits until something has come. Nothing is lost where the wait is given up.
    pub(crate) async fn arrived(&mut self) -> Result<(), String> {
        while self.inbox.is_empty() {
            self.fill().await?;
        }
        Ok(())
    }

    /// The next message that has come, its publication acknowledged.
    pub(crate) async fn take(&mut self) -> Result<Option<Envelope<Down>>, String> {
        while !self.inbox.is_empty() {
            let Packet::V5_0Publish(publish) = self.inbox.remove(0) else {
                continue;
            };
            if let Some(id) = publish.packet_id() {
                let ack = v5_0::Puback::builder().packet_id(id).build();
                self.send(ack.map_err(|e| format!("{e:?}"))?).await?;
            }
            let envelope = Envelope::<Down>::decode(publish.payload().as_slice());
            return envelope.map(Some).map_err(text);
        }
        Ok(None)
    }

    /// Closes the connection as a vehicle that is switched off.
    pub(crate) async fn leave(mut self) {
        if let Ok(packet) = v5_0::Disconnect::builder().build() {
            let _ = self.send(packet).await;
        }
        // Who has gone does not wait for an answer.
        let _ = self.stream.shutdown().await;
    }

    async fn send(&mut self, packet: impl Into<Packet>) -> Result<(), String> {
        let events = self.mqtt.send(packet.into());
        self.events(events)?;
        let out = std::mem::take(&mut self.out);
        self.stream.write_all(&out).await.map_err(text)?;
        self.stream.flush().await.map_err(text)
    }

    fn events(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend(packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => self.inbox.push(packet),
                Event::NotifyError(error) => return Err(format!("MQTT: {error:?}")),
                _ => {}
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Packet, String> {
        self.arrived().await?;
        Ok(self.inbox.remove(0))
    }

    /// Reads what is there. It waits in one place only, before anything was read.
    async fn fill(&mut self) -> Result<(), String> {
        let mut buffer = [0; 512];
        let count = self.stream.read(&mut buffer).await.map_err(text)?;
        if count == 0 {
            return Err("the gateway closed the connection".into());
        }
        let mut cursor = Cursor::new(&buffer[..count]);
        while (cursor.position() as usize) < count {
            let events = self.mqtt.recv(&mut cursor);
            self.events(events)?;
        }
        Ok(())
    }
}
