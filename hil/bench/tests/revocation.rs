//! Given a set-up of `aid-hil init`, when its CI revokes a certificate of the SM-DP+, then the card refuses the server from
//! the next download on, because the LPA loads the list that the server's certificates name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LIST: &str = "pki/rsp/CertificateIssuer/ci.crl";

/// A running part; killed when it goes.
struct Part(Child, Value);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn aid_hil(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.output().unwrap()
}

fn part(dir: &Path, args: &[&str]) -> Output {
    aid_hil(dir, &[&["part"], args].concat())
}

fn start(dir: &Path, args: &[&str]) -> Part {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .arg("part")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("the readiness line");
    Part(child, ready)
}

/// A set-up with its SM-DP+ and a card.
struct Bench {
    folder: tempfile::TempDir,
    card: String,
    _parts: [Part; 2],
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = aid_hil(folder.path(), &["init", "--dir", "site"]);
        assert!(made.status.success(), "{made:?}");
        let dir = folder.path().join("site");
        let smdp = start(&dir, &["aid-smdp", "serve", "--config", "smdp.toml"]);
        let card = start(&dir, &["euicc-sim", "serve", "--config", "euicc.toml"]);
        let address = card.1["listen"]["apdu"].as_str().unwrap();
        Self {
            card: format!("socket:{address}"),
            folder,
            _parts: [smdp, card],
        }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join("site")
    }

    /// Places an order of the profile in this file; its activation code.
    fn order(&self, package: &str) -> String {
        let add = ["aid-smdp", "order", "add", "--config", "smdp.toml"];
        let args = [&add[..], &["--json", "--package", package]].concat();
        let placed = part(&self.dir(), &args);
        assert!(placed.status.success(), "{placed:?}");
        let placed: Value = serde_json::from_slice(&placed.stdout).unwrap();
        let code = placed[0]["activation_code"].as_str();
        code.unwrap_or_else(|| panic!("{placed}")).to_owned()
    }

    /// What the LPA answers.
    fn lpa(&self, args: &[&str]) -> Value {
        let ci = "pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der";
        let always = [
            "aid-lpa",
            "--json",
            "--private-smdp",
            "--ci",
            ci,
            "--euicc",
            &self.card,
        ];
        let output = part(&self.dir(), &[&always[..], args].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// Revokes a certificate, and waits until its list is served.
    fn revoke(&self, certificate: &str) {
        let file = format!("pki/rsp/{certificate}");
        let args = [
            "euicc-sim",
            "mint-crl",
            "--pki",
            "pki/rsp",
            "--revoke",
            &file,
        ];
        let minted = part(&self.dir(), &args);
        assert!(minted.status.success(), "{minted:?}");
        let list = std::fs::read(self.dir().join(LIST)).unwrap();
        let ci = self
            .dir()
            .join("pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.pem");
        let config = aid_cli::tls::client_config(&ci, None).unwrap();
        let certificate = std::fs::read(
            self.dir()
                .join("pki/rsp/DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der"),
        )
        .unwrap();
        let certificate = aid_rsp::cert::Certificate::from_der(&certificate).unwrap();
        let url = certificate
            .crl_urls()
            .next()
            .expect("a distribution point")
            .to_owned();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        runtime.block_on(async {
            while client
                .get(&url)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap()
                != list
            {
                assert!(Instant::now() < end, "the new list is not served");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// The function of the card that refuses a download, with the name of its error.
    fn refusal(&self, code: &str) -> (String, String) {
        let answer = self.lpa(&["profile", "download", code]);
        let error = &answer["error"];
        let text = |name: &str| {
            error[name]
                .as_str()
                .unwrap_or_else(|| panic!("{answer}"))
                .to_owned()
        };
        assert_eq!(text("class"), "card_refused", "{answer}");
        (text("subject"), text("reason"))
    }
}

#[test]
fn a_card_refuses_a_server_whose_certificate_is_revoked() {
    let bench = Bench::new();
    let code = bench.order("op");
    let done = bench.lpa(&["profile", "download", &code]);
    assert_eq!(done["ok"], true, "{done}");
    let code = bench.order("spare-1");
    bench.revoke("DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der");
    assert_eq!(
        bench.refusal(&code),
        ("PrepareDownload".into(), "invalidCertificate".into())
    );
    bench.revoke("DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der");
    assert_eq!(
        bench.refusal(&code),
        ("AuthenticateServer".into(), "invalidCertificate".into())
    );
    // The card has it by now; by hand it is loaded the same way.
    let loaded = bench.lpa(&["chip", "load-crl", LIST]);
    assert_eq!(loaded["result"]["already_known"], true, "{loaded}");
    let profiles = bench.lpa(&["profile", "list"]);
    assert_eq!(
        profiles["result"].as_array().map(Vec::len),
        Some(1),
        "{profiles}"
    );
}
