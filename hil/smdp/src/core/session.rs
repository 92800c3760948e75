//! RSP sessions: from InitiateAuthentication until the BPP is given out. SGP.22 §3.1.2, §3.1.3.
//! They live in memory for minutes. What a peer relies on later (the order, the binding) is stored;
//! a session lost with a restart is answered as unknown, and the LPA begins anew.

use super::{Order, Refusal};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::TransactionId;
use std::collections::BTreeMap;

/// How long a session waits for its next request, seconds.
pub const SESSION_SECONDS: u64 = 600;
/// Sessions at once; the oldest ends when there are more.
pub const MAX_SESSIONS: usize = 10_000;

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
    /// Key identifier of the CI for the card's chain.
    pub ci_key_id: Vec<u8>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A session's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// The card has to prove itself.
    Initiated(Initiated),
    /// The card has been offered a profile.
    Offered(Offered, OfferedOrder),
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    entries: BTreeMap<TransactionId, (u64, Session)>,
}

impl Sessions {
    /// Keeps a session; ends those that have waited too long, and the oldest when there are too
    /// many. `now` in unix seconds. One that began later than now began under a wrong clock, and waits no longer
    /// than the others.
    pub fn put(&mut self, id: TransactionId, session: Session, now: u64) {
        self.entries
            .retain(|_, (since, _)| since.abs_diff(now) < SESSION_SECONDS);
        if self.entries.len() >= MAX_SESSIONS
            && let Some(oldest) = self
                .entries
                .iter()
                .min_by_key(|(_, (since, _))| *since)
                .map(|(id, _)| *id)
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(id, (now, session));
    }

    /// Takes a session out, so that two requests can't use it at the same time.
    pub fn take(&mut self, id: &TransactionId, now: u64) -> Option<Session> {
        let (since, session) = self.entries.remove(id)?;
        (since.abs_diff(now) < SESSION_SECONDS).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: TransactionId) -> Session {
        Session::Initiated(Initiated {
            transaction_id: id,
            server_address: String::new(),
            server_challenge: [0; 16],
            ci_key_id: Vec::new(),
            signers: 0,
        })
    }

    #[test]
    fn a_session_ends_in_time_whatever_the_clock_said_when_it_began() {
        const NOW: u64 = 1_800_000_000;
        let id = |n| TransactionId::new(&[n; 16]).expect("an id");
        for (since, lives) in [
            (NOW, true),
            (NOW - SESSION_SECONDS + 1, true),
            (NOW - SESSION_SECONDS, false),
            (NOW + SESSION_SECONDS - 1, true),
            (NOW + SESSION_SECONDS, false),
            (u64::MAX, false),
            (0, false),
        ] {
            let mut sessions = Sessions::default();
            sessions.put(id(1), session(id(1)), since);
            assert_eq!(sessions.take(&id(1), NOW).is_some(), lives, "{since}");
            sessions.put(id(1), session(id(1)), since);
            sessions.put(id(2), session(id(2)), NOW);
            assert_eq!(sessions.entries.len(), 1 + usize::from(lives), "{since}");
        }
    }
}
