//! ECIES of the SUCI: the null scheme, profile A (X25519) and profile B (P-256).
//! TS 33.501 Annex C.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aid_rsp::crypto::x963_kdf;
use alloc::vec::Vec;
use hmac::{Hmac, Mac};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the MAC tag.
const TAG_LEN: usize = 8;

/// Protection scheme identifiers (Annex C.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// No concealment.
    Null = 0,
    /// ECIES with Curve25519.
    ProfileA = 1,
    /// ECIES with P-256, compressed points.
    ProfileB = 2,
}

/// How the home network wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// The scheme.
    pub scheme: Scheme,
    /// Home network public key identifier, 0 in the null scheme.
    pub key_id: u8,
    /// Home network public key: 32 bytes for profile A, a SEC 1 point for profile B.
    pub key: Vec<u8>,
}

impl Protection {
    /// The null scheme.
    #[must_use]
    pub const fn null() -> Self {
        Self {
            scheme: Scheme::Null,
            key_id: 0,
            key: Vec::new(),
        }
    }
}

/// The home network's key is not a key of the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the home network public key is not a key of the protection scheme")]
pub struct SuciError;

/// The scheme output: ephemeral public key, ciphertext, MAC tag; the input itself in the null scheme.
///
/// # Errors
/// [`SuciError`].
pub fn conceal(
    protection: &Protection,
    input: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, SuciError> {
    if protection.scheme == Scheme::Null {
        return Ok(input.to_vec());
    }
    loop {
        let mut private = Zeroizing::new([0u8; 32]);
        rng.fill_bytes(&mut *private);
        if let Some(shared) = agree(protection, &private)? {
            return Ok(encrypt(&shared, input));
        }
    }
}

/// The ephemeral public key and the shared secret.
struct Shared {
    public: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

/// `None` when the random number is no private key; another one is to be tried.
fn agree(protection: &Protection, private: &[u8; 32]) -> Result<Option<Shared>, SuciError> {
    if protection.scheme == Scheme::ProfileA {
        let peer: [u8; 32] = protection
            .key
            .as_slice()
            .try_into()
            .map_err(|_| SuciError)?;
        let public = x25519_dalek::x25519(*private, x25519_dalek::X25519_BASEPOINT_BYTES);
        let secret = Zeroizing::new(x25519_dalek::x25519(*private, peer));
        // A point of small order (RFC 7748 §6.1).
        if *secret == [0; 32] {
            return Err(SuciError);
        }
        return Ok(Some(Shared {
            public: public.to_vec(),
            secret,
        }));
    }
    let peer = p256::PublicKey::from_sec1_bytes(&protection.key).map_err(|_| SuciError)?;
    let Ok(own) = SecretKey::from_slice(private) else {
        return Ok(None);
    };
    let public = own.public_key().to_sec1_point(true).as_bytes().to_vec();
    let secret = Zeroizing::new((*own.diffie_hellman(&peer).raw_secret_bytes()).into());
    Ok(Some(Shared { public, secret }))
}

/// Annex C.3.4: the X9.63 derivation gives key, initial counter block and MAC key; AES-128-CTR; the
/// first 8 bytes of HMAC-SHA-256 over the ciphertext.
fn encrypt(shared: &Shared, input: &[u8]) -> Vec<u8> {
    let mut keys = Zeroizing::new([0u8; 64]);
    x963_kdf(&*shared.secret, &[&shared.public], &mut *keys);
    let (cipher_key, rest) = keys.split_at(16);
    let (counter, mac_key) = rest.split_at(16);
    let mut text = input.to_vec();
    apply_ctr(cipher_key, counter, &mut text);
    let mut out = shared.public.clone();
    out.extend_from_slice(&text);
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(mac_key) {
        mac.update(&text);
        let tag = mac.finalize().into_bytes();
        out.extend_from_slice(&tag[..TAG_LEN]);
    }
    out
}

/// AES-128 in counter mode, the counter counting as one number of 128 bits.
fn apply_ctr(key: &[u8], counter: &[u8], text: &mut [u8]) {
    let Ok(cipher) = Aes128::new_from_slice(key) else {
        return;
    };
    let mut counter = counter.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    for chunk in text.chunks_mut(16) {
        let mut block = counter.to_be_bytes().into();
        cipher.encrypt_block(&mut block);
        for (t, k) in chunk.iter_mut().zip(block) {
            *t ^= k;
        }
        counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(s: &str) -> Vec<u8> {
        hex::decode(s).unwrap()
    }

    /// TS 33.501 Annex C.4: scheme, home network key, ephemeral key, input, output.
    const VECTORS: [(Scheme, &str, &str, &str, &str); 4] = [
        (
            Scheme::ProfileA,
            "5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650",
            "c80949f13ebe61af4ebdbd293ea4f942696b9e815d7e8f0096bbf6ed7de62256",
            "00012080f6",
            "b2e92f836055a255837debf850b528997ce0201cb82adfe4be1f587d07d8457dcb02352410cddd9e730ef3fa87",
        ),
        (
            Scheme::ProfileA,
            "5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650",
            "be9eff3e9f22a4b42a3d236e7a6c500b3f2e7e0c7449988ba800d664bf4fcd97",
            "766572796c6f6e67757365726e616d6531",
            "977d8b2fdaa7b64aa700d04227d5b440630ea4ec50f9082273a26bb678c922228e358a1582adb15322c10e515141d2039a12e1d7783a97f1ac",
        ),
        (
            Scheme::ProfileB,
            "0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1",
            "99798858a1dc6a2c68637149a4b1dbfd1fdff5addd62a2142f06699ed7602529",
            "00012080f6",
            "039aab8376597021e855679a9778ea0b67396e68c66df32c0f41e9acca2da9b9d146a33fc2716ac7dae96aa30a4d",
        ),
        (
            Scheme::ProfileB,
            "0472da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd15a7ded52fcbb097a4ed250e036c7b9c8c7004c4eedc4f068cd7bf8d3f900e3b4",
            "90a5898bd29ffa3f261e00e980067c70a2b1b992a21f5b4fef6d4df69fe804ad",
            "766572796c6f6e67757365726e616d6531",
            "03759bb22c563d9f4a6b3c1419e543fc2f39d6823f02a9d71162b39399218b244bbe22d8b9f856a52ed381cd7eaf4cf2d5253cddc61a0a7882eb",
        ),
    ];

    #[test]
    fn the_known_answers_of_ts_33_501_annex_c() {
        for (scheme, key, private, input, output) in VECTORS {
            let protection = Protection {
                scheme,
                key_id: 1,
                key: h(key),
            };
            let private: [u8; 32] = h(private).try_into().unwrap();
            let shared = agree(&protection, &private).unwrap().unwrap();
            assert_eq!(hex::encode(encrypt(&shared, &h(input))), output);
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for (scheme, key) in [
            (Scheme::ProfileA, alloc::vec![0; 32]),
            (Scheme::ProfileA, alloc::vec![9; 31]),
            (Scheme::ProfileB, alloc::vec![4; 65]),
            (Scheme::ProfileB, Vec::new()),
        ] {
            let protection = Protection {
                scheme,
                key_id: 1,
                key,
            };
            assert!(agree(&protection, &[7; 32]).is_err());
        }
        // Zero is no scalar of P-256.
        let (scheme, key, ..) = VECTORS[2];
        let protection = Protection {
            scheme,
            key_id: 1,
            key: h(key),
        };
        assert!(agree(&protection, &[0; 32]).unwrap().is_none());
    }
}
