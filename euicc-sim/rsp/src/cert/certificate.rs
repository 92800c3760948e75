//! One certificate: the DER as received, and where its fields lie. X.509 v3, SGP.22 §4.5.2.1.
//! Called wherever a certificate arrives (files, AuthenticateServer, authenticateClient).

use super::extensions::{Extensions, range_in};
use super::{CertError, ECDSA_SHA256, MAX_CERT_LEN, Name, Role, signature_from_der, time_from_tlv};
use crate::crypto::{Crypto, Curve, PublicKey, Signature};
use crate::tlv::{Tlv, universal};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// A parsed certificate. Equality is equality of the DER.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    not_before: u64,
    not_after: u64,
    public_key: PublicKey,
    signature: Signature,
    pub(super) extensions: Extensions,
}

impl Certificate {
    /// Parses the DER of one certificate. The signature is not verified here.
    ///
    /// # Errors
    /// [`CertError`] when it is not a version 3 certificate with ecdsa-with-SHA256 and a key on a
    /// [`Curve`],
    /// or has a critical extension that is not known.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        if der.len() > MAX_CERT_LEN {
            return Err(CertError::TooLong {
                got: der.len(),
                max: MAX_CERT_LEN,
            });
        }
        let mut outer = Tlv::parse_tag(der, universal::SEQUENCE)?.children();
        let tbs = outer.expect(universal::SEQUENCE)?;
        let algorithm = outer.expect(universal::SEQUENCE)?;
        let signature = outer.expect(universal::BIT_STRING)?;
        outer.finish()?;

        let mut fields = tbs.children();
        match fields.optional(0xA0)? {
            Some(version) if version.value == [0x02, 0x01, 0x02] => {}
            _ => return Err(CertError::Version),
        }
        let serial = fields.expect(universal::INTEGER)?;
        serial.bytes(1, 21)?;
        let inner_algorithm = fields.expect(universal::SEQUENCE)?;
        if algorithm.raw != ECDSA_SHA256 || inner_algorithm.raw != ECDSA_SHA256 {
            return Err(CertError::SignatureAlgorithm);
        }
        let issuer = fields.expect(universal::SEQUENCE)?;
        let mut validity = fields.expect(universal::SEQUENCE)?.children();
        let not_before = time_from_tlv(&validity.any()?).ok_or(CertError::Time)?;
        let not_after = time_from_tlv(&validity.any()?).ok_or(CertError::Time)?;
        validity.finish()?;
        let subject = fields.expect(universal::SEQUENCE)?;
        let spki = fields.expect(universal::SEQUENCE)?;
        let public_key =
            PublicKey::from_spki(spki.raw).map_err(|error| match Curve::of_spki(spki.raw) {
                Some(_) => CertError::Encoding(error),
                None => CertError::KeyAlgorithm,
            })?;
        let extensions = match fields.find(0xA3)? {
            Some(list) => Extensions::parse(der, &list)?,
            None => Extensions::default(),
        };
        fields.finish()?;
        let Some((0, signature)) = signature.value.split_first() else {
            return Err(CertError::SignatureAlgorithm);
        };
        Ok(Self {
            tbs: range_in(der, tbs.raw),
            serial: range_in(der, serial.value),
            issuer: range_in(der, issuer.raw),
            subject: range_in(der, subject.raw),
            spki: range_in(der, spki.raw),
            not_before,
            not_after,
            public_key,
            signature: signature_from_der(signature)?,
            extensions,
            der: der.to_vec(),
        })
    }

    /// The whole certificate as received.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The part that the signature covers (TBSCertificate with its tag).
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// The serial number, contents octets.
    #[must_use]
    pub fn serial_number(&self) -> &[u8] {
        &self.der[self.serial.clone()]
    }

    /// Who issued it.
    #[must_use]
    pub fn issuer(&self) -> Name<'_> {
        Name::from_der(&self.der[self.issuer.clone()])
    }

    /// Whom it certifies.
    #[must_use]
    pub fn subject(&self) -> Name<'_> {
        Name::from_der(&self.der[self.subject.clone()])
    }

    /// SubjectPublicKeyInfo, with its tag.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.der[self.spki.clone()]
    }

    /// The certified key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Start of validity, unix seconds.
    #[must_use]
    pub const fn not_before(&self) -> u64 {
        self.not_before
    }

    /// End of validity, unix seconds.
    #[must_use]
    pub const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// subjectKeyIdentifier.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.part(self.extensions.subject_key_id.as_ref())
    }

    /// authorityKeyIdentifier, the key identifier in it.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.part(self.extensions.authority_key_id.as_ref())
    }

    /// registeredID of subjectAltName: the SM-DP+ OID, the EUM OID (contents octets).
    #[must_use]
    pub fn registered_id(&self) -> Option<&[u8]> {
        self.part(self.extensions.registered_id.as_ref())
    }

    /// dNSName entries of subjectAltName that are ASCII.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.extensions
            .dns_names
            .iter()
            .filter_map(|r| core::str::from_utf8(&self.der[r.clone()]).ok())
    }

    /// URIs of cRLDistributionPoints that are ASCII: where the issuer's revocation lists are.
    pub fn crl_urls(&self) -> impl Iterator<Item = &str> {
        self.extensions
            .crl_urls
            .iter()
            .filter_map(|r| core::str::from_utf8(&self.der[r.clone()]).ok())
            .filter(|url| url.is_ascii())
    }

    /// Certificate policies, contents octets of the OIDs.
    pub fn policies(&self) -> impl Iterator<Item = &[u8]> {
        self.extensions
            .policies
            .iter()
            .map(|r| &self.der[r.clone()])
    }

    /// keyUsage as a named bit list (bit 0 of the ASN.1 is bit 31), see
    /// [`super::KEY_USAGE_CERT_SIGN`].
    #[must_use]
    pub const fn key_usage(&self) -> Option<u32> {
        self.extensions.key_usage
    }

    /// cA of basicConstraints.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.extensions.is_ca
    }

    /// Does certificatePolicies name this role?
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        let wanted = role.policy_oid();
        self.policies().any(|p| p == wanted)
    }

    /// The EID of an eUICC certificate: serialNumber of the subject, 32 digits as 16 bytes.
    ///
    /// # Errors
    /// [`CertError::Eid`].
    pub fn eid(&self) -> Result<[u8; 16], CertError> {
        let digits = self.subject().serial_number()?.ok_or(CertError::Eid)?;
        let digits = digits.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(CertError::Eid);
        }
        Ok(core::array::from_fn(|i| {
            (digits[2 * i] - b'0') << 4 | (digits[2 * i + 1] - b'0')
        }))
    }

    /// Checks names, key identifiers and signature against the issuer's certificate.
    ///
    /// # Errors
    /// [`CertError::IssuerMismatch`], [`CertError::KeyIdMismatch`], [`CertError::MissingExtension`],
    /// [`CertError::Signature`].
    pub fn verify_issued_by(&self, issuer: &Self, crypto: &dyn Crypto) -> Result<(), CertError> {
        if self.issuer() != issuer.subject() {
            return Err(CertError::IssuerMismatch);
        }
        let missing = |name| CertError::MissingExtension { name };
        let aki = self
            .authority_key_id()
            .ok_or(missing("authorityKeyIdentifier"))?;
        let ski = issuer
            .subject_key_id()
            .ok_or(missing("subjectKeyIdentifier"))?;
        if aki != ski {
            return Err(CertError::KeyIdMismatch);
        }
        self.verify_signature(issuer.public_key(), crypto)
    }

    /// Checks the signature alone.
    pub(super) fn verify_signature(
        &self,
        key: &PublicKey,
        crypto: &dyn Crypto,
    ) -> Result<(), CertError> {
        Ok(crypto.verify(key, &[self.tbs()], &self.signature)?)
    }

    /// Checks the validity period; nothing without a clock.
    ///
    /// # Errors
    /// [`CertError::NotYetValid`], [`CertError::Expired`].
    pub const fn verify_time(&self, now: Option<u64>) -> Result<(), CertError> {
        match now {
            Some(now) if now < self.not_before => Err(CertError::NotYetValid {
                not_before: self.not_before,
                now,
            }),
            Some(now) if now > self.not_after => Err(CertError::Expired {
                not_after: self.not_after,
                now,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn part(&self, range: Option<&Range<usize>>) -> Option<&[u8]> {
        range.map(|r| &self.der[r.clone()])
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject().common_name())
            .field("issuer", &self.issuer().common_name())
            .field("bytes", &self.der.len())
            .finish_non_exhaustive()
    }
}
