//! EID of an eUICC: 32 digits whose last two check the rest (SGP.29, SGP.02 §2.2.2).
//! Used wherever a card or a vehicle is named; a vehicle certificate carries it as common name.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// EID: 32 decimal digits, read as a number 1 modulo 97.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Eid([u8; 32]);

/// A text that is no EID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EidError {
    /// Not 32 ASCII digits.
    #[error("an EID has 32 digits, got {0} characters or a non-digit")]
    Form(usize),
    /// The check digits do not fit.
    #[error(
        "the check digits of this EID are wrong (modulo 97 is {0} instead of 1): a digit is mistyped"
    )]
    CheckDigits(u32),
}

impl Eid {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The 16 bytes of the eUICC's data objects: two digits each, high nibble first (SGP.22 §4.3).
    #[must_use]
    pub fn to_bcd(&self) -> [u8; 16] {
        let mut out = [0; 16];
        for (byte, pair) in out.iter_mut().zip(self.0.chunks_exact(2)) {
            *byte = (pair[0] - b'0') << 4 | (pair[1] - b'0');
        }
        out
    }

    /// Reads the 16 bytes of the eUICC's data objects.
    ///
    /// # Errors
    /// Not 16 bytes, a nibble that is no digit, or wrong check digits.
    pub fn from_bcd(bytes: &[u8]) -> Result<Self, EidError> {
        let digits: Vec<u8> = bytes
            .iter()
            .take(17)
            .flat_map(|b| [b >> 4, b & 15])
            .map(|n| if n < 10 { b'0' + n } else { b'?' })
            .collect();
        Self::from_digits(&digits)
    }

    fn from_digits(digits: &[u8]) -> Result<Self, EidError> {
        let wrong = EidError::Form(digits.len());
        let digits: [u8; 32] = digits.try_into().map_err(|_| wrong.clone())?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(wrong);
        }
        let rest = modulo_97(&digits);
        if rest == 1 {
            Ok(Self(digits))
        } else {
            Err(EidError::CheckDigits(rest))
        }
    }

    /// Makes the EID whose first 30 digits are given, by adding the check digits.
    ///
    /// # Errors
    /// Not 30 digits.
    pub fn with_check_digits(first: &str) -> Result<Self, EidError> {
        let mut digits = [b'0'; 32];
        let given = first.as_bytes();
        if given.len() != 30 || !given.iter().all(u8::is_ascii_digit) {
            return Err(EidError::Form(given.len()));
        }
        digits[..30].copy_from_slice(given);
        let check = 98 - modulo_97(&digits);
        digits[30] = b'0' + (check / 10) as u8;
        digits[31] = b'0' + (check % 10) as u8;
        Ok(Self(digits))
    }
}

fn modulo_97(digits: &[u8]) -> u32 {
    digits
        .iter()
        .fold(0, |rest, d| (rest * 10 + u32::from(d - b'0')) % 97)
}

impl FromStr for Eid {
    type Err = EidError;
    fn from_str(text: &str) -> Result<Self, EidError> {
        if text.is_ascii() {
            Self::from_digits(text.as_bytes())
        } else {
            Err(EidError::Form(text.chars().count()))
        }
    }
}

impl TryFrom<String> for Eid {
    type Error = EidError;
    fn try_from(text: String) -> Result<Self, EidError> {
        text.parse()
    }
}

impl From<Eid> for String {
    fn from(eid: Eid) -> Self {
        Self::from(eid.as_str())
    }
}

impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
