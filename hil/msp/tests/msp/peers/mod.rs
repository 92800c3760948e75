//! What stands around the program in its tests: a PKI, a CMP and an SM-DP+ that record what they get, and the program
//! itself as a process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aid_cli::{signal, tls};
use aid_needs::shim::Environment;
use aid_serve::http;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "a shared secret of thirty-two bytes or more";
pub(crate) const PHONE_KEY: &str =
    "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
pub(crate) const EID: &str = "89049032000001000000000831934057";

/// A folder with a PKI: ca.pem, {server,cmp,msp}.{pem,key}, and a certificate of nobody: other.{pem,key} of other-ca.pem.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        // Also clients of the control API, which has no TLS, want to know.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = |name: &str| {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (ca, other) = (authority("ca"), authority("other"));
        let folder = Self {
            folder: tempfile::tempdir().unwrap(),
            ca,
        };
        std::fs::write(folder.path("ca.pem"), folder.ca.pem()).unwrap();
        std::fs::write(folder.path("other-ca.pem"), other.pem()).unwrap();
        for name in ["server", "cmp", "msp"] {
            folder.issue(name);
        }
        folder.issue_by("other", &other);
        folder
    }

    /// Makes certificate and key of this name, new ones if there are some.
    pub(crate) fn issue(&self, name: &str) {
        self.issue_by(name, &self.ca);
    }

    fn issue_by(&self, name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// SHA-256 of the certificate of this name, as it is in its file now.
    pub(crate) fn fingerprint(&self, name: &str) -> [u8; 32] {
        let chain = tls::certificates(&self.path(&format!("{name}.pem"))).unwrap();
        aid_serve::peer::fingerprint(&chain[0])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client configuration with the certificate of this name, or none.
    pub(crate) fn client_tls(&self, name: Option<&str>) -> rustls::ClientConfig {
        let files = name.map(|n| {
            (
                self.path(&format!("{n}.pem")),
                self.path(&format!("{n}.key")),
            )
        });
        let identity = files.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
        tls::client_config(&self.path("ca.pem"), identity)
            .unwrap()
            .as_ref()
            .clone()
    }
}

/// A request that a peer got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// SHA-256 of the client certificate.
    pub(crate) certificate: [u8; 32],
}

/// A server on the other side: records, and answers by a function of the request and of how many came before.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<AnswerFn>>,
    _trigger: Arc<signal::Trigger>,
}

type AnswerFn = Box<dyn Fn(&Got, usize) -> (u16, Value) + Send>;

impl Peer {
    pub(crate) async fn start(
        folder: &Folder,
        answer: impl Fn(&Got, usize) -> (u16, Value) + Send + 'static,
    ) -> Self {
        let config = tls::server_config(
            &folder.path("server.pem"),
            &folder.path("server.key"),
            Some(&folder.path("ca.pem")),
        );
        let listener = http::bind("127.0.0.1:0").await.unwrap();
        let (trigger, stop) = signal::manual();
        let peer = Self {
            url: format!(
                "https://localhost:{}",
                listener.local_addr().unwrap().port()
            ),
            got: Arc::default(),
            answer: Arc::new(Mutex::new(Box::new(answer))),
            _trigger: Arc::new(trigger),
        };
        let router = Router::new().fallback(record).with_state(peer.clone());
        tokio::spawn(http::serve(listener, Some(config.unwrap()), router, stop));
        peer
    }

    pub(crate) fn answer(&self, answer: impl Fn(&Got, usize) -> (u16, Value) + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until `n` requests whose path has `part` have come; yields them.
    pub(crate) async fn wait_for(&self, part: &str, n: usize) -> Vec<Got> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let found: Vec<_> = self
                .got()
                .into_iter()
                .filter(|g| g.path.contains(part))
                .collect();
            if found.len() >= n {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{part}: {} of {n}, all: {:#?}",
                found.len(),
                self.got()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn record(State(peer): State<Peer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 100_000).await.unwrap();
    let got = Got {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        certificate: parts.extensions.get::<http::Peer>().unwrap().fingerprint,
    };
    let before = {
        let mut all = peer.got.lock().unwrap();
        all.push(got.clone());
        all.iter().filter(|g| g.path == got.path).count() - 1
    };
    let (status, body) = (peer.answer.lock().unwrap())(&got, before);
    if status == 0 {
        // A peer that is slow: milliseconds, or those and the status of its late answer.
        let delay = body.as_u64().or(body["after"].as_u64()).unwrap();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let late = u16::try_from(body["status"].as_u64().unwrap_or(200)).unwrap();
        return (
            StatusCode::from_u16(late).unwrap(),
            [("content-type", "application/json")],
            smdp(&got).to_string(),
        )
            .into_response();
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    (
        StatusCode::from_u16(status).unwrap(),
        [("content-type", "application/json")],
        body,
    )
        .into_response()
}

/// A CMP that accepts everything with the status of the contract.
pub(crate) fn cmp(got: &Got, _: usize) -> (u16, Value) {
    let status = match got.path.as_str() {
        p if p.ends_with("/invalidate") => 204,
        p if p.ends_with("/profiles") || p.contains("/activation-codes/") => 200,
        _ => 201,
    };
    (status, Value::Null)
}

/// An SM-DP+ that has as many profiles as there are calls: the ICCID follows from the call's identifier.
pub(crate) fn smdp(got: &Got) -> Value {
    let header = json!({"functionExecutionStatus": {"status": "Executed-Success"}});
    let call = got.body["header"]["functionCallIdentifier"]
        .as_str()
        .unwrap();
    let number = u64::from_str_radix(&call[..12], 16).unwrap() % 1_000_000_000;
    match got.path.rsplit('/').next().unwrap() {
        "downloadOrder" => {
            let iccid = got.body["iccid"]
                .as_str()
                .map_or_else(|| format!("8949000000{number:09}F"), str::to_owned);
            json!({"header": header, "iccid": iccid})
        }
        "confirmOrder" => {
            json!({"header": header, "eid": got.body["eid"], "matchingId": format!("M-{number}"),
            "smdpAddress": "smdp.example:8443"})
        }
        _ => json!({"header": header}),
    }
}

pub(crate) fn refused(subject: &str, reason: &str) -> Value {
    json!({"header": {"functionExecutionStatus": {"status": "Failed",
        "statusCodeData": {"subjectCode": subject, "reasonCode": reason, "message": "no"}}}})
}

/// The program, started with a configuration and stopped at the end.
pub(crate) struct Program {
    child: Child,
    config: PathBuf,
    pub(crate) aid1: String,
    pub(crate) touchpoint: String,
    pub(crate) control: String,
    pub(crate) es2: Option<String>,
    pub(crate) admin: String,
}

impl Program {
    /// Writes the configuration; `[[cmp]]` gets `more_cmp`, the subscriber `more_user`.
    pub(crate) fn configure(
        folder: &Folder,
        cmp: &str,
        smdp: &str,
        [more_touchpoint, more_smdp, more_cmp, more_user]: [&str; 4],
    ) -> PathBuf {
        let hash = aid_serve::password::hash("wonder & land").unwrap();
        let text = format!(
            r#"
database = "msp.sqlite"
[aid1]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server.key"
client_ca = "ca.pem"
own_id = "MspOne"
[touchpoint]
listen = "127.0.0.1:0"
cert = "server.pem"
key = "server.key"
name = "Test Mobile"
{more_touchpoint}
[control]
listen = "127.0.0.1:0"
[smdp]
url = "{smdp}"
ca = "ca.pem"
cert = "msp.pem"
key = "msp.key"
{more_smdp}
[[cmp]]
client_id = "CmpOne"
name = "Test Cars"
url = "{cmp}"
ca = "ca.pem"
cert = "msp.pem"
key = "msp.key"
api_key_out = "keyOut1"
api_key_in = "keyIn1"
common_name = "cmp"
account_id_secret = "{SECRET}"
phone_key = "{PHONE_KEY}"
redirect_uris = ["https://cmp.example"]
{more_cmp}
[[subscriber]]
user = "alice"
password = "{hash}"
msisdn = "4915112345678"
{more_user}
"#
        );
        let file = folder.path("msp.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(crate) fn start(config: &Path) -> Self {
        Self::with(config, Environment::new())
    }

    /// Started with more in its environment.
    pub(crate) fn with(config: &Path, environment: Environment) -> Self {
        let log = config.with_extension("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut child = Self::spawn(config, log, environment);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the readiness line");
        assert_eq!(
            (&ready["ready"], &ready["program"]),
            (&json!(true), &json!("aid-msp"))
        );
        let url = |name: &str| {
            let address = ready["listen"][name].as_str().unwrap();
            format!("https://localhost:{}", address.rsplit(':').next().unwrap())
        };
        Self {
            child,
            config: config.to_owned(),
            aid1: url("aid1"),
            touchpoint: url("touchpoint"),
            es2: ready["listen"]["es2"].as_str().map(|_| url("es2")),
            admin: url("admin"),
            control: format!("http://{}", ready["listen"]["control"].as_str().unwrap()),
        }
    }

    /// Begins to start it; a limit of file sizes is an error to it, and no signal.
    pub(crate) fn spawn(config: &Path, log: impl Into<Stdio>, environment: Environment) -> Child {
        Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_aid-msp"))
            .args(["serve", "--config"])
            .arg(config)
            .args(["--log", "info"])
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap()
    }

    /// Changes its configuration.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Runs another command of the program; yields its JSON.
    pub(crate) fn command(&self, args: &[&str]) -> Value {
        let json = (!args.contains(&"--json")).then_some("--json");
        let output = Command::new(env!("CARGO_BIN_EXE_aid-msp"))
            .args(args)
            .args(json)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks for a misbehaviour over the control API.
    pub(crate) async fn misbehave(&self, wish: Value) {
        let url = format!("{}/v1/misbehaviours", self.control);
        let answer = reqwest::Client::new().post(url).json(&wish).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    /// Something that the control API knows.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.control);
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// Runs another command of the program that must fail; yields what it says.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_aid-msp"))
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Stops it with SIGTERM; it must end with 0.
    pub(crate) fn stop(mut self) {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.config.with_extension("log"));
            eprintln!("{}", log.unwrap_or_default());
        }
    }
}
