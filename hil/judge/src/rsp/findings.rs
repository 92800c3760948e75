//! Findings in words: expected and seen values of one comparison.

use crate::test::Finding;
use std::fmt::{Debug, Display};

/// What a test comes to.
pub(crate) type Checked<T = ()> = Result<T, Finding>;

/// The subject must answer exactly this.
pub(crate) fn same<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, seen: &T) -> Checked {
    match expected == seen {
        true => Ok(()),
        false => Err(Finding::broken(
            format!("{what}: {expected:02X?}"),
            format!("{seen:02X?}"),
        )),
    }
}

/// The subject must answer one of these codes.
pub(crate) fn one_of<T: PartialEq + Display>(what: &str, expected: &[T], seen: &T) -> Checked {
    if expected.contains(seen) {
        return Ok(());
    }
    let names: Vec<String> = expected.iter().map(ToString::to_string).collect();
    Err(Finding::broken(
        format!("{what}: {}", names.join(" or ")),
        seen.to_string(),
    ))
}

/// A condition that must hold.
pub(crate) fn must(holds: bool, expected: &str, seen: impl FnOnce() -> String) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(Finding::broken(expected, seen())),
    }
}

/// Hexadecimal digits, at most 64 bytes of them.
pub(crate) fn hexed(bytes: &[u8]) -> String {
    const MOST: usize = 64;
    match bytes.len() {
        0..=MOST => hex::encode_upper(bytes),
        all => format!("{}… ({all} bytes)", hex::encode_upper(&bytes[..MOST])),
    }
}
