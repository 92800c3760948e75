//! [`Crypto`] for a server: signatures and one-time key agreement on NIST P-256 by ring, which is four to five times as fast
//! as pure Rust and linked for TLS anyway. Brainpool, and key agreement with a key that is kept, are by [`SoftwareCrypto`]:
//! ring has no brainpool, and takes no private key for key agreement from outside.

use aid_rsp::crypto::{
    Crypto, CryptoError, CryptoStats, Curve, KeyPair, PrivateKey, PublicKey, SharedSecret,
    Signature, SoftwareCrypto,
};
use rand_core::CryptoRng;
use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Prepared keys, at most; a server has two for each CI.
const MAX_KEYS: usize = 32;

/// A key that ring has checked, beside its scalar.
type Prepared = (Zeroizing<[u8; 32]>, Arc<EcdsaKeyPair>);

/// Both curves, P-256 fast.
#[derive(Default)]
pub struct ServerCrypto {
    software: SoftwareCrypto,
    random: SystemRandomBox,
    keys: RwLock<Vec<Prepared>>,
}

/// ring's generator, with a default.
struct SystemRandomBox(SystemRandom);

impl Default for SystemRandomBox {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl ServerCrypto {
    /// An instance with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The prepared key for this private one. Preparing takes as long as a signature, so it is kept.
    fn prepared(&self, key: &PrivateKey) -> Result<Arc<EcdsaKeyPair>, CryptoError> {
        let same = |known: &&Prepared| bool::from(known.0.ct_eq(key.expose()));
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pair)) = keys.iter().find(same) {
            return Ok(Arc::clone(pair));
        }
        drop(keys);
        let public = self.software.public_key(key)?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            key.expose(),
            public.as_bytes(),
            &self.random.0,
        );
        let pair = Arc::new(pair.map_err(|_| CryptoError::PrivateKey)?);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < MAX_KEYS {
            keys.push((Zeroizing::new(*key.expose()), Arc::clone(&pair)));
        }
        Ok(pair)
    }
}

/// The message as one slice, which ring wants.
fn joined<'a>(parts: &[&'a [u8]], all: &'a mut Vec<u8>) -> &'a [u8] {
    match parts {
        [one] => one,
        _ => {
            *all = parts.concat();
            all
        }
    }
}

impl Crypto for ServerCrypto {
    fn sign(&self, key: &PrivateKey, parts: &[&[u8]]) -> Result<Signature, CryptoError> {
        if key.curve() != Curve::NistP256 {
            return self.software.sign(key, parts);
        }
        let pair = self.prepared(key)?;
        self.stats().count_sign();
        let mut all = Vec::new();
        let signature = pair.sign(&self.random.0, joined(parts, &mut all));
        let signature = signature.map_err(|_| CryptoError::PrivateKey)?;
        let signature = <[u8; 64]>::try_from(signature.as_ref());
        signature.map_err(|_| CryptoError::PrivateKey)
    }

    fn verify(
        &self,
        public: &PublicKey,
        parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if public.curve() != Curve::NistP256 {
            return self.software.verify(public, parts, signature);
        }
        self.stats().count_verify();
        let mut all = Vec::new();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes());
        let verified = key.verify(joined(parts, &mut all), signature);
        // ring does not say why: the other one names the failure, with counters of its own because it is one verification.
        verified.map_err(|_| {
            let why = SoftwareCrypto::new().verify(public, parts, signature);
            why.err().unwrap_or(CryptoError::Signature)
        })
    }

    fn ecdh(&self, own: &PrivateKey, peer: &PublicKey) -> Result<SharedSecret, CryptoError> {
        self.software.ecdh(own, peer)
    }

    fn agree_once(
        &self,
        peer: &PublicKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<(PublicKey, SharedSecret), CryptoError> {
        if peer.curve() != Curve::NistP256 {
            return self.software.agree_once(peer, rng);
        }
        self.stats().count_keygen();
        self.stats().count_ecdh();
        // Fails only where the system has no random numbers.
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &self.random.0)
            .map_err(|_| CryptoError::PrivateKey)?;
        let public = own
            .compute_public_key()
            .map_err(|_| CryptoError::PrivateKey)?;
        let public = PublicKey::from_bytes(Curve::NistP256, public.as_ref())?;
        let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, peer.as_bytes());
        let secret = agreement::agree_ephemeral(own, &peer, |x| <[u8; 32]>::try_from(x));
        // Says of no other failure than that of the peer's point.
        let secret = secret.map_err(|_| CryptoError::PublicKey)?;
        let secret = secret.map_err(|_| CryptoError::PublicKey)?;
        Ok((public, SharedSecret::from_bytes(secret)))
    }

    fn generate(&self, curve: Curve, rng: &mut dyn CryptoRng) -> KeyPair {
        self.software.generate(curve, rng)
    }

    fn public_key(&self, key: &PrivateKey) -> Result<PublicKey, CryptoError> {
        self.software.public_key(key)
    }

    fn stats(&self) -> &CryptoStats {
        self.software.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use getrandom::rand_core::UnwrapErr;

    /// A peer that computes in pure Rust has the same secret, whoever makes the one-time key; each is new.
    #[test]
    fn one_time_keys_agree_with_the_pure_implementation() {
        let (server, software) = (ServerCrypto::new(), SoftwareCrypto::new());
        for curve in [Curve::NistP256, Curve::BrainpoolP256r1] {
            let peer = software.generate(curve, &mut UnwrapErr(SysRng));
            let agree = || server.agree_once(&peer.public, &mut UnwrapErr(SysRng));
            let before = server.stats().counts();
            let (public, secret) = agree().unwrap();
            let new = server.stats().counts().since(before);
            assert_eq!((new.keygen, new.ecdh, new.sign, new.verify), (1, 1, 0, 0));
            let same = software.ecdh(&peer.private, &public).unwrap();
            assert_eq!(secret.expose(), same.expose());
            assert_ne!(agree().unwrap().0, public);
            let mut point = *peer.public.as_bytes();
            point[64] ^= 1;
            let off = PublicKey::from_bytes(curve, &point).unwrap();
            let refused = server.agree_once(&off, &mut UnwrapErr(SysRng));
            assert_eq!(refused.err(), Some(CryptoError::PublicKey));
        }
    }

    /// What one signs the other verifies, and neither takes what was altered.
    #[test]
    fn it_agrees_with_the_pure_implementation() {
        let (server, software) = (ServerCrypto::new(), SoftwareCrypto::new());
        for curve in [Curve::NistP256, Curve::BrainpoolP256r1] {
            let pair = server.generate(curve, &mut UnwrapErr(SysRng));
            let other = server.generate(curve, &mut UnwrapErr(SysRng));
            for parts in [&[&b"one"[..]][..], &[b"two", b" ", b"parts"], &[], &[b""]] {
                let all: [(&dyn Crypto, &dyn Crypto); 2] =
                    [(&server, &software), (&software, &server)];
                for (signs, verifies) in all {
                    let signature = signs.sign(&pair.private, parts).unwrap();
                    verifies.verify(&pair.public, parts, &signature).unwrap();
                    let joined = parts.concat();
                    verifies
                        .verify(&pair.public, &[&joined], &signature)
                        .unwrap();
                    let mut altered = signature;
                    altered[40] ^= 1;
                    for (key, signature) in [
                        (&pair.public, &altered[..]),
                        (&other.public, &signature[..]),
                    ] {
                        assert!(verifies.verify(key, parts, signature).is_err());
                    }
                    assert!(
                        verifies
                            .verify(&pair.public, parts, &signature[..63])
                            .is_err()
                    );
                    assert!(
                        verifies
                            .verify(&pair.public, &[b"else"], &signature)
                            .is_err()
                    );
                }
            }
        }
        // Both name a failure alike, whatever is wrong with the key, the signature or both; it is one verification.
        for curve in [Curve::NistP256, Curve::BrainpoolP256r1] {
            let pair = server.generate(curve, &mut UnwrapErr(SysRng));
            let signature = software.sign(&pair.private, &[b"x"]).unwrap();
            let keys = [0, 1, 33, 64].map(|at| {
                let mut point = *pair.public.as_bytes();
                point[at] ^= u8::from(at != 0);
                PublicKey::from_bytes(curve, &point).unwrap()
            });
            let mut altered = signature;
            altered[7] ^= 1;
            for (n, key) in keys.iter().enumerate() {
                for signature in [
                    &signature[..],
                    &altered,
                    &[0; 64],
                    &[0xFF; 64],
                    &[1; 63],
                    &[],
                ] {
                    let before = server.stats().counts().verify;
                    let got = server.verify(key, &[b"x"], signature);
                    assert_eq!(server.stats().counts().verify, before + 1);
                    assert_eq!(got, software.verify(key, &[b"x"], signature));
                }
                let expected = if n == 0 {
                    Ok(())
                } else {
                    Err(CryptoError::PublicKey)
                };
                assert_eq!(server.verify(key, &[b"x"], &signature), expected);
            }
        }
        // A scalar that is none is refused, as by the other.
        let zero = PrivateKey::from_bytes(Curve::NistP256, [0; 32]);
        assert!(server.sign(&zero, &[b"x"]).is_err());
        let many =
            (0..MAX_KEYS + 3).map(|_| server.generate(Curve::NistP256, &mut UnwrapErr(SysRng)));
        for pair in many {
            let signature = server.sign(&pair.private, &[b"x"]).unwrap();
            software.verify(&pair.public, &[b"x"], &signature).unwrap();
        }
        assert!(server.keys.read().unwrap().len() <= MAX_KEYS);
    }
}
