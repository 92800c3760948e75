//! Identifiers as the core needs them: copied freely, ordered, never a bare string.
//! Used by every module of this crate.

use alloc::string::String;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// A 16-byte identifier of a message, login, request or order (a UUID's bytes).
pub type Id = [u8; 16];

/// The CMP's reference of a user account, 16 bytes; says nothing about the person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AccountRef(pub Id);

/// ICCID of a profile: 18 to 22 ASCII digits (ITU-T E.118 as SGP.22 has it).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Iccid(String);

/// A text that is no ICCID.
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
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that must not reach a log: a PIN or an activation code. `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// Gives the text to those who need it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} characters>", self.0.len())
    }
}
