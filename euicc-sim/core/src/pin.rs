//! PINs and PUKs as a profile has them, and which of them were verified.
//! ETSI TS 102 221 §9.4, §9.5.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Key reference of the universal PIN (ETSI TS 102 221 §9.5.1).
pub(crate) const UNIVERSAL: u8 = 0x11;

/// A PIN or administrative key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Pin {
    /// Key reference (P2).
    pub key: u8,
    /// Index of the directory it is local to (MF for global ones).
    pub directory: u16,
    /// Value, padded with FF.
    pub value: [u8; 8],
    /// Must it be verified?
    pub enabled: bool,
    /// May it be changed?
    pub can_change: bool,
    /// May it be disabled?
    pub can_disable: bool,
    /// Its PUK's reference.
    pub puk: Option<u8>,
    /// Attempts in all.
    pub max: u8,
    /// Attempts left.
    pub left: u8,
}

/// The code that unblocks PINs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Puk {
    /// Its reference.
    pub key: u8,
    /// Value.
    pub value: [u8; 8],
    /// Attempts in all.
    pub max: u8,
    /// Attempts left.
    pub left: u8,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({:02X}, ****, {} left)", self.key, self.left)
    }
}

impl fmt::Debug for Puk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Puk({:02X}, ****, {} left)", self.key, self.left)
    }
}

/// Is it local to a directory? Bit 8 of the reference says so (ETSI TS 102 221 §9.5.1).
pub(crate) const fn is_local(key: u8) -> bool {
    key & 0x80 != 0
}

/// The PINs that were verified since the last reset. They are the card's, the same on every channel
/// (ETSI TS 102 221 §9.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified(Vec<(u16, u8)>);

impl Verified {
    /// Was this PIN verified?
    #[must_use]
    pub fn has(&self, pin: &Pin) -> bool {
        self.0.contains(&(pin.directory, pin.key))
    }

    /// The PIN was verified.
    pub fn add(&mut self, pin: &Pin) {
        if !self.has(pin) {
            self.0.push((pin.directory, pin.key));
        }
    }

    /// The PIN has to be verified again.
    pub fn remove(&mut self, pin: &Pin) {
        self.0.retain(|id| *id != (pin.directory, pin.key));
    }

    /// Keeps the PINs whose directory passes; global ones are the MF's.
    pub fn retain(&mut self, mut keep: impl FnMut(u16) -> bool) {
        self.0.retain(|(directory, _)| keep(*directory));
    }

    /// All have to be verified again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
