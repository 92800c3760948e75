//! PINs: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK with their counters.
//! ETSI TS 102 221 §9.5, §11.1.9 to §11.1.13. Called by [`crate::usim::handle`].
//!
//! A comparison and its counter are one change, which is in NVM before the answer leaves the card: who
//! learns that a PIN was wrong has lost the attempt, whatever happens to the power afterwards.

use crate::apdu::sw;
use crate::fs::{Change, MF, ProfileImage};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
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

/// The PIN behind a key reference, seen from a file.
pub(crate) fn find(image: &ProfileImage, from: u16, key: u8) -> Option<usize> {
    let mut directory = if is_local(key) { from } else { MF };
    loop {
        let shared = image.shared_pins.iter().find(|(d, _)| *d == directory);
        let owner = shared.map_or(directory, |(_, owner)| *owner);
        let found = image
            .pins
            .iter()
            .position(|p| p.key == key && p.directory == owner);
        if found.is_some() || directory == MF {
            return found;
        }
        directory = image.node(directory)?.parent;
    }
}

/// Is the condition "this PIN verified" met? A disabled PIN counts as verified.
pub(crate) fn satisfied(image: &ProfileImage, verified: &[(u16, u8)], from: u16, key: u8) -> bool {
    find(image, from, key)
        .and_then(|i| image.pins.get(i))
        .is_some_and(|p| p.left > 0 && (!p.enabled || verified.contains(&(p.directory, p.key))))
}

/// The commands on PINs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Verify,
    Change,
    Disable,
    Enable,
    Unblock,
}

/// Executes a PIN command on the reference `key`; returns the status word and what to store.
pub(crate) fn command(
    image: &mut ProfileImage,
    verified: &mut Vec<(u16, u8)>,
    from: u16,
    action: Action,
    key: u8,
    data: &[u8],
) -> (u16, Option<Change>) {
    let Some(index) = find(image, from, key) else {
        return (sw::NOT_FOUND, None);
    };
    let mut pin = image.pins[index].clone();
    if action == Action::Unblock {
        return unblock(image, verified, index, pin, data);
    }
    // VERIFY without data asks for the counter.
    if data.is_empty() && action == Action::Verify {
        return (0x63C0 | u16::from(pin.left), None);
    }
    let wanted = if action == Action::Change { 16 } else { 8 };
    if data.len() != wanted {
        return (sw::WRONG_LENGTH, None);
    }
    if pin.left == 0 {
        return (sw::BLOCKED, None);
    }
    let state_ok = match action {
        Action::Enable => !pin.enabled,
        _ => pin.enabled,
    };
    if !state_ok {
        return (sw::INVALIDATED, None);
    }
    let permitted = match action {
        Action::Change => pin.can_change,
        Action::Disable => pin.can_disable,
        _ => true,
    };
    if !permitted {
        return (sw::CONDITIONS, None);
    }
    let id = (pin.directory, pin.key);
    if !same(&data[..8], &pin.value) {
        pin.left -= 1;
        verified.retain(|v| *v != id);
        let sw = 0x63C0 | u16::from(pin.left);
        return (sw, store(image, index, pin));
    }
    let before = pin.clone();
    pin.left = pin.max;
    match action {
        Action::Change => pin.value.copy_from_slice(&data[8..]),
        Action::Disable => pin.enabled = false,
        Action::Enable => pin.enabled = true,
        Action::Verify | Action::Unblock => {}
    }
    if !verified.contains(&id) {
        verified.push(id);
    }
    if pin == before {
        return (sw::OK, None);
    }
    (sw::OK, store(image, index, pin))
}

/// Compares secrets in a time that says nothing about where they differ.
fn same(given: &[u8], secret: &[u8; 8]) -> bool {
    given.ct_eq(secret).into()
}

fn store(image: &mut ProfileImage, index: usize, pin: Pin) -> Option<Change> {
    let change = Change::Pin(index as u16, pin);
    image.apply(&change);
    Some(change)
}

fn unblock(
    image: &mut ProfileImage,
    verified: &mut Vec<(u16, u8)>,
    index: usize,
    mut pin: Pin,
    data: &[u8],
) -> (u16, Option<Change>) {
    let Some(at) = image.puks.iter().position(|p| Some(p.key) == pin.puk) else {
        return (sw::NOT_FOUND, None);
    };
    let puk = &image.puks[at];
    let left = puk.left;
    if data.is_empty() {
        return (0x63C0 | u16::from(left), None);
    }
    if data.len() != 16 {
        return (sw::WRONG_LENGTH, None);
    }
    if left == 0 {
        return (sw::BLOCKED, None);
    }
    let (sw, change) = if same(&data[..8], &puk.value) {
        pin.value.copy_from_slice(&data[8..]);
        pin.left = pin.max;
        pin.enabled = true;
        let id = (pin.directory, pin.key);
        if !verified.contains(&id) {
            verified.push(id);
        }
        let change = Change::Unblock {
            puk: at as u16,
            left: puk.max,
            pin: Some((index as u16, pin)),
        };
        (sw::OK, change)
    } else {
        let change = Change::Unblock {
            puk: at as u16,
            left: left - 1,
            pin: None,
        };
        (0x63C0 | u16::from(left - 1), change)
    };
    image.apply(&change);
    (sw, Some(change))
}
