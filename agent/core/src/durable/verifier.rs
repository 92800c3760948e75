//! What lets a user in while the car has no connection, as the journal holds it.

use aid_id::{AccountRef, Id};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A verifier that the CMP granted after a login with a PIN. Neither the user's name nor the PIN can be read from it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// The account.
    pub account: AccountRef,
    /// Names the verifier at the CMP.
    pub id: Id,
    /// Salt of both hashes.
    pub salt: Id,
    /// Finds the verifier of a name: the first half of a salted SHA-256 of it.
    pub name: [u8; 16],
    /// The hash of the PIN that `Effect::HashPin` asks for.
    pub hash: [u8; 32],
    /// When it was granted, Unix seconds, by the CMP's clock.
    pub granted_at: u64,
    /// When it ends, Unix seconds.
    pub expires_at: u64,
    /// Wrong PINs after which it is used up.
    pub attempts: u8,
    /// Tries since the last right PIN; each is counted before it is made.
    pub tries: u8,
}

/// Without salt and hashes: what is printed may be read by anybody.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("account", &self.account)
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .field("attempts", &self.attempts)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}
