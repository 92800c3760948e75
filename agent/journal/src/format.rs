//! Bytes of a segment: one header sector, then records, each starting on a sector boundary.
//! `docs/journal/format.md` is the book; pure functions, called by `Journal`.
//!
//! Records start on sector boundaries so that a sector that is being written when power fails
//! never holds a byte that was acknowledged before.

use crate::crc::crc32c;
use alloc::vec::Vec;

/// Unit in which storage tears, bytes.
pub const SECTOR: usize = 512;
/// First bytes of a segment.
pub const MAGIC: [u8; 4] = *b"AIDJ";
/// Format version in the segment header.
pub const VERSION: u16 = 1;
/// Length of a segment header, bytes; the rest of its sector is zero.
pub const SEGMENT_HEADER: usize = 28;
/// Length of a record header, bytes.
pub const RECORD_HEADER: usize = 20;
/// Largest payload of a record, bytes.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// First sector of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// True when the first record is a snapshot that replaces everything before it.
    pub snapshot: bool,
    /// Number of the segment (its file name says the same).
    pub segment: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
}

impl SegmentHeader {
    /// The header sector.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SECTOR);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u16::from(self.snapshot).to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32c(&[&out]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(SECTOR, 0);
        out
    }

    /// Parses a header sector; `None` when it is not one of this version.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..SEGMENT_HEADER)?;
        let flags = u16::from_le_bytes(header[6..8].try_into().ok()?);
        let ok = header[..4] == MAGIC
            && header[4..6] == VERSION.to_le_bytes()
            && header[24..28] == crc32c(&[&header[..24]]).to_le_bytes()
            && flags <= 1;
        ok.then_some(Self {
            snapshot: flags == 1,
            segment: u64::from_le_bytes(header[8..16].try_into().ok()?),
            first_sequence: u64::from_le_bytes(header[16..24].try_into().ok()?),
        })
    }
}

/// A record as it lies in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Counts records without a gap since the log was made.
    pub sequence: u64,
    /// Counts openings of the log: a record of an earlier life is not taken for one of this.
    pub epoch: u32,
    /// What the writer gave.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// `[len, crc32c, sequence, epoch, payload]`, little endian, padded to whole sectors.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let len = (self.payload.len() as u32).to_le_bytes();
        let sequence = self.sequence.to_le_bytes();
        let epoch = self.epoch.to_le_bytes();
        let crc = crc32c(&[&len, &sequence, &epoch, self.payload]);
        let mut out = Vec::with_capacity(padded(self.payload.len()));
        out.extend_from_slice(&len);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&sequence);
        out.extend_from_slice(&epoch);
        out.extend_from_slice(self.payload);
        out.resize(padded(self.payload.len()), 0);
        out
    }

    /// The record at the start of `bytes`; `None` when there is no whole one.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER)?;
        let len = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
        if len == 0 || len > MAX_PAYLOAD {
            return None;
        }
        let payload = bytes.get(RECORD_HEADER..RECORD_HEADER + len)?;
        let crc = crc32c(&[&header[..4], &header[8..], payload]);
        (header[4..8] == crc.to_le_bytes()).then_some(Self {
            sequence: u64::from_le_bytes(header[8..16].try_into().ok()?),
            epoch: u32::from_le_bytes(header[16..20].try_into().ok()?),
            payload,
        })
    }
}

/// Bytes that a record with a payload of `len` bytes takes in a segment.
#[must_use]
pub const fn padded(len: usize) -> usize {
    (RECORD_HEADER + len).div_ceil(SECTOR) * SECTOR
}
