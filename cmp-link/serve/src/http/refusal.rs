//! What the HTTP layer answers by itself, in the form of the API behind it: a bad head, a request
//! that takes too long, a handler that panics (AID.02 §5.5 wants a body on every answer but 2xx).
//!
//! hyper answers a head that it can't read (400, 414, 431) before any handler is asked, and without a
//! body. [`Answering`] sits between hyper and the socket and gives such an answer its body.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Content type and body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Content type, such as `application/json`.
    pub content_type: &'static str,
    /// Body; none is sent if it is empty.
    pub body: String,
}

/// Writes the refusal for a status.
pub type Refuse = fn(StatusCode) -> Refusal;

/// One line of text.
#[must_use]
pub fn plain(status: StatusCode) -> Refusal {
    let reason = status.canonical_reason().unwrap_or("error");
    Refusal {
        content_type: "text/plain; charset=utf-8",
        body: format!("{reason}\n"),
    }
}

/// The refusal as a response; the connection ends with it.
pub(super) fn response(refuse: Refuse, status: StatusCode) -> Response {
    let refusal = refuse(status);
    let mut response = Response::new(Body::from(refusal.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(refusal.content_type);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// How the head of an answer begins that hyper gives without asking anybody.
const AUTOMATIC: [(&[u8], StatusCode); 3] = [
    (b"HTTP/1.1 400 ", StatusCode::BAD_REQUEST),
    (b"HTTP/1.1 414 ", StatusCode::URI_TOO_LONG),
    (
        b"HTTP/1.1 431 ",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    ),
];

/// The status, if these bytes are exactly one such answer: its head, which says that nothing follows.
fn automatic(written: &[u8]) -> Option<StatusCode> {
    let found = AUTOMATIC.iter().find(|(head, _)| written.starts_with(head));
    let (_, status) = found?;
    let one = written.ends_with(b"\r\n\r\n")
        && written.windows(4).filter(|w| w == b"\r\n\r\n").count() == 1;
    let empty = written
        .to_ascii_lowercase()
        .windows(19)
        .any(|w| w == b"content-length: 0\r\n");
    (one && empty).then_some(*status)
}

fn with_body(refuse: Refuse, status: StatusCode) -> Vec<u8> {
    let Refusal { content_type, body } = refuse(status);
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {content_type}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        status.as_u16(),
        body.len()
    )
    .into_bytes()
}

/// An answer that is written instead of hyper's.
struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// How long hyper's own is.
    claimed: usize,
}

/// A stream on which hyper's own answers get a body.
pub(super) struct Answering<S> {
    stream: S,
    refuse: Refuse,
    instead: Option<Instead>,
}

impl<S> Answering<S> {
    pub(super) fn new(stream: S, refuse: Refuse) -> Self {
        let instead = None;
        Self {
            stream,
            refuse,
            instead,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

// No vectored writes: hyper then puts head and body into one buffer, and what it writes is one piece.
impl<S: AsyncWrite + Unpin> AsyncWrite for Answering<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none()
            && let Some(status) = automatic(buffer)
        {
            this.instead = Some(Instead {
                bytes: with_body(this.refuse, status),
                written: 0,
                claimed: buffer.len(),
            });
        }
        let Some(instead) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_write(context, buffer);
        };
        while let Some(rest) = instead
            .bytes
            .get(instead.written..)
            .filter(|r| !r.is_empty())
        {
            let n = ready!(Pin::new(&mut this.stream).poll_write(context, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.written += n;
        }
        let claimed = instead.claimed;
        this.instead = None;
        Poll::Ready(Ok(claimed))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_by_itself_is_replaced() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(automatic(own), Some(StatusCode::BAD_REQUEST));
        for other in [
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"",
        ] {
            assert_eq!(automatic(other), None);
        }
        let text = String::from_utf8(with_body(plain, StatusCode::URI_TOO_LONG)).expect("text");
        assert!(text.starts_with("HTTP/1.1 414 URI Too Long\r\n") && text.contains("\r\n\r\nURI"));
    }
}
