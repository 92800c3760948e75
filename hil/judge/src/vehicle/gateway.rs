//! The judge's end of AID2: an MQTT 5 server with mutual TLS for one vehicle. The protocol is mqtt-protocol-core's, as in
//! a real gateway; what the messages say is the book's.

use super::shared::{Connected, Out, QUEUE, Shared};
use aid_cli::cli::Failure;
use aid_wire::{topic_down, topic_up};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{Packet, Qos, v5_0};
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, SubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Connections at a time.
const MOST: usize = 8;
/// Longest time for the handshake of TLS, and for one write.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest MQTT packet, bytes.
const MAX_PACKET: u32 = 64 * 1024;

/// Serves until the runtime ends.
pub(super) async fn serve(listener: TcpListener, config: Arc<ServerConfig>, shared: Arc<Shared>) {
    let mut config = (*config).clone();
    // Vehicles that offer a protocol by ALPN offer that of MQTT.
    config.alpn_protocols.clear();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let places = Arc::new(Semaphore::new(MOST));
    while let Ok((socket, _)) = listener.accept().await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let _place = place;
            match timeout(PATIENCE, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => Box::pin(connection(stream, shared)).await,
                Ok(Err(error)) => shared.bad(&format!("TLS: {error}")),
                Err(_) => shared.bad("the handshake of TLS does not end"),
            }
        });
    }
}

/// Binds the address.
///
/// # Errors
/// It is taken, or none of this machine.
pub(super) async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        Failure::new(format!(
            "the judge's CMP cannot listen on {address}: {e}; see listen in [vehicle] of the target file"
        ))
    })
}

/// One connection.
struct Link {
    shared: Arc<Shared>,
    common_name: String,
    mqtt: Connection<role::Server>,
    number: Option<u64>,
    /// The sender is the tests' once the vehicle has subscribed.
    sender: Option<mpsc::Sender<Out>>,
    /// Messages that wait for the vehicle's acknowledgements.
    waiting: VecDeque<Out>,
    out: Vec<u8>,
}

async fn connection(mut stream: TlsStream<TcpStream>, shared: Arc<Shared>) {
    let certificates = stream.get_ref().1.peer_certificates();
    let common_name = certificates
        .and_then(|list| list.first())
        .and_then(|first| aid_cli::certificate::common_name(first))
        .unwrap_or_default();
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let options = ConnectionOptions::new().maximum_packet_size_recv(MAX_PACKET);
    let mut mqtt = Connection::with_options(Version::V5_0, options);
    mqtt.set_auto_ping_response(true);
    mqtt.set_auto_pub_response(true);
    let mut link = Link {
        shared,
        common_name,
        mqtt,
        number: None,
        sender: Some(sender),
        waiting: VecDeque::new(),
        out: Vec::new(),
    };
    let why = loop {
        let mut buffer = [0; 4096];
        let turn = tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) => Err("closed by the vehicle".to_owned()),
                Ok(count) => link.received(&buffer[..count]),
                Err(error) => Err(error.to_string()),
            },
            out = receiver.recv() => match out {
                Some(Out::Cut) => break "cut by the judge".to_owned(),
                Some(Out::TakeOver) => link.end(DisconnectReasonCode::SessionTakenOver),
                Some(out) => {
                    link.waiting.push_back(out);
                    Ok(())
                }
                None => link.end(DisconnectReasonCode::SessionTakenOver),
            },
        };
        link.publish();
        let bytes = std::mem::take(&mut link.out);
        let written = timeout(PATIENCE, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        });
        let written = written.await;
        match (turn, written) {
            (Err(why), _) => break why,
            (_, Ok(Err(error))) => break error.to_string(),
            (_, Err(_)) => break "it does not read".to_owned(),
            (Ok(()), Ok(Ok(()))) => {}
        }
    };
    if let Some(number) = link.number {
        link.shared.lost(number, why);
    }
}

impl Link {
    fn received(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut cursor = Cursor::new(bytes);
        while (cursor.position() as usize) < bytes.len() {
            let events = self.mqtt.recv(&mut cursor);
            self.events(events)?;
        }
        Ok(())
    }

    fn events(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend(packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => self.packet(packet)?,
                Event::NotifyError(error) => {
                    let why = format!("MQTT: {error:?}");
                    self.shared.bad(&why);
                    return Err(why);
                }
                Event::RequestClose => return Err("MQTT: closed".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, packet: impl Into<Packet>) -> Result<(), String> {
        let events = self.mqtt.send(packet.into());
        self.events(events)
    }

    fn end(&mut self, reason: DisconnectReasonCode) -> Result<(), String> {
        let packet = v5_0::Disconnect::builder().reason_code(reason).build();
        self.send(packet.map_err(|e| format!("{e:?}"))?)?;
        Err(format!("DISCONNECT of the judge: {reason:?}"))
    }

    fn packet(&mut self, packet: Packet) -> Result<(), String> {
        match packet {
            Packet::V5_0Connect(connect) => {
                self.number = self.shared.connected(Connected {
                    common_name: self.common_name.clone(),
                    client_id: connect.client_id().to_owned(),
                    will: connect.will_flag(),
                });
                if self.number.is_none() {
                    return Err("refused by the judge".to_owned());
                }
                let ack = v5_0::Connack::builder()
                    .session_present(false)
                    .reason_code(ConnectReasonCode::Success)
                    .build();
                self.send(ack.map_err(|e| format!("{e:?}"))?)
            }
            Packet::V5_0Subscribe(subscribe) => {
                let filters: Vec<String> = subscribe
                    .entries()
                    .iter()
                    .map(|entry| entry.topic_filter().to_owned())
                    .collect();
                let codes = vec![SubackReasonCode::GrantedQos1; filters.len()];
                let ack = v5_0::Suback::builder()
                    .packet_id(subscribe.packet_id())
                    .reason_codes(codes)
                    .build();
                self.send(ack.map_err(|e| format!("{e:?}"))?)?;
                if let (Some(number), Some(sender)) = (self.number, self.sender.take()) {
                    self.shared.subscribed(number, filters, sender);
                }
                Ok(())
            }
            Packet::V5_0Publish(publish) => {
                if publish.retain() {
                    self.shared.bad("a retained message");
                }
                let topic = publish.topic_name();
                if topic == topic_up(&self.shared.eid) {
                    self.shared.message(publish.payload().as_slice());
                } else {
                    self.shared
                        .bad(&format!("a message on the topic {topic:?}"));
                }
                Ok(())
            }
            Packet::V5_0Disconnect(_) => Err("DISCONNECT of the vehicle".to_owned()),
            _ => Ok(()),
        }
    }

    /// Sends what waits, as much of it as the vehicle takes before it acknowledges.
    fn publish(&mut self) {
        while let Some(out) = self.waiting.pop_front() {
            let Out::Publish {
                payload,
                topic,
                retain,
            } = out
            else {
                continue;
            };
            let full = self.mqtt.get_receive_maximum_vacancy_for_send() == Some(0);
            let id = match self.mqtt.acquire_packet_id() {
                Ok(id) if !full => id,
                taken => {
                    if let Ok(id) = taken {
                        self.mqtt.release_packet_id(id);
                    }
                    self.waiting.push_front(Out::Publish {
                        payload,
                        topic,
                        retain,
                    });
                    return;
                }
            };
            let topic = topic.unwrap_or_else(|| topic_down(&self.shared.eid));
            let packet = v5_0::Publish::builder().topic_name(topic).and_then(|b| {
                b.qos(Qos::AtLeastOnce)
                    .retain(retain)
                    .packet_id(id)
                    .payload(payload)
                    .build()
            });
            if let Ok(packet) = packet {
                // An error of the link shows at its next turn.
                let _ = self.send(packet);
            }
        }
    }
}
