//! RSP certificates (X.509 profile of SGP.22 §4.5.2.1) and their path validation (§4.5.2.2).
//! [`Certificate`] parses and keeps the DER, [`TrustAnchor`] is a GSMA CI that vouches for SM-DP+
//! and eUICC certificates.

mod anchor;
mod certificate;
mod crl;
mod error;
mod extensions;
mod name;
mod role;
mod signature;
mod time;

pub use anchor::TrustAnchor;
pub use certificate::Certificate;
pub use crl::{CrlError, MAX_CRL_LEN, RevocationList, Revoked};
pub use error::CertError;
pub use extensions::{KEY_USAGE_CERT_SIGN, KEY_USAGE_CRL_SIGN, KEY_USAGE_DIGITAL_SIGNATURE};
pub use name::Name;
pub use role::Role;
pub use signature::{signature_from_der, signature_to_der};
pub use time::{time_from_tlv, time_to_der};

/// Longest certificate accepted, in bytes (SGP.26 ones have 450 to 800).
pub const MAX_CERT_LEN: usize = 4096;

/// ecdsa-with-SHA256, the only signature algorithm (RFC 5758 §3.2; SGP.22 §4.5.2.1).
pub(crate) const ECDSA_SHA256: [u8; 12] = [
    0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02,
];

/// Attribute types and extension ids as DER contents octets.
pub(crate) mod oid {
    /// commonName.
    pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    /// serialNumber.
    pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
    /// countryName.
    #[cfg(feature = "mint")]
    pub(crate) const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
    /// organizationName.
    pub(crate) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0A];
    /// subjectKeyIdentifier.
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1D, 0x0E];
    /// keyUsage.
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
    /// subjectAltName.
    pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
    /// basicConstraints.
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
    /// nameConstraints.
    pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x1E];
    /// cRLNumber.
    pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1D, 0x14];
    /// reasonCode of an entry.
    pub(crate) const CRL_REASON: &[u8] = &[0x55, 0x1D, 0x15];
    /// deltaCRLIndicator.
    pub(crate) const DELTA_CRL: &[u8] = &[0x55, 0x1D, 0x1B];
    /// issuingDistributionPoint.
    pub(crate) const ISSUING_POINT: &[u8] = &[0x55, 0x1D, 0x1C];
    /// id-rsp-expDate, 2.23.146.1.2.0.1.
    pub(crate) const RSP_EXPIRATION: &[u8] = &[0x67, 0x81, 0x12, 0x01, 0x02, 0x00, 0x01];
    /// id-rsp-totalPartialCrlNumber, 2.23.146.1.2.0.2.
    pub(crate) const RSP_TOTAL_PARTIAL_CRL: &[u8] = &[0x67, 0x81, 0x12, 0x01, 0x02, 0x00, 0x02];
    /// id-rsp-partialCrlNumber, 2.23.146.1.2.0.3.
    pub(crate) const RSP_PARTIAL_CRL: &[u8] = &[0x67, 0x81, 0x12, 0x01, 0x02, 0x00, 0x03];
    /// cRLDistributionPoints.
    pub(crate) const CRL_POINTS: &[u8] = &[0x55, 0x1D, 0x1F];
    /// certificatePolicies.
    pub(crate) const POLICIES: &[u8] = &[0x55, 0x1D, 0x20];
    /// authorityKeyIdentifier.
    pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1D, 0x23];
    /// extKeyUsage.
    pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25];
    /// id-rsp-extension-permitted-eins, 2.23.146.1.2.2.0 (SGP.22 v3).
    pub(crate) const PERMITTED_EINS: &[u8] = &[0x67, 0x81, 0x12, 0x01, 0x02, 0x02, 0x00];
}

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod tests;
