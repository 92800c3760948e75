//! VERIFY, CHANGE, DISABLE, ENABLE and UNBLOCK PIN with their counters.
//! ETSI TS 102 221 §9.5, §11.1.9 to §11.1.13.
//!
//! A comparison and its counter are one change, which is in NVM before the answer leaves the card: who
//! learns that a PIN was wrong has lost the attempt, whatever happens to the power afterwards.

use crate::apdu::sw;
use crate::fs::{Change, ProfileImage, find_pin};
use crate::pin::{Pin, Verified};
use subtle::ConstantTimeEq;

/// The commands on PINs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Verify,
    Change,
    Disable,
    Enable,
    Unblock,
}

/// Executes a PIN command on the reference `key`; returns the status word and what to store.
pub(super) fn command(
    image: &mut ProfileImage,
    verified: &mut Verified,
    from: u16,
    action: Action,
    key: u8,
    data: &[u8],
) -> (u16, Option<Change>) {
    let Some(index) = find_pin(image, from, key) else {
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
    if !same(&data[..8], &pin.value) {
        pin.left -= 1;
        verified.remove(&pin);
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
    verified.add(&pin);
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
    verified: &mut Verified,
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
        verified.add(&pin);
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
