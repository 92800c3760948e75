//! Mints an RSP test PKI in the shape of SGP.26: CI, EUM, eUICC, DPauth, DPpb, DPtls.
//! Feature `mint`; certificates follow SGP.22 §4.5.2.1, key identifiers are SHA-1 (RFC 5280
//! §4.2.1.2).

mod issue;
mod revoke;
#[cfg(any(feature = "std", test))]
mod store;

pub use revoke::CrlParams;

use crate::cert::Role;
use crate::crypto::{Crypto, CryptoError, Curve, KeyPair};
use crate::es10::eid_digits;
use alloc::{string::String, vec::Vec};
use issue::{Constraint, Profile, Subject, issue};
use rand_core::CryptoRng;

/// One day in seconds, for validity periods.
pub const DAY: u64 = 86_400;

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The key pair that it certifies.
    pub key: KeyPair,
}

/// What the PKI is minted for.
#[derive(Debug, Clone, Copy)]
pub struct MintParams<'a> {
    /// EID of the eUICC, 32 digits as 16 bytes; its first 8 digits become the EUM's IIN.
    pub eid: &'a [u8; 16],
    /// Start of validity, unix seconds.
    pub not_before: u64,
    /// End of validity, unix seconds.
    pub not_after: u64,
    /// OID of the SM-DP+ (registeredID), contents octets.
    pub dp_oid: &'a [u8],
    /// dNSNames of the TLS certificate; the first is its commonName too.
    pub tls_names: &'a [&'a str],
    /// IPv4 addresses of the TLS certificate.
    pub tls_addresses: &'a [[u8; 4]],
    /// Curve of every key.
    pub curve: Curve,
    /// How the EUM certificate limits the EIDs that it may certify.
    pub eum_limit: EumLimit,
    /// Where the SM-DP+'s certificates say that the CI's revocation lists are (cRLDistributionPoints).
    pub crl_url: Option<&'a str>,
}

/// How an EUM certificate says which EIDs it may certify (SGP.22 §4.5.2.1.0.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EumLimit {
    /// nameConstraints with organization and IIN, as SGP.22 v2 has it.
    #[default]
    NameConstraints,
    /// The list of permitted EINs in an extension of its own.
    PermittedEins,
}

impl<'a> MintParams<'a> {
    /// Parameters for parts that talk over loopback: `localhost`, 127.0.0.1, OID 2.999.10.
    #[must_use]
    pub const fn loopback(eid: &'a [u8; 16], not_before: u64, not_after: u64) -> Self {
        Self {
            eid,
            not_before,
            not_after,
            dp_oid: &[0x88, 0x37, 0x0A],
            tls_names: &["localhost"],
            tls_addresses: &[[127, 0, 0, 1]],
            curve: Curve::NistP256,
            eum_limit: EumLimit::NameConstraints,
            crl_url: None,
        }
    }
}

/// A whole RSP PKI for one eUICC and one SM-DP+.
#[derive(Debug, Clone)]
pub struct RspPki {
    /// Certificate issuer, self-signed.
    pub ci: Identity,
    /// eUICC manufacturer.
    pub eum: Identity,
    /// The eUICC.
    pub euicc: Identity,
    /// SM-DP+ for authentication.
    pub dp_auth: Identity,
    /// SM-DP+ for profile package binding.
    pub dp_pb: Identity,
    /// SM-DP+ for TLS (ES9+ server).
    pub dp_tls: Identity,
}

/// Organization of the EUM and its eUICCs: name constraints compare it.
const EUM_ORGANIZATION: &str = "AID Test EUM";
/// Organization of the SM-DP+.
const DP_ORGANIZATION: &str = "AID Test";

impl RspPki {
    /// Mints everything with new keys.
    ///
    /// # Errors
    /// [`CryptoError`] from signing.
    pub fn mint(
        params: &MintParams<'_>,
        crypto: &dyn Crypto,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, CryptoError> {
        let mut minter = Minter {
            params,
            crypto,
            rng,
        };
        let ci_subject = Subject {
            organization: Some(DP_ORGANIZATION),
            common_name: "AID Test CI",
            serial_number: None,
        };
        let ci = minter.identity(
            None,
            &Profile::ca(Role::Ci, ci_subject, &[0x88, 0x37, 0x01]),
        )?;
        let digits = eid_digits(params.eid);
        let eum_subject = Subject {
            organization: Some(EUM_ORGANIZATION),
            common_name: "AID Test EUM",
            serial_number: None,
        };
        let mut eum = Profile::ca(Role::Eum, eum_subject, &[0x88, 0x37, 0x05]);
        let iin = [digits.get(..8).unwrap_or_default()];
        match params.eum_limit {
            EumLimit::NameConstraints => {
                eum.constraint = Some(Constraint {
                    organization: EUM_ORGANIZATION,
                    iin: iin[0],
                });
            }
            EumLimit::PermittedEins => eum.permitted_eins = &iin,
        }
        let eum = minter.identity(Some(&ci), &eum)?;
        let euicc = minter.euicc(&eum, &digits)?;
        let mut dp = |role, common_name| {
            let subject = Subject {
                organization: Some(DP_ORGANIZATION),
                common_name,
                serial_number: None,
            };
            minter.identity(Some(&ci), &Profile::leaf(role, subject, params.dp_oid))
        };
        let tls_name = params.tls_names.first().copied().unwrap_or("localhost");
        Ok(Self {
            dp_auth: dp(Role::DpAuth, "AID Test SM-DP+")?,
            dp_pb: dp(Role::DpPb, "AID Test SM-DP+")?,
            dp_tls: dp(Role::DpTls, tls_name)?,
            ci,
            eum,
            euicc,
        })
    }

    /// Mints another eUICC under the same EUM. Its EID must begin with the same 8 digits to pass
    /// validation.
    ///
    /// # Errors
    /// [`CryptoError`] from signing.
    pub fn mint_euicc(
        &self,
        params: &MintParams<'_>,
        crypto: &dyn Crypto,
        rng: &mut dyn CryptoRng,
    ) -> Result<Identity, CryptoError> {
        mint_euicc(&self.eum, params, crypto, rng)
    }
}

/// Mints an eUICC under an EUM whose key was kept. The EID must begin with the 8 digits that the EUM's certificate
/// names to pass validation.
///
/// # Errors
/// [`CryptoError`] from signing.
pub fn mint_euicc(
    eum: &Identity,
    params: &MintParams<'_>,
    crypto: &dyn Crypto,
    rng: &mut dyn CryptoRng,
) -> Result<Identity, CryptoError> {
    let digits = eid_digits(params.eid);
    let mut minter = Minter {
        params,
        crypto,
        rng,
    };
    minter.euicc(eum, &digits)
}

impl RspPki {
    /// Mints another TLS certificate of the SM-DP+ under the same CI, with the names and the validity of `params`.
    ///
    /// # Errors
    /// [`CryptoError`] from signing.
    pub fn mint_dp_tls(
        &self,
        params: &MintParams<'_>,
        crypto: &dyn Crypto,
        rng: &mut dyn CryptoRng,
    ) -> Result<Identity, CryptoError> {
        let subject = Subject {
            organization: Some(DP_ORGANIZATION),
            common_name: params.tls_names.first().copied().unwrap_or("localhost"),
            serial_number: None,
        };
        let mut minter = Minter {
            params,
            crypto,
            rng,
        };
        let profile = Profile::leaf(Role::DpTls, subject, params.dp_oid);
        minter.identity(Some(&self.ci), &profile)
    }
}

struct Minter<'a, 'r> {
    params: &'a MintParams<'a>,
    crypto: &'a dyn Crypto,
    rng: &'r mut dyn CryptoRng,
}

impl Minter<'_, '_> {
    fn euicc(&mut self, eum: &Identity, eid: &str) -> Result<Identity, CryptoError> {
        let subject = Subject {
            organization: Some(EUM_ORGANIZATION),
            common_name: "AID Test eUICC",
            serial_number: Some(String::from(eid)),
        };
        self.identity(Some(eum), &Profile::leaf(Role::Euicc, subject, &[]))
    }

    fn identity(
        &mut self,
        issuer: Option<&Identity>,
        profile: &Profile<'_>,
    ) -> Result<Identity, CryptoError> {
        let key = self.crypto.generate(self.params.curve, self.rng);
        let mut serial = [0; 12];
        self.rng.fill_bytes(&mut serial);
        // A positive INTEGER without a leading zero.
        serial[0] = serial[0] & 0x7F | 0x40;
        let certificate = issue(self.params, self.crypto, issuer, profile, &key, &serial)?;
        Ok(Identity { certificate, key })
    }
}

#[cfg(test)]
mod tests;
