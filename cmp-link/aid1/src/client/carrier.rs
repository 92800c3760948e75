//! Carries a call of another party on to the party that it is for, as an aggregation layer does (AID.02 §1.1): the ids,
//! the path and the body stay as they are.

use std::time::Duration;

use http::HeaderValue;

use super::http::Http;
use super::{CallError, Received, Settings};
use crate::contract::Contract;
use crate::headers::Headers;

/// A call to be carried on.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The operation.
    pub operation: &'static Contract,
    /// The ids of the call, with caller and target under the names by which the target knows them.
    pub headers: Headers,
    /// Path and query, as they came.
    pub path: String,
    /// `Content-Type`, as it came.
    pub kind: Option<HeaderValue>,
    /// The body, as it came; none if there was not even an empty one.
    pub body: Option<Vec<u8>>,
    /// `traceparent` as it came; replaced where this process records spans.
    pub traceparent: Option<HeaderValue>,
    /// Limit for the whole call; that of the settings if absent.
    pub limit: Option<Duration>,
}

/// A client that carries the calls of others to one party. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Carrier(Http);

impl Carrier {
    /// A carrier; it connects when first used. The names of the settings are not used.
    ///
    /// # Errors
    /// [`CallError::Settings`]
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        Http::new(settings).map(Self)
    }

    /// Makes the call once, and yields whatever answer came, refusals included.
    ///
    /// # Errors
    /// [`CallError`] if no complete answer came, or one that is too large.
    pub async fn carry(&self, carried: Carried) -> Result<Received, CallError> {
        self.0.carry(carried).await
    }
}
