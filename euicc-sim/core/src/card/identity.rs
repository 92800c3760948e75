//! Who the card is: its certificates, its key, the CIs that it trusts.
//! SGP.22 §2.4.2 (ECASD), §4.5.2. Made once by the program; used by the ISD-R.

use aid_rsp::cert::{CertError, Certificate, TrustAnchor};
use aid_rsp::crypto::{Crypto, CryptoError, PrivateKey};
use aid_rsp::es10::eid_digits;
use alloc::{string::String, vec::Vec};

/// The eUICC's certificates and key under one CI, as they come from files.
#[derive(Debug, Clone)]
pub struct Chain {
    /// CERT.EUICC.ECDSA.
    pub euicc: Certificate,
    /// CERT.EUM.ECDSA.
    pub eum: Certificate,
    /// SK.EUICC.ECDSA.
    pub key: PrivateKey,
}

/// What the card is made of.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// One chain for each CI under which the card can sign; the order is the card's preference
    /// (euiccCiPKIdListForSigning).
    pub chains: Vec<Chain>,
    /// CI certificates that the card trusts (euiccCiPKIdListForVerification), in this order.
    pub ci: Vec<Certificate>,
}

/// Why the parts don't make a card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no CI certificate.
    #[error("no CI certificate is configured; the card would trust nobody")]
    NoCi,
    /// A CI certificate is none.
    #[error("CI certificate number {number}: {source}")]
    Ci {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong.
        source: CertError,
    },
    /// There is no certificate chain.
    #[error("no eUICC certificate is configured; the card could not prove who it is")]
    NoChain,
    /// Two chains are of the same CI.
    #[error("two eUICC certificates are of the same CI, with key identifier {key_id}")]
    SameCi {
        /// The CI's key identifier in hexadecimal digits.
        key_id: String,
    },
    /// The chain from a CI over the EUM to the eUICC is broken.
    #[error("the eUICC's certificate chain: {0}")]
    Chain(#[from] CertError),
    /// The EID in the certificate is another one.
    #[error("the eUICC certificate is that of EID {found}, not of {expected}")]
    Eid {
        /// In the certificate.
        found: String,
        /// Configured.
        expected: String,
    },
    /// The key is not that of the certificate.
    #[error("the private key does not belong to the eUICC certificate")]
    Key,
    /// The key is none.
    #[error("the private key of the eUICC: {0}")]
    BadKey(#[from] CryptoError),
}

/// A verified chain.
#[derive(Debug, Clone)]
pub(crate) struct Signing {
    /// Key identifier of the CI.
    pub(crate) ci: Vec<u8>,
    pub(crate) chain: Chain,
}

/// A verified identity.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) eid: [u8; 16],
    /// At least one.
    signing: Vec<Signing>,
    pub(crate) anchors: Vec<TrustAnchor>,
}

impl Identity {
    /// Checks that the parts belong together and to `eid`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(
        eid: [u8; 16],
        parts: Credentials,
        crypto: &dyn Crypto,
    ) -> Result<Self, IdentityError> {
        let mut anchors = Vec::with_capacity(parts.ci.len());
        for (number, ci) in (1..).zip(parts.ci) {
            let anchor = TrustAnchor::new(ci, crypto)
                .map_err(|source| IdentityError::Ci { number, source })?;
            anchors.push(anchor);
        }
        if anchors.is_empty() {
            return Err(IdentityError::NoCi);
        }
        let mut signing: Vec<Signing> = Vec::with_capacity(parts.chains.len());
        for chain in parts.chains {
            let ci = verify(&eid, &chain, &anchors, crypto)?;
            if signing.iter().any(|s| s.ci == ci) {
                let key_id = ci.iter().map(|b| alloc::format!("{b:02X}")).collect();
                return Err(IdentityError::SameCi { key_id });
            }
            signing.push(Signing { ci, chain });
        }
        if signing.is_empty() {
            return Err(IdentityError::NoChain);
        }
        Ok(Self {
            eid,
            signing,
            anchors,
        })
    }

    /// The EID, two digits a byte.
    #[must_use]
    pub const fn eid(&self) -> &[u8; 16] {
        &self.eid
    }

    /// Key identifiers of the CIs under which the card can sign, the preferred one first.
    pub(crate) fn signing_cis(&self) -> impl Iterator<Item = &[u8]> {
        self.signing.iter().map(|s| s.ci.as_slice())
    }

    /// The card's chain under the CI with this key identifier.
    pub(crate) fn signing(&self, ci: &[u8]) -> Option<&Signing> {
        self.signing.iter().find(|s| s.ci == ci)
    }

    /// The chain under this CI; the preferred one when the card has none any more (it was given
    /// other certificates since a profile was installed).
    pub(crate) fn signing_or_first(&self, ci: &[u8]) -> Option<&Signing> {
        self.signing(ci).or_else(|| self.signing.first())
    }
}

/// Checks one chain and yields its CI's key identifier.
fn verify(
    eid: &[u8; 16],
    chain: &Chain,
    anchors: &[TrustAnchor],
    crypto: &dyn Crypto,
) -> Result<Vec<u8>, IdentityError> {
    let found = chain.euicc.eid()?;
    if found != *eid {
        return Err(IdentityError::Eid {
            found: eid_digits(&found),
            expected: eid_digits(eid),
        });
    }
    let anchor = TrustAnchor::find(anchors, &chain.eum)?;
    anchor.verify_euicc(&chain.eum, &chain.euicc, crypto, None)?;
    if crypto.public_key(&chain.key)? != *chain.euicc.public_key() {
        return Err(IdentityError::Key);
    }
    Ok(anchor.key_id().to_vec())
}
