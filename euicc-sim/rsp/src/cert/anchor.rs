//! Path validation from a GSMA CI: SGP.22 §4.5.2.2, with the constraints of the v2 certificate
//! tree (CI over SM-DP+, CI over EUM over eUICC).

use super::{CertError, Certificate, KEY_USAGE_CERT_SIGN, KEY_USAGE_DIGITAL_SIGNATURE, Name, Role};
use crate::crypto::Crypto;
use crate::es10::eid_digits;
use crate::tlv::{Tlv, universal};

/// A CI certificate that was found to be one, and is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    certificate: Certificate,
}

impl TrustAnchor {
    /// Accepts a CI certificate: role, CA, keyCertSign, key identifier, self-signature.
    ///
    /// # Errors
    /// [`CertError`], first violation.
    pub fn new(certificate: Certificate, crypto: &dyn Crypto) -> Result<Self, CertError> {
        check_ca(&certificate, Role::Ci)?;
        if certificate.subject_key_id().is_none() {
            return Err(CertError::MissingExtension {
                name: "subjectKeyIdentifier",
            });
        }
        if certificate.issuer() != certificate.subject() {
            return Err(CertError::IssuerMismatch);
        }
        certificate.verify_signature(certificate.public_key(), crypto)?;
        Ok(Self { certificate })
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The CI's key identifier, as ciPKIdListForVerification carries it.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        self.certificate.subject_key_id().unwrap_or_default()
    }

    /// The anchor that issued `certificate`, by its authorityKeyIdentifier.
    ///
    /// # Errors
    /// [`CertError::UnknownCi`], [`CertError::MissingExtension`].
    pub fn find<'a>(anchors: &'a [Self], certificate: &Certificate) -> Result<&'a Self, CertError> {
        let aki = certificate
            .authority_key_id()
            .ok_or(CertError::MissingExtension {
                name: "authorityKeyIdentifier",
            })?;
        anchors
            .iter()
            .find(|a| a.key_id() == aki)
            .ok_or(CertError::UnknownCi)
    }

    /// The validity of the CI's own certificate: no fault of the certificate below it.
    fn verify_ci_time(&self, now: Option<u64>) -> Result<(), CertError> {
        let certificate = &self.certificate;
        certificate
            .verify_time(now)
            .map_err(|_| CertError::CiNotValid {
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
            })
    }

    /// Validates a certificate that the CI signed itself and that signs no others: DPauth, DPpb,
    /// DPtls and their SM-DS counterparts. `now` in unix seconds; `None` skips validity (a card
    /// has no clock).
    ///
    /// # Errors
    /// [`CertError`], first violation.
    pub fn verify_leaf(
        &self,
        leaf: &Certificate,
        role: Role,
        crypto: &dyn Crypto,
        now: Option<u64>,
    ) -> Result<(), CertError> {
        leaf.verify_time(now)?;
        self.verify_ci_time(now)?;
        check_leaf(leaf, role)?;
        leaf.verify_issued_by(&self.certificate, crypto)
    }

    /// Validates an EUM certificate. `now` as in [`TrustAnchor::verify_leaf`].
    ///
    /// # Errors
    /// [`CertError`], first violation: expiry comes first, because it has a code of its own
    /// (SGP.22 §5.6.3) whatever else is wrong with an old certificate.
    pub fn verify_eum(
        &self,
        eum: &Certificate,
        crypto: &dyn Crypto,
        now: Option<u64>,
    ) -> Result<(), CertError> {
        eum.verify_time(now)?;
        self.verify_ci_time(now)?;
        check_ca(eum, Role::Eum)?;
        if eum.extensions.name_constraints.is_none() && eum.extensions.permitted_eins.is_none() {
            return Err(CertError::NameConstraintsForm);
        }
        if self.certificate.extensions.path_len == Some(0) {
            return Err(CertError::PathLength);
        }
        eum.verify_issued_by(&self.certificate, crypto)
    }

    /// Validates a whole eUICC chain and yields the EID. `now` as in [`TrustAnchor::verify_leaf`].
    ///
    /// # Errors
    /// [`CertError`], first violation.
    pub fn verify_euicc(
        &self,
        eum: &Certificate,
        euicc: &Certificate,
        crypto: &dyn Crypto,
        now: Option<u64>,
    ) -> Result<[u8; 16], CertError> {
        self.verify_eum(eum, crypto, now)?;
        Self::verify_euicc_under(eum, euicc, crypto, now)
    }

    /// Validates an eUICC certificate under an EUM certificate that [`TrustAnchor::verify_eum`]
    /// has validated, and yields the EID.
    ///
    /// # Errors
    /// [`CertError`], first violation, expiry first as in [`TrustAnchor::verify_eum`].
    pub fn verify_euicc_under(
        eum: &Certificate,
        euicc: &Certificate,
        crypto: &dyn Crypto,
        now: Option<u64>,
    ) -> Result<[u8; 16], CertError> {
        euicc.verify_time(now)?;
        check_leaf(euicc, Role::Euicc)?;
        let eid = euicc.eid()?;
        check_name_constraints(eum, euicc, &eid)?;
        euicc.verify_issued_by(eum, crypto)?;
        Ok(eid)
    }
}

fn check_ca(certificate: &Certificate, role: Role) -> Result<(), CertError> {
    if !certificate.has_role(role) {
        return Err(CertError::Role { expected: role });
    }
    if !certificate.is_ca() {
        return Err(CertError::NotCa);
    }
    check_usage(certificate, KEY_USAGE_CERT_SIGN, "signing certificates")
}

fn check_leaf(certificate: &Certificate, role: Role) -> Result<(), CertError> {
    if !certificate.has_role(role) {
        return Err(CertError::Role { expected: role });
    }
    if certificate.is_ca() {
        return Err(CertError::UnexpectedCa);
    }
    check_usage(
        certificate,
        KEY_USAGE_DIGITAL_SIGNATURE,
        "digital signatures",
    )
}

fn check_usage(certificate: &Certificate, bit: u32, needed: &'static str) -> Result<(), CertError> {
    match certificate.key_usage() {
        Some(usage) if usage & bit != 0 => Ok(()),
        Some(_) => Err(CertError::KeyUsage { needed }),
        None => Err(CertError::MissingExtension { name: "keyUsage" }),
    }
}

/// SGP.22 §4.5.2.1.0.2: nameConstraints permit one organization and EIDs that begin with an IIN
/// (a prefix, unlike RFC 5280); later editions list permitted EIN prefixes in an own extension.
fn check_name_constraints(
    eum: &Certificate,
    euicc: &Certificate,
    eid: &[u8; 16],
) -> Result<(), CertError> {
    let digits = eid_digits(eid);
    if let Some(eins) = eum.part(eum.extensions.permitted_eins.as_ref()) {
        let mut permitted = false;
        for ein in Tlv::parse_tag(eins, universal::SEQUENCE)?.children() {
            let ein = ein?.text(32)?;
            permitted |= !ein.is_empty() && digits.starts_with(ein);
        }
        if !permitted {
            return Err(CertError::NameConstraints);
        }
    }
    let Some(constraints) = eum.part(eum.extensions.name_constraints.as_ref()) else {
        return Ok(());
    };
    let mut fields = Tlv::parse_tag(constraints, universal::SEQUENCE)?.children();
    let permitted = fields.expect(0xA0)?;
    // excludedSubtrees have no place in RSP certificates; ignoring them would widen the trust.
    fields
        .finish()
        .map_err(|_| CertError::NameConstraintsForm)?;
    for subtree in permitted.children() {
        let base = subtree?.children().any()?;
        if base.tag != 0xA4 {
            return Err(CertError::NameConstraintsForm);
        }
        let wanted = Name::from_der(base.value);
        let organization = wanted.organization()?;
        let iin = wanted.serial_number()?.unwrap_or_default();
        if iin.is_empty() {
            return Err(CertError::NameConstraintsForm);
        }
        let organization_fits =
            organization.is_none() || organization == euicc.subject().organization()?;
        if organization_fits && digits.starts_with(iin) {
            return Ok(());
        }
    }
    Err(CertError::NameConstraints)
}
