//! The agent's local API (AID4) as the car's HMI uses it: HTTP over a unix socket, server-sent events.

use super::PATIENCE;
use aid_cli::cli::Failure;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Largest answer read, bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// The agent's figures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    /// C-APDUs since start.
    pub(crate) apdus: u64,
    /// TCP payload on admin connections, both directions.
    pub(crate) bytes: u64,
}

impl Counters {
    /// As the agent's API and its events show them.
    pub(crate) fn of(value: &Value) -> Self {
        let number = |key: &str| value[key].as_u64().unwrap_or_default();
        Self {
            apdus: number("apdus"),
            bytes: number("admin_rx_bytes") + number("admin_tx_bytes"),
        }
    }
}

/// The API of a running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
}

/// Events since the subscription.
#[derive(Debug)]
pub(crate) struct Events {
    lines: BufReader<UnixStream>,
}

impl Agent {
    /// The API at this socket.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Failure> {
        let agent = Self::at(socket);
        agent.get("/v1/status")?;
        Ok(agent)
    }

    /// The same where nobody may listen yet.
    pub(crate) fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, BufReader<UnixStream>), Failure> {
        let wrong = |e: std::io::Error| {
            Failure::new(format!(
                "no answer from the agent's API to {method} {path}: {e}"
            ))
        };
        let mut stream = UnixStream::connect(&self.socket).map_err(wrong)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(wrong)?;
        // HTTP/1.0, so that no answer comes in chunks.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nhost: agent\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .map_err(wrong)?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).map_err(wrong)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        while !line.trim().is_empty() {
            line.clear();
            answer.read_line(&mut line).map_err(wrong)?;
        }
        let status = status.ok_or_else(|| {
            Failure::new(format!(
                "the agent's API answered {method} {path} without a status"
            ))
        })?;
        Ok((status, answer))
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let (status, answer) = self.request(method, path, body)?;
        let mut text = String::new();
        answer.take(MAX_ANSWER).read_to_string(&mut text)?;
        if !(200..300).contains(&status) {
            return Err(Failure::new(format!(
                "the agent's API refused {method} {path}: {status} {text}"
            )));
        }
        serde_json::from_str(&text).map_err(|e| {
            Failure::new(format!(
                "the agent's API answered {method} {path} with {text:?}: {e}"
            ))
        })
    }

    fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, "")
    }

    /// APDUs and bytes so far.
    pub(crate) fn counters(&self) -> Result<Counters, Failure> {
        Ok(Counters::of(&self.get("/v1/counters")?))
    }

    /// Subscribes to events from now on.
    pub(crate) fn events(&self) -> Result<Events, Failure> {
        let (status, lines) = self.request("GET", "/v1/events", "")?;
        if status == 200 {
            Ok(Events { lines })
        } else {
            Err(Failure::new(format!(
                "the agent's API refused events: {status}"
            )))
        }
    }

    /// A login; its result comes as an event.
    pub(crate) fn login(&self, user: &str, pin: &str) -> Result<(), Failure> {
        let body = json!({"user": user, "pin": pin}).to_string();
        self.call("POST", "/v1/login", &body).map(drop)
    }

    /// The end of the session.
    pub(crate) fn logout(&self) -> Result<(), Failure> {
        self.call("POST", "/v1/logout", "").map(drop)
    }

    /// Waits until the car is connected to its CMP.
    pub(crate) fn wait_for_link(&self) -> Result<(), Failure> {
        self.wait_status("the link to the CMP", |status| {
            status["link"] == "up" && status["phase"] == "guest"
        })
    }

    /// Waits until the CMP acknowledged every report.
    pub(crate) fn wait_until_told(&self) -> Result<(), Failure> {
        self.wait_status("the CMP's acknowledgement of all reports", |status| {
            status["pending_reports"] == 0
        })
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Result<Value, Failure> {
        self.get("/v1/status")
    }

    /// The user who is logged in deletes a profile.
    pub(crate) fn delete(&self, iccid: &str) -> Result<(), Failure> {
        let path = format!("/v1/profiles/{iccid}/delete");
        self.call("POST", &path, "").map(drop)
    }

    /// The user asks for a profile again.
    pub(crate) fn provision(&self) -> Result<(), Failure> {
        self.call("POST", "/v1/provision", "").map(drop)
    }

    /// A login by code begins; the code comes as an event.
    pub(crate) fn login_by_code(&self) -> Result<(), Failure> {
        self.call("POST", "/v1/login-code", "").map(drop)
    }

    /// Waits until the status is so.
    pub(crate) fn wait_status(
        &self,
        what: &str,
        there: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        super::books::poll(what, || Ok(there(&self.get("/v1/status")?)))
    }
}

/// Events after which waiting is in vain.
const BAD: [&str; 6] = [
    "login_refused",
    "activation_code_failed",
    "activation_code_refused",
    "installation_failed",
    "error",
    "link_down",
];

impl Events {
    /// Gives every event to `keep` until the agent ends.
    pub(crate) fn follow(mut self, keep: impl Fn(Value)) {
        let mut line = String::new();
        loop {
            match self.lines.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => {}
                // Nothing for a while; what has come of a line stays in it.
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => return,
            }
            let event = line.strip_prefix("data: ");
            if let Some(event) = event.and_then(|text| serde_json::from_str(text).ok()) {
                keep(event);
            }
            line.clear();
        }
    }

    /// The next event with one of these names.
    pub(crate) fn wait(&mut self, names: &[&str]) -> Result<Value, Failure> {
        let wanted = names.join(" or ");
        let start = Instant::now();
        let mut line = String::new();
        while start.elapsed() < PATIENCE {
            line.clear();
            let read = self
                .lines
                .read_line(&mut line)
                .map_err(|e| Failure::new(format!("no event {wanted} from the agent: {e}")))?;
            if read == 0 {
                return Err(Failure::new(format!(
                    "the agent ended while event {wanted} was awaited"
                )));
            }
            let Some(text) = line.strip_prefix("data: ") else {
                continue;
            };
            let event: Value = serde_json::from_str(text)?;
            let name = event["event"].as_str().unwrap_or_default();
            if names.contains(&name) {
                return Ok(event);
            }
            if BAD.contains(&name) {
                return Err(Failure::new(format!(
                    "the agent says {} while {wanted} was awaited",
                    text.trim()
                )));
            }
        }
        Err(Failure::new(format!(
            "no event {wanted} from the agent in 60 s"
        )))
    }
}
