//! An HTTP/1.1 client for ES2+ and ES9+ whose requests a test writes header by header, and whose answers it sees as
//! they came. One connection for each request. SGP.22 §6.2; RFC 9112.

use aid_cli::cli::Failure;
use aid_cli::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a connection, and for more of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer, bytes: a package of 1 MiB in base64, and its head.
const MAX_ANSWER: u64 = 2_000_000;

/// Where an HTTPS server is, and how it is trusted.
#[derive(Clone)]
pub(crate) struct Client {
    /// HOST or HOST:PORT.
    address: String,
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.address).finish()
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Names in small letters, in their order.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path on the server.
    pub(crate) path: String,
    /// Headers beside Host, Content-Length and Connection.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Client {
    /// A client that trusts the issuers in `ca`, with a certificate of its own where the server wants one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn new(
        address: &str,
        ca: &Path,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            address: address.to_owned(),
            config: tls::client_config(ca, identity)?,
        })
    }

    /// Host and port.
    fn place(&self) -> (&str, u16) {
        match self.address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(443)),
            None => (&self.address, 443),
        }
    }

    /// Sends a request; the answer.
    ///
    /// # Errors
    /// A sentence: no connection, no TLS, no HTTP.
    pub(crate) fn send(&self, request: &Request) -> Result<Answer, String> {
        let (host, port) = self.place();
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", self.address);
        let name = ServerName::try_from(host.to_owned()).map_err(|e| wrong(&e))?;
        let mut last = None;
        let mut stream = None;
        for address in (host, port).to_socket_addrs().map_err(|e| wrong(&e))? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(connected) => {
                    stream = Some(connected);
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        let Some(stream) = stream else {
            let why = last.map_or_else(|| "has no address".to_owned(), |e| e.to_string());
            return Err(wrong(&why));
        };
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(|e| wrong(&e))?;
        stream
            .set_write_timeout(Some(PATIENCE))
            .map_err(|e| wrong(&e))?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        let mut tls = StreamOwned::new(connection.map_err(|e| wrong(&e))?, stream);
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n",
            request.path, self.address
        );
        for (name, value) in &request.headers {
            // Writing to a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = request.body.len();
        let _ = write!(
            head,
            "Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&request.body);
        tls.write_all(&bytes).map_err(|e| wrong(&e))?;
        tls.flush().map_err(|e| wrong(&e))?;
        let mut answer = Vec::new();
        match (&mut tls).take(MAX_ANSWER).read_to_end(&mut answer) {
            Ok(_) => {}
            // Some end without TLS's farewell.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            Err(e) => return Err(wrong(&e)),
        }
        parse(&answer).ok_or_else(|| wrong(&"the answer is not one of HTTP/1.1"))
    }
}

/// Reads an answer that ended with its connection.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let version = first.next()?;
    let status: u16 = first.next()?.parse().ok()?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    // What a server says before its answer.
    if (100..200).contains(&status) {
        return parse(body);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let find = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let body = match (find("transfer-encoding"), find("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => dechunked(body)?,
        (_, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    Some(Answer {
        status,
        headers,
        body,
    })
}

fn dechunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = size.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        bytes = bytes.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn answers_are_read_in_each_of_their_forms() {
        let length =
            parse(b"HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 2\r\n\r\n{}rest").unwrap();
        assert_eq!((length.status, &length.body[..]), (200, &b"{}"[..]));
        assert_eq!(length.header("x-a"), Some("b"));
        let chunked =
            parse(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().body, b"{}");
        let end = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((end.status, end.body.len()), (204, 0));
        for wrong in [
            &b"HTTP/1.1 200"[..],
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
        ] {
            assert!(parse(wrong).is_none());
        }
    }
}
