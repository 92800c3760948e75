//! A PKI, parties, and the program between them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aid_cli::tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use uuid::Uuid;

pub(crate) use crate::party::{Party, Says, says, success};

/// Longest time that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A folder with a PKI.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ca");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Self {
            folder: tempfile::tempdir().unwrap(),
            ca,
        };
        folder.write("ca.pem", &folder.ca.pem());
        for name in ["server", "hub", "operator", "nobody"] {
            folder.issue(name);
        }
        folder
    }

    /// Makes certificate and key of this name.
    pub(crate) fn issue(&self, name: &str) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        aid_cli::private::write(&self.path(name), text.as_bytes()).unwrap();
    }

    /// A client with the certificate of this name.
    pub(crate) fn client(&self, name: &str) -> reqwest::Client {
        let (cert, key) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        let config = tls::client_config(&self.path("ca.pem"), Some((&cert, &key))).unwrap();
        reqwest::Client::builder()
            .tls_backend_preconfigured(config.as_ref().clone())
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap()
    }
}

/// The program as a process.
struct Program {
    child: Child,
    aid1: String,
    console: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) parties: BTreeMap<String, Party>,
    clients: BTreeMap<String, reqwest::Client>,
    program: Option<Program>,
    /// The last to go.
    pub(crate) folder: Folder,
}

/// An answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) kind: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) ids: (String, String),
}

impl Answered {
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert!(body["error"].is_string(), "{body}");
        body["code"].as_str().unwrap().to_owned()
    }
}

/// A call of AID1.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) from: String,
    pub(crate) certificate: String,
    pub(crate) client_id: String,
    pub(crate) target_id: String,
    pub(crate) key: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) request_id: Uuid,
    pub(crate) correlation_id: Uuid,
}

impl World {
    /// MSPs m0.. and CMPs c0.., all paired unless a test says otherwise.
    pub(crate) async fn new(count: usize) -> Self {
        Self::with(count, "", true).await
    }

    /// With more in the configuration.
    pub(crate) async fn with(count: usize, more: &str, paired: bool) -> Self {
        let folder = Folder::new();
        folder.write(
            "hub.toml",
            &format!(
                "database = \"hub.sqlite\"\n\
                 [aid1]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n\
                 [client]\ncert = \"hub.pem\"\nkey = \"hub.key\"\nca = \"ca.pem\"\n\
                 [console]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n\
                 common_name = \"operator\"\n{more}"
            ),
        );
        let mut world = Self {
            parties: BTreeMap::new(),
            clients: BTreeMap::new(),
            program: None,
            folder,
        };
        for n in 0..count {
            for (letter, role) in [("m", "msp"), ("c", "cmp")] {
                let name = format!("{letter}{n}");
                world.folder.issue(&name);
                let party = Party::start(&world.folder).await;
                world.describe(&name, role, &party.url, "");
                world.parties.insert(name.clone(), party);
                world
                    .clients
                    .insert(name.clone(), world.folder.client(&name));
                let file = world.folder.path(&format!("{name}.toml"));
                world.cli(&["party", "add", "--file", file.to_str().unwrap()]);
            }
        }
        if paired {
            world.cli(&["pair", "add", "all", "all"]);
        }
        world.start();
        world
    }

    /// Writes the description of a party.
    pub(crate) fn describe(&self, name: &str, role: &str, url: &str, more: &str) {
        let text = format!(
            "id = \"{name}\"\nrole = \"{role}\"\nurl = \"{url}\"\ncommon_name = \"{name}\"\n\
             api_key_in = \"in{name}\"\napi_key_out = \"out{name}\"\n\
             redirect_domains = [\"{name}.example\"]\ntouchpoint = \"https://{name}.example/authorize\"\n{more}"
        );
        self.folder.write(&format!("{name}.toml"), &text);
    }

    pub(crate) fn start(&mut self) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aid-hub"))
            .args(["serve", "--config"])
            .arg(self.folder.path("hub.toml"))
            .stdout(Stdio::piped())
            .stderr(
                std::fs::File::options()
                    .append(true)
                    .create(true)
                    .open(self.folder.path("log"))
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let log = || std::fs::read_to_string(self.folder.path("log")).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", log()));
        let port = |name: &str| {
            let address = ready["listen"][name].as_str().unwrap();
            format!("https://localhost:{}", address.rsplit(':').next().unwrap())
        };
        self.program = Some(Program {
            child,
            aid1: port("aid1"),
            console: port("console"),
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        drop(self.program.take());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.as_ref().unwrap().child.id()
    }

    pub(crate) fn console(&self) -> String {
        self.program.as_ref().unwrap().console.clone()
    }

    /// Runs a command of the program; yields its exit and what it printed.
    pub(crate) fn command(&self, args: &[&str]) -> (bool, String, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_aid-hub"))
            .args(args)
            .arg("--config")
            .arg(self.folder.path("hub.toml"))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    /// Runs a command; yields its JSON.
    pub(crate) fn cli(&self, args: &[&str]) -> Value {
        let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
        let (ok, out, complaint) = self.command(&args);
        assert!(ok, "{args:?}: {complaint}");
        serde_json::from_str(&out).unwrap()
    }

    /// A call with everything right.
    pub(crate) fn call(
        &self,
        from: &str,
        to: &str,
        method: &'static str,
        path: String,
        body: &str,
    ) -> Call {
        Call {
            from: from.into(),
            certificate: from.into(),
            client_id: from.into(),
            target_id: to.into(),
            key: format!("in{from}"),
            method,
            path,
            body: (!body.is_empty()).then(|| body.as_bytes().to_vec()),
            request_id: Uuid::new_v4(),
            correlation_id: Uuid::new_v4(),
        }
    }

    /// Makes a call, if the hub is there.
    pub(crate) async fn try_send(&self, call: &Call) -> Option<Answered> {
        let client = match call.certificate == call.from {
            true => self.clients[&call.from].clone(),
            false => self.folder.client(&call.certificate),
        };
        let url = format!("{}{}", self.program.as_ref()?.aid1, call.path);
        let mut request = client
            .request(call.method.parse().unwrap(), url)
            .header("cmp-request-id", call.request_id.to_string())
            .header("correlation-id", call.correlation_id.to_string())
            .header("client-id", &call.client_id)
            .header("target-id", &call.target_id)
            .header("api-key", &call.key);
        if let Some(body) = &call.body {
            request = request
                .header("content-type", "application/json; charset=utf-8")
                .body(body.clone());
        }
        let response = request.send().await.ok()?;
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (kind, retry_after) = (header("content-type"), header("retry-after"));
        let ids = (
            header("cmp-request-id").unwrap_or_default(),
            header("correlation-id").unwrap_or_default(),
        );
        Some(Answered {
            status: response.status().as_u16(),
            kind: kind.unwrap_or_default(),
            retry_after,
            ids,
            body: response.bytes().await.ok()?.to_vec(),
        })
    }

    pub(crate) async fn send(&self, call: &Call) -> Answered {
        self.try_send(call).await.expect("an answer")
    }

    /// Introduces a token between an MSP and a CMP.
    pub(crate) async fn introduce(&self, msp: &str, cmp: &str) -> Uuid {
        let token = Uuid::new_v4();
        let call = self.token_call(msp, cmp, token);
        let answer = self.send(&call).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        token
    }

    pub(crate) fn token_call(&self, msp: &str, cmp: &str, token: Uuid) -> Call {
        let body = format!("{{\"msp_token\" : \"{token}\"}}");
        let path = "/cesim/msp/v1/users/eyJh.eyJi.c2ln".to_owned();
        self.call(msp, cmp, "POST", path, &body)
    }

    pub(crate) fn status_call(&self, cmp: &str, msp: &str, token: Uuid) -> Call {
        let body = "{\"status\": \"installed\",  \"n\":1}";
        self.call(cmp, msp, "POST", format!("/v1/statuses/{token}"), body)
    }

    /// A call that the hub delivers by itself where the CMP is away.
    pub(crate) fn profile_call(&self, msp: &str, cmp: &str, token: Uuid) -> Call {
        let path = format!("/cesim/msp/v1/users/{token}/profiles");
        self.call(msp, cmp, "POST", path, "{ \"n\":1}")
    }

    /// Waits until the program has read its parties again.
    pub(crate) async fn until_answer(&self, what: &str, call: &Call, wanted: u16) {
        until(what, async || {
            let call = Call {
                request_id: Uuid::new_v4(),
                ..call.clone()
            };
            self.send(&call).await.status == wanted
        })
        .await;
    }
}
