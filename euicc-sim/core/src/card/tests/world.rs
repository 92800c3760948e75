//! Who there is: PKIs, cards that are certified under them, repeatable randomness.
use crate::card::{Chain, Credentials, Identity};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Curve, SoftwareCrypto, sha256};
use aid_rsp::pki::{EumLimit, MintParams, RspPki};
use std::sync::{Arc, OnceLock};
use std::vec::Vec;

pub(super) const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

/// The certificates of the minted PKIs are valid between these.
pub(super) const NOT_BEFORE: u64 = 1_700_000_000;
pub(super) const NOT_AFTER: u64 = 2_000_000_000;

/// A generator that repeats itself in every run.
pub(super) struct TestRng(pub(super) u64);

impl rand_core::TryRng for TestRng {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 += 1;
        let hash = sha256(&[&self.0.to_be_bytes()]);
        Ok(u64::from_be_bytes(hash[..8].try_into().unwrap()))
    }
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in to.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}
impl rand_core::TryCryptoRng for TestRng {}

fn mint(curve: Curve, eum_limit: EumLimit, seed: u64) -> RspPki {
    let params = MintParams {
        curve,
        eum_limit,
        ..MintParams::loopback(&EID, NOT_BEFORE, NOT_AFTER)
    };
    RspPki::mint(&params, &SoftwareCrypto::new(), &mut TestRng(seed)).unwrap()
}

/// The card's part of each PKI makes one identity; the first is preferred.
pub(super) fn identity(pkis: &[&RspPki]) -> Arc<Identity> {
    let cert = |i: &aid_rsp::pki::Identity| Certificate::from_der(&i.certificate).unwrap();
    let chains = pkis.iter().map(|pki| Chain {
        euicc: cert(&pki.euicc),
        eum: cert(&pki.eum),
        key: pki.euicc.key.private.clone(),
    });
    let parts = Credentials {
        chains: chains.collect(),
        ci: pkis.iter().map(|pki| cert(&pki.ci)).collect(),
    };
    Arc::new(Identity::new(EID, parts, &SoftwareCrypto::new()).unwrap())
}

/// The subjectKeyIdentifier of a certificate.
pub(super) fn key_id(of: &aid_rsp::pki::Identity) -> Vec<u8> {
    let certificate = Certificate::from_der(&of.certificate).unwrap();
    certificate.subject_key_id().unwrap().to_vec()
}

/// One PKI for most tests; minting takes longer than a download.
pub(super) fn pki() -> &'static (RspPki, Arc<Identity>) {
    static PKI: OnceLock<(RspPki, Arc<Identity>)> = OnceLock::new();
    PKI.get_or_init(|| {
        let pki = mint(Curve::NistP256, EumLimit::NameConstraints, 1);
        let identity = identity(&[&pki]);
        (pki, identity)
    })
}

/// Another PKI, on brainpoolP256r1, with permitted EINs.
pub(super) fn brainpool() -> &'static RspPki {
    static PKI: OnceLock<RspPki> = OnceLock::new();
    PKI.get_or_init(|| mint(Curve::BrainpoolP256r1, EumLimit::PermittedEins, 2))
}
