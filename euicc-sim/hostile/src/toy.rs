//! Cryptography for fuzzing: hashes where curves would be.
//!
//! A signature is still bound to every byte of its message and to its key, an agreed secret to both
//! keys, so whatever was altered is refused as it is with P-256. But no curve is computed: a whole
//! download takes microseconds, and the fuzzer spends its time in our code. Worthless as protection.

use aid_rsp::crypto::{
    Crypto, CryptoError, CryptoStats, Curve, KeyPair, PrivateKey, PublicKey, SharedSecret,
    Signature, sha256,
};

/// The stand-in for both curves.
#[derive(Debug, Default)]
pub struct Toy {
    stats: CryptoStats,
}

fn public_of(key: &PrivateKey) -> Result<PublicKey, CryptoError> {
    let x = sha256(&[b"x", key.expose()]);
    let y = sha256(&[b"y", &x]);
    let mut point = [4; 65];
    point[1..33].copy_from_slice(&x);
    point[33..].copy_from_slice(&y);
    PublicKey::from_bytes(key.curve(), &point)
}

/// The x coordinate of a key that is on the "curve".
fn x_of(key: &PublicKey) -> Result<[u8; 32], CryptoError> {
    let bytes = key.as_bytes();
    let mut x = [0; 32];
    x.copy_from_slice(&bytes[1..33]);
    if sha256(&[b"y", &x]) == bytes[33..] {
        Ok(x)
    } else {
        Err(CryptoError::PublicKey)
    }
}

fn signature(x: &[u8; 32], parts: &[&[u8]]) -> Signature {
    let r = sha256(&[b"r", x, &sha256(parts)]);
    let s = sha256(&[b"s", &r]);
    let mut out = [0; 64];
    out[..32].copy_from_slice(&r);
    out[32..].copy_from_slice(&s);
    out
}

impl Crypto for Toy {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        Ok(signature(&x_of(&public_of(key)?)?, parts))
    }

    fn verify(&self, key: &PublicKey, parts: &[&[u8]], given: &[u8]) -> Result<(), CryptoError> {
        if signature(&x_of(key)?, parts) == given {
            Ok(())
        } else {
            Err(CryptoError::Signature)
        }
    }

    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        if own.curve() != peer.curve() {
            return Err(CryptoError::PublicKey);
        }
        let (a, b) = (x_of(&public_of(own)?)?, x_of(peer)?);
        let mixed: [u8; 32] = core::array::from_fn(|i| a[i] ^ b[i]);
        Ok(SharedSecret::from_bytes(sha256(&[b"z", &mixed])))
    }

    fn generate(&self, curve: Curve, rng: &mut dyn rand_core::CryptoRng) -> KeyPair {
        loop {
            let mut scalar = [0; 32];
            rng.fill_bytes(&mut scalar);
            let private = PrivateKey::from_bytes(curve, scalar);
            if let Ok(public) = public_of(&private) {
                return KeyPair { private, public };
            }
        }
    }

    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        public_of(key)
    }

    fn stats(&self) -> &CryptoStats {
        &self.stats
    }
}
