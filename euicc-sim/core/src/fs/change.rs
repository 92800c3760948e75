//! Changes of an installed profile: what one command alters, written to NVM in one record.
//! Made by [`crate::usim::handle`], stored and replayed by the card.

use super::{Content, Kind, ProfileImage};
use crate::pin::Pin;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A small change of an image, to be written to NVM atomically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Bytes of a file.
    File {
        /// Index of the file.
        file: u16,
        /// Position in its content.
        offset: u32,
        /// New bytes.
        data: Vec<u8>,
    },
    /// A cyclic file gets a new first record and loses its last.
    Cycle {
        /// Index of the file.
        file: u16,
        /// The record.
        record: Vec<u8>,
    },
    /// The whole content of a BER-TLV file.
    Content {
        /// Index of the file.
        file: u16,
        /// New content.
        data: Vec<u8>,
    },
    /// Life cycle status of a file.
    LifeCycle {
        /// Index of the file.
        file: u16,
        /// LCSI.
        status: u8,
    },
    /// A PIN: value, state, counters.
    Pin(u16, Pin),
    /// A PUK's counter and, after UNBLOCK, its PIN.
    Unblock {
        /// Index of the PUK.
        puk: u16,
        /// Attempts left.
        left: u8,
        /// The PIN it freed.
        pin: Option<(u16, Pin)>,
    },
    /// A sequence number of an authentication key.
    Sequence {
        /// Index of the key.
        key: u16,
        /// IND.
        index: u8,
        /// SEQ.
        seq: u64,
    },
}

impl Change {
    /// Compact bytes for NVM.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The change back.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

impl ProfileImage {
    /// Applies a change (again). A change that doesn't fit does nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::File { file, offset, data } => {
                if let Some(f) = self.files.get_mut(usize::from(*file)) {
                    f.data.write(*offset as usize, data);
                }
            }
            Change::Cycle { file, record } => {
                if let Some(f) = self.files.get_mut(usize::from(*file))
                    && record.len() == usize::from(f.record_len)
                    && f.data.len() >= record.len()
                {
                    let mut data = record.clone();
                    data.extend(f.data.read(0, f.data.len() - record.len()));
                    f.data = Content::new(&data);
                }
            }
            Change::Content { file, data } => {
                if let Some(f) = self.files.get_mut(usize::from(*file))
                    && f.kind == Kind::BerTlv
                {
                    f.data = Content::new(data);
                }
            }
            Change::LifeCycle { file, status } => {
                if let Some(f) = self.files.get_mut(usize::from(*file)) {
                    f.lcsi = *status;
                }
            }
            Change::Pin(index, pin) => {
                if let Some(p) = self.pins.get_mut(usize::from(*index)) {
                    p.clone_from(pin);
                }
            }
            Change::Unblock { puk, left, pin } => {
                if let Some(p) = self.puks.get_mut(usize::from(*puk)) {
                    p.left = *left;
                }
                if let Some((index, pin)) = pin
                    && let Some(p) = self.pins.get_mut(usize::from(*index))
                {
                    p.clone_from(pin);
                }
            }
            Change::Sequence { key, index, seq } => {
                if let Some(k) = self.keys.get_mut(usize::from(*key))
                    && let Some(s) = k.sequence.array.get_mut(usize::from(*index))
                {
                    *s = *seq;
                }
            }
        }
    }
}
