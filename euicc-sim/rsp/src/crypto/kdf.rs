//! SHA-256 and the key derivation of ANSI X9.63 (SEC 1 §3.6.1, BSI TR-03111 §4.3.3).

use sha2::{Digest, Sha256};

/// SHA-256 over the parts, one after another.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The X9.63 key derivation with SHA-256; fills `out` (at most 2³² blocks of 32 bytes).
pub fn x963_kdf(shared_secret: &[u8], shared_info: &[&[u8]], out: &mut [u8]) {
    for (counter, block) in (1u32..).zip(out.chunks_mut(32)) {
        let mut hash = Sha256::new();
        hash.update(shared_secret);
        hash.update(counter.to_be_bytes());
        for part in shared_info {
            hash.update(part);
        }
        let mut digest: [u8; 32] = hash.finalize().into();
        block.copy_from_slice(&digest[..block.len()]);
        zeroize::Zeroize::zeroize(&mut digest);
    }
}

/// hashCc: SHA-256(SHA-256(confirmation code) ‖ transactionId) (SGP.22 §5.7.5).
#[must_use]
pub fn hash_confirmation_code(confirmation_code: &str, transaction_id: &[u8]) -> [u8; 32] {
    sha256(&[&sha256(&[confirmation_code.as_bytes()]), transaction_id])
}
