//! HTTP/1.1 messages on a stream (RFC 9112): what a peer sends is read whole, within limits of size and time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest head of a message, bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Longest body of a message, bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Interim answers (1xx) before the answer.
const MAX_INTERIM: usize = 16;

/// Why a peer's message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection.
    Connect(String),
    /// TLS ended the connection: an alert, or a certificate that was not accepted.
    Tls(String),
    /// Nothing, or not all, came in time.
    Timeout(Duration),
    /// The connection ended within the message.
    Broken(String),
    /// This is not HTTP/1.1, or over a limit.
    Malformed(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Tls(why) => write!(f, "TLS ended the connection: {why}"),
            Self::Timeout(limit) => write!(f, "no whole message within {} s", limit.as_secs()),
            Self::Broken(why) => write!(f, "the connection ended: {why}"),
            Self::Malformed(why) => write!(f, "not HTTP/1.1: {why}"),
        }
    }
}

impl Trouble {
    fn of(error: &io::Error, limit: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout(limit),
            // rustls wraps its own errors so.
            io::ErrorKind::InvalidData => Self::Tls(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// Header lines of a message, in the order of the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// The first value of this name, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let named = pairs.find(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// All values of this name.
    pub(crate) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = move |(n, _): &&'a (String, String)| n.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_str())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        let mut tokens = self.all(name).flat_map(|value| value.split(','));
        tokens.any(|t| t.trim().eq_ignore_ascii_case(token))
    }
}

/// A peer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Header lines.
    pub(crate) headers: Headers,
    /// Body, without its framing.
    pub(crate) body: Vec<u8>,
    /// The head as it came.
    pub(crate) head: String,
    /// From the first byte of the request to the last of the answer.
    pub(crate) took: Duration,
}

impl Answer {
    /// The body as JSON, if it is JSON.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The essence of the content type, in lower case.
    pub(crate) fn content_type(&self) -> String {
        let value = self.headers.get("content-type").unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

/// A request that a peer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Header lines.
    pub(crate) headers: Headers,
    /// Body, without its framing.
    pub(crate) body: Vec<u8>,
    /// The head as it came.
    pub(crate) head: String,
}

/// A connection on which messages are read and written within a time limit.
pub(crate) struct Wire<S> {
    stream: S,
    socket: TcpStream,
    buffer: Vec<u8>,
    limit: Duration,
    end: Instant,
}

impl<S: Read + Write> Wire<S> {
    /// `stream` runs over `socket`. The first message has to be whole within `limit`.
    pub(crate) fn new(stream: S, socket: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            socket,
            buffer: Vec::new(),
            limit,
            end: Instant::now() + limit,
        }
    }

    /// The next message has this much time.
    pub(crate) fn renew(&mut self, limit: Duration) {
        self.limit = limit;
        self.end = Instant::now() + limit;
    }

    /// The stream, for what TLS knows of the peer.
    pub(crate) const fn stream(&self) -> &S {
        &self.stream
    }

    /// Writes all bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let limit = self.limit;
        let _ = self.socket.set_write_timeout(Some(limit));
        self.stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush())
            .map_err(|e| Trouble::of(&e, limit))
    }

    /// Reads more into the buffer; false at the end of the stream.
    fn fill(&mut self) -> Result<bool, Trouble> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::Timeout(self.limit));
        }
        let wrong = |e| Trouble::of(&e, self.limit);
        self.socket.set_read_timeout(Some(left)).map_err(wrong)?;
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(true)
            }
            // A peer that closes TCP without close_notify has ended the stream all the same.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(e) => Err(wrong(e)),
        }
    }

    fn fill_or_break(&mut self) -> Result<(), Trouble> {
        if self.fill()? {
            Ok(())
        } else {
            Err(Trouble::Broken("before the message was whole".to_owned()))
        }
    }

    /// The next head without its empty line; none where the stream ends before its first byte.
    fn head(&mut self) -> Result<Option<String>, Trouble> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let rest = self.buffer.split_off(at + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Ok(Some(String::from_utf8_lossy(&head[..at]).into_owned()));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Trouble::Malformed(format!(
                    "a head of more than {MAX_HEAD} bytes"
                )));
            }
            if !self.fill()? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(Trouble::Broken("within a head".to_owned())),
                };
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        if count > MAX_BODY {
            return Err(Trouble::Malformed(format!("a body of {count} bytes")));
        }
        while self.buffer.len() < count {
            self.fill_or_break()?;
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn line(&mut self) -> Result<String, Trouble> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = self.take(at + 2)?;
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Trouble::Malformed("an endless line".to_owned()));
            }
            self.fill_or_break()?;
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| Trouble::Malformed(format!("the chunk size {size:?}")))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            if body.len() + size > MAX_BODY {
                return Err(Trouble::Malformed(format!(
                    "a body of more than {MAX_BODY} bytes"
                )));
            }
            body.extend(self.take(size)?);
            if !self.line()?.is_empty() {
                return Err(Trouble::Malformed(
                    "a chunk is longer than it says".to_owned(),
                ));
            }
        }
    }

    fn body(&mut self, headers: &Headers, to_the_end: bool) -> Result<Vec<u8>, Trouble> {
        if headers.has_token("transfer-encoding", "chunked") {
            return self.chunks();
        }
        match headers.get("content-length") {
            Some(length) => {
                let length = length.trim().parse::<usize>();
                self.take(length.map_err(|e| Trouble::Malformed(format!("content-length: {e}")))?)
            }
            None if to_the_end => {
                while self.buffer.len() <= MAX_BODY && self.fill()? {}
                self.take(self.buffer.len())
            }
            None => Ok(Vec::new()),
        }
    }

    /// The peer's answer to a request that began at `began`.
    pub(crate) fn answer(&mut self, began: Instant) -> Result<Answer, Trouble> {
        for _ in 0..MAX_INTERIM {
            let Some(head) = self.head()? else {
                return Err(Trouble::Broken("without an answer".to_owned()));
            };
            let mut words = head.splitn(3, ' ');
            let version = words.next().unwrap_or_default();
            let status = words.next().and_then(|s| s.get(..3)?.parse::<u16>().ok());
            let (true, Some(status)) = (version.starts_with("HTTP/1."), status) else {
                let line = head.lines().next().unwrap_or_default();
                return Err(Trouble::Malformed(format!("the line {line:?}")));
            };
            if (100..200).contains(&status) {
                continue;
            }
            let headers = headers(&head);
            let body = match status {
                204 | 304 => Vec::new(),
                _ => self.body(&headers, true)?,
            };
            return Ok(Answer {
                status,
                headers,
                body,
                head,
                took: began.elapsed(),
            });
        }
        Err(Trouble::Malformed("interim answers without end".to_owned()))
    }

    /// The peer's next request; none where it has closed the connection.
    pub(crate) fn request(&mut self) -> Result<Option<Request>, Trouble> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version)) =
            (words.next(), words.next(), words.next())
        else {
            return Err(Trouble::Malformed(format!("the line {line:?}")));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(Trouble::Malformed(format!("the line {line:?}")));
        }
        let headers = headers(&head);
        if headers.has_token("expect", "100-continue") {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (method, target) = (method.to_owned(), target.to_owned());
        let body = self.body(&headers, false)?;
        Ok(Some(Request {
            method,
            target,
            headers,
            body,
            head,
        }))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn headers(head: &str) -> Headers {
    let lines = head.split("\r\n").skip(1);
    let pairs = lines.filter_map(|line| line.split_once(':'));
    Headers(
        pairs
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
    )
}
