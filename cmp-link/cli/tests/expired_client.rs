//! A client whose certificate has expired hears a TLS alert; the server's log has its name and the date.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is a failed test"
)]

use aid_cli::tls;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing_subscriber::fmt::MakeWriter;

const EID: &str = "89049032000000000000000000000001";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn pki(dir: &Path, from: i32, to: i32) {
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    std::fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for (name, common_name) in [("server", "cmp"), ("car", EID)] {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        if name == "car" {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// Whether the server took the client, and what it logged.
async fn handshake(from: i32, to: i32) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    pki(folder.path(), from, to);
    let server = tls::server_config(
        &file("server.pem"),
        &file("server.key"),
        Some(&file("ca.pem")),
    );
    let client = tls::client_config(&file("ca.pem"), Some((&file("car.pem"), &file("car.key"))));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from("localhost").unwrap();
    let (accepted, _) = tokio::join!(
        TlsAcceptor::from(server.unwrap()).accept(near),
        TlsConnector::from(client.unwrap()).connect(name, far),
    );
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (accepted.is_ok(), text)
}

#[tokio::test]
async fn a_client_whose_time_is_over_is_named_with_the_date() {
    let (accepted, log) = handshake(2020, 2021).await;
    assert!(!accepted);
    let line = log.lines().find(|l| l.contains(EID)).expect("named");
    assert!(line.contains("expired on 2021-01-01"), "{line}");
    assert!(line.contains("WARN"), "{line}");

    let (accepted, log) = handshake(2980, 2990).await;
    assert!(!accepted);
    let line = log.lines().find(|l| l.contains(EID)).expect("named");
    assert!(line.contains("not valid before 2980-01-01"), "{line}");

    let (accepted, log) = handshake(2020, 2990).await;
    assert!(accepted, "{log}");
    assert!(!log.contains(EID), "{log}");
}
