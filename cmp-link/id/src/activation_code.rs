//! Activation code: where an LPA gets a profile and which (SGP.22 §4.1, AID.02 §1.3).
//! `1$address$matchingID[$OID][$1]`, with `LPA:` in front where it was a QR code.
//! Made by the MSP, passed by the CMP, used by the LPA.

use alloc::string::{String, ToString as _};
use core::{fmt, str::FromStr};

/// Longest activation code, characters (SGP.22 §4.1).
pub const MAX_ACTIVATION_CODE: usize = 255;

/// A parsed activation code. `Debug` hides the matching id: with it anybody who has the card
/// could fetch the profile.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationCode {
    pub(crate) address: String,
    pub(crate) matching_id: String,
    pub(crate) oid: Option<String>,
    pub(crate) confirmation_code: bool,
}

/// A text that is no activation code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActivationCodeError {
    /// Over the limit.
    #[error("an activation code has at most {MAX_ACTIVATION_CODE} characters, got {0}")]
    TooLong(usize),
    /// Not format 1.
    #[error("an activation code begins with \"1$\" (SGP.22 §4.1, format 1)")]
    Format,
    /// Fewer than three or more than five fields.
    #[error("an activation code has three to five fields separated by $, got {0}")]
    Fields(usize),
    /// The address is no host name.
    #[error(
        "the SM-DP+ address of the activation code must be a host name, with a port where needed"
    )]
    Address,
    /// The matching id has other characters.
    #[error("the matching id of an activation code has only 0-9, A-Z and -")]
    MatchingId,
    /// The OID is none.
    #[error("the fourth field of an activation code is an object identifier such as 1.3.6.1")]
    Oid,
    /// The flag is neither absent nor 1.
    #[error("the fifth field of an activation code is absent or 1")]
    Flag,
}

impl ActivationCode {
    /// Makes a code from its parts.
    ///
    /// # Errors
    /// A part that SGP.22 §4.1 does not allow, or too long together.
    pub fn new(
        address: &str,
        matching_id: &str,
        oid: Option<&str>,
        confirmation_code: bool,
    ) -> Result<Self, ActivationCodeError> {
        let code = Self {
            address: address.into(),
            matching_id: matching_id.into(),
            oid: oid.map(Into::into),
            confirmation_code,
        };
        code.to_string().parse()
    }

    /// The same code with the matching id in capitals, where that is another one: SGP.22 §4.1 has capitals only, people
    /// and their programs write small letters.
    #[must_use]
    pub fn in_capitals(&self) -> Option<Self> {
        let matching_id = self.matching_id.to_ascii_uppercase();
        (matching_id != self.matching_id).then(|| Self {
            matching_id,
            ..self.clone()
        })
    }

    /// The SM-DP+ address: `host` or `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The matching id, which may be empty.
    #[must_use]
    pub fn matching_id(&self) -> &str {
        &self.matching_id
    }

    /// The SM-DP+ OID that its certificate must carry, where the code says so.
    #[must_use]
    pub fn oid(&self) -> Option<&str> {
        self.oid.as_deref()
    }

    /// Whether the user has to type a confirmation code.
    #[must_use]
    pub fn confirmation_code_required(&self) -> bool {
        self.confirmation_code
    }
}

impl FromStr for ActivationCode {
    type Err = ActivationCodeError;
    fn from_str(text: &str) -> Result<Self, ActivationCodeError> {
        let text = text.strip_prefix("LPA:").unwrap_or(text);
        if text.len() > MAX_ACTIVATION_CODE {
            return Err(ActivationCodeError::TooLong(text.len()));
        }
        let body = text.strip_prefix("1$").ok_or(ActivationCodeError::Format)?;
        let count = body.split('$').count() + 1;
        let mut fields = body.split('$');
        let (Some(address), Some(matching_id)) = (fields.next(), fields.next()) else {
            return Err(ActivationCodeError::Fields(count));
        };
        let (oid, flag) = (fields.next(), fields.next());
        if fields.next().is_some() {
            return Err(ActivationCodeError::Fields(count));
        }
        if !is_address(address) {
            return Err(ActivationCodeError::Address);
        }
        let allowed = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase() || b == b'-';
        if !matching_id.bytes().all(allowed) {
            return Err(ActivationCodeError::MatchingId);
        }
        // Real codes carry an empty OID before the flag (`$$1`), and empty ends.
        let oid = oid.filter(|oid| !oid.is_empty());
        if oid.is_some_and(|oid| !is_oid(oid)) {
            return Err(ActivationCodeError::Oid);
        }
        let confirmation_code = match flag {
            None | Some("") => false,
            Some("1") => true,
            Some(_) => return Err(ActivationCodeError::Flag),
        };
        Ok(Self {
            address: address.into(),
            matching_id: matching_id.into(),
            oid: oid.map(Into::into),
            confirmation_code,
        })
    }
}

/// A host name with an optional port; no scheme, path, user or literal IP address, so that a code
/// can't send the LPA anywhere else.
fn is_address(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(h, p)| (h, Some(p)));
    let port_ok = port.is_none_or(|p| {
        p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok_and(|n| n != 0)
    });
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let last_is_name = host
        .rsplit('.')
        .next()
        .is_some_and(|l| !l.bytes().all(|b| b.is_ascii_digit()));
    port_ok && host.len() <= 253 && last_is_name && host.split('.').all(label)
}

/// `1.3.6.1`: at least two arcs of digits, without leading zeros.
pub(crate) fn is_oid(text: &str) -> bool {
    let arc = |a: &str| {
        !a.is_empty()
            && a.bytes().all(|b| b.is_ascii_digit())
            && (a.len() == 1 || !a.starts_with('0'))
    };
    let first = text.split('.').next();
    matches!(first, Some("0" | "1" | "2"))
        && text.split('.').count() >= 2
        && text.split('.').all(arc)
}

impl fmt::Display for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1${}${}", self.address, self.matching_id)?;
        if self.oid.is_some() || self.confirmation_code {
            write!(f, "${}", self.oid.as_deref().unwrap_or_default())?;
        }
        if self.confirmation_code {
            f.write_str("$1")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.matching_id.len();
        write!(f, "1${}$<{length} characters>", self.address)
    }
}
