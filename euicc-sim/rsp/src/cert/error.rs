//! What can be wrong with a certificate or its path: one variant per violation.
//! The card and the SM-DP+ map it to their error codes (SGP.22 §5.6, §5.7).

use super::Role;
use crate::{crypto::CryptoError, tlv::TlvError};
use alloc::string::String;

/// Why a certificate is not usable, or not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// Longer than [`super::MAX_CERT_LEN`].
    #[error("certificate has {got} bytes, at most {max} are accepted")]
    TooLong {
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The encoding is broken.
    #[error("certificate is damaged: {0}")]
    Encoding(#[from] TlvError),
    /// Not an X.509 version 3 certificate.
    #[error("not a version 3 certificate")]
    Version,
    /// Another signature algorithm than ecdsa-with-SHA256, or two different ones.
    #[error("signature algorithm is not ecdsa-with-SHA256")]
    SignatureAlgorithm,
    /// The public key is on no curve that is supported.
    #[error("public key is not on NIST P-256 or brainpoolP256r1")]
    KeyAlgorithm,
    /// A date is not in UTCTime or GeneralizedTime of RFC 5280, or before 1970.
    #[error("validity of the certificate is not readable")]
    Time,
    /// An extension that is critical is not known.
    #[error("critical extension {oid} is not supported")]
    CriticalExtension {
        /// Its object identifier in hexadecimal digits of the contents octets.
        oid: String,
    },
    /// An extension occurs twice.
    #[error("an extension occurs twice")]
    DuplicateExtension,
    /// A mandatory extension is absent.
    #[error("extension {name} is missing")]
    MissingExtension {
        /// Its name.
        name: &'static str,
    },
    /// Issuer name and subject name of the next certificate differ.
    #[error("issuer is not the subject of the certificate above")]
    IssuerMismatch,
    /// AuthorityKeyIdentifier and SubjectKeyIdentifier of the issuer differ.
    #[error("authority key identifier is not the key identifier of the certificate above")]
    KeyIdMismatch,
    /// The signature doesn't verify under the issuer's key.
    #[error("signature of the certificate: {0}")]
    Signature(#[from] CryptoError),
    /// The certificate is not valid yet.
    #[error("certificate is valid from {not_before} only (unix seconds), it is {now}")]
    NotYetValid {
        /// Start of validity, unix seconds.
        not_before: u64,
        /// The time that was given.
        now: u64,
    },
    /// The certificate has expired.
    #[error("certificate expired at {not_after} (unix seconds), it is {now}")]
    Expired {
        /// End of validity, unix seconds.
        not_after: u64,
        /// The time that was given.
        now: u64,
    },
    /// The CI's certificate is not valid now, so that nothing below it can be verified.
    #[error("the CI's certificate is valid from {not_before} to {not_after} only (unix seconds)")]
    CiNotValid {
        /// Start of the CI's validity, unix seconds.
        not_before: u64,
        /// End of the CI's validity, unix seconds.
        not_after: u64,
    },
    /// certificatePolicies doesn't name the role.
    #[error("certificate policy does not name the role {expected}")]
    Role {
        /// The role that was asked for.
        expected: Role,
    },
    /// keyUsage lacks what the role needs.
    #[error("key usage does not allow {needed}")]
    KeyUsage {
        /// The missing usage.
        needed: &'static str,
    },
    /// A certificate that signs others is no CA.
    #[error("certificate is not a CA certificate")]
    NotCa,
    /// An end-entity certificate says that it is a CA.
    #[error("end-entity certificate claims to be a CA")]
    UnexpectedCa,
    /// pathLenConstraint forbids the certificate below.
    #[error("path length constraint does not allow the certificate below")]
    PathLength,
    /// The EUM certificate limits neither IIN nor EIN, or in a way that is not supported.
    #[error("EUM certificate has no usable name constraints (IIN of the EIDs it may certify)")]
    NameConstraintsForm,
    /// The eUICC certificate lies outside what the EUM may certify.
    #[error("eUICC certificate is outside the name constraints of its EUM")]
    NameConstraints,
    /// The eUICC certificate's subject has no EID of 32 digits as serialNumber.
    #[error("subject of the eUICC certificate has no 32-digit EID")]
    Eid,
    /// No trusted CI has this key identifier.
    #[error("no trusted CI has the key identifier that the certificate names")]
    UnknownCi,
}
