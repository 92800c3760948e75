//! Passwords of web pages: Argon2id in PHC form.
//! Called by the sign-in pages and the administration of aid-cmp and aid-msp.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};

/// Shortest and longest password, bytes.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// Hash of a password that nobody has, for names that nobody has.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hash of a password. None if there is no randomness or the library refuses.
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

/// Whether a text is a hash that [`verify`] can use.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.starts_with("$argon2id$") && PasswordHash::new(text).is_ok_and(|h| h.hash.is_some())
}

/// Whether the password fits; takes its time on a thread of its own, and the same time where there is no hash.
pub async fn verify(hash: Option<String>, password: String) -> bool {
    let check = move || {
        let text = hash.as_deref().unwrap_or(NOBODY);
        password.len() <= *LENGTH.end()
            && PasswordHash::new(text).is_ok_and(|h| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &h)
                    .is_ok()
            })
            && hash.is_some()
    };
    tokio::task::spawn_blocking(check).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_fits() {
        let stored = hash("correct horse").expect("hash");
        assert!(is_hash(&stored) && is_hash(NOBODY));
        assert!(!is_hash("correct horse") && !is_hash("$argon2id$") && !is_hash(""));
        assert_ne!(hash("correct horse"), Some(stored.clone()), "salted");
        assert!(verify(Some(stored.clone()), "correct horse".into()).await);
        assert!(!verify(Some(stored.clone()), "correct horsf".into()).await);
        assert!(!verify(Some(stored), "c".repeat(257)).await);
        assert!(!verify(None, "x".into()).await);
    }
}
