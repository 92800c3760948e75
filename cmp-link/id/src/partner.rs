//! Which client certificates a partner proves itself with over mutual TLS. That the CA of a listener issued a
//! certificate says who holds it; whether the holder may come in is for an explicit list to say.
//! Used by every interface with mutual TLS: AID1 (AID.02 §5.1, §6), ES2+ (SGP.22 §6.5), the admin listeners.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Maximum number of values of one kind: the present one, the next one, and room for a mistake.
pub const MAX_VALUES: usize = 4;

/// A text or a list of texts, as a configuration has them; the first is the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Several(Vec<String>);

impl Several {
    /// The texts, the first being the newest.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<String>> for Several {
    fn from(texts: Vec<String>) -> Self {
        Self(texts)
    }
}

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text, or a list of 1 to 4 texts")]
        enum Form {
            One(String),
            More(Vec<String>),
        }
        let list = match Form::deserialize(deserializer)? {
            Form::One(text) => vec![text],
            Form::More(list) => list,
        };
        if (1..=MAX_VALUES).contains(&list.len()) {
            Ok(Self(list))
        } else {
            let got = list.len();
            Err(de::Error::custom(format_args!(
                "a list has 1 to {MAX_VALUES} texts, this one {got}"
            )))
        }
    }
}

/// One thing by which a client certificate is recognised, besides being issued by the configured CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// The common name of its subject.
    CommonName(String),
    /// The SHA-256 of the whole certificate.
    Sha256([u8; 32]),
}

/// The client certificate that TLS verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The common name of its subject, if it has one.
    pub common_name: Option<&'a str>,
    /// SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
}

/// Whether a list of a partner's certificates admits this one. Where the list has common names, the certificate's
/// must be among them; where it has hashes, the certificate's must be among those; where it has both, both must be, so
/// that a hash pins the certificate and a name issued by another CA does not pass. An empty list admits no one.
#[must_use]
pub fn admits(accepted: &[Certificate], shown: Shown<'_>) -> bool {
    let (mut name, mut hash) = (None, None);
    for one in accepted {
        match one {
            Certificate::CommonName(own) => {
                *name.get_or_insert(false) |= shown.common_name == Some(own);
            }
            Certificate::Sha256(own) => *hash.get_or_insert(false) |= shown.sha256 == *own,
        }
    }
    !accepted.is_empty() && name.unwrap_or(true) && hash.unwrap_or(true)
}

/// The client certificates of a partner as a configuration names them: `common_name`, and `certificate_sha256` in
/// hexadecimal digits (colons allowed, as `openssl x509 -fingerprint -sha256` prints them). None of both admits no one.
///
/// # Errors
/// A value that no certificate can have, with the key that it stands under.
pub fn certificates(
    common_name: &Several,
    certificate_sha256: &Several,
) -> Result<Vec<Certificate>, String> {
    let names = common_name.iter().map(|name| {
        if name.is_empty() || name.trim() != name || name.chars().any(char::is_control) {
            return Err(format!(
                "common_name {name:?} names nobody; write the common name of the certificate, without spaces around it"
            ));
        }
        Ok(Certificate::CommonName(name.to_owned()))
    });
    let hashes = certificate_sha256.iter().map(|text| {
        let hash = fingerprint(text).ok_or_else(|| {
            format!(
                "certificate_sha256 {text:?} is malformed; write 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` does"
            )
        })?;
        // Stands for "no certificate" where TLS did not ask for one.
        if hash == [0; 32] {
            return Err("certificate_sha256: zeros name nobody; write the SHA-256 of the certificate".to_owned());
        }
        Ok(Certificate::Sha256(hash))
    });
    names.chain(hashes).collect()
}

/// What two partners' lists have in common, so that one certificate could be taken for both: a hash, or a common name
/// that hashes do not keep apart. None where they are apart.
#[must_use]
pub fn in_common(a: &[Certificate], b: &[Certificate]) -> Option<String> {
    let hashed = |list: &[Certificate]| list.iter().any(|c| matches!(c, Certificate::Sha256(_)));
    let apart = hashed(a) && hashed(b);
    a.iter()
        .filter(|one| b.contains(one))
        .find_map(|one| match one {
            Certificate::Sha256(hash) => {
                let mut text = "certificate_sha256 ".to_owned();
                for byte in hash {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "{byte:02X}");
                }
                Some(text)
            }
            Certificate::CommonName(name) => (!apart).then(|| format!("common_name {name:?}")),
        })
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let mut out = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
