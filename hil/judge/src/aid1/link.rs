//! How the judge calls the system under test: where it is, and who the judge is there.

use super::call::Call;
use super::mask;
use super::variant::Variant;
use super::wire::{Answer, Trouble, Wire};
use crate::evidence::Evidence;
use crate::random::Random;
use crate::subject::Setting;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_report::{Field, Message, Protocol};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Deserialize;
use std::cell::RefCell;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest excerpt of a message in a report, bytes.
const MAX_SHOWN: usize = 4096;

/// A party that the judge plays, as the target file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkTarget {
    /// `client-id` of the judge's calls.
    pub(crate) client_id: String,
    /// `target-id` of the judge's calls.
    pub(crate) target_id: String,
    /// The judge's client certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// The API key that was agreed...
    pub(crate) api_key: Option<String>,
    /// ...or `user:password`.
    pub(crate) basic: Option<String>,
}

/// What a caller proves itself with.
#[derive(Clone)]
pub(crate) enum Auth {
    /// The header `api-key`.
    ApiKey(String),
    /// `user:password` in `Authorization`.
    Basic(String),
}

impl Auth {
    /// Exactly one of the two.
    pub(crate) fn of(key: Option<&str>, basic: Option<&str>) -> Result<Self, Failure> {
        match (key, basic) {
            (Some(key), None) => Ok(Self::ApiKey(key.to_owned())),
            (None, Some(pair)) if pair.contains(':') => Ok(Self::Basic(pair.to_owned())),
            _ => Err(Failure::usage(
                "the target file needs either api_key or basic (user:password) for each party; docs/judge.md has the reference",
            )),
        }
    }

    /// Name and value of its header.
    pub(crate) fn header(&self) -> (&'static str, String) {
        match self {
            Self::ApiKey(key) => ("api-key", key.clone()),
            Self::Basic(pair) => ("authorization", format!("Basic {}", STANDARD.encode(pair))),
        }
    }
}

/// A way to the system under test.
pub(crate) struct Link {
    /// The party that the judge plays: `msp`.
    pub(crate) own: &'static str,
    /// The system under test: `cmp`.
    pub(crate) peer: &'static str,
    host: String,
    port: u16,
    prefix: String,
    pub(crate) client_id: String,
    pub(crate) target_id: String,
    pub(crate) auth: Auth,
    /// The judge's certificate.
    pub(crate) tls: Arc<ClientConfig>,
    /// CA of the target's servers.
    pub(crate) ca: PathBuf,
    patience: Duration,
    random: RefCell<Random>,
    /// What stands between the judge and the target, in a self-test.
    pub(crate) variant: Option<&'static Variant>,
}

impl Link {
    /// `url` is the target's, `own` and `peer` are the names of the parties in reports.
    pub(crate) fn new(
        url: &str,
        ca: &Path,
        party: &LinkTarget,
        setting: &Setting,
        (own, peer): (&'static str, &'static str),
        patience: Duration,
    ) -> Result<Self, Failure> {
        let wrong =
            |why: &str| Failure::usage(format!("url {url:?} {why}; write https://HOST:PORT"));
        let parsed = reqwest::Url::parse(url).map_err(|e| wrong(&format!("is malformed ({e})")))?;
        if parsed.scheme() != "https" {
            return Err(wrong(
                "is not https, and AID1 is always encrypted (AID.02 §6)",
            ));
        }
        let host = parsed.host_str().ok_or_else(|| wrong("has no host"))?;
        let (cert, key) = (setting.beside(&party.cert), setting.beside(&party.key));
        let ca = setting.beside(ca);
        // Ids of calls have to be new in each run: the target remembers those of the last one.
        let new = instant() ^ own.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
        let random = Random::new(setting.seed ^ new);
        Ok(Self {
            own,
            peer,
            host: host.to_owned(),
            port: parsed.port_or_known_default().unwrap_or(443),
            prefix: parsed.path().trim_end_matches('/').to_owned(),
            client_id: party.client_id.clone(),
            target_id: party.target_id.clone(),
            auth: Auth::of(party.api_key.as_deref(), party.basic.as_deref())?,
            tls: tls::client_config(&ca, Some((&cert, &key)))?,
            ca,
            patience,
            random: RefCell::new(random),
            variant: None,
        })
    }

    /// A new UUID.
    pub(crate) fn uuid(&self) -> String {
        super::uuid(self.random.borrow_mut().bytes16()).to_string()
    }

    /// `count` random digits.
    pub(crate) fn digits(&self, count: usize) -> String {
        self.random.borrow_mut().digits(count)
    }

    /// Sixteen random bytes.
    pub(crate) fn bytes16(&self) -> [u8; 16] {
        self.random.borrow_mut().bytes16()
    }

    /// A request with all headers of §5.1, in a new transaction.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        let (name, value) = self.auth.header();
        Call::new(method, format!("{}{path}", self.prefix))
            .set("CMP-request-id", self.uuid())
            .set("correlation-id", self.uuid())
            .set("client-id", self.client_id.clone())
            .set("target-id", self.target_id.clone())
            .set(name, value)
    }

    /// Makes the call; a subject that gives no answer has broken what the test is about, unless it can't be reached.
    pub(crate) fn ask(&self, call: &Call, evidence: &mut Evidence) -> Result<Answer, Finding> {
        self.send(call, evidence).map_err(|trouble| match trouble {
            Trouble::Connect(_) => Finding::Hidden(format!(
                "the {} can't be reached at {}:{}: {trouble}",
                self.peer, self.host, self.port
            )),
            Trouble::Tls(_) => Finding::Hidden(format!(
                "the {} and the judge do not accept each other's certificates: {trouble}",
                self.peer
            )),
            _ => Finding::broken(
                format!("an answer to {} {}", call.method, mask::text(&call.target)),
                trouble.to_string(),
            ),
        })
    }

    /// Makes the call with the judge's certificate.
    pub(crate) fn send(&self, call: &Call, evidence: &mut Evidence) -> Result<Answer, Trouble> {
        self.send_as(&self.tls, call, evidence)
    }

    /// Makes the call with this certificate, or none.
    pub(crate) fn send_as(
        &self,
        tls: &Arc<ClientConfig>,
        call: &Call,
        evidence: &mut Evidence,
    ) -> Result<Answer, Trouble> {
        let host = match self.port {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        };
        let (head, body) = (call.head(&host), call.body.clone().unwrap_or_default());
        let at_us = evidence.now_us();
        let done = match self.variant {
            None => self.exchange(tls, &head, &body),
            Some(variant) => {
                let mut sent = call.clone();
                (variant.call)(&mut sent);
                let bytes = sent.body.clone().unwrap_or_default();
                self.exchange(tls, &sent.head(&host), &bytes)
                    .map(|mut answer| {
                        (variant.answer)(call, &mut answer);
                        answer
                    })
            }
        };
        let title = format!("{} {}", call.method, short(&mask::text(&call.target)));
        let correlation = call.header("correlation-id").map(str::to_owned);
        evidence.message(message(
            (self.own, self.peer),
            at_us,
            title,
            (head.trim_end(), &body),
            correlation.clone(),
        ));
        let at_us = evidence.now_us();
        match &done {
            Ok(answer) => {
                let title = answer.status.to_string();
                let bytes = (answer.head.as_str(), answer.body.as_slice());
                let way = (self.peer, self.own);
                evidence.message(message(way, at_us, title, bytes, correlation));
            }
            Err(trouble) => evidence.message(Message {
                at_us,
                from: self.peer.to_owned(),
                to: self.own.to_owned(),
                protocol: Protocol::Aid1,
                title: trouble.to_string(),
                fields: Vec::new(),
                bytes: None,
                length: 0,
                correlation,
            }),
        }
        done
    }

    fn exchange(
        &self,
        tls: &Arc<ClientConfig>,
        head: &str,
        body: &[u8],
    ) -> Result<Answer, Trouble> {
        let began = Instant::now();
        let mut wire = self.dial(tls)?;
        let mut bytes = head.as_bytes().to_vec();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        let sent = wire.send(&bytes);
        match (wire.answer(began), sent) {
            // A peer may answer before it has read all, and close.
            (Ok(answer), _) => Ok(answer),
            (Err(_), Err(trouble)) | (Err(trouble), Ok(())) => Err(trouble),
        }
    }

    /// Connects by TCP alone.
    pub(crate) fn tcp(&self) -> Result<TcpStream, Trouble> {
        let refused = |e: std::io::Error| Trouble::Connect(e.to_string());
        let addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(refused)?;
        let mut last = Trouble::Connect(format!("{} has no address", self.host));
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.patience) {
                Ok(socket) => {
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Err(e) => last = refused(e),
            }
        }
        Err(last)
    }

    fn dial(
        &self,
        tls: &Arc<ClientConfig>,
    ) -> Result<Wire<StreamOwned<ClientConnection, TcpStream>>, Trouble> {
        let socket = self.tcp()?;
        let other = socket
            .try_clone()
            .map_err(|e| Trouble::Connect(e.to_string()))?;
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|e| Trouble::Connect(e.to_string()))?;
        let session = ClientConnection::new(Arc::clone(tls), name);
        let session = session.map_err(|e| Trouble::Tls(e.to_string()))?;
        let stream = StreamOwned::new(session, socket);
        Ok(Wire::new(stream, other, self.patience))
    }

    /// How long an answer is waited for.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }
}

/// Nanoseconds since 1970, as far as they fit.
fn instant() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        since.as_secs() << 30 | u64::from(since.subsec_nanos())
    })
}

fn short(text: &str) -> String {
    let mut out: String = text.chars().take(120).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// A message for the report that binds to no transaction.
pub(crate) fn shown(way: (&str, &str), at_us: u64, title: String, bytes: (&str, &[u8])) -> Message {
    message(way, at_us, title, bytes, None)
}

/// A message for the report.
pub(super) fn message(
    (from, to): (&str, &str),
    at_us: u64,
    title: String,
    (head, body): (&str, &[u8]),
    correlation: Option<String>,
) -> Message {
    let mut bytes = mask::message(head, &body[..body.len().min(2 * MAX_SHOWN)]);
    if bytes.len() > MAX_SHOWN {
        let mut end = MAX_SHOWN - 4;
        while !bytes.is_char_boundary(end) {
            end -= 1;
        }
        bytes.truncate(end);
        bytes.push('…');
    }
    let fields = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |value| fields(&value));
    Message {
        at_us,
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: Protocol::Aid1,
        title,
        fields,
        bytes: Some(bytes),
        length: (head.len() + 4 + body.len()) as u64,
        correlation,
    }
}

/// Fields of one message in a report.
const MAX_FIELDS: usize = 40;

fn fields(value: &serde_json::Value) -> Vec<Field> {
    let Some(members) = value.as_object() else {
        return Vec::new();
    };
    let field = |(name, value): (&String, &serde_json::Value)| {
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        let value = match name.as_str() {
            "msp_token" if text.len() == 36 => mask::token(&text),
            _ => short(&mask::text(&text)),
        };
        Field {
            name: short(name),
            value,
        }
    };
    members.iter().take(MAX_FIELDS).map(field).collect()
}
