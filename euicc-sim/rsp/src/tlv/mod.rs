//! BER-TLV with definite lengths: a borrowing [`Reader`] and a back-patching [`Writer`].
//! ITU-T X.690 §8 as SGP.22 uses it (DER when writing, any definite length when reading).

mod error;
mod reader;
mod value;
mod writer;

pub use error::TlvError;
pub use reader::{Header, MAX_DEPTH, Reader, Tlv, parse_header, validate};
pub use value::{bits_from, bits_value, boolean_value, uint_from, uint_value};
pub use writer::{Writer, length_len, tag_len, tlv_len};

/// A BER tag as its bytes read as a big-endian number: `0x5A`, `0x5F37`, `0xBF38`.
pub type Tag = u32;

/// Universal tags in use.
pub mod universal {
    use super::Tag;
    /// BOOLEAN.
    pub const BOOLEAN: Tag = 0x01;
    /// INTEGER.
    pub const INTEGER: Tag = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: Tag = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: Tag = 0x04;
    /// NULL.
    pub const NULL: Tag = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: Tag = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: Tag = 0x0C;
    /// SEQUENCE, SEQUENCE OF.
    pub const SEQUENCE: Tag = 0x30;
    /// SET, SET OF.
    pub const SET: Tag = 0x31;
}

#[cfg(test)]
mod tests;
