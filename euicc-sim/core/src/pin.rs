//! PINs: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK with their counters.
//! ETSI TS 102 221 §9.5, §11.1.9 to §11.1.13. Called by [`crate::usim::handle`].

use crate::fs::{Change, MF, ProfileImage};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A PIN or administrative key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Key reference (P2).
    pub key: u8,
    /// Index of the directory it is local to (MF for global ones).
    pub directory: u16,
    /// Value, padded with FF.
    pub value: [u8; 8],
    /// Must it be verified?
    pub enabled: bool,
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
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The PIN behind a key reference, seen from a file.
pub(crate) fn find(image: &ProfileImage, from: u16, key: u8) -> Option<usize> {
    let mut directory = if key & 0x80 == 0 { MF } else { from };
    loop {
        let found = image
            .pins
            .iter()
            .position(|p| p.key == key && p.directory == directory);
        if found.is_some() || directory == MF {
            return found;
        }
        directory = image.files.get(usize::from(directory))?.parent;
    }
}

/// Is the condition "this PIN verified" met? A disabled PIN counts as verified.
pub(crate) fn satisfied(image: &ProfileImage, verified: &[(u16, u8)], from: u16, key: u8) -> bool {
    find(image, from, key)
        .and_then(|i| image.pins.get(i))
        .is_some_and(|p| p.left > 0 && (!p.enabled || verified.contains(&(p.directory, p.key))))
}

/// Executes a PIN command; returns the status word and what to store.
pub(crate) fn command(
    image: &mut ProfileImage,
    verified: &mut Vec<(u16, u8)>,
    from: u16,
    ins: u8,
    key: u8,
    data: &[u8],
) -> (u16, Option<Change>) {
    let Some(index) = find(image, from, key) else {
        return (0x6A88, None);
    };
    let mut pin = image.pins[index].clone();
    if ins == 0x2C {
        return unblock(image, verified, index, pin, data);
    }
    if data.is_empty() {
        return (0x63C0 | u16::from(pin.left), None);
    }
    if pin.left == 0 {
        return (0x6983, None);
    }
    let wanted = match ins {
        0x20 | 0x26 | 0x28 => 8,
        _ => 16,
    };
    if data.len() != wanted {
        return (0x6700, None);
    }
    let state_ok = match ins {
        0x26 => pin.enabled && pin.can_disable,
        0x28 => !pin.enabled,
        _ => pin.enabled,
    };
    if !state_ok {
        return (0x6984, None);
    }
    let id = (pin.directory, pin.key);
    if data[..8] != pin.value {
        pin.left -= 1;
        verified.retain(|v| *v != id);
        let sw = 0x63C0 | u16::from(pin.left);
        return (sw, store(image, index, pin));
    }
    let before = pin.clone();
    pin.left = pin.max;
    match ins {
        0x24 => pin.value.copy_from_slice(&data[8..]),
        0x26 => pin.enabled = false,
        0x28 => pin.enabled = true,
        _ => {}
    }
    if !verified.contains(&id) {
        verified.push(id);
    }
    if pin == before {
        return (0x9000, None);
    }
    (0x9000, store(image, index, pin))
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
        return (0x6A88, None);
    };
    let puk = &image.puks[at];
    let left = puk.left;
    if data.is_empty() {
        return (0x63C0 | u16::from(left), None);
    }
    if left == 0 {
        return (0x6983, None);
    }
    if data.len() != 16 {
        return (0x6700, None);
    }
    let (sw, change) = if data[..8] == puk.value {
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
        (0x9000, change)
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
