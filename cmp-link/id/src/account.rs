//! References of messages and accounts: 16 bytes that say nothing about a person.
//! Ours, for AID2. Used by the wire format, the agent and the CMP.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A 16-byte identifier of a message, login, request or order (a UUID's bytes).
pub type Id = [u8; 16];

/// The CMP's reference of a user account, 16 bytes; says nothing about the person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountRef(pub Id);

impl fmt::Debug for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("account ")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
