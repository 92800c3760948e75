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

/// The properties of a CONNACK.
fn properties(connack: &[u8]) -> &[u8] {
    &connack[3..]
}

// MQTT 5 §3.2.2.3.4, §3.2.2.3.5: what the gateway does not offer it says, and a client that uses it all the same is told why.
#[tokio::test(flavor = "multi_thread")]
async fn connack_says_what_is_not_offered() {
    let world = World::new().await;
    let mut raw = Raw::open(&world).await;
    let (_, connack) = raw.connect(&[]).await;
    // Maximum QoS 1; retained messages, wildcards, identifiers and shared subscriptions: none.
    for property in [[0x24, 1], [0x25, 0], [0x28, 0], [0x29, 0], [0x2A, 0]] {
        let found = properties(&connack).windows(2).any(|w| w == property);
        assert!(found, "{property:?} in {connack:?}");
    }
    let mut retained = publish(&world, 1, &message());
    retained[0] |= 1;
    raw.send(&retained).await;
    assert_eq!(raw.ends_without(0x40).await, Some(0x9A));
    let mut raw = connected(&world).await;
    let mut twice = publish(&world, 1, &message());
    twice[0] = 0x34;
    raw.send(&twice).await;
    assert_eq!(raw.ends_without(0x50).await, Some(0x9B));
}

// MQTT 5 §3.8.4: no more is granted than was asked for, and messages come as it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn the_granted_qos_is_that_of_the_subscription() {
    let world = World::new().await;
    for (asked, granted) in [(0, 0), (1, 1), (2, 1)] {
        let mut raw = connected(&world).await;
        let mut packet = subscribe(&world, 1, &[]);
        *packet.last_mut().unwrap() = asked;
        raw.send(&packet).await;
        let (kind, body) = raw.next().await.unwrap();
        assert_eq!((kind, body.last()), (0x90, Some(&granted)), "{asked}");
        raw.send(&publish(&world, 2, &message())).await;
        let kind = loop {
            let (kind, _) = raw.next().await.unwrap();
            if kind != 0x40 {
                break kind;
            }
        };
        assert_eq!(kind, 0x30 | granted << 1, "{asked}");
    }
}

// MQTT 5 §1.5.4, §2.1.3, §3.1.2.3: what no packet may have ends the connection, and nothing of it is taken.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_packets_end_the_connection() {
    let world = World::new().await;
    // Reserved flags of SUBSCRIBE.
    for flags in [0x80, 0x81, 0x84, 0x8F] {
        let mut raw = connected(&world).await;
        let mut packet = subscribe(&world, 1, &[]);
        packet[0] = flags;
        raw.send(&packet).await;
        raw.ends_without(0x90).await;
    }
    // The reserved flag of CONNECT.
    let mut raw = Raw::open(&world).await;
    let head = [&text("MQTT")[..], &[5, 3, 0, 30, 0]].concat();
    raw.send(&packet(0x10, &[head, text("")].concat())).await;
    if let Some((kind, body)) = raw.next().await {
        assert!(kind != 0x20 || body[1] >= 0x80, "{kind:#x} {body:?}");
    }
    // U+0000 in topics, at its ends and within.
    let (up, down) = (topic_up(&world.eid), topic_down(&world.eid));
    let with = |topic: &str| {
        [
            format!("{topic}\0"),
            format!("\0{topic}"),
            topic.replace('/', "\0"),
        ]
    };
    for topic in with(&up) {
        let mut raw = connected(&world).await;
        let body = [&text(&topic)[..], &[0, 1, 0], &message()].concat();
        raw.send(&packet(0x32, &body)).await;
        raw.ends_without(0x40).await;
    }
    for topic in with(&down) {
        let mut raw = connected(&world).await;
        let body = [&[0, 1, 0][..], &text(&topic), &[1]].concat();
        raw.send(&packet(0x82, &body)).await;
        raw.ends_without(0x90).await;
    }
}

/// An acknowledgement of a message to the car.
fn puback(body: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    packet(0x40, &body[2 + length..4 + length])
}

// MQTT 5 §4.9: messages beyond a client's Receive Maximum wait for its acknowledgements, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn messages_beyond_the_receive_maximum_wait() {
    let world = World::new().await;
    for maximum in [1_u8, 2, 5] {
        let mut raw = Raw::open(&world).await;
        let (_, connack) = raw.connect(&[0x21, 0, maximum]).await;
        assert_eq!(connack[1], 0);
        raw.send(&subscribe(&world, 1, &[])).await;
        assert_eq!(raw.next().await.unwrap().0, 0x90);
        // Each is answered with a message.
        let asked: Vec<u16> = (2..14).collect();
        let (mut taken, mut answers) = (0, Vec::new());
        for id in &asked {
            raw.send(&publish(&world, *id, &message())).await;
            // The gateway takes it whether or not its answer can go.
            loop {
                let (kind, body) = raw.next().await.unwrap();
                if kind == 0x40 {
                    taken += 1;
                    break;
                }
                answers.push(body);
            }
        }
        assert_eq!(taken, asked.len());
        assert!(answers.len() <= usize::from(maximum), "{}", answers.len());
        let mut next = 0;
        while next < asked.len() {
            while answers.len() <= next {
                let (kind, body) = raw.next().await.unwrap();
                assert_eq!(kind, 0x32);
                answers.push(body);
            }
            // No more than it may have at once.
            assert!(answers.len() - next <= usize::from(maximum));
            raw.send(&puback(&answers[next])).await;
            next += 1;
        }
    }
}
