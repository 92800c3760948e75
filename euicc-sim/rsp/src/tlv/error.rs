//! What can be wrong with a data object: one variant per violation, with expected and got.

use super::Tag;

/// Why bytes are not the data object they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// The input ends inside a tag, a length or a value.
    #[error("data object cut short: {needed} more bytes needed, {got} left")]
    Truncated {
        /// Bytes that are missing from this point on (at least).
        needed: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// Length byte 0x80, or a length of more than four bytes.
    #[error("length form 0x{got:02X} not allowed (definite, at most 4 bytes)")]
    LengthForm {
        /// First length byte.
        got: u8,
    },
    /// A tag of more than three bytes.
    #[error("tag of more than 3 bytes")]
    TagTooLong,
    /// Another data object than the one that belongs here.
    #[error("tag {got:X} where {expected:X} was expected")]
    UnexpectedTag {
        /// The tag the syntax asks for.
        expected: Tag,
        /// The tag that is there.
        got: Tag,
    },
    /// A mandatory data object is absent.
    #[error("data object {expected:X} missing")]
    Missing {
        /// The tag the syntax asks for.
        expected: Tag,
    },
    /// Bytes follow the data object.
    #[error("{count} bytes after the end of the data object")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The value of a data object is outside its type.
    #[error("value of data object {tag:X}: {reason}")]
    Value {
        /// The tag of the data object.
        tag: Tag,
        /// What the value violates.
        reason: &'static str,
    },
    /// Data objects are nested deeper than [`super::MAX_DEPTH`].
    #[error("data objects nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
}
