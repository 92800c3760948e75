//! The program `aid-smdp` over real TLS: ES2+ with client certificate, ES9+ without, its lists, and
//! its one-sentence failures.

use crate::bench::{EID, EID_DIGITS, ICCID, package};
use crate::card::{Card, ok_response};
use aid_cli::tls;
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::es2::{ConfirmOrderRequest, DownloadOrderRequest};
use aid_rsp::es9::{
    AuthenticateClientRequest, Base64, Function, GetBoundProfilePackageRequest,
    HandleNotificationRequest, Hex, Response, Text,
};
use aid_rsp::es10::TransactionId;
use aid_rsp::pki::{DAY, MintParams, RspPki};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A CA with a server and a client certificate for ES2+.
pub(crate) fn es2_pki(dir: &Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "ES2+ CA");
    let ca_key = KeyPair::generate().unwrap();
    write("ca.pem", ca.self_signed(&ca_key).unwrap().pem());
    let issuer = Issuer::new(ca, ca_key);
    for (name, common_name) in [("server", "smdp"), ("client", "msp")] {
        let names = vec!["localhost".into(), "127.0.0.1".into()];
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

pub(crate) fn site(dir: &Path) -> RspPki {
    let now = aid_smdp::web::now();
    site_of(dir, now - DAY, now + 30 * DAY)
}

/// A set-up whose RSP certificates are valid from and to these times, unix seconds.
fn site_of(dir: &Path, from: u64, to: u64) -> RspPki {
    let params = MintParams::loopback(&EID, from, to);
    let pki = RspPki::mint(&params, &SoftwareCrypto::new(), &mut UnwrapErr(SysRng)).unwrap();
    pki.write_to(dir).unwrap();
    es2_pki(dir);
    std::fs::create_dir(dir.join("profiles")).unwrap();
    std::fs::write(dir.join("profiles/op.der"), package(ICCID)).unwrap();
    // The example is the configuration, but for ports and ES2+ files.
    let text = aid_smdp::config::EXAMPLE
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:8444", "127.0.0.1:0")
        .replace("localhost:8443", "localhost:0")
        .replace("es2/", "");
    std::fs::write(dir.join("smdp.toml"), text).unwrap();
    pki
}

pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-smdp"));
    command.current_dir(dir);
    command
}

pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(dir: &Path) -> (Running, String, String) {
    let mut child = program(dir)
        .args(["serve", "--config", "smdp.toml"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["program"], "aid-smdp");
    let listen = |name: &str| {
        let address = ready["listen"][name].as_str().unwrap();
        format!("localhost:{}", address.rsplit(':').next().unwrap())
    };
    (Running(child), listen("es9"), listen("es2"))
}

pub(crate) fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> reqwest::Client {
    let config = tls::client_config(ca, identity).unwrap();
    reqwest::Client::builder()
        .tls_backend_preconfigured((*config).clone())
        .build()
        .unwrap()
}

/// What an LPA gets for this MatchingID at a running server: an offer, or subject and reason of the refusal.
pub(crate) async fn offered(
    lpa: &reqwest::Client,
    es9: &str,
    card: &Card,
    matching_id: Option<&str>,
) -> Result<(), String> {
    let ok = call(lpa, es9, &card.initiate(es9)).await;
    let request = AuthenticateClientRequest {
        transaction_id: ok.transaction_id.clone(),
        authenticate_server_response: Base64::new(ok_response(card.authenticate(&ok, matching_id)))
            .unwrap(),
    };
    let url = format!("https://{es9}{}", AuthenticateClientRequest::PATH);
    let response = lpa.post(url).json(&request).send().await.unwrap();
    let answer: serde_json::Value = response.json().await.unwrap();
    let status = &answer["header"]["functionExecutionStatus"];
    match &status["statusCodeData"] {
        serde_json::Value::Null => Ok(()),
        data => Err(format!(
            "{}/{}",
            data["subjectCode"].as_str().unwrap(),
            data["reasonCode"].as_str().unwrap()
        )),
    }
}

async fn call<F: Function>(client: &reqwest::Client, host: &str, request: &F) -> F::Output {
    let url = format!("https://{host}{}", F::PATH);
    let response = client.post(url).json(request).send().await.unwrap();
    assert_eq!(response.headers()["x-admin-protocol"], "gsma/rsp/v2.4.0");
    let answer: Response<F::Output> = response.json().await.unwrap();
    let status = answer.header.function_execution_status.to_string();
    answer.output.expect(&status)
}

#[tokio::test]
async fn a_download_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let pki = site(dir);
    let (mut running, es9, es2) = start(dir);

    // ES2+ is for those with a certificate.
    let (ca, cert, key) = (
        dir.join("ca.pem"),
        dir.join("client.pem"),
        dir.join("client.key"),
    );
    let download = DownloadOrderRequest {
        eid: Text::new(EID_DIGITS),
        ..Default::default()
    };
    let url = format!("https://{es2}{}", DownloadOrderRequest::PATH);
    let stranger = client(&ca, None).post(url).json(&download).send().await;
    assert!(stranger.is_err());
    let operator = client(&ca, Some((&cert, &key)));
    let ordered = call(&operator, &es2, &download).await;
    assert_eq!(ordered.iccid.as_str(), ICCID);
    let confirm = ConfirmOrderRequest {
        iccid: ordered.iccid,
        release_flag: true,
        ..Default::default()
    };
    let confirmed = call(&operator, &es2, &confirm).await;
    let address = confirmed.smdp_address.unwrap();
    assert_eq!(address.as_str(), es9);

    // ES9+ has a certificate under the CI.
    let lpa = client(&dir.join("CertificateIssuer/CERT_CI_ECDSA_NIST.der"), None);
    let mut card = Card::new(&pki, EID, pki.euicc.clone());
    let ok = call(&lpa, &es9, &card.initiate(address.as_str())).await;
    let id = ok.transaction_id.as_bytes().to_vec();
    let hex = || Hex::new(&id).unwrap();
    let response = card.authenticate(&ok, Some(confirmed.matching_id.as_str()));
    let request = AuthenticateClientRequest {
        transaction_id: hex(),
        authenticate_server_response: Base64::new(ok_response(response)).unwrap(),
    };
    let offer = call(&lpa, &es9, &request).await;
    let request = GetBoundProfilePackageRequest {
        transaction_id: hex(),
        prepare_download_response: Base64::new(card.prepare(&offer, None)).unwrap(),
    };
    let bpp = call(&lpa, &es9, &request).await.bound_profile_package;
    let opened = card.open(bpp.as_bytes(), &pki.dp_pb.key.public);
    assert_eq!(opened.package, package(ICCID));
    let id = TransactionId::new(&id).unwrap();
    let der = card.installed(id, 0, opened.metadata.iccid);
    let request = HandleNotificationRequest {
        pending_notification: Base64::new(der).unwrap(),
    };
    let url = format!("https://{es9}{}", HandleNotificationRequest::PATH);
    let response = lpa.post(&url).json(&request).send().await.unwrap();
    assert_eq!(response.status(), 204);
    assert!(response.bytes().await.unwrap().is_empty());
    // What will never be readable is acknowledged, or the LPA would repeat it for ever; what may have been cut off on
    // its way is not.
    let long = "A".repeat(40_000);
    for (pending, status) in [
        ("\"\"", 204),
        ("\"vzcA\"", 204),
        ("\"AAAA\"", 204),
        ("\"no base64\\u001b[31m\\n\"", 204),
        (&format!("\"{long}\""), 204),
        ("7", 400),
        ("null", 400),
        ("\"vzcA", 400),
    ] {
        let body = format!("{{\"pendingNotification\":{pending}}}");
        let sent = lpa.post(&url).header("content-type", "application/json");
        let response = sent.body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{pending:.40}");
        assert!(status == 400 || response.bytes().await.unwrap().is_empty());
    }
    for body in ["{", "", "[]", "{}", "{\"pendingNotification\":\"vzcA\""] {
        let response = lpa.post(&url).body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{body}");
    }

    // The lists are read beside the running server.
    let list = |what: &str| {
        let args = [what, "list", "--json", "--config", "smdp.toml"];
        let out = program(dir).args(args).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let orders = list("order");
    assert_eq!(orders[0]["state"], "installed");
    assert_eq!(orders[0]["eid"], EID_DIGITS);
    assert_eq!(list("notification")[0]["outcome"], "installed");

    // SIGTERM is a clean stop.
    let id = running.0.id().to_string();
    assert!(Command::new("kill").arg(id).status().unwrap().success());
    let status = running.0.wait().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_failure_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    let run = |args: &[&str]| {
        let out = program(dir).args(args).output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    };
    let check = ["check-config", "--config", "smdp.toml"];
    assert_eq!(run(&check).0, Some(0));
    let fails = |part: &str| {
        let (code, text) = run(&check);
        assert_eq!(code, Some(1));
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        assert!(text.contains(part), "{text}");
    };
    std::fs::write(dir.join("profiles/bad.der"), b"hello").unwrap();
    fails("bad.der");
    std::fs::remove_file(dir.join("profiles/bad.der")).unwrap();
    // A TLS key on brainpoolP256r1, in PKCS#8 or whatever the PKI writes.
    let brainpool = dir.join("brainpool");
    let pki = crate::bench::mint_on(aid_rsp::crypto::Curve::BrainpoolP256r1);
    pki.write_to(&brainpool).unwrap();
    let tls_key = dir.join("DPtls/SK_S_SM_DP_TLS_NIST.pem");
    let kept = std::fs::read(&tls_key).unwrap();
    let mut files = std::fs::read_dir(brainpool.join("DPtls")).unwrap();
    let other = files.find_map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name.starts_with("SK_") && name.ends_with(".pem")).then(|| file.path())
    });
    std::fs::copy(other.unwrap(), &tls_key).unwrap();
    fails("brainpool");
    std::fs::write(&tls_key, kept).unwrap();
    // The binding key with the authentication certificate.
    let key = dir.join("DPauth/SK_S_SM_DPauth_ECDSA_NIST.pem");
    std::fs::copy(dir.join("DPpb/SK_S_SM_DPpb_ECDSA_NIST.pem"), &key).unwrap();
    fails("DPauth");
    std::fs::write(&key, "hello").unwrap();
    fails("SK_S_SM_DPauth_ECDSA_NIST.pem");
    std::fs::remove_file(&key).unwrap();
    fails("SK_S_SM_DPauth_ECDSA_NIST.pem");

    let text = std::fs::read_to_string(dir.join("smdp.toml")).unwrap();
    std::fs::write(dir.join("smdp.toml"), format!("colour = 1\n{text}")).unwrap();
    fails("colour");
    assert_eq!(run(&["serve", "--config", "none.toml"]).0, Some(1));
    // The one of this folder is found; without any, the command line is wrong.
    assert_eq!(run(&["serve"]).0, Some(1));
    std::fs::remove_file(dir.join("smdp.toml")).unwrap();
    assert_eq!(run(&["serve"]).0, Some(2));
    assert_eq!(run(&["--version"]).0, Some(0));
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = std::fs::read_to_string(dir.join("smdp.toml")).unwrap();
    let text = text.replacen("127.0.0.1:0", &address, 1);
    std::fs::write(dir.join("smdp.toml"), text).unwrap();
    let out = program(dir)
        .args(["serve", "--config", "smdp.toml"])
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(
        text.contains(&address) && text.contains("another program"),
        "{text}"
    );
}

#[test]
fn rsp_certificates_are_judged_by_their_dates() {
    let now = aid_smdp::web::now();
    let check = |from: u64, to: u64| {
        let folder = tempfile::tempdir().unwrap();
        site_of(folder.path(), from, to);
        let output = program(folder.path())
            .args(["check-config", "--config", "smdp.toml"])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    let files = [
        "CERT_S_SM_DP_TLS_NIST.pem",
        "CERT_S_SM_DPauth_ECDSA_NIST.der",
        "CERT_S_SM_DPpb_ECDSA_NIST.der",
        "CERT_CI_ECDSA_NIST.der",
    ];
    let (code, stderr) = check(now - DAY, now + 29 * DAY + 3600);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.lines().count(), files.len(), "{stderr}");
    for file in files {
        let line = stderr.lines().find(|l| l.contains(file)).unwrap();
        assert!(
            line.starts_with("warning: ") && line.contains("in 29 days"),
            "{line}"
        );
    }
    assert_eq!(check(now - DAY, now + 31 * DAY), (Some(0), String::new()));
    for (from, to, says) in [
        (now - 9 * DAY, now - DAY, "expired on 20"),
        (now + DAY, now + 90 * DAY, "is not valid before 20"),
    ] {
        let (code, stderr) = check(from, to);
        assert_eq!(code, Some(1));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(stderr.matches(says).count(), files.len(), "{stderr}");
        assert!(files.iter().all(|file| stderr.contains(file)), "{stderr}");
    }
}

// Whoever can change a key or the configuration is the SM-DP+.
#[test]
fn files_that_others_can_change_are_not_accepted() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    site(folder.path());
    let config = aid_smdp::config::Config::load(&folder.path().join("smdp.toml")).unwrap();
    let mut files: Vec<_> = config.keys().map(Path::to_owned).collect();
    assert!(files.len() >= 4);
    files.push(folder.path().join("smdp.toml"));
    let check = || {
        let output = program(folder.path())
            .args(["check-config", "--config", "smdp.toml"])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for file in &files {
        let mode = |mode: u32| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file, mode).unwrap();
        };
        for wrong in [0o666, 0o620, 0o602] {
            mode(wrong);
            let (code, stderr) = check();
            let name = file.file_name().unwrap().to_str().unwrap();
            assert_eq!(code, Some(1), "{name} {wrong:o}");
            assert!(stderr.contains(name) && stderr.contains("0600"), "{stderr}");
        }
        mode(0o600);
    }
    assert_eq!(check().0, Some(0));
}
