//! Cryptography that has failed in one respect: the card's own faults have result codes too.
use aid_rsp::crypto::{
    Crypto, CryptoError, CryptoStats, Curve, KeyPair, PrivateKey, PublicKey, SharedSecret,
    Signature, SoftwareCrypto,
};

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Sign,
    Agree,
}

/// All but one operation works.
pub(super) struct Failing {
    pub(super) inner: SoftwareCrypto,
    pub(super) what: Operation,
}

impl Failing {
    fn check(&self, what: Operation) -> Result<(), CryptoError> {
        match self.what == what {
            true => Err(CryptoError::PrivateKey),
            false => Ok(()),
        }
    }
}

impl Crypto for Failing {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        self.check(Operation::Sign)?;
        self.inner.sign(key, parts)
    }
    fn verify(&self, key: &PublicKey, parts: &[&[u8]], s: &[u8]) -> Result<(), CryptoError> {
        self.inner.verify(key, parts, s)
    }
    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        self.check(Operation::Agree)?;
        self.inner.ecdh(own, peer)
    }
    fn generate(&self, curve: Curve, rng: &mut dyn rand_core::CryptoRng) -> KeyPair {
        self.inner.generate(curve, rng)
    }
    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        self.inner.public_key(key)
    }
    fn stats(&self) -> &CryptoStats {
        self.inner.stats()
    }
}
