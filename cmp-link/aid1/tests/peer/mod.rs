//! A server that records what arrives and answers what the test wants, over real mutual TLS.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "not every test uses everything"
)]

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::client::Settings;
use aid_aid1::headers::Credentials;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub type Ca = CertifiedIssuer<'static, KeyPair>;

pub fn ca() -> Ca {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn leaf(ca: &Ca) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, ca).unwrap();
    (
        vec![cert.der().clone()],
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

pub fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    Arc::new(roots)
}

pub fn client_tls(ca: &Ca, own: Option<&Ca>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = builder.with_root_certificates(roots(ca));
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = leaf(own);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// Answers one request after another with the given raw answers; yields the requests.
pub async fn server(ca: &Ca, answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots(ca), provider.clone())
            .build()
            .unwrap();
    let (chain, key) = leaf(ca);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/base/",
        listener.local_addr().unwrap().port()
    );
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut request = vec![0; 16_384];
            let mut length = 0;
            loop {
                let n = tls.read(&mut request[length..]).await.unwrap_or(0);
                length += n;
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let complete = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let wanted = head
                        .to_ascii_lowercase()
                        .lines()
                        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                    body.len() >= wanted.unwrap_or(0)
                });
                if n == 0 || complete {
                    requests.push(text);
                    break;
                }
            }
            if answer == "hang" {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
        requests
    });
    (url, task)
}

pub fn settings(url: &str, tls: ClientConfig) -> Settings {
    Settings {
        base_url: url.to_owned(),
        tls,
        own_id: "dk3kdwkef1".parse().unwrap(),
        target_id: "gKl32ko4".parse().unwrap(),
        credentials: Credentials::api_key("1234abcdefghij0123456789").unwrap(),
        timeout: Duration::from_secs(2),
        deviations: aid_aid1::deviation::Deviations::default(),
        iccids: aid_aid1::body::Iccids::Standard,
    }
}

pub fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n{body}"
    )
}
