//! [`Crypto`] with the RustCrypto crates `p256` and `bp256`: no_std, deterministic nonces (RFC 6979).
//! Called through the trait; shells keep one instance and read its counters.

use super::{
    Crypto, CryptoError, CryptoStats, Curve, KeyPair, PrivateKey, PublicKey, SharedSecret,
    Signature, sha256,
};
use alloc::sync::Arc;
use zeroize::Zeroize;

/// Both curves in pure Rust. Clones share the counters.
#[derive(Debug, Default, Clone)]
pub struct SoftwareCrypto {
    stats: Arc<CryptoStats>,
}

impl SoftwareCrypto {
    /// An instance with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters, to be kept beside an instance that was given away.
    #[must_use]
    pub fn shared_stats(&self) -> Arc<CryptoStats> {
        Arc::clone(&self.stats)
    }
}

/// The operations on one curve. A macro because the bounds of a generic function would be longer
/// than its body.
macro_rules! on_curve {
    ($module:ident, $curve:ty, $name:expr) => {
        mod $module {
            use super::super::{CryptoError, PrivateKey, PublicKey, SharedSecret, Signature};
            use ecdsa::elliptic_curve::{self, sec1::ToSec1Point};
            use ecdsa::hazmat::{sign_prehashed_rfc6979, verify_prehashed};

            type Secret = elliptic_curve::SecretKey<$curve>;

            fn secret(key: &PrivateKey) -> Result<Secret, CryptoError> {
                Secret::from_slice(key.expose()).map_err(|_| CryptoError::PrivateKey)
            }

            fn point(key: &PublicKey) -> Result<elliptic_curve::PublicKey<$curve>, CryptoError> {
                elliptic_curve::PublicKey::from_sec1_bytes(key.as_bytes())
                    .map_err(|_| CryptoError::PublicKey)
            }

            pub(super) fn public_of(key: &PrivateKey) -> Result<PublicKey, CryptoError> {
                let point = secret(key)?.public_key().to_sec1_point(false);
                PublicKey::from_bytes($name, point.as_bytes())
            }

            pub(super) fn sign(key: &PrivateKey, hash: &[u8]) -> Result<Signature, CryptoError> {
                let scalar = secret(key)?.to_nonzero_scalar();
                let (signature, _) =
                    sign_prehashed_rfc6979::<$curve, sha2::Sha256>(&scalar, hash, &[]);
                Ok(signature.to_bytes().into())
            }

            pub(super) fn verify(
                key: &PublicKey,
                hash: &[u8],
                signature: &[u8],
            ) -> Result<(), CryptoError> {
                let signature = ecdsa::Signature::<$curve>::from_slice(signature)
                    .map_err(|_| CryptoError::Signature)?;
                let point = point(key)?.to_projective();
                verify_prehashed(&point, hash, &signature).map_err(|_| CryptoError::Signature)
            }

            pub(super) fn ecdh(
                own: &PrivateKey,
                peer: &PublicKey,
            ) -> Result<SharedSecret, CryptoError> {
                let shared = secret(own)?.diffie_hellman(&point(peer)?);
                Ok(SharedSecret::from_bytes(
                    (*shared.raw_secret_bytes()).into(),
                ))
            }
        }
    };
}

on_curve!(nist, p256::NistP256, super::super::Curve::NistP256);
on_curve!(
    brainpool,
    bp256::BrainpoolP256r1,
    super::super::Curve::BrainpoolP256r1
);

fn public_of(key: &PrivateKey) -> Result<PublicKey, CryptoError> {
    match key.curve() {
        Curve::NistP256 => nist::public_of(key),
        Curve::BrainpoolP256r1 => brainpool::public_of(key),
    }
}

impl Crypto for SoftwareCrypto {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        self.stats.count_sign();
        let hash = sha256(parts);
        match key.curve() {
            Curve::NistP256 => nist::sign(key, &hash),
            Curve::BrainpoolP256r1 => brainpool::sign(key, &hash),
        }
    }

    fn verify(
        &self,
        key: &PublicKey,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.stats.count_verify();
        let hash = sha256(parts);
        match key.curve() {
            Curve::NistP256 => nist::verify(key, &hash, signature),
            Curve::BrainpoolP256r1 => brainpool::verify(key, &hash, signature),
        }
    }

    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        self.stats.count_ecdh();
        match (own.curve(), peer.curve()) {
            (Curve::NistP256, Curve::NistP256) => nist::ecdh(own, peer),
            (Curve::BrainpoolP256r1, Curve::BrainpoolP256r1) => brainpool::ecdh(own, peer),
            _ => Err(CryptoError::PublicKey),
        }
    }

    fn generate(&self, curve: Curve, rng: &mut dyn rand_core::CryptoRng) -> KeyPair {
        self.stats.count_keygen();
        let mut scalar = [0u8; 32];
        loop {
            rng.fill_bytes(&mut scalar);
            let private = PrivateKey::from_bytes(curve, scalar);
            scalar.zeroize();
            if let Ok(public) = public_of(&private) {
                return KeyPair { private, public };
            }
        }
    }

    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        self.stats.count_keygen();
        public_of(key)
    }

    fn stats(&self) -> &CryptoStats {
        &self.stats
    }
}
