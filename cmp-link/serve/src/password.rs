//! Passwords of web pages: Argon2id in PHC form.
//!
//! A hash takes 19 MiB of memory and tens of milliseconds of a processor. A server never calls [`hash`] itself: it asks for
//! a [`Permit`] first, so that strangers can't make it hash more at once than it has memory for.

mod admission;

pub use admission::{AT_ONCE, Busy, Load, PATIENCE, Permit, QUEUE, load, permit};
use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, SaltString};

/// Shortest and longest password, bytes.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// Hash of a password that nobody has, for names that nobody has.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hash of a password, on the calling thread: for command lines. `None` if there is no randomness or the library
/// refuses.
#[must_use]
pub fn hash(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .ok()?;
    Some(hash.to_string())
}

/// Whether a text is a hash that a password can be judged by.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.starts_with("$argon2id$") && PasswordHash::new(text).is_ok_and(|h| h.hash.is_some())
}

/// Whether the password fits the hash. Takes the same time where there is no hash, and where the password is too long:
/// no attempt is cheaper than another.
fn fits(hash: Option<&str>, password: &str) -> bool {
    let bytes = password.as_bytes();
    let bytes = bytes.get(..*LENGTH.end()).unwrap_or(bytes);
    // An account without a password takes as long as any.
    let hash = hash.filter(|hash| is_hash(hash));
    let hashed = PasswordHash::new(hash.unwrap_or(NOBODY))
        .is_ok_and(|h| Argon2::default().verify_password(bytes, &h).is_ok());
    hashed && hash.is_some() && password.len() <= *LENGTH.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits() {
        let stored = hash("correct horse").expect("hash");
        assert!(is_hash(&stored) && is_hash(NOBODY));
        assert!(!is_hash("correct horse") && !is_hash("$argon2id$") && !is_hash(""));
        assert_ne!(hash("correct horse"), Some(stored.clone()), "salted");
        assert!(fits(Some(&stored), "correct horse"));
        assert!(!fits(Some(&stored), "correct horsf"));
        assert!(!fits(Some(&stored), &"c".repeat(257)));
        assert!(!fits(None, "x"));
        // The longest one is judged whole, and what is longer does not fit by its beginning.
        let longest = "c".repeat(*LENGTH.end());
        let stored = hash(&longest).expect("hash");
        assert!(fits(Some(&stored), &longest));
        assert!(!fits(Some(&stored), &format!("{longest}c")));
    }
}
