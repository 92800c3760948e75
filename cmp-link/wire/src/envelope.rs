//! The envelope of every AID2 message: version byte, ids, sequence, expiry; at most 16 KiB.
//! Ours (R-3.2-2 leaves the format open). Built and read by the agent's core and the CMP.

use aid_id::Id;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version byte of the envelope.
pub const WIRE_VERSION: u8 = 1;
/// Largest message, bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// What every message is wrapped in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<B> {
    /// `WIRE_VERSION`.
    pub version: u8,
    /// Names this message; a repetition carries the same.
    pub message_id: Id,
    /// Names the transaction that it belongs to.
    pub correlation_id: Id,
    /// Counts the sender's messages.
    pub sequence: u64,
    /// Unix seconds after which it is void.
    pub expires_at: Option<u64>,
    /// The message.
    pub body: B,
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too long.
    #[error("an AID2 message has at most {MAX_MESSAGE} bytes, got {0}")]
    TooLong(usize),
    /// Another version.
    #[error("expected AID2 version {WIRE_VERSION}, got {0}")]
    Version(u8),
    /// Not postcard, or not one of the known messages.
    #[error("not an AID2 message: {0}")]
    Encoding(postcard::Error),
    /// Bytes behind the message.
    #[error("{0} bytes follow the AID2 message")]
    Trailing(usize),
}

impl<B: Serialize + DeserializeOwned> Envelope<B> {
    /// The bytes on the wire.
    ///
    /// # Errors
    /// The message would be over the limit.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let bytes = postcard::to_allocvec(self).map_err(MessageError::Encoding)?;
        if bytes.len() > MAX_MESSAGE {
            Err(MessageError::TooLong(bytes.len()))
        } else {
            Ok(bytes)
        }
    }

    /// Parses a message that came over the wire.
    ///
    /// # Errors
    /// Too long, another version, or not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong(bytes.len()));
        }
        match bytes.first() {
            Some(&WIRE_VERSION) => match postcard::take_from_bytes(bytes) {
                Ok((envelope, [])) => Ok(envelope),
                Ok((_, rest)) => Err(MessageError::Trailing(rest.len())),
                Err(error) => Err(MessageError::Encoding(error)),
            },
            first => Err(MessageError::Version(first.copied().unwrap_or(0))),
        }
    }
}
