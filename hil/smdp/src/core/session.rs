//! RSP sessions: from InitiateAuthentication until the BPP is given out. SGP.22 §3.1.2, §3.1.3.
//! What only has begun is in its transaction id and challenge ([`TicketKey`](super::TicketKey)); what a card has proved
//! itself for is stored before the offer is answered, so that both outlive a restart.

use super::{Order, Refusal};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::TransactionId;
use serde::{Deserialize, Serialize};

/// How long a session waits: from InitiateAuthentication to AuthenticateClient, and from there on; seconds.
pub const SESSION_SECONDS: u64 = 600;
/// Sessions of cards at once. Each needs a certificate of an eUICC, and a card has few; a card that comes when there are
/// more is told to come again, and ends nobody else's.
pub const MAX_SESSIONS: u64 = 1_000_000;
/// Sessions of one eUICC at once; its oldest ends when there are more.
pub const SESSIONS_PER_EUICC: usize = 4;

/// An eUICC that has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Euicc {
    /// 32 digits.
    pub eid: String,
    /// The same as 16 bytes.
    pub eid_bytes: [u8; 16],
    /// Its key, from its certificate.
    pub public_key: PublicKey,
}

/// After InitiateAuthentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initiated {
    /// The session.
    pub transaction_id: TransactionId,
    /// What the LPA called us.
    pub server_address: String,
    /// What the card must sign.
    pub server_challenge: [u8; 16],
    /// Key identifier of the CI for the card's chain; `None` where the card answers no challenge of ours, so that it is
    /// refused whatever its chain.
    pub ci_key_id: Option<Vec<u8>>,
    /// Which of the server's certificates are used.
    pub signers: usize,
}

/// After AuthenticateClient, and after GetBoundProfilePackage (a repetition is allowed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The session.
    pub transaction_id: TransactionId,
    /// The card.
    pub euicc: Euicc,
    /// The profile that was offered.
    pub iccid: String,
    /// File of its package, where it is not the first of the ICCID.
    pub package: Option<String>,
    /// smdpSignature2 as data object 5F37: euiccSignature2 covers it.
    pub smdp_signature2: Vec<u8>,
    /// Which of the server's certificates are used.
    pub signers: usize,
    /// Was GetBoundProfilePackage refused in this session? LPAs then cancel as if the user had
    /// said no.
    pub refused: bool,
}

/// Which of a profile's orders a session was offered, and how far it was by then: a profile may be
/// cancelled and ordered again while the session lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedOrder {
    life: u64,
    /// The session that had given out the order's newest BPP.
    bound_before: Option<String>,
}

impl OfferedOrder {
    /// This order as it is now.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        Self {
            life: order.life,
            bound_before: order.newest_session().map(str::to_owned),
        }
    }

    /// Is it still this order?
    ///
    /// # Errors
    /// 8.2.6/3.8 it was cancelled; this one is newer.
    pub fn check(&self, order: &Order) -> Result<(), Refusal> {
        if self.life == order.life {
            return Ok(());
        }
        Err(Refusal::matching_id_refused(format!(
            "the order of profile {} that this session was offered is over",
            order.iccid
        )))
    }

    /// Has another session than `own` given out the order's BPP since?
    pub(super) fn is_overtaken(&self, order: &Order, own: &TransactionId) -> bool {
        let newest = order.newest_session();
        newest != self.bound_before.as_deref()
            && newest.is_none_or(|newest| newest != own.to_string())
    }
}

/// What is stored of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredSession {
    /// The card has been offered a profile.
    Offered(Box<Offered>, OfferedOrder),
    /// It is over, and can't begin again.
    Over,
}

/// Has a session that was last used at `since` still time? One that was used later than now was used under a wrong
/// clock, and waits no longer than the others.
#[must_use]
pub const fn has_time(since: u64, now: u64) -> bool {
    since.abs_diff(now) < SESSION_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_in_time_whatever_the_clock_said_when_it_began() {
        const NOW: u64 = 1_800_000_000;
        for (since, lives) in [
            (NOW, true),
            (NOW - SESSION_SECONDS + 1, true),
            (NOW - SESSION_SECONDS, false),
            (NOW + SESSION_SECONDS - 1, true),
            (NOW + SESSION_SECONDS, false),
            (u64::MAX, false),
            (0, false),
        ] {
            assert_eq!(has_time(since, NOW), lives, "{since}");
        }
    }
}
