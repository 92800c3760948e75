//! Whose a token is. A token belongs to the pair of MSP and CMP that it was sent between (AID.02 §7.3); tokens are unique
//! for one MSP only (§5.3), so what is looked up is always token and pair together. Another pair's token is then not
//! refused as foreign: it is not found, by the same statement as one that nobody has.

use aid_aid1::strict_json;
use aid_id::MspToken;
use sha2::{Digest as _, Sha256};

use super::pair::PairId;

/// A token of a pair, as the hub keeps it: a hash, from which the token cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TokenKey(pub(crate) [u8; 16]);

impl TokenKey {
    /// The key of a token between these two.
    #[must_use]
    pub(crate) fn new(pair: &PairId, token: MspToken) -> Self {
        let mut hash = Sha256::new();
        // Names of parties are letters and digits, so no two pairs give the same input.
        hash.update(b"aid-hub token\0");
        hash.update(pair.to_string().as_bytes());
        hash.update([0]);
        hash.update(token.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// The token that a Send MSP Token introduces: that of its body; none where the body reports a failure, or has no token
/// that could be one. Whether the rest of the body is acceptable is the CMP's to say.
#[must_use]
pub(crate) fn introduced(body: &[u8]) -> Option<MspToken> {
    let members = strict_json::object(body).ok()?;
    members.get("msp_token")?.as_str()?.parse().ok()
}
