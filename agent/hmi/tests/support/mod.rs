//! The program with an agent that says what a test wants, and its clients.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod states;

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the agent says, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) status: Value,
    /// Events so far; each listener hears all of them.
    pub(crate) events: Vec<Value>,
    /// What the agent answers to POST, in place of success.
    pub(crate) refusal: Option<&'static str>,
    /// Paths and bodies of POST.
    pub(crate) posts: Vec<(String, String)>,
}

/// An agent of a test.
#[derive(Clone)]
pub(crate) struct FakeAgent(Arc<(Mutex<Script>, Condvar)>);

/// A status as the agent writes it: nobody is logged in.
pub(crate) fn guest() -> Value {
    json!({"session": null, "phase": "guest", "link": "up", "link_problem": null, "bearer": "lo",
           "card": {"state": "present"}, "journal": {"state": "ok"}, "profiles": [], "pending_reports": 0,
           "waiting": null, "vehicle": {"ignition": "on", "moving": false, "call": false},
           "waits_for_call": false, "logout_in_s": null, "login": null, "seq": 1,
           "time": "2026-05-04T09:12:44.031Z"})
}

/// The members of an object.
pub(crate) fn members(object: Value) -> serde_json::Map<String, Value> {
    match object {
        Value::Object(members) => members,
        other => unreachable!("{other}"),
    }
}

/// The guest's status with other values for some members.
pub(crate) fn with(changes: Value) -> Value {
    let mut status = guest();
    for (name, value) in members(changes) {
        status[name] = value;
    }
    status
}

impl FakeAgent {
    pub(crate) fn serve(socket: &Path) -> Self {
        let script = Script {
            status: guest(),
            ..Script::default()
        };
        let agent = Self(Arc::new((Mutex::new(script), Condvar::new())));
        let listener = UnixListener::bind(socket).expect("bind");
        let own = agent.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, agent) = (stream.expect("a connection"), own.clone());
                std::thread::spawn(move || agent.answer(stream));
            }
        });
        agent
    }

    pub(crate) fn script<T>(&self, f: impl FnOnce(&mut Script) -> T) -> T {
        let result = f(&mut self.0.0.lock().expect("lock"));
        self.0.1.notify_all();
        result
    }

    /// Replaces the status, and sends it to all who follow the events.
    pub(crate) fn says(&self, status: Value) {
        self.script(|s| {
            s.events.push(json!({"event": "status", "status": &status}));
            s.status = status;
        });
    }

    pub(crate) fn tells(&self, event: Value) {
        self.script(|s| s.events.push(event));
    }

    fn answer(&self, mut stream: UnixStream) {
        let mut request = BufReader::new(stream.try_clone().expect("clone"));
        let (mut line, mut length) = (String::new(), 0);
        request.read_line(&mut line).expect("request");
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (
            words.next().expect("method"),
            words.next().unwrap_or_default(),
        );
        while !line.trim().is_empty() {
            line.clear();
            request.read_line(&mut line).expect("head");
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("length");
            }
        }
        let mut body = vec![0; length];
        request.read_exact(&mut body).expect("body");
        if path == "/v1/events" {
            return self.stream(stream);
        }
        let (status, body) = self.script(|s| match (method.as_str(), s.refusal) {
            ("GET", _) => (200, s.status.clone()),
            (_, refusal) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                s.posts.push((path, body));
                refusal.map_or((202, json!({"login_id": "01"})), |text| {
                    (409, json!({"error": text}))
                })
            }
        });
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }

    fn stream(&self, mut stream: UnixStream) {
        let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let mut heard = self.script(|s| s.events.len());
        let mut pending =
            vec![json!({"event": "status", "status": self.script(|s| s.status.clone())})];
        loop {
            for event in pending.drain(..) {
                let text = format!("id: 1\ndata: {event}\n\n");
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                if stream.write_all(chunk.as_bytes()).is_err() {
                    return;
                }
            }
            let script = self.0.0.lock().expect("lock");
            let script = self
                .0
                .1
                .wait_while(script, |s| s.events.len() == heard)
                .expect("lock");
            pending.extend_from_slice(&script.events[heard..]);
            heard = script.events.len();
        }
    }
}

/// The program, with its configuration in `folder`.
pub(crate) struct Hmi {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) agent: FakeAgent,
    /// As the readiness line has it.
    pub(crate) announced: String,
    /// The same, and the first token of the start page where there is one.
    pub(crate) address: String,
}

impl Drop for Hmi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer of the page.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

impl Hmi {
    pub(crate) fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let agent = FakeAgent::serve(&folder.path().join("agent.sock"));
        let file = folder.path().join("hmi.toml");
        std::fs::write(&file, format!("agent = \"agent.sock\"\n{settings}\n")).expect("write");
        let mut child = Command::new(env!("CARGO_BIN_EXE_aid-hmi"))
            .args(["run", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("aid-hmi starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("stdout"));
        output.read_line(&mut line).expect("the readiness line");
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        let announced = ready["listen"]["hmi"]
            .as_str()
            .expect("an address")
            .to_owned();
        let start = std::fs::read_to_string(folder.path().join("start.html"));
        let address = start.map_or_else(|_| announced.clone(), |page| led_to(&page));
        Self {
            child,
            folder,
            agent,
            announced,
            address,
        }
    }

    /// At a loopback port.
    pub(crate) fn loopback() -> Self {
        Self::start("listen = \"127.0.0.1:0\"\nstart_page = \"start.html\"")
    }

    pub(crate) fn start_page(&self) -> PathBuf {
        self.folder.path().join("start.html")
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        let rest = self.address.strip_prefix("http://").expect("a URL");
        rest.split('/').next().expect("a host")
    }

    pub(crate) fn token(&self) -> &str {
        self.address.split("token=").nth(1).expect("a token")
    }

    /// A request as it stands, at the loopback port.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let stream = TcpStream::connect(self.host()).expect("connect");
        exchange(stream, request)
    }

    /// GET, with more lines of the head.
    pub(crate) fn get(&self, path: &str, head: &str) -> Answer {
        let host = self.host();
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{head}\r\n"
        ))
    }

    /// Lets a browser in; yields the line of its cookie.
    pub(crate) fn enter(&self) -> String {
        let answer = self.get(&format!("/?token={}", self.token()), "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        cookie(&answer)
    }

    /// A form of our page.
    pub(crate) fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let host = self.host();
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nconnection: close\r\n{cookie}\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        ))
    }

    /// Waits until the page looks like this: it says when it may have changed.
    pub(crate) fn wait(&self, cookie: &str, path: &str, what: &str) -> String {
        let (start, host) = (Instant::now(), self.host());
        let mut stream = TcpStream::connect(host).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("patience");
        let request = format!("GET /events HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n");
        stream.write_all(request.as_bytes()).expect("write");
        let mut events = BufReader::new(stream).lines();
        loop {
            let changed = events.any(|line| line.expect("an event in time").starts_with("data:"));
            assert!(changed, "the events ended");
            let body = self.get(path, cookie).body;
            if body.contains(what) {
                return body;
            }
            assert!(start.elapsed() < PATIENCE, "no {what:?} in {body}");
        }
    }
}

/// The address that a start page leads to.
pub(crate) fn led_to(page: &str) -> String {
    let link = page.split("href=\"").nth(1).expect("a link");
    link.split('"').next().expect("an address").to_owned()
}

/// The line with the cookie that an answer has set.
pub(crate) fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    format!("cookie: {}\r\n", set.split(';').next().expect("a value"))
}

pub(crate) fn exchange(mut stream: impl std::io::Read + std::io::Write, request: &str) -> Answer {
    // A server that refuses early closes the connection.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    Answer {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_default(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
