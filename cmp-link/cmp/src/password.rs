//! Portal passwords as secrets that no log shows; the hashing, and how much of it a process does at once, is
//! `aid_serve::password`.

use aid_id::Secret;
pub use aid_serve::password::{Busy, LENGTH, Permit, permit};

/// The hash of a password, on the calling thread: for command lines and tests. `None` if the library refuses.
#[must_use]
pub fn hash(password: &str) -> Option<Secret> {
    aid_serve::password::hash(password).map(Secret::new)
}

/// What is stored of an account without a password: whoever has it signs in elsewhere. No password fits it.
#[must_use]
pub fn none() -> Secret {
    Secret::new("!".to_owned())
}

/// Whether an account has no password.
#[must_use]
pub fn is_none(stored: &Secret) -> bool {
    !aid_serve::password::is_hash(stored.expose())
}
