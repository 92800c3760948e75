//! An answer of the other party, whoever carried it.

use std::time::Duration;

use http::StatusCode;

use crate::body::Iccids;
use crate::error_code::ErrorBody;

/// A complete answer as it came from the wire.
#[derive(Debug)]
pub struct Received {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    /// `Content-Type`; empty if there is none.
    pub(crate) kind: String,
    /// `Retry-After`, as it was said.
    pub(crate) retry_after: Option<Duration>,
    /// Which ICCIDs the other party may name.
    pub(crate) iccids: Iccids,
}

impl Received {
    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// `Content-Type` in lower case, cleaned; empty if there is none.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, without a copy.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }

    /// Whether it is a page for people: no party of AID1 sends one, proxies do.
    #[must_use]
    pub fn is_page(&self) -> bool {
        let first = self.body.iter().find(|b| !b.is_ascii_whitespace());
        self.kind.contains("html") && !self.is_empty() || first == Some(&b'<')
    }

    /// Whether it is a refusal in the words of §5.5, whatever its status.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let body = serde_json::from_slice::<ErrorBody>(&self.body).ok();
        body.is_some_and(|body| body.known().is_some())
    }

    /// How long the peer wants us to wait (`Retry-After`, RFC 9110 §10.2.3), as it said it: not bounded.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}
