//! MSP token: names a customer of one MSP for the life of the onboarding (AID.02 §5.3).
//! Unique per MSP only, so a CMP keys by MSP and token (R-5.3-2). Used by CMP and MSP.

use alloc::string::String;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// An MSP token: a UUID, compared by its bytes, so upper and lower case are the same (R-5.3-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MspToken([u8; 16]);

/// A text that is no MSP token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an MSP token is a UUID such as 123e4567-e89b-42d3-a456-426614174000, got {got} characters"
)]
pub struct MspTokenError {
    /// Length of the text, characters.
    pub got: usize,
}

impl MspToken {
    /// The token with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for MspToken {
    type Err = MspTokenError;
    fn from_str(text: &str) -> Result<Self, MspTokenError> {
        let wrong = MspTokenError {
            got: text.chars().count(),
        };
        let text = text.as_bytes();
        if text.len() != 36 || [8, 13, 18, 23].iter().any(|&i| text[i] != b'-') {
            return Err(wrong);
        }
        let mut out = [0; 16];
        let mut count = 0;
        for (i, c) in text.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                continue;
            }
            let digit = char::from(*c).to_digit(16).ok_or_else(|| wrong.clone())?;
            out[count / 2] = out[count / 2] << 4 | digit as u8;
            count += 1;
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for MspToken {
    type Error = MspTokenError;
    fn try_from(text: String) -> Result<Self, MspTokenError> {
        text.parse()
    }
}

impl From<MspToken> for String {
    fn from(token: MspToken) -> Self {
        alloc::format!("{token}")
    }
}

impl fmt::Display for MspToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MspToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
