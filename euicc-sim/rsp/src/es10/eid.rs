//! GetEID: SGP.22 §5.7.20. Called by card and LPA.

use super::object::DataObject;
use super::tag;
use crate::tlv::{Reader, Tag, TlvError, Writer};
use alloc::string::String;

/// GetEuiccDataRequest for the EID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetEuiccDataRequest;

impl DataObject for GetEuiccDataRequest {
    const TAG: Tag = 0xBF3E;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(tag::TAG_LIST, &[0x5A]);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        match r.expect(tag::TAG_LIST)?.array()? {
            [0x5A] => Ok(Self),
            _ => Err(TlvError::Value {
                tag: tag::TAG_LIST,
                reason: "only the EID (5A) can be asked for",
            }),
        }
    }
}

/// GetEuiccDataResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetEuiccDataResponse {
    /// The EID, two digits a byte.
    pub eid: [u8; 16],
}

impl DataObject for GetEuiccDataResponse {
    const TAG: Tag = 0xBF3E;
    fn write_value(&self, w: &mut Writer) {
        w.primitive(0x5A, &self.eid);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(Self {
            eid: r.expect(0x5A)?.array()?,
        })
    }
}

/// The 32 digits of an EID; a nibble that is no digit shows as its hexadecimal letter.
#[must_use]
pub fn eid_digits(eid: &[u8; 16]) -> String {
    eid.iter()
        .flat_map(|b| [b >> 4, b & 0x0F])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// The 16 bytes of an EID of 32 digits.
#[must_use]
pub fn eid_from_digits(digits: &str) -> Option<[u8; 16]> {
    let bytes = digits.as_bytes();
    if bytes.len() != 32 || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(core::array::from_fn(|i| {
        (bytes[2 * i] - b'0') << 4 | (bytes[2 * i + 1] - b'0')
    }))
}
