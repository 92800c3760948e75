//! Kinds of files, and what is in them before a package fills something in.
//! TCA eUICC Profile Package Annex A; ETSI TS 102 222 (filling pattern).

use alloc::{vec, vec::Vec};

/// What kind of file, and how large: 0 is for the package to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// MF, DF or ADF.
    Dir,
    /// Transparent, with its size.
    T(u16),
    /// Linear fixed: records, length of each.
    L(u8, u8),
    /// Cyclic: records, length of each.
    C(u8, u8),
    /// BER-TLV.
    B,
}

/// What is in a file, or in each record, before the package fills something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// These bytes, the last one repeated.
    Fill(&'static [u8]),
    /// These bytes again and again.
    Repeat(&'static [u8]),
    /// The first ones with the last of them repeated, and the second ones at the end.
    Ends(&'static [u8], &'static [u8]),
}

impl Pattern {
    /// `len` bytes of it.
    pub(super) fn bytes(self, len: usize) -> Vec<u8> {
        match self {
            Self::Fill(head) => fill(head, len),
            Self::Repeat(unit) => unit.iter().copied().cycle().take(len).collect(),
            Self::Ends(head, tail) => {
                let mut bytes = fill(head, len.saturating_sub(tail.len()));
                bytes.extend_from_slice(tail);
                bytes.truncate(len);
                bytes
            }
        }
    }
}

/// The bytes with the last one repeated (ETSI TS 102 222, filling pattern).
pub(super) fn fill(head: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![head.last().copied().unwrap_or(0xFF); len];
    for (slot, b) in bytes.iter_mut().zip(head) {
        *slot = *b;
    }
    bytes
}
