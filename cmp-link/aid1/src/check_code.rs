//! A short code of an onboarding, shown on both sides of a redirect: who sees another code, or sees it on one side only,
//! was sent here by somebody else (AID.02 §7.1 has no anti-CSRF value; R-4.1-7).
//!
//! It follows from the `sid` of the account id, which both sides know. It is not part of the specification: a page shows it
//! beside its question, nothing is refused because of it.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Letters and digits that nobody takes for another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Eight characters of the digest, 40 bits, as `XXXX-XXXX`.
#[must_use]
pub fn check_code(sid: Uuid) -> String {
    let mut hash = Sha256::new();
    hash.update(b"aid check code\n");
    hash.update(sid.as_bytes());
    let mut code = String::with_capacity(9);
    for (at, byte) in hash.finalize().iter().take(8).enumerate() {
        if at == 4 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-4.1-7
    #[test]
    fn a_code_belongs_to_one_onboarding() {
        let code = check_code(Uuid::from_u128(1));
        assert_eq!(code, check_code(Uuid::from_u128(1)));
        assert_ne!(code, check_code(Uuid::from_u128(2)));
        assert_eq!((code.len(), code.find('-')), (9, Some(4)));
        let known = |b: u8| b == b'-' || ALPHABET.contains(&b);
        assert!(code.bytes().all(known));
    }
}
