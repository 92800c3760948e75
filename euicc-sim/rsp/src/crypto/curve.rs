//! The elliptic curves of SGP.22 §2.6.7.1 (Annex of approved parameters): NIST P-256 and
//! brainpoolP256r1. Both have 32-byte scalars and coordinates.

use crate::tlv::{Tlv, universal};
use core::fmt;

/// A curve that keys can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Curve {
    /// NIST P-256 (secp256r1, prime256v1).
    #[default]
    NistP256,
    /// brainpoolP256r1 (RFC 5639 §3.4).
    BrainpoolP256r1,
}

/// id-ecPublicKey with prime256v1 (RFC 5480 §2.1.1).
const NIST_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48,
    0xCE, 0x3D, 0x03, 0x01, 0x07,
];

/// id-ecPublicKey with brainpoolP256r1, 1.3.36.3.3.2.8.1.1.7 (RFC 5639 §4.1).
const BRAINPOOL_P256R1: &[u8] = &[
    0x30, 0x14, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x09, 0x2B, 0x24, 0x03,
    0x03, 0x02, 0x08, 0x01, 0x01, 0x07,
];

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 2] = [Self::NistP256, Self::BrainpoolP256r1];

    /// AlgorithmIdentifier of a key on this curve, DER.
    #[must_use]
    pub const fn algorithm(self) -> &'static [u8] {
        match self {
            Self::NistP256 => NIST_P256,
            Self::BrainpoolP256r1 => BRAINPOOL_P256R1,
        }
    }

    /// The curve's object identifier as a data object (namedCurve of ECParameters).
    #[must_use]
    pub fn parameters(self) -> &'static [u8] {
        &self.algorithm()[11..]
    }

    /// The curve of an AlgorithmIdentifier; `None` for any other.
    #[must_use]
    pub fn from_algorithm(der: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.algorithm() == der)
    }

    /// The curve of ECParameters; `None` for any other.
    #[must_use]
    pub fn from_parameters(der: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.parameters() == der)
    }

    /// The curve that a SubjectPublicKeyInfo names; `None` for any other, or another kind of key.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Option<Self> {
        let key = Tlv::parse_tag(spki, universal::SEQUENCE).ok()?;
        let algorithm = key.children().expect(universal::SEQUENCE).ok()?;
        Self::from_algorithm(algorithm.raw)
    }

    /// The letters that file names of SGP.26 end with.
    #[must_use]
    pub const fn file_suffix(self) -> &'static str {
        match self {
            Self::NistP256 => "NIST",
            Self::BrainpoolP256r1 => "BRP",
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NistP256 => "NIST P-256",
            Self::BrainpoolP256r1 => "brainpoolP256r1",
        })
    }
}
