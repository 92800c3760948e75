//! The cryptography of SGP.22 §2.6: ECDSA and ECDH on NIST P-256 and brainpoolP256r1, SHA-256, the
//! X9.63 KDF. Behind the trait [`Crypto`], with [`SoftwareCrypto`] in pure Rust; random generators are arguments.

mod curve;
mod kdf;
mod key;
mod pem;
mod software;
mod stats;

pub use curve::Curve;
pub use kdf::{hash_confirmation_code, sha256, x963_kdf};
pub use key::{KeyPair, PrivateKey, PublicKey, SharedSecret};
pub use pem::{PemError, pem_block, pem_blocks};
pub use software::SoftwareCrypto;
pub use stats::{CryptoStats, OpCounts};

/// Bytes of a raw ECDSA signature, r‖s (SGP.22 §2.6.7.2, BSI TR-03111 "plain format").
pub const SIGNATURE_LEN: usize = 64;

/// A raw ECDSA signature: r‖s, 32 bytes each.
pub type Signature = [u8; SIGNATURE_LEN];

/// Why a cryptographic operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The private key is zero or not below the group order.
    #[error("private key out of range")]
    PrivateKey,
    /// The public key is not an uncompressed point on the curve, or on another curve than the
    /// private key that it meets.
    #[error("public key is not a point on its curve")]
    PublicKey,
    /// The signature doesn't verify, or is not 64 bytes long.
    #[error("signature does not verify")]
    Signature,
}

/// The operations with keys. Messages are given in parts that are hashed one after another, so
/// that nobody has to concatenate what a signature covers.
pub trait Crypto: Send + Sync {
    /// ECDSA with SHA-256 over the parts; raw r‖s.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`].
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError>;

    /// Verifies a raw r‖s signature over the parts.
    ///
    /// # Errors
    /// [`CryptoError::Signature`], [`CryptoError::PublicKey`].
    fn verify(&self, key: &PublicKey, parts: &[&[u8]], signature: &[u8])
    -> Result<(), CryptoError>;

    /// The x coordinate of the shared point (SGP.22 §2.6.7.1, TR-03111 ECKA-EG).
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`], [`CryptoError::PublicKey`].
    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError>;

    /// Agrees on a secret with a peer by a new key that is used for nothing else; yields the key's public half and the
    /// secret. For libraries that hand out no private key.
    ///
    /// # Errors
    /// [`CryptoError::PublicKey`].
    fn agree_once(
        &self,
        peer: &PublicKey,
        rng: &mut dyn rand_core::CryptoRng,
    ) -> Result<(PublicKey, SharedSecret), CryptoError> {
        let own = self.generate(peer.curve(), rng);
        Ok((own.public, self.ecdh(&own.private, peer)?))
    }

    /// A new key pair on this curve.
    fn generate(&self, curve: Curve, rng: &mut dyn rand_core::CryptoRng) -> KeyPair;

    /// The public key that belongs to a private one.
    ///
    /// # Errors
    /// [`CryptoError::PrivateKey`].
    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError>;

    /// What was done so far.
    fn stats(&self) -> &CryptoStats;
}

#[cfg(test)]
mod tests;
