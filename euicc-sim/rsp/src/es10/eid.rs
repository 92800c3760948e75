//! GetEID: SGP.22 §5.7.20.

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

/// Do the last two digits of an EID fit the others? The whole number is 1 modulo 97 (SGP.29 §2.1, ISO/IEC
/// 7064 MOD 97-10). An EID with a nibble that is no digit never does.
#[must_use]
pub fn eid_check_digits_fit(eid: &[u8; 16]) -> bool {
    let nibbles = eid.iter().flat_map(|b| [b >> 4, b & 0x0F]);
    let remainder = nibbles.map(u32::from).try_fold(0, |sum, digit| {
        (digit < 10).then(|| (sum * 10 + digit) % 97)
    });
    remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_find_every_wrong_digit_and_every_swap() {
        let good = "89049032123451234512345678901235";
        assert!(eid_check_digits_fit(&eid_from_digits(good).unwrap()));
        let fits = |digits: &[u8]| {
            let text = core::str::from_utf8(digits).unwrap();
            eid_check_digits_fit(&eid_from_digits(text).unwrap())
        };
        for at in 0..32 {
            for digit in b'0'..=b'9' {
                let mut digits = good.as_bytes().to_vec();
                let same = digits[at] == digit;
                digits[at] = digit;
                assert_eq!(fits(&digits), same, "{at}");
            }
            let mut digits = good.as_bytes().to_vec();
            if at > 0 && digits[at] != digits[at - 1] {
                digits.swap(at, at - 1);
                assert!(!fits(&digits), "{at}");
            }
        }
        let mut letters = eid_from_digits(good).unwrap();
        letters[15] = 0x3A;
        assert!(!eid_check_digits_fit(&letters));
    }
}
