//! ICCID of a profile in its one canonical form: the printed digits (AID.02 §5.4, R-5.4-2, R-5.4-3).
//! ITU-T E.118 as SGP.22 has it. Used by every part that names a profile.

use alloc::string::String;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// ICCID of a profile: 18 to 22 ASCII digits (ITU-T E.118 as SGP.22 has it).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Iccid(String);

/// Something that is no ICCID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an ICCID has 18 to 22 digits, got {got} characters or a non-digit")]
pub struct IccidError {
    /// Length of the text, characters.
    pub got: usize,
}

impl Iccid {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 10 bytes of EF.ICCID and SGP.22's `Iccid`: digits swapped in pairs, filled with F.
    /// `None` for the 21 or 22 digits that AID.02 allows and no card can hold.
    #[must_use]
    pub fn to_bcd(&self) -> Option<[u8; 10]> {
        let mut nibbles = [15; 20];
        if self.0.len() > nibbles.len() {
            return None;
        }
        for (nibble, digit) in nibbles.iter_mut().zip(self.0.bytes()) {
            *nibble = digit - b'0';
        }
        let mut out = [0; 10];
        for (byte, pair) in out.iter_mut().zip(nibbles.chunks_exact(2)) {
            *byte = pair[1] << 4 | pair[0];
        }
        Some(out)
    }

    /// Reads the bytes of EF.ICCID or of SGP.22's `Iccid`.
    ///
    /// # Errors
    /// Not 10 bytes, a nibble that is no digit before the filler, or a digit after it.
    pub fn from_bcd(bytes: &[u8]) -> Result<Self, IccidError> {
        let wrong = |got| IccidError { got };
        if bytes.len() != 10 {
            return Err(wrong(bytes.len() * 2));
        }
        let mut text = String::with_capacity(20);
        let mut filler = false;
        for nibble in bytes.iter().flat_map(|b| [b & 15, b >> 4]) {
            match nibble {
                0..=9 if !filler => text.push(char::from(b'0' + nibble)),
                15 => filler = true,
                _ => return Err(wrong(text.len())),
            }
        }
        Self::try_from(text)
    }

    /// Whether the last digit is the Luhn check digit of the others. A hint and no condition:
    /// most of AID.02's own examples fail it (R-5.4-4).
    #[must_use]
    pub fn luhn_ok(&self) -> bool {
        let sum: u32 = (self.0.bytes().rev().enumerate())
            .map(|(i, d)| {
                let d = u32::from(d - b'0') << (i % 2);
                d / 10 + d % 10
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

impl TryFrom<String> for Iccid {
    type Error = IccidError;
    fn try_from(text: String) -> Result<Self, IccidError> {
        let ok = (18..=22).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if ok {
            Ok(Self(text))
        } else {
            Err(IccidError {
                got: text.chars().count(),
            })
        }
    }
}

impl FromStr for Iccid {
    type Err = IccidError;
    fn from_str(text: &str) -> Result<Self, IccidError> {
        Self::try_from(String::from(text))
    }
}

impl From<Iccid> for String {
    fn from(iccid: Iccid) -> Self {
        iccid.0
    }
}

impl fmt::Display for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
