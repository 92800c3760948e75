//! Card and server as the program meets them: behind a socket in vpcd's framing, and behind TLS.

use super::{FakeCard, FakeServer};
use aid_cli::{signal, tls};
use aid_lpa::{Apdu as _, Http as _};
use aid_serve::http;
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::routing::post;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

fn payload(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut payload = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// Serves a card, one client after another; returns its address.
pub(crate) fn serve_card(card: &FakeCard) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let mut card = card.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            while let Some(command) = payload(&mut stream) {
                let answer = match command[..] {
                    [0x04] => vec![0x3B, 0],
                    [_] => continue,
                    _ => card.transmit(&command).expect("answer"),
                };
                let mut frame = (answer.len() as u16).to_be_bytes().to_vec();
                frame.extend_from_slice(&answer);
                if stream.write_all(&frame).is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// A server behind TLS, and the files of its issuer.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    /// `localhost:PORT`.
    pub(crate) server: String,
    _trigger: signal::Trigger,
    _runtime: tokio::runtime::Runtime,
}

impl Site {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CI")
}

/// Serves what a [`FakeServer`] answers.
pub(crate) fn serve_https(fake: &FakeServer) -> Site {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let (ci, other) = (authority(), authority());
    std::fs::write(path("ci.der"), ci.der()).expect("write");
    std::fs::write(path("other.der"), other.der()).expect("write");
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("params");
    let certificate = params.signed_by(&key, &ci).expect("certificate");
    std::fs::write(path("tls.pem"), certificate.pem()).expect("write");
    std::fs::write(path("tls.key"), key.serialize_pem()).expect("write");
    let config = tls::server_config(&path("tls.pem"), &path("tls.key"), None).expect("tls");
    let fake = fake.clone();
    let answer = move |uri: Uri, body: Bytes| {
        let mut fake = fake.clone();
        async move {
            let answer = fake.post("", uri.path(), &body).expect("answer");
            let status = StatusCode::from_u16(answer.status).expect("status");
            (status, answer.body)
        }
    };
    let router = Router::new().route("/gsma/rsp2/es9plus/{function}", post(answer));
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let listener = runtime.block_on(http::bind("127.0.0.1:0")).expect("bind");
    let port = listener.local_addr().expect("address").port();
    let (trigger, stop) = signal::manual();
    runtime.spawn(http::serve(listener, Some(config), router, stop));
    Site {
        folder,
        server: format!("localhost:{port}"),
        _trigger: trigger,
        _runtime: runtime,
    }
}
