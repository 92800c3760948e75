//! [`Crypto`] with the RustCrypto `p256` crate: no_std, deterministic nonces (RFC 6979).
//! Called through the trait; shells keep one instance and read its counters.

use super::{
    Crypto, CryptoError, CryptoStats, KeyPair, PrivateKey, PublicKey, SharedSecret, Signature,
    sha256,
};
use alloc::sync::Arc;
use ecdsa::hazmat::{sign_prehashed_rfc6979, verify_prehashed};
use p256::{ProjectivePoint, SecretKey, elliptic_curve::sec1::ToSec1Point};
use zeroize::Zeroize;

/// P-256 in pure Rust. Clones share the counters.
#[derive(Debug, Default, Clone)]
pub struct P256 {
    stats: Arc<CryptoStats>,
}

impl P256 {
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

fn secret(key: &PrivateKey) -> Result<SecretKey, CryptoError> {
    SecretKey::from_slice(key.expose()).map_err(|_| CryptoError::PrivateKey)
}

fn point(key: &PublicKey) -> Result<p256::PublicKey, CryptoError> {
    p256::PublicKey::from_sec1_bytes(key.as_bytes()).map_err(|_| CryptoError::PublicKey)
}

fn public_of(secret: &SecretKey) -> Result<PublicKey, CryptoError> {
    PublicKey::from_bytes(secret.public_key().to_sec1_point(false).as_bytes())
}

impl Crypto for P256 {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        self.stats.count_sign();
        let scalar = secret(key)?.to_nonzero_scalar();
        let hash = sha256(parts);
        let (signature, _) =
            sign_prehashed_rfc6979::<p256::NistP256, sha2::Sha256>(&scalar, &hash, &[]);
        Ok(signature.to_bytes().into())
    }

    fn verify(
        &self,
        key: &PublicKey,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.stats.count_verify();
        let signature =
            p256::ecdsa::Signature::from_slice(signature).map_err(|_| CryptoError::Signature)?;
        let point: ProjectivePoint = point(key)?.to_projective();
        verify_prehashed(&point, &sha256(parts), &signature).map_err(|_| CryptoError::Signature)
    }

    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        self.stats.count_ecdh();
        let peer = point(peer)?;
        let shared = secret(own)?.diffie_hellman(&peer);
        Ok(SharedSecret::from_bytes(
            (*shared.raw_secret_bytes()).into(),
        ))
    }

    fn generate(&self, rng: &mut dyn rand_core::CryptoRng) -> KeyPair {
        self.stats.count_keygen();
        let mut scalar = [0u8; 32];
        loop {
            rng.fill_bytes(&mut scalar);
            if let Ok(secret) = SecretKey::from_slice(&scalar)
                && let Ok(public) = public_of(&secret)
            {
                let private = PrivateKey::from_bytes(scalar);
                scalar.zeroize();
                return KeyPair { private, public };
            }
        }
    }

    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        self.stats.count_keygen();
        public_of(&secret(key)?)
    }

    fn stats(&self) -> &CryptoStats {
        &self.stats
    }
}
