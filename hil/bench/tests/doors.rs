//! A set-up of `aid-hil init` has a CA for each role: a certificate passes the TLS handshake of its own doors only, and
//! there the list of the configuration decides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use aid_cli::tls;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

struct Part {
    child: Child,
    listen: BTreeMap<String, u16>,
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn aid_hil(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command.current_dir(dir).stderr(Stdio::null());
    command
}

fn start(dir: &Path, part: &str, config: &str) -> Part {
    let mut child = aid_hil(dir)
        .args(["part", part, "serve", "--config", config])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the readiness line");
    let listen = ready["listen"].as_object().unwrap();
    let port = |address: &Value| {
        let address = address.as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    };
    let listen = listen.iter().map(|(n, a)| (n.clone(), port(a))).collect();
    Part { child, listen }
}

/// What a client with this certificate gets for `GET /openapi.json` at a door: the status, or none where the handshake
/// fails; 0 where it succeeds at a door that speaks MQTT. TLS 1.2, because there a client learns of its refusal before it says anything.
fn fares(pki: &Path, port: u16, certificate: Option<&str>, speaks_http: bool) -> Option<u16> {
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(tls::roots(&[&pki.join("ca.pem")]).unwrap());
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = tls::certificates(&pki.join(format!("{name}.pem"))).unwrap();
            let key = tls::private_key(&pki.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = "localhost".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut socket) {
            let text = error.to_string();
            assert!(text.contains("alert"), "{certificate:?}: {text}");
            return None;
        }
    }
    if !speaks_http {
        return Some(0);
    }
    let mut stream = StreamOwned::new(connection, socket);
    let request = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The server may end the connection without a goodbye.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    Some(
        answer
            .split(' ')
            .nth(1)
            .map_or(0, |status| status.parse().unwrap_or(0)),
    )
}

// R-5.1-5, R-6-4, R-6-5, R-6-6, R-3.2-2
#[test]
fn a_certificate_of_init_opens_its_own_doors_only() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("site");
    let init = aid_hil(folder.path())
        .args(["init", "--json", "--dir", "site"])
        .output()
        .unwrap();
    assert!(init.status.success(), "{init:?}");
    for (part, config) in [
        ("aid-smdp", "smdp.toml"),
        ("aid-msp", "msp.toml"),
        ("aid-cmp", "cmp.toml"),
        ("euicc-sim", "euicc.toml"),
        ("aid-agent", "agent.toml"),
    ] {
        let check = aid_hil(&dir)
            .args(["part", part, "check-config", "--config", config])
            .output()
            .unwrap();
        assert!(check.status.success(), "{part}");
    }
    let smdp = start(&dir, "aid-smdp", "smdp.toml");
    let msp = start(&dir, "aid-msp", "msp.toml");
    let cmp = start(&dir, "aid-cmp", "cmp.toml");
    let pki: PathBuf = dir.join("pki/aid");
    let (es2, aid1_msp) = (smdp.listen["es2"], msp.listen["aid1"]);
    let (aid1_cmp, gateway) = (cmp.listen["aid1"], cmp.listen["gateway"]);
    // An admitted operator finds no such path; a partner that is not named hears 403 (ES2+) or 401 (AID1).
    for (certificate, expected) in [
        (Some("msp"), [Some(404), Some(401), Some(200), None]),
        (Some("cmp"), [Some(403), Some(200), Some(401), None]),
        (Some("car"), [None, None, None, Some(0)]),
        (Some("cmp-broker"), [None, None, None, Some(0)]),
        (Some("cmp-server"), [None; 4]),
        (Some("msp-server"), [None; 4]),
        (Some("smdp-server"), [None; 4]),
        (None, [None; 4]),
    ] {
        let got = [es2, aid1_msp, aid1_cmp, gateway]
            .map(|port| fares(&pki, port, certificate, port != gateway));
        assert_eq!(
            got, expected,
            "{certificate:?} at ES2+, the MSP's AID1, the CMP's AID1, the gateway"
        );
    }
}
