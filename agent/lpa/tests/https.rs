//! The HTTPS port over real TLS: trust, one connection for many calls, counts, limits, bearer.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use aid_cli::{signal, tls};
use aid_lpa::{Bearer, Http as _, HttpError, HttpsClient, Tally};
use aid_serve::http::{self, Peer};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

struct Site {
    folder: tempfile::TempDir,
    addr: SocketAddr,
    /// Ports that clients came from: one for each connection.
    ports: Arc<Mutex<BTreeSet<u16>>>,
    _trigger: signal::Trigger,
    _runtime: tokio::runtime::Runtime,
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self) -> String {
        format!("localhost:{}", self.addr.port())
    }

    fn client(&self, ci: &str, bearer: Bearer) -> (HttpsClient, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        let meter: Arc<dyn aid_lpa::Meter> = Arc::<Tally>::clone(&tally);
        (
            HttpsClient::new(&[self.path(ci)], bearer, true, meter).expect("client"),
            tally,
        )
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    // SGP.26's issuers have critical policies, which a TLS stack must not mind in an anchor.
    let policies = vec![
        0x30, 0x09, 0x30, 0x07, 0x06, 0x05, 0x67, 0x81, 0x12, 0x01, 0x02,
    ];
    let mut policy = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], policies);
    policy.set_criticality(true);
    params.custom_extensions.push(policy);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CI")
}

fn site() -> Site {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("write");
    };
    let (ci, other) = (authority("CI"), authority("other"));
    write("ci.der", ci.der());
    write("other.der", other.der());
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec!["localhost".into()]).expect("params");
    write(
        "tls.pem",
        params
            .signed_by(&key, &ci)
            .expect("certificate")
            .pem()
            .as_bytes(),
    );
    write("tls.key", key.serialize_pem().as_bytes());
    let (cert, key) = (folder.path().join("tls.pem"), folder.path().join("tls.key"));
    let config = tls::server_config(&cert, &key, None).expect("tls");

    let ports = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&ports);
    let echo = move |ConnectInfo(peer): ConnectInfo<Peer>, headers: HeaderMap, body: String| {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().expect("lock").insert(peer.addr.port());
            let admin = headers["x-admin-protocol"]
                .to_str()
                .expect("text")
                .to_owned();
            let agent = headers["user-agent"].to_str().expect("text").to_owned();
            let content = headers["content-type"].to_str().expect("text").to_owned();
            format!("{admin} {agent} {content} {body}")
        }
    };
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/big", post(|| async { vec![b' '; 2_000_000] }))
        .route(
            "/away",
            post(|| async { (StatusCode::FOUND, [("location", "/echo")]) }),
        );
    // Busy at its first calls; busy for long.
    let calls = Arc::new(Mutex::new(0));
    let busy = move |()| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]);
    let soon = move || {
        let calls = Arc::clone(&calls);
        async move {
            let mut calls = calls.lock().expect("lock");
            *calls += 1;
            if *calls % 3 == 0 {
                Ok("done")
            } else {
                Err(busy(()))
            }
        }
    };
    let long = || async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "600")]) };
    let router = router.route("/soon", post(soon)).route("/long", post(long));
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let listener = runtime.block_on(http::bind("127.0.0.1:0")).expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    runtime.spawn(http::serve(listener, Some(config), router, stop));
    Site {
        folder,
        addr,
        ports,
        _trigger: trigger,
        _runtime: runtime,
    }
}

#[test]
fn one_connection_serves_many_calls_and_is_counted() {
    let site = site();
    let (mut client, tally) = site.client("ci.der", Bearer::default());
    for n in 0..5 {
        let body = format!("{{\"n\":{n}}}");
        let answer = client
            .post(&site.server(), "/echo", body.as_bytes())
            .expect("answer");
        let text = String::from_utf8(answer.body).expect("text");
        assert_eq!(
            text,
            format!("gsma/rsp/v2.4.0 gsma-rsp-lpad application/json {body}")
        );
    }
    assert_eq!(site.ports.lock().expect("lock").len(), 1);
    let (received, sent) = (&tally.received, &tally.sent);
    assert!(received.load(Ordering::Relaxed) > 500 && sent.load(Ordering::Relaxed) > 500);
    // A redirect is an answer like any other: nobody sends the LPA elsewhere.
    assert_eq!(
        client
            .post(&site.server(), "/away", b"{}")
            .expect("answer")
            .status,
        302
    );
}

#[test]
fn servers_of_other_issuers_other_names_and_endless_bodies_are_refused() {
    let site = site();
    let (mut stranger, _) = site.client("other.der", Bearer::default());
    let error = stranger
        .post(&site.server(), "/echo", b"{}")
        .expect_err("issuer");
    assert!(matches!(error, HttpError::Tls { .. }), "{error}");
    let (mut client, _) = site.client("ci.der", Bearer::default());
    let by_address = format!("127.0.0.1:{}", site.addr.port());
    let error = client.post(&by_address, "/echo", b"{}").expect_err("name");
    assert!(matches!(error, HttpError::Tls { .. }), "{error}");
    let error = client
        .post(&site.server(), "/big", b"{}")
        .expect_err("size");
    assert!(matches!(error, HttpError::TooLong { .. }), "{error}");
    let error = client
        .post("localhost:1", "/echo", b"{}")
        .expect_err("nobody");
    assert!(error.to_string().contains("localhost:1"), "{error}");
    let nothing = HttpsClient::new(&[], Bearer::default(), true, Arc::new(Tally::default()));
    assert!(nothing.expect_err("no issuer").text.contains("issuer"));
    let key = HttpsClient::new(
        &[site.path("tls.key")],
        Bearer::default(),
        true,
        Arc::new(Tally::default()),
    );
    assert!(key.expect_err("a key").text.contains("tls.key"));
}

// An activation code is somebody else's word: it must not make a car look around in its own network.
#[test]
fn servers_that_are_not_public_are_not_reached_unless_this_is_a_bench() {
    let site = site();
    let tally = Arc::new(Tally::default());
    let meter: Arc<dyn aid_lpa::Meter> = Arc::<Tally>::clone(&tally);
    let client = HttpsClient::new(&[site.path("ci.der")], Bearer::default(), false, meter);
    let mut client = client.expect("client");
    let port = site.addr.port();
    for server in [
        site.server(),
        "localhost".into(),
        "127.0.0.1".into(),
        format!("127.0.0.1:{port}"),
        "0x7f.1".into(),
        "2130706433".into(),
        "[::1]".into(),
        format!("[::1]:{port}"),
        "smdp".into(),
        "printer.local".into(),
        "smdp.example.com:8443".into(),
    ] {
        let error = client.post(&server, "/echo", b"{}").expect_err(&server);
        let text = error.to_string();
        assert!(text.contains("private_smdp"), "{server}: {text}");
    }
    assert_eq!(site.ports.lock().expect("ports").len(), 0, "no connection");
    // The same server, on a bench.
    let (mut bench, _) = site.client("ci.der", Bearer::default());
    assert!(bench.post(&site.server(), "/echo", b"{}").is_ok());
}

// R-2-12
#[test]
fn nothing_leaves_but_through_the_bearer() {
    let site = site();
    let by_source = Bearer {
        source: Some([127, 0, 0, 1].into()),
        interface: None,
    };
    let (mut client, _) = site.client("ci.der", by_source);
    assert_eq!(
        client
            .post(&site.server(), "/echo", b"{}")
            .expect("answer")
            .status,
        200
    );
    for (bearer, named) in [
        (
            Bearer {
                interface: Some("wwan77".into()),
                source: None,
            },
            "wwan77",
        ),
        (
            Bearer {
                source: Some([192, 0, 2, 7].into()),
                interface: None,
            },
            "192.0.2.7",
        ),
    ] {
        let (mut client, _) = site.client("ci.der", bearer);
        let error = client
            .post(&site.server(), "/echo", b"{}")
            .expect_err("no bearer")
            .to_string();
        assert!(
            error.contains("no admin bearer") && error.contains(named),
            "{error}"
        );
    }
}

#[test]
fn a_pause_that_a_server_asks_for_is_kept() {
    let site = site();
    let (mut client, tally) = site.client("ci.der", Bearer::default());
    // A short one is waited for.
    let answer = client.post(&site.server(), "/soon", b"{}").expect("answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"done"[..]));
    // Until a long one is over nothing is sent.
    let answer = client.post(&site.server(), "/long", b"{}").expect("answer");
    assert_eq!(answer.status, 429);
    let sent = tally.sent.load(Ordering::Relaxed);
    let error = client
        .post(&site.server(), "/echo", b"{}")
        .expect_err("pause");
    let HttpError::Later { seconds, .. } = error else {
        panic!("{error}");
    };
    assert!((1..=600).contains(&seconds), "{seconds}");
    assert_eq!(tally.sent.load(Ordering::Relaxed), sent);
    // Other servers are not meant.
    let other = client
        .post("localhost:1", "/echo", b"{}")
        .expect_err("nobody");
    assert!(matches!(other, HttpError::Unreachable { .. }), "{other}");
}
