//! The card's non-volatile memory: named records, written in batches that happen or don't.
//! Implemented by the programs ([`Memory`] is the one for tests); called by [`crate::card::Card`].
//!
//! Everything that the card promises about power cuts rests on one rule: [`Nvm::commit`] is atomic.

mod memory;

pub use memory::{Cut, Memory};

use alloc::vec::Vec;

/// The name of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What the card is: profiles and their states, sequence numbers, addresses.
    Card,
    /// StoreMetadata of the profile in this slot.
    Metadata(u16),
    /// The installed profile in this slot.
    Image(u16),
    /// A change of the profile in this slot since its image was written: slot and position.
    Change(u16, u16),
    /// A pending notification, by sequence number.
    Notification(u32),
    /// The one-time key of a download that isn't finished.
    OneTimeKey,
    /// The certificate revocation lists that were loaded.
    Revocations,
}

impl Key {
    /// Five bytes that sort like the key.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 5] {
        let (kind, number) = match self {
            Self::Card => (0, 0),
            Self::Metadata(slot) => (1, slot as u32),
            Self::Image(slot) => (2, slot as u32),
            Self::Change(slot, position) => (3, (slot as u32) << 16 | position as u32),
            Self::Notification(number) => (4, number),
            Self::OneTimeKey => (5, 0),
            Self::Revocations => (6, 0),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [kind, a, b, c, d]
    }

    /// The key back; `None` for an unknown kind.
    #[must_use]
    pub const fn from_bytes([kind, a, b, c, d]: [u8; 5]) -> Option<Self> {
        let number = u32::from_be_bytes([a, b, c, d]);
        let (high, low) = ((number >> 16) as u16, number as u16);
        Some(match (kind, high) {
            (0, 0) if low == 0 => Self::Card,
            (1, 0) => Self::Metadata(low),
            (2, 0) => Self::Image(low),
            (3, _) => Self::Change(high, low),
            (4, _) => Self::Notification(number),
            (5, 0) if low == 0 => Self::OneTimeKey,
            (6, 0) if low == 0 => Self::Revocations,
            _ => return None,
        })
    }
}

/// One write of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// Create or replace.
    Put(Key, &'a [u8]),
    /// Remove; a record that isn't there is no error.
    Delete(Key),
}

/// How much a commit must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut right after the call.
    Flushed,
    /// The end of the process. For what is only good to have, as the one-time key of a download.
    Buffered,
}

/// The memory failed; what was committed before is still there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the card's memory failed: {reason}")]
pub struct NvmError {
    /// What the medium said.
    pub reason: alloc::string::String,
}

/// A store of records.
pub trait Nvm: Send {
    /// The content of a record, `None` when there is none.
    ///
    /// # Errors
    /// [`NvmError`].
    fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>, NvmError>;

    /// Does all the writes or none of them. After `Ok` they survive as much as `durability` says,
    /// in the order of the commits.
    ///
    /// # Errors
    /// [`NvmError`]; it may be unknown then whether the batch was done, so read again.
    fn commit(&mut self, batch: &[Write<'_>], durability: Durability) -> Result<(), NvmError>;
}

impl<N: Nvm + ?Sized> Nvm for alloc::boxed::Box<N> {
    fn get(&mut self, key: Key) -> Result<Option<Vec<u8>>, NvmError> {
        (**self).get(key)
    }

    fn commit(&mut self, batch: &[Write<'_>], durability: Durability) -> Result<(), NvmError> {
        (**self).commit(batch, durability)
    }
}
