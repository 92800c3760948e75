//! The content of a file, without the run of equal bytes at its end: most files of a profile are
//! padding. Keeps a card small in memory and in NVM.

use alloc::{boxed::Box, vec, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of a file: a head, then one byte repeated up to the length.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Content {
    head: Box<[u8]>,
    len: u32,
    tail: u8,
}

impl fmt::Debug for Content {
    /// Its length: what is in a SIM's files is for nobody's log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.len)
    }
}

impl Content {
    /// The shortest form of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let tail = bytes.last().copied().unwrap_or(0xFF);
        let run = bytes.iter().rev().take_while(|b| **b == tail).count();
        Self {
            head: bytes[..bytes.len() - run].into(),
            len: bytes.len() as u32,
            tail,
        }
    }

    /// Is it what [`Content::new`] makes? What comes from NVM is asked that.
    pub(crate) fn is_sound(&self) -> bool {
        let head = self.head.len() as u64;
        head <= u64::from(self.len) && self.len as usize <= super::MAX_FILE
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Has it no bytes?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![self.tail; self.len()];
        bytes[..self.head.len()].copy_from_slice(&self.head);
        bytes
    }

    /// `n` bytes from `offset`; fewer at the end.
    #[must_use]
    pub fn read(&self, offset: usize, n: usize) -> Vec<u8> {
        let end = offset.saturating_add(n).min(self.len());
        (offset..end)
            .map(|i| self.head.get(i).copied().unwrap_or(self.tail))
            .collect()
    }

    /// The byte at a position.
    #[must_use]
    pub fn byte(&self, at: usize) -> Option<u8> {
        (at < self.len()).then(|| self.head.get(at).copied().unwrap_or(self.tail))
    }

    /// Writes over bytes that are there; bytes behind the end are refused (`false`).
    pub fn write(&mut self, offset: usize, data: &[u8]) -> bool {
        let mut bytes = self.to_vec();
        let end = offset.saturating_add(data.len());
        let Some(slot) = bytes.get_mut(offset..end) else {
            return false;
        };
        slot.copy_from_slice(data);
        *self = Self::new(&bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn content_is_what_was_put_in(mut bytes in proptest::collection::vec(0u8..3, 0..80), at in 0usize..90, data in proptest::collection::vec(0u8..3, 0..9)) {
            let mut content = Content::new(&bytes);
            prop_assert_eq!(content.to_vec(), bytes.clone());
            prop_assert!(content.is_sound());
            prop_assert_eq!(content.read(at.min(bytes.len()), 7), bytes[at.min(bytes.len())..(at + 7).min(bytes.len()).max(at.min(bytes.len()))].to_vec());
            let fits = at + data.len() <= bytes.len();
            prop_assert_eq!(content.write(at, &data), fits);
            if fits {
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
            prop_assert_eq!(content.to_vec(), bytes);
        }
    }
}
