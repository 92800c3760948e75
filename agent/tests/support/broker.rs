//! An MQTT 5 server for one car that misbehaves as a test wants, with a CMP behind it.

use super::ICCID;
use aid_agent_core::{AccountRef, Aup, Down, Envelope, LoginOutcome, Up, WIRE_VERSION};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the CMP says to a message.
pub(crate) type Answer = fn([u8; 16], &Up) -> Option<Down>;

/// A publication for the car.
pub(crate) struct Out {
    pub(crate) topic: String,
    pub(crate) retain: bool,
    pub(crate) payload: Vec<u8>,
}

/// How the server behaves, and what it saw.
#[derive(Default)]
pub(crate) struct Broker {
    /// Reason codes of CONNACK, SUBACK and PUBACK.
    pub(crate) connack: u8,
    pub(crate) suback: u8,
    pub(crate) puback: u8,
    /// Maximum Packet Size in CONNACK.
    pub(crate) largest: Option<u32>,
    /// Ends each connection behind SUBACK.
    pub(crate) hangs_up: bool,
    pub(crate) answer: Option<Answer>,
    /// Goes to the car when it is connected.
    pub(crate) out: VecDeque<Out>,
    pub(crate) connections: usize,
    pub(crate) seen: Vec<Up>,
}

pub(crate) type Shared = Arc<Mutex<Broker>>;

/// Bytes of a message to the car.
pub(crate) fn message(id: u8, expires_at: Option<u64>, body: Down) -> Vec<u8> {
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id: [id; 16],
        correlation_id: [id; 16],
        sequence: u64::from(id),
        expires_at,
        body,
    };
    envelope.encode().expect("encode")
}

/// A CMP that lets everybody in; the profile on the card is theirs.
pub(crate) fn welcome(message_id: [u8; 16], up: &Up) -> Option<Down> {
    match up {
        Up::Hello { .. } | Up::OrderResult { .. } | Up::Logout { .. } => {
            Some(Down::Ack { message_id })
        }
        Up::Login { login_id, .. } => Some(Down::LoginResult {
            login_id: *login_id,
            outcome: LoginOutcome::Accepted {
                account: AccountRef([7; 16]),
                aup: Aup {
                    display_name: "Ada".into(),
                    msp_name: "Mobile One".into(),
                    masked_number: "***67".into(),
                },
                profiles: vec![ICCID.parse().expect("ICCID")],
            },
        }),
        Up::Status { report_seq, .. } => Some(Down::StatusAck {
            report_seq: *report_seq,
        }),
        _ => None,
    }
}

/// Serves with the certificate in `folder` until the test ends.
pub(crate) fn serve(listener: TcpListener, folder: &Path, broker: &Shared) {
    let cert = CertificateDer::from_pem_file(folder.join("vehicle.pem")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("vehicle.key.pem")).expect("key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("server");
    let (tls, broker) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(broker));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, broker) = (tls.clone(), Arc::clone(&broker));
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    broker.lock().expect("lock").connections += 1;
                    // The car hangs up when it likes.
                    let _ = connection(stream, &broker).await;
                }
            });
        }
    });
}

async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 21 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((first, body))
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let more = if length > 0x7F { 0x80 } else { 0 };
        out.push((length & 0x7F) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn publish(out: &Out, id: u16) -> Vec<u8> {
    let mut body = (out.topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(out.topic.as_bytes());
    body.extend_from_slice(&id.to_be_bytes());
    body.push(0);
    body.extend_from_slice(&out.payload);
    framed(0x32 | u8::from(out.retain), &body)
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    broker: &Shared,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (packets, mut incoming) = tokio::sync::mpsc::channel(64);
    let read = async {
        while let Ok(packet) = packet(&mut reader).await {
            if packets.send(packet).await.is_err() {
                break;
            }
        }
        drop(packets);
        std::future::pending::<()>().await;
    };
    let work = async {
        let (mut id, mut subscribed) = (0_u16, false);
        loop {
            let due = tokio::time::sleep(std::time::Duration::from_millis(10));
            let packet = tokio::select! {
                packet = incoming.recv() => packet,
                () = due, if subscribed => {
                    let out = broker.lock().expect("lock").out.pop_front();
                    if let Some(out) = out {
                        id = id % 60_000 + 1;
                        writer.write_all(&publish(&out, id)).await?;
                        writer.flush().await?;
                    }
                    continue;
                }
            };
            let Some((first, body)) = packet else {
                return Ok(());
            };
            let (answer, ends) = react(first, &body, broker, &mut subscribed);
            writer.write_all(&answer).await?;
            writer.flush().await?;
            if ends {
                return writer.shutdown().await;
            }
        }
    };
    tokio::select! {
        () = read => Ok(()),
        result = work => result,
    }
}

/// What the server answers, and whether it ends the connection then.
fn react(first: u8, body: &[u8], broker: &Shared, subscribed: &mut bool) -> (Vec<u8>, bool) {
    let mut broker = broker.lock().expect("lock");
    match first >> 4 {
        1 => {
            let mut connack = vec![0, broker.connack, 0];
            if let Some(largest) = broker.largest {
                (connack[2], _) = (5, connack.push(0x27));
                connack.extend_from_slice(&largest.to_be_bytes());
            }
            (framed(0x20, &connack), broker.connack != 0)
        }
        8 => {
            *subscribed = broker.suback < 0x80;
            let suback = [body[0], body[1], 0, broker.suback];
            (framed(0x90, &suback), broker.hangs_up)
        }
        3 => {
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            let id = &body[2 + topic..4 + topic];
            let payload = &body[5 + topic..];
            let mut answer = framed(0x40, &[id, &[broker.puback]].concat());
            if broker.puback < 0x80 {
                let envelope = Envelope::<Up>::decode(payload).expect("a message");
                let (message_id, up) = (envelope.message_id, envelope.body);
                if let Some(down) = broker.answer.and_then(|answer| answer(message_id, &up)) {
                    let topic =
                        String::from_utf8_lossy(&body[2..2 + topic]).replace("/up", "/down");
                    let out = Out {
                        topic,
                        retain: false,
                        payload: message(0xA0, None, down),
                    };
                    answer.extend(publish(&out, 60_001));
                }
                broker.seen.push(up);
            }
            (answer, false)
        }
        12 => (vec![0xD0, 0], false),
        14 => (vec![], true),
        _ => (vec![], false),
    }
}
