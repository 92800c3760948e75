//! SAIP unprotected profile packages (TCA eUICC Profile Package 2.3 to 3.3, DER).
//! [`PeSplitter`] cuts a byte stream into profile elements, [`ProfileElement`] types them, [`builder`] makes our own package.

pub mod builder;
mod element;
mod file;
mod header;
mod params;
mod splitter;

#[cfg(test)]
mod tests;

use crate::tlv::{Reader, Tag, Tlv, TlvError};
pub use element::{PeHeader, PeKind, ProfileElement, elements};
pub use file::{Fcp, FileCommand, FilePe, GfmCommand, Proprietary};
pub use header::{ProfileHeader, service_name};
pub use params::{
    AkaAlgorithm, AkaConfiguration, AkaParameter, AlgoParameter, PinCodes, PinConfiguration,
    PukConfiguration,
};
pub use splitter::PeSplitter;

/// Largest profile element accepted, in bytes (a load block may be long).
pub const MAX_PE_LEN: usize = 512 * 1024;

/// Why bytes are not a SAIP profile package. Offsets count from the first byte of the package, or
/// of the profile element when that alone was parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaipError {
    /// The encoding is broken.
    #[error("not a SAIP profile package: at offset {offset}: {source}")]
    Tlv {
        /// Byte position.
        offset: usize,
        /// What the TLV layer found.
        source: TlvError,
    },
    /// Something else was due here.
    #[error("not a SAIP profile package: at offset {offset}: expected {expected}, got tag {got:X}")]
    Unexpected {
        /// Byte position.
        offset: usize,
        /// What was due.
        expected: &'static str,
        /// The tag that was there.
        got: Tag,
    },
    /// A value is out of its range.
    #[error("at offset {offset}: bad {what}: {got} bytes")]
    BadValue {
        /// Byte position.
        offset: usize,
        /// The field.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
    },
    /// A mandatory field is missing.
    #[error("{what} is missing")]
    Missing {
        /// The field.
        what: &'static str,
    },
    /// A profile element is larger than accepted.
    #[error("profile element at offset {offset} has {got} bytes, at most {max} are accepted")]
    TooLong {
        /// Byte position.
        offset: usize,
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The package ends inside a profile element or before the End element.
    #[error("the profile package ends early, at offset {offset}: {expected} was due")]
    Truncated {
        /// Byte position of the end.
        offset: usize,
        /// What was due.
        expected: &'static str,
    },
}

/// The number of a context tag (`A0` → 0, `BF1F` → 31); `None` for other classes.
pub(crate) fn context_number(tag: Tag) -> Option<u32> {
    match tag {
        0x80..=0xBF if tag & 0x1F != 0x1F => Some(tag & 0x1F),
        0x9F00..=0x9F7F | 0xBF00..=0xBF7F => Some(tag & 0x7F),
        _ => None,
    }
}

/// The children of a data object with a SAIP error for a broken encoding.
pub(crate) fn each<'a>(
    value: &'a [u8],
    base: usize,
    mut visit: impl FnMut(Tlv<'a>, usize) -> Result<(), SaipError>,
) -> Result<(), SaipError> {
    let mut reader = Reader::new(value);
    loop {
        let offset = base + value.len() - reader.rest().len();
        match reader.read() {
            Ok(Some(tlv)) => visit(tlv, offset)?,
            Ok(None) => return Ok(()),
            Err(source) => return Err(SaipError::Tlv { offset, source }),
        }
    }
}

/// A value of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(
    tlv: &Tlv<'_>,
    offset: usize,
    what: &'static str,
) -> Result<[u8; N], SaipError> {
    tlv.value.try_into().map_err(|_| SaipError::BadValue {
        offset,
        what,
        got: tlv.value.len(),
    })
}

/// A non-negative INTEGER of at most `max`.
pub(crate) fn number(
    tlv: &Tlv<'_>,
    offset: usize,
    max: u64,
    what: &'static str,
) -> Result<u64, SaipError> {
    match tlv.uint() {
        Ok(n) if n <= max => Ok(n),
        _ => Err(SaipError::BadValue {
            offset,
            what,
            got: tlv.value.len(),
        }),
    }
}
