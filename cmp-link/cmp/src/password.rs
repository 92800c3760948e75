//! Portal passwords as secrets that no log shows; the hashing, and how much of it a process does at once, is
//! `aid_serve::password`.

use aid_id::Secret;
pub use aid_serve::password::{Busy, LENGTH, Permit, permit};

/// The hash of a password, on the calling thread: for command lines and tests. `None` if the library refuses.
#[must_use]
pub fn hash(password: &str) -> Option<Secret> {
    aid_serve::password::hash(password).map(Secret::new)
}
