//! Which PIN a key reference means at a place in the file system, and whether its condition is met.
//! ETSI TS 102 221 §9.5.1.

use super::{MF, ProfileImage};
use crate::pin::{self, Verified};

/// The position of the PIN behind a key reference, seen from a file.
pub(crate) fn find_pin(image: &ProfileImage, from: u16, key: u8) -> Option<usize> {
    let mut directory = if pin::is_local(key) { from } else { MF };
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
pub(crate) fn satisfied(image: &ProfileImage, verified: &Verified, from: u16, key: u8) -> bool {
    find_pin(image, from, key)
        .and_then(|i| image.pins.get(i))
        .is_some_and(|p| p.left > 0 && (!p.enabled || verified.has(p)))
}
