//! Portal passwords as secrets that no log shows; the hashing is `aid_shell::password`.
//! Called by the portal's sign-in and by `user add`.

use aid_id::Secret;
pub use aid_shell::password::LENGTH;

/// The hash of a password. None if the library refuses.
#[must_use]
pub fn hash(password: &str) -> Option<Secret> {
    aid_shell::password::hash(password).map(Secret::new)
}

/// Whether the password fits; takes its time on a thread of its own.
pub async fn verify(hash: Option<Secret>, password: Secret) -> bool {
    let hash = hash.map(|h| h.expose().to_owned());
    aid_shell::password::verify(hash, password.expose().to_owned()).await
}
