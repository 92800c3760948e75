//! HTTP faults: on a link whose keys the bench has (they are all its own) TLS ends here and begins again, and the
//! messages between are passed on, answered in the server's place, slowed down, doubled or cut off.

use super::{Seeded, Shared, lock, pass};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Largest head of a message, bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Largest body of a message, bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Both sides of the TLS of a link.
#[derive(Clone)]
pub(crate) struct Door {
    /// As the server that the near side wants.
    pub(crate) server: Arc<ServerConfig>,
    /// As the client that the far side wants.
    pub(crate) client: Arc<ClientConfig>,
}

/// What happens to a request or its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// Answered with this status and no useful body; the server does not see it.
    Status(u16),
    /// Answered with 302 to this place; the server does not see it.
    Redirect(String),
    /// The answer is passed on so much later.
    Slow(Duration),
    /// The answer ends after so many bytes of its body.
    Truncated(usize),
    /// The server gets the request twice, as from a proxy that tries again; the first answer counts.
    Twice,
    /// The server gets it, and its answer is lost with the connection.
    Lost,
    /// Valid, and written as hardly anybody does: names of headers in odd cases and another order, the body in chunks.
    Odd,
}

impl HttpFault {
    /// Its word.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Redirect(_) => "redirect",
            Self::Slow(_) => "slow",
            Self::Truncated(_) => "truncated",
            Self::Twice => "twice",
            Self::Lost => "lost",
            Self::Odd => "odd",
        }
    }
}

/// A fault, and when it happens.
#[derive(Debug, Clone)]
pub(crate) struct HttpRule {
    pub(crate) fault: HttpFault,
    /// Only requests whose path contains this.
    pub(crate) path: String,
    /// So many matching requests pass first.
    pub(crate) skip: u64,
    /// Then so many are hit.
    pub(crate) times: u64,
}

/// A message: head with its blank line, and body without any framing.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head);
        text.split("\r\n")
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The first line, and the headers that do not frame the body.
    fn parts(&self) -> (String, Vec<(String, String)>) {
        let mut lines = self.lines().into_iter();
        let first = lines.next().unwrap_or_default();
        let headers = lines
            .filter_map(|l| {
                l.split_once(':')
                    .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            })
            .filter(|(n, _)| {
                !n.eq_ignore_ascii_case("content-length")
                    && !n.eq_ignore_ascii_case("transfer-encoding")
            });
        (first, headers.collect())
    }

    /// As it is usually written.
    fn plain(&self) -> Vec<u8> {
        let (first, headers) = self.parts();
        let mut out = first.clone();
        for (name, value) in headers {
            out.push_str(&format!("\r\n{name}: {value}"));
        }
        let has_no_body = ["204", "304"]
            .iter()
            .any(|s| first.split(' ').nth(1) == Some(s));
        let is_bare_request = self.body.is_empty() && !first.starts_with("HTTP/");
        if !has_no_body && !is_bare_request {
            out.push_str(&format!("\r\ncontent-length: {}", self.body.len()));
        }
        let mut out = format!("{out}\r\n\r\n").into_bytes();
        out.extend(&self.body);
        out
    }

    /// As hardly anybody writes it.
    fn odd(&self, random: &mut Seeded) -> Vec<u8> {
        let (first, mut headers) = self.parts();
        for n in (1..headers.len()).rev() {
            let other = usize::try_from(random.below(n as u64 + 1)).unwrap_or(0);
            headers.swap(n, other);
        }
        let mut out = first;
        for (name, value) in headers {
            let name: String = name
                .chars()
                .map(|c| {
                    if random.below(2) == 0 {
                        c.to_ascii_uppercase()
                    } else {
                        c.to_ascii_lowercase()
                    }
                })
                .collect();
            out.push_str(&format!(
                "\r\n{name}:{}{value} ",
                ["", " ", "  "][usize::try_from(random.below(3)).unwrap_or(0)]
            ));
        }
        if self.body.is_empty() {
            return if out.starts_with("HTTP/") {
                format!("{out}\r\ncontent-length: 0\r\n\r\n").into_bytes()
            } else {
                format!("{out}\r\n\r\n").into_bytes()
            };
        }
        let mut out = format!("{out}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let length = 1 + usize::try_from(random.below(rest.len() as u64)).unwrap_or(0);
            out.extend(format!("{length:x};odd=\"yes\"\r\n").bytes());
            out.extend(&rest[..length]);
            out.extend(b"\r\n");
            rest = &rest[length..];
        }
        out.extend(b"0\r\n\r\n");
        out
    }

    fn header(&self, name: &str) -> Option<String> {
        self.lines().iter().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    fn path(&self) -> String {
        let first = self.lines().into_iter().next().unwrap_or_default();
        first.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// Whether the connection ends after it.
    fn is_last(&self) -> bool {
        self.header("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

fn byte(from: &mut impl Read) -> Option<u8> {
    let mut one = [0];
    from.read_exact(&mut one).ok()?;
    Some(one[0])
}

fn line(from: &mut impl Read, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while !out.ends_with(b"\r\n") {
        out.push(byte(from)?);
        if out.len() > most {
            return None;
        }
    }
    Some(out)
}

/// The next message; none where the connection has ended or it is too large.
fn message(from: &mut impl Read, is_answer: bool) -> Option<Message> {
    let mut head = Vec::new();
    loop {
        let next = line(from, MAX_HEAD)?;
        let ends = next == b"\r\n";
        head.extend(next);
        if ends {
            break;
        }
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    let mut message = Message {
        head,
        body: Vec::new(),
    };
    let chunked = message
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let length = message.header("content-length").map(|v| v.parse::<usize>());
    match length {
        _ if chunked => loop {
            let size = line(from, 1024)?;
            let size = String::from_utf8_lossy(&size);
            let size = usize::from_str_radix(size.trim().split(';').next()?, 16).ok()?;
            if message.body.len() + size > MAX_BODY {
                return None;
            }
            let mut chunk = vec![0; size];
            from.read_exact(&mut chunk).ok()?;
            message.body.extend(chunk);
            line(from, 1024)?;
            if size == 0 {
                return Some(message);
            }
        },
        Some(Ok(length)) if length <= MAX_BODY => {
            message.body = vec![0; length];
            from.read_exact(&mut message.body).ok()?;
        }
        Some(_) => return None,
        None => {
            let status = message.path();
            let none = !is_answer || status.starts_with('1') || status == "204" || status == "304";
            if !none {
                from.take(MAX_BODY as u64)
                    .read_to_end(&mut message.body)
                    .ok()?;
            }
        }
    }
    Some(message)
}

/// The fault for this request, if there is one; it counts as having happened.
fn fault(path: &str, shared: &Shared) -> Option<HttpFault> {
    let mut rules = lock(&shared.rules);
    let mut hit = None;
    for rule in rules.http.iter_mut().filter(|r| path.contains(&r.path)) {
        if rule.skip > 0 {
            rule.skip -= 1;
        } else if rule.times > 0 && hit.is_none() {
            rule.times -= 1;
            hit = Some(rule.fault.clone());
        }
    }
    if let Some(fault) = &hit {
        rules.happened(fault.name());
    }
    hit
}

/// Passes the messages of one connection on.
pub(super) fn serve(near: TcpStream, far: TcpStream, number: u64, door: &Door, shared: &Shared) {
    let mut random = Seeded::new(shared.seed, &format!("{number} http"));
    let Ok(server) = ServerConnection::new(Arc::clone(&door.server)) else {
        return;
    };
    let Ok(name) = rustls::pki_types::ServerName::try_from("localhost") else {
        return;
    };
    let Ok(client) = ClientConnection::new(Arc::clone(&door.client), name) else {
        return;
    };
    let mut near = StreamOwned::new(server, near);
    let mut far = StreamOwned::new(client, far);
    while let Some(request) = message(&mut near, false) {
        let fault = fault(&request.path(), shared);
        if !pass::wait_open(shared) {
            break;
        }
        let canned = match &fault {
            Some(HttpFault::Status(status)) => Some(format!(
                "HTTP/1.1 {status} Odd\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nodd\n"
            )),
            Some(HttpFault::Redirect(to)) => Some(format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
            )),
            _ => None,
        };
        if let Some(canned) = canned {
            if near.write_all(canned.as_bytes()).is_err() || near.flush().is_err() {
                break;
            }
            continue;
        }
        let bytes = match fault {
            Some(HttpFault::Odd) => request.odd(&mut random),
            _ => request.plain(),
        };
        let Some(mut answer) = exchange(&mut far, &bytes) else {
            break;
        };
        if fault == Some(HttpFault::Twice) && exchange(&mut far, &bytes).is_none() {
            break;
        }
        // An interim answer is ours to swallow.
        while answer.path().starts_with('1') {
            match message(&mut far, true) {
                Some(next) => answer = next,
                None => return,
            }
        }
        let mut last = answer.is_last() || request.is_last();
        let bytes = match fault {
            Some(HttpFault::Lost) => break,
            Some(HttpFault::Truncated(length)) => {
                last = true;
                let plain = answer.plain();
                let body = answer.body.len();
                plain[..plain.len() - body + length.min(body)].to_vec()
            }
            Some(HttpFault::Odd) => answer.odd(&mut random),
            Some(HttpFault::Slow(time)) => {
                pass::rest(time);
                answer.plain()
            }
            _ => answer.plain(),
        };
        shared
            .bytes
            .fetch_add((request.body.len() + bytes.len()) as u64, Ordering::Relaxed);
        if near.write_all(&bytes).is_err() || near.flush().is_err() {
            break;
        }
        if last {
            near.conn.send_close_notify();
            let _ = near.flush();
            break;
        }
    }
    let _ = near.sock.shutdown(std::net::Shutdown::Both);
    let _ = far.sock.shutdown(std::net::Shutdown::Both);
}

fn exchange(far: &mut (impl Read + Write), request: &[u8]) -> Option<Message> {
    far.write_all(request).ok()?;
    far.flush().ok()?;
    message(far, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_messages_say_the_same() {
        let text = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\ncontent-length: 11\r\n\r\n{\"a\": true}rest";
        let read = message(&mut &text[..], false).unwrap();
        assert_eq!(
            (read.path().as_str(), &read.body[..]),
            ("/x", &b"{\"a\": true}"[..])
        );
        for seed in 0..50 {
            let odd = read.odd(&mut Seeded::new(seed, "odd"));
            let again = message(&mut &odd[..], false).unwrap();
            assert_eq!(again.body, read.body);
            assert_eq!(
                again.header("content-type").as_deref(),
                Some("application/json")
            );
            assert_eq!(again.header("host").as_deref(), Some("a"));
        }
        assert!(
            message(
                &mut &b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"[..],
                false
            )
            .is_none()
        );
        assert!(message(&mut &b"GET / HTTP/1.1\r\n"[..], false).is_none());
    }
}
