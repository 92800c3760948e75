//! The judge as a vehicle of a CMP over AID2: MQTT 5 over mutual TLS, the messages of `aid-wire`. For a CMP whose link to
//! its vehicles is another one, nothing of this is declared, and the tests that need it are skipped.

use crate::evidence::Evidence;
use crate::subject::Setting;
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_id::{AccountRef, Eid, Id, Secret};
use aid_report::{Message, Protocol};
use aid_wire::{Down, Envelope, Up, WIRE_VERSION, topic_down, topic_up};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::Event;
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, SubEntry, SubOpts, v5_0};
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for the gateway to admit the vehicle.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that wait to be looked at.
const MAX_INBOX: usize = 1_000;

/// `[cmp.vehicle]` of a target file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CarTarget {
    /// `HOST:PORT` of the gateway for vehicles.
    gateway: String,
    /// CA of the gateway.
    ca: PathBuf,
    /// The vehicle's certificate; its common name is the EID.
    cert: PathBuf,
    /// Its key.
    key: PathBuf,
    /// EID, 32 digits.
    pub(super) eid: String,
    /// The user who logs in...
    user: String,
    /// ...and the PIN.
    pin: String,
    #[serde(skip)]
    tls: Option<Arc<ClientConfig>>,
}

impl CarTarget {
    /// Reads its files.
    pub(super) fn prepare(&mut self, setting: &Setting) -> Result<(), Failure> {
        let [ca, cert, key] = [&self.ca, &self.cert, &self.key].map(|file| setting.beside(file));
        self.tls = Some(tls::client_config(&ca, Some((&cert, &key)))?);
        self.eid
            .parse::<Eid>()
            .map_err(|e| Failure::usage(format!("vehicle.eid of the target file: {e}")))?;
        Ok(())
    }
}

/// A vehicle that is connected and subscribed.
pub(super) struct Car {
    eid: Eid,
    user: String,
    pin: String,
    stream: StreamOwned<ClientConnection, TcpStream>,
    mqtt: Connection<role::Client>,
    inbox: VecDeque<Packet>,
    sequence: u64,
    /// Who is logged in.
    pub(super) account: Option<AccountRef>,
    /// Status reports so far; the upper half is the epoch of this run.
    pub(super) reports: u64,
}

fn text(error: impl std::fmt::Display) -> String {
    format!("the vehicle's link to the CMP: {error}")
}

fn debug(error: impl std::fmt::Debug) -> String {
    format!("the vehicle's link to the CMP: {error:?}")
}

impl Car {
    /// Connects and subscribes. `random` makes the epoch of its reports.
    pub(super) fn connect(target: &CarTarget, random: [u8; 16]) -> Result<Self, String> {
        let eid: Eid = target.eid.parse().map_err(text)?;
        let tls = target.tls.clone().ok_or("the vehicle has no certificate")?;
        let (host, _) = target
            .gateway
            .rsplit_once(':')
            .ok_or("gateway is not HOST:PORT")?;
        let name = ServerName::try_from(host.to_owned()).map_err(text)?;
        let mut addresses = target.gateway.to_socket_addrs().map_err(text)?;
        let address = addresses.next().ok_or("the gateway has no address")?;
        let socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(text)?;
        socket.set_nodelay(true).map_err(text)?;
        let session = ClientConnection::new(tls, name).map_err(text)?;
        let epoch = u64::from_le_bytes([random[0], random[1], random[2], random[3], 0, 0, 0, 0]);
        let mut car = Self {
            eid,
            user: target.user.clone(),
            pin: target.pin.clone(),
            stream: StreamOwned::new(session, socket),
            mqtt: Connection::new(Version::V5_0),
            inbox: VecDeque::new(),
            sequence: 0,
            account: None,
            reports: epoch << 32,
        };
        car.enter()?;
        Ok(car)
    }

    fn enter(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let connect = v5_0::Connect::builder()
            .client_id(self.eid.as_str())
            .map(|b| b.clean_start(true).keep_alive(0))
            .and_then(|b| b.build())
            .map_err(debug)?;
        self.packet(connect)?;
        match self.next(end)? {
            Some(Packet::V5_0Connack(ack)) if ack.reason_code() == ConnectReasonCode::Success => {}
            other => return Err(format!("the gateway answered CONNECT with {other:?}")),
        }
        let id = self.mqtt.acquire_packet_id().map_err(debug)?;
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        let entry = SubEntry::new(topic_down(&self.eid), options).map_err(debug)?;
        let subscribe = v5_0::Subscribe::builder()
            .packet_id(id)
            .entries(vec![entry])
            .build()
            .map_err(debug)?;
        self.packet(subscribe)?;
        // An order may overtake the acknowledgement; it waits in the inbox.
        let mut early = VecDeque::new();
        loop {
            match self.next(end)? {
                Some(Packet::V5_0Suback(_)) => break,
                Some(packet) => early.push_back(packet),
                None => return Err("the gateway does not answer SUBSCRIBE".to_owned()),
            }
        }
        early.append(&mut self.inbox);
        self.inbox = early;
        Ok(())
    }

    /// The login of the user.
    pub(super) fn login(&self, login_id: Id) -> Up {
        Up::Login {
            login_id,
            user: self.user.clone(),
            pin: Secret::new(self.pin.clone()),
        }
    }

    /// Publishes a message under this id.
    pub(super) fn send(
        &mut self,
        message_id: Id,
        body: Up,
        evidence: &mut Evidence,
    ) -> Result<(), String> {
        self.sequence += 1;
        evidence.message(shown(
            ("car-1", "cmp"),
            evidence.now_us(),
            up_name(&body),
            &message_id,
        ));
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id,
            correlation_id: message_id,
            sequence: self.sequence,
            expires_at: None,
            body,
        };
        let payload = envelope.encode().map_err(text)?;
        let id = self.mqtt.acquire_packet_id().map_err(debug)?;
        let publish = v5_0::Publish::builder()
            .topic_name(topic_up(&self.eid))
            .map(|b| b.qos(Qos::AtLeastOnce).packet_id(id).payload(payload))
            .and_then(|b| b.build())
            .map_err(debug)?;
        self.packet(publish)
    }

    /// Waits for a message that is as `wanted`; orders that come meanwhile are carried out.
    pub(super) fn wait<T>(
        &mut self,
        patience: Duration,
        evidence: &mut Evidence,
        wanted: impl Fn(&Down) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + patience;
        loop {
            let Some(packet) = self.next(end)? else {
                return Err(format!(
                    "the CMP sent the vehicle nothing of the kind within {} s",
                    patience.as_secs()
                ));
            };
            let Packet::V5_0Publish(publish) = packet else {
                continue;
            };
            if let Some(id) = publish.packet_id() {
                let ack = v5_0::Puback::builder().packet_id(id).build();
                self.packet(ack.map_err(debug)?)?;
            }
            let envelope = Envelope::<Down>::decode(publish.payload().as_slice()).map_err(text)?;
            let name = down_name(&envelope.body);
            let at = evidence.now_us();
            evidence.message(shown(("cmp", "car-1"), at, name, &envelope.message_id));
            if let Some(found) = wanted(&envelope.body) {
                return Ok(found);
            }
        }
    }

    fn packet(&mut self, packet: impl Into<Packet>) -> Result<(), String> {
        let events = self.mqtt.send(packet.into());
        self.events(events)
    }

    fn events(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    let bytes = packet.to_continuous_buffer();
                    self.stream.write_all(&bytes).map_err(text)?;
                    self.stream.flush().map_err(text)?;
                }
                Event::NotifyPacketReceived(packet) if self.inbox.len() < MAX_INBOX => {
                    self.inbox.push_back(packet);
                }
                Event::NotifyError(error) => return Err(debug(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The next packet; none before `end`.
    fn next(&mut self, end: Instant) -> Result<Option<Packet>, String> {
        let mut buffer = [0; 4096];
        while self.inbox.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream
                .sock
                .set_read_timeout(Some(left))
                .map_err(text)?;
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(text("the gateway closed it")),
                Ok(count) => count,
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    return Ok(None);
                }
                Err(e) => return Err(text(e)),
            };
            let mut cursor = Cursor::new(&buffer[..count]);
            while (cursor.position() as usize) < count {
                let events = self.mqtt.recv(&mut cursor);
                self.events(events)?;
            }
        }
        Ok(self.inbox.pop_front())
    }
}

/// A message by its name: what is in it may be a PIN or a code.
fn shown((from, to): (&str, &str), at_us: u64, name: &str, id: &Id) -> Message {
    Message {
        at_us,
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: Protocol::Aid2,
        title: name.to_owned(),
        fields: Vec::new(),
        bytes: None,
        length: 0,
        correlation: Some(crate::aid1::uuid(*id).to_string()),
    }
}

const fn up_name(up: &Up) -> &'static str {
    match up {
        Up::Hello { .. } => "Hello",
        Up::Login { .. } => "Login",
        Up::Logout { .. } => "Logout",
        Up::RequestActivationCode { .. } => "RequestActivationCode",
        Up::Status { .. } => "Status",
        Up::OrderResult { .. } => "OrderResult",
        Up::Ack { .. } => "Ack",
        _ => "(another message)",
    }
}

const fn down_name(down: &Down) -> &'static str {
    match down {
        Down::LoginResult { .. } => "LoginResult",
        Down::ActivationCode { .. } => "ActivationCode",
        Down::Order { .. } => "Order",
        Down::StatusAck { .. } => "StatusAck",
        Down::Ack { .. } => "Ack",
        Down::UserProfile { .. } => "UserProfile",
        _ => "(another message)",
    }
}
