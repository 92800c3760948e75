//! The listener over real sockets: identity of the peer, limits, stop, and what bad files say.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use aid_cli::{signal, tls};
use aid_serve::http::{self, Peer};
use aid_serve::slots;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

#[test]
fn an_address_is_host_and_port() {
    for good in ["127.0.0.1:0", "[::1]:8443", "cmp.example:65535"] {
        assert!(http::check_address("aid1.listen", good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "x",
        ":1",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "::1:80",
        "[x]:80",
        "https://a:1",
        "a b:1",
    ] {
        let wrong = http::check_address("aid1.listen", bad).expect_err(bad);
        assert!(wrong.to_string().starts_with("aid1.listen"), "{wrong}");
    }
}

struct Files(tempfile::TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// ca.pem, server.pem, server.key, cmp.pem, cmp.key, other.pem, other.key (of another CA)
fn files() -> Files {
    let files = Files(tempfile::tempdir().expect("folder"));
    let write = |name: &str, text: &str| {
        std::fs::write(files.path(name), text).expect("write");
    };
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![]).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("CA")
    };
    let leaf = |name: &str, ca: &CertifiedIssuer<'_, KeyPair>| {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, ca).expect("certificate");
        write(&format!("{name}.pem"), &certificate.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    };
    let (ca, stranger) = (authority("ca"), authority("stranger"));
    write("ca.pem", &ca.pem());
    std::fs::write(files.path("ca.der"), ca.der()).expect("write");
    leaf("server", &ca);
    leaf("cmp", &ca);
    leaf("other", &stranger);
    files
}

async fn who(Extension(peer): Extension<Peer>, info: ConnectInfo<Peer>) -> String {
    assert_eq!(peer, info.0);
    format!("{:?} {}", peer.common_name, peer.fingerprint != [0; 32])
}

/// A request whose body is not read by its handler and comes after the answer: the answer arrives whole.
#[tokio::test]
async fn an_answer_arrives_whole_before_a_body_that_nobody_reads() {
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (_trigger, stop) = signal::manual();
    let big = Router::new().route("/big", post(|| async { vec![b'x'; 2_000_000] }));
    tokio::spawn(http::serve(listener, None, big, stop));
    for _ in 0..20 {
        let mut stream = TcpStream::connect(addr).await.expect("connect");
        let head = b"POST /big HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n";
        stream.write_all(head).await.expect("head");
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.expect("answer");
        assert_eq!(&start, b"HTTP/1.1 200");
        stream.write_all(&[b'y'; 30000]).await.expect("body");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("whole answer");
        assert!(rest.len() > 2_000_000);
    }
}

/// A client that hangs up does not stop what its request has begun.
#[tokio::test]
async fn a_handler_goes_on_when_its_client_has_gone() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let (gone, hung_up) = tokio::sync::watch::channel(false);
    let handler = move || async move {
        begun.send(()).await.expect("heard");
        let mut hung_up = hung_up.clone();
        hung_up.wait_for(|gone| *gone).await.expect("told");
        // Time for the server to notice.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        ended.send(()).await.expect("heard");
    };
    let router = Router::new().route("/", post(handler));
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let server = tokio::spawn(http::serve(listener, None, router, stop.wait()));
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    let request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request).await.expect("write");
    begins.recv().await.expect("begun");
    drop(stream);
    gone.send_replace(true);
    let end = tokio::time::timeout(std::time::Duration::from_secs(10), ends.recv());
    end.await.expect("the handler came to its end");
    trigger.stop();
    server.await.expect("server");
}

fn router() -> Router {
    Router::new().route("/who", get(who)).route(
        "/size",
        post(|body: String| async move { body.len().to_string() }),
    )
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    let mut text = String::new();
    if stream.write_all(request.as_bytes()).await.is_ok() {
        // A peer that cuts the connection leaves what came before.
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

const WHO: &str = "GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn tls_ask(files: &Files, identity: Option<&str>, addr: SocketAddr) -> String {
    let pair = identity.map(|n| {
        (
            files.path(&format!("{n}.pem")),
            files.path(&format!("{n}.key")),
        )
    });
    let identity = pair.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
    let config = tls::client_config(&files.path("ca.der"), identity).expect("client");
    let stream = TcpStream::connect(addr).await.expect("connect");
    let name = "localhost".try_into().expect("name");
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => ask(stream, WHO).await,
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn handlers_see_who_the_client_certificate_names_and_strangers_stay_out() {
    let files = files();
    let path = |name| files.path(name);
    let ca = path("ca.pem");
    let config = tls::server_config(&path("server.pem"), &path("server.key"), Some(&ca));
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let server = tokio::spawn(http::serve(
        listener,
        Some(config.expect("tls")),
        router(),
        stop,
    ));
    let answer = tls_ask(&files, Some("cmp"), addr).await;
    assert!(answer.ends_with("Some(\"cmp\") true"), "{answer}");
    for stranger in [Some("other"), None] {
        let answer = tls_ask(&files, stranger, addr).await;
        assert!(!answer.contains("200 OK"), "{stranger:?}: {answer}");
    }
    trigger.stop();
    server.await.expect("clean stop");
}

#[tokio::test]
async fn limits_hold_without_tls_and_a_stop_ends_idle_connections() {
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let server = tokio::spawn(http::serve(listener, None, router(), stop));
    let connect = || async { TcpStream::connect(addr).await.expect("connect") };
    let answer = ask(connect().await, WHO).await;
    assert!(answer.ends_with("None false"), "{answer}");
    let huge = http::MAX_BODY + 1;
    let request = format!(
        "POST /size HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {huge}\r\n\r\n{}",
        "x".repeat(huge)
    );
    let answer = ask(connect().await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let long = format!(
        "GET /who HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(2 * http::MAX_HEAD)
    );
    let answer = ask(connect().await, &long).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let mut idle = connect().await;
    trigger.stop();
    let mut text = String::new();
    let _ = idle.read_to_string(&mut text).await;
    server.await.expect("clean stop");
}

#[tokio::test]
async fn a_request_has_one_host_and_a_body_as_it_is() {
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let server = tokio::spawn(http::serve(listener, None, router(), stop));
    let send = |head: &'static str| async move {
        let stream = TcpStream::connect(addr).await.expect("connect");
        let request = format!("{head}connection: close\r\n\r\n");
        let answer = ask(stream, &request).await;
        answer.get(9..12).expect("status").to_owned()
    };
    for (head, status) in [
        ("GET /who HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET /who HTTP/1.0\r\n", "200"),
        ("GET /who HTTP/1.1\r\n", "400"),
        ("GET /who HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("GET /who HTTP/1.1\r\nhost: a\r\nHost: b\r\n", "400"),
        (
            "POST /size HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n",
            "415",
        ),
        (
            "POST /size HTTP/1.1\r\nhost: a\r\ncontent-encoding: identity\r\ncontent-length: 0\r\n",
            "200",
        ),
    ] {
        assert_eq!(send(head).await, status, "{head}");
    }
    trigger.stop();
    server.await.expect("clean stop");
}

/// Opens a connection from this address of the machine.
async fn connect_from(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().expect("address"), 0))?;
    socket.connect(to).await
}

/// One client opens as many connections as it can and says nothing on them: others are served.
#[tokio::test]
async fn one_address_cannot_take_all_connections_of_a_listener() {
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let server = tokio::spawn(http::serve(listener, None, router(), stop));
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..http::MAX_CONNECTIONS + 100 {
        let mut stream = connect_from("127.0.0.1", addr).await.expect("connect");
        if held.len() >= slots::PER_ADDRESS {
            // It is closed without a word; those that are held stay open.
            let _ = stream.read(&mut [0]).await;
            refused += 1;
        } else {
            held.push(stream);
        }
    }
    assert_eq!(refused, http::MAX_CONNECTIONS + 100 - slots::PER_ADDRESS);
    let other = connect_from("127.0.0.2", addr).await.expect("connect");
    assert!(ask(other, WHO).await.starts_with("HTTP/1.1 200 "));
    let own = held.pop().expect("held");
    assert!(ask(own, WHO).await.starts_with("HTTP/1.1 200 "));
    drop(held);
    trigger.stop();
    server.await.expect("clean stop");
}

/// Behind a load balancer each client has its own share, and is who the PROXY header says.
#[tokio::test]
async fn behind_a_load_balancer_clients_are_told_apart() {
    let listener = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = listener.local_addr().expect("address");
    let (trigger, stop) = signal::manual();
    let from = |info: ConnectInfo<Peer>| async move { info.0.addr.to_string() };
    let router = Router::new().route("/who", get(from));
    let config = slots::Config {
        per_address: 2,
        proxies: vec!["127.0.0.9".parse().expect("address")],
    };
    let listener = slots::Listener::new(listener, &config);
    let server = tokio::spawn(http::serve(listener, None, router, stop));
    let through = |client: &'static str| async move {
        let mut stream = connect_from("127.0.0.9", addr).await.expect("connect");
        let header = format!("PROXY TCP4 {client} 127.0.0.1 4711 443\r\n");
        stream.write_all(header.as_bytes()).await.expect("header");
        stream
    };
    let mut first = through("192.0.2.1").await;
    let second = through("192.0.2.1").await;
    // Served, so that both have their places.
    let keep = WHO.replace("close", "keep-alive");
    first.write_all(keep.as_bytes()).await.expect("request");
    let mut start = [0; 12];
    first.read_exact(&mut start).await.expect("answer");
    let answer = ask(through("192.0.2.2").await, WHO).await;
    assert!(answer.ends_with("192.0.2.2:4711"), "{answer}");
    let answer = ask(second, WHO).await;
    assert!(answer.ends_with("192.0.2.1:4711"), "{answer}");
    // Who is no load balancer cannot say that it is somebody else.
    let mut liar = connect_from("127.0.0.1", addr).await.expect("connect");
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n";
    liar.write_all(header).await.expect("header");
    assert!(ask(liar, WHO).await.starts_with("HTTP/1.1 400 "));
    // Nor does it serve a load balancer without one.
    let bare = connect_from("127.0.0.9", addr).await.expect("connect");
    assert_eq!(ask(bare, WHO).await, "");
    drop(first);
    trigger.stop();
    server.await.expect("clean stop");
}

#[tokio::test]
async fn a_port_in_use_is_one_sentence_with_the_address() {
    let first = http::bind("127.0.0.1:0").await.expect("bind");
    let addr = first.local_addr().expect("address").to_string();
    let error = http::bind(&addr).await.expect_err("in use").text;
    assert!(
        error.contains(&addr) && error.contains("another port"),
        "{error}"
    );
    let error = http::bind("nonsense").await.expect_err("no address").text;
    assert!(error.contains("HOST:PORT"), "{error}");
}

#[test]
fn bad_files_are_named_with_what_is_wrong() {
    let files = files();
    std::fs::write(files.path("text"), "hello").expect("write");
    std::fs::write(files.path("junk.der"), [0x30, 0x03, 1, 2, 3]).expect("write");
    let text = |cert: &str, key: &str| {
        let result = tls::server_config(&files.path(cert), &files.path(key), None);
        result.expect_err("refused").text
    };
    let named = |error: &str, file: &str| {
        assert!(
            error.contains(&files.path(file).display().to_string()),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    };
    named(&text("text", "server.key"), "text");
    named(&text("server.pem", "text"), "text");
    named(&text("server.pem", "junk.der"), "junk.der");
    named(&text("server.pem", "absent"), "absent");
    let error = text("server.pem", "cmp.key");
    named(&error, "server.pem");
    named(&error, "cmp.key");
    let error = tls::roots(&[Path::new(&files.path("junk.der"))]).expect_err("no CA");
    named(&error.text, "junk.der");
}
