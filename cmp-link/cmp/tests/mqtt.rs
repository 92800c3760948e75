//! What the gateway accepts of MQTT 5, byte by byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_wire::{Envelope, Up, WIRE_VERSION, topic_down, topic_up};
use rustls::pki_types::ServerName;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use world::World;

/// A connection of the world's car, without a client library.
struct Raw(TlsStream<TcpStream>);

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes()].concat()
}

/// A packet of less than 128 bytes, or less than 16,384.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let short = u8::try_from(length % 128).unwrap();
    let head = match length / 128 {
        0 => vec![kind, short],
        more => vec![kind, short | 0x80, u8::try_from(more).unwrap()],
    };
    [head.as_slice(), body].concat()
}

impl Raw {
    async fn open(world: &World) -> Self {
        let name = world.eid.as_str();
        world.pki.issue(name, name, false);
        let tls = TlsConnector::from(world.pki.client(name));
        let stream = TcpStream::connect(world.gateway).await.unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        Self(tls.connect(server, stream).await.unwrap())
    }

    async fn send(&mut self, packet: &[u8]) {
        self.0.write_all(packet).await.unwrap();
    }

    /// The next packet: its first byte and what follows the length. None: the connection has ended.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let mut length = 0;
            for shift in [0, 7, 14, 21] {
                let byte = self.0.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7F) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.ok()?;
            Some((kind, body))
        };
        let next = timeout(Duration::from_secs(10), read).await;
        next.expect("nothing happened for ten seconds")
    }

    async fn connect(&mut self, properties: &[u8]) -> (u8, Vec<u8>) {
        let protocol = text("MQTT");
        let length = u8::try_from(properties.len()).unwrap();
        // Version 5, clean start, keep-alive 30 s.
        let head = [&protocol[..], &[5, 2, 0, 30, length], properties].concat();
        self.send(&packet(0x10, &[head, text("")].concat())).await;
        self.next().await.expect("an answer")
    }

    /// The connection ends without an acknowledgement of this kind; yields the reason of DISCONNECT if there is one.
    async fn ends_without(&mut self, acknowledgement: u8) -> Option<u8> {
        let mut reason = None;
        while let Some((kind, body)) = self.next().await {
            assert_ne!(kind, acknowledgement);
            if kind == 0xE0 {
                reason = body.first().copied();
            }
        }
        reason
    }
}

async fn connected(world: &World) -> Raw {
    let mut raw = Raw::open(world).await;
    let (kind, body) = raw.connect(&[]).await;
    assert_eq!((kind, body[1]), (0x20, 0), "CONNACK, success");
    // Subscription Identifier Available: 0.
    assert!(body[2..].windows(2).any(|w| w == [0x29, 0]), "{body:?}");
    raw
}

fn message() -> Vec<u8> {
    let hello = Up::Hello {
        software: "1".into(),
        profiles: Vec::new(),
    };
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id: [1; 16],
        correlation_id: [1; 16],
        sequence: 1,
        expires_at: None,
        body: hello,
    };
    envelope.encode().unwrap()
}

fn publish(world: &World, id: u16, payload: &[u8]) -> Vec<u8> {
    let topic = text(&topic_up(&world.eid));
    packet(
        0x32,
        &[&topic[..], &id.to_be_bytes(), &[0], payload].concat(),
    )
}

fn subscribe(world: &World, id: u16, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    let head = [&id.to_be_bytes()[..], &[length], properties].concat();
    let topic = text(&topic_down(&world.eid));
    packet(0x82, &[&head[..], &topic, &[1]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_mqtt_does_not_allow_or_the_gateway_does_not_offer_is_refused() {
    let world = World::new().await;
    // Authentication Method: bad authentication method.
    let mut raw = Raw::open(&world).await;
    let method = [&[0x15][..], &text("SCRAM")].concat();
    let (kind, body) = raw.connect(&method).await;
    assert_eq!((kind, body[1]), (0x20, 0x8C), "{body:?}");
    // Packet id 0.
    let mut raw = connected(&world).await;
    raw.send(&publish(&world, 0, &message())).await;
    raw.ends_without(0x40).await;
    let mut raw = connected(&world).await;
    raw.send(&subscribe(&world, 0, &[])).await;
    raw.ends_without(0x90).await;
    // Subscription Identifier.
    let mut raw = connected(&world).await;
    raw.send(&subscribe(&world, 1, &[0x0B, 7])).await;
    assert_eq!(raw.ends_without(0x90).await, Some(0xA1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_ends_where_it_ends() {
    let world = World::new().await;
    let mut raw = connected(&world).await;
    raw.send(&subscribe(&world, 1, &[])).await;
    assert_eq!(raw.next().await.unwrap().0, 0x90);
    let longer = [message(), vec![0]].concat();
    raw.send(&publish(&world, 2, &longer)).await;
    let (kind, body) = raw.next().await.unwrap();
    assert_eq!((kind, &body[..3]), (0x40, &[0, 2, 0x99][..]));
    raw.send(&publish(&world, 3, &message())).await;
    loop {
        let (kind, body) = raw.next().await.unwrap();
        if kind == 0x40 {
            assert_eq!(body[..2], [0, 3]);
            assert!(body.get(2).is_none_or(|reason| *reason == 0), "{body:?}");
            break;
        }
    }
}
