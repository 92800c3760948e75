//! DER writer: nested data objects in one buffer, lengths patched in when a level closes.
//! X.690 §10.1 (shortest definite lengths).

use super::{Tag, bits_value, boolean_value, uint_value};
use alloc::vec::Vec;

/// Bytes of a tag.
#[must_use]
pub const fn tag_len(tag: Tag) -> usize {
    match tag {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        0x1_0000..=0xFF_FFFF => 3,
        _ => 4,
    }
}

/// Bytes of the length field of a value of `value_len` bytes.
#[must_use]
pub const fn length_len(value_len: usize) -> usize {
    match value_len {
        0..=0x7F => 1,
        0x80..=0xFF => 2,
        0x100..=0xFFFF => 3,
        0x1_0000..=0xFF_FFFF => 4,
        _ => 5,
    }
}

/// Bytes of a whole data object.
#[must_use]
pub const fn tlv_len(tag: Tag, value_len: usize) -> usize {
    tag_len(tag) + length_len(value_len) + value_len
}

/// Writes data objects into a growing buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new() }
    }

    /// An empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            buf: Vec::with_capacity(capacity),
        }
    }

    /// The bytes written.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    /// The bytes written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    fn put_tag(&mut self, tag: Tag) {
        let bytes = tag.to_be_bytes();
        self.buf.extend_from_slice(&bytes[4 - tag_len(tag)..]);
    }

    /// Writes only tag and length (the value follows by other means, e.g. streamed).
    pub fn header(&mut self, tag: Tag, value_len: usize) -> &mut Self {
        self.put_tag(tag);
        let n = length_len(value_len);
        if n == 1 {
            self.buf.push(value_len as u8);
        } else {
            self.buf.push(0x80 | (n - 1) as u8);
            let bytes = (value_len as u32).to_be_bytes();
            self.buf.extend_from_slice(&bytes[4 - (n - 1)..]);
        }
        self
    }

    /// Writes a data object with this value.
    pub fn primitive(&mut self, tag: Tag, value: &[u8]) -> &mut Self {
        self.header(tag, value.len());
        self.buf.extend_from_slice(value);
        self
    }

    /// Writes bytes that are data objects already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(bytes);
        self
    }

    /// Writes a data object whose value `fill` writes.
    pub fn constructed(&mut self, tag: Tag, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.put_tag(tag);
        let length_at = self.buf.len();
        self.buf.push(0);
        fill(self);
        let value_len = self.buf.len() - length_at - 1;
        let n = length_len(value_len);
        if n == 1 {
            self.buf[length_at] = value_len as u8;
        } else {
            let bytes = (value_len as u32).to_be_bytes();
            self.buf[length_at] = 0x80 | (n - 1) as u8;
            let at = length_at + 1;
            self.buf
                .splice(at..at, bytes[4 - (n - 1)..].iter().copied());
        }
        self
    }

    /// Writes a non-negative INTEGER under this tag.
    pub fn uint(&mut self, tag: Tag, number: u64) -> &mut Self {
        self.primitive(tag, &uint_value(number))
    }

    /// Writes a BOOLEAN under this tag.
    pub fn boolean(&mut self, tag: Tag, value: bool) -> &mut Self {
        self.primitive(tag, &boolean_value(value))
    }

    /// Writes a named BIT STRING under this tag; ASN.1 bit 0 is bit 31 of `bits`.
    pub fn bits(&mut self, tag: Tag, bits: u32) -> &mut Self {
        self.primitive(tag, &bits_value(bits))
    }

    /// Writes a data object when there is a value.
    pub fn optional(&mut self, tag: Tag, value: Option<&[u8]>) -> &mut Self {
        if let Some(value) = value {
            self.primitive(tag, value);
        }
        self
    }
}

impl From<Writer> for Vec<u8> {
    fn from(w: Writer) -> Self {
        w.into_vec()
    }
}
