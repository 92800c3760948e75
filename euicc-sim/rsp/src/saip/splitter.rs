//! Cuts an unprotected profile package that arrives in pieces into whole profile elements.
//! TCA eUICC Profile Package §4: header first, End last.

use super::{MAX_PE_LEN, PeKind, SaipError};
use crate::tlv::{TlvError, parse_header};
use alloc::vec::Vec;

/// Buffers at most one profile element and the piece that was pushed last.
#[derive(Debug, Default, Clone)]
pub struct PeSplitter {
    buffer: Vec<u8>,
    offset: usize,
    started: bool,
    ended: bool,
}

impl PeSplitter {
    /// An empty splitter.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            offset: 0,
            started: false,
            ended: false,
        }
    }

    /// Adds bytes as they came. Take the elements out with [`PeSplitter::next_pe`] after each push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole element (tag, length, value), `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`SaipError`] as soon as the bytes can't be a profile package.
    pub fn next_pe(&mut self) -> Result<Option<Vec<u8>>, SaipError> {
        let offset = self.offset;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if self.ended {
            return Err(SaipError::Tlv {
                offset,
                source: TlvError::Trailing {
                    count: self.buffer.len(),
                },
            });
        }
        if !self.started && self.buffer.first() != Some(&0xA0) {
            return Err(SaipError::Unexpected {
                offset,
                expected: "ProfileHeader (tag A0)",
                got: self.buffer.first().copied().map_or(0, u32::from),
            });
        }
        let header =
            parse_header(&self.buffer).map_err(|source| SaipError::Tlv { offset, source })?;
        let Some(header) = header else {
            return Ok(None);
        };
        let Some(kind) = PeKind::from_tag(header.tag) else {
            return Err(SaipError::Unexpected {
                offset,
                expected: "a profile element",
                got: header.tag,
            });
        };
        if self.started && kind == PeKind::Header {
            return Err(SaipError::Unexpected {
                offset,
                expected: "one ProfileHeader only",
                got: header.tag,
            });
        }
        let total = header.header_len.saturating_add(header.value_len);
        if total > MAX_PE_LEN {
            return Err(SaipError::TooLong {
                offset,
                got: total,
                max: MAX_PE_LEN,
            });
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let rest = self.buffer.split_off(total);
        let pe = core::mem::replace(&mut self.buffer, rest);
        self.offset += total;
        self.started = true;
        self.ended = kind == PeKind::End;
        Ok(Some(pe))
    }

    /// Bytes waiting for the rest of their element.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Has the End element been taken out?
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.ended
    }

    /// Demands that the package was whole.
    ///
    /// # Errors
    /// [`SaipError::Truncated`].
    pub fn finish(&self) -> Result<(), SaipError> {
        if self.ended && self.buffer.is_empty() {
            return Ok(());
        }
        Err(SaipError::Truncated {
            offset: self.offset + self.buffer.len(),
            expected: if self.started {
                "the End element"
            } else {
                "a ProfileHeader"
            },
        })
    }
}
