//! The states of the car's session are numbered, so that the CMP's book of sessions is the car's, whatever is lost,
//! repeated or overtaken on the way (docs/wire/aid2.md, rule 1). A CMP of revision 1 knows no numbers; it learns
//! of sessions by `Login` and `Logout` as they come.

use crate::agent::Agent;
use crate::durable::Record;
use crate::event::BootMs;
use crate::link::Peer;
use aid_id::Id;
use aid_wire::{FLEET_REVISION, SESSION_REVISION, Up};
use alloc::vec::Vec;

/// Time the CMP has to answer a `Hello` that is sent for the first time, ms; it doubles from one to the next.
const HELLO_MS: u64 = 1000;
/// The longest of these times, ms.
const LONGEST_HELLO_MS: u64 = 30_000;

impl Agent {
    /// The id of this connection's `Hello`, which is sent now. It is repeated sooner than other messages at first, because
    /// logins wait for its answer.
    pub(crate) fn hello_id(&mut self, now: BootMs) -> Id {
        let (hello, sent) = match self.peer() {
            Some(Peer::Unknown { hello, sent, .. }) => (*hello, *sent),
            Some(Peer::Unnumbered | Peer::Numbered { .. }) | None => (None, 0),
        };
        let id = hello.unwrap_or_else(|| self.next_id());
        let pause = (HELLO_MS << sent.min(8)).min(LONGEST_HELLO_MS);
        self.set_peer(Peer::Unknown {
            hello: Some(id),
            sent: sent.saturating_add(1),
            again: Some(now.plus(pause)),
        });
        id
    }

    /// When an unanswered `Hello` is sent again.
    pub(crate) fn hello_again(&self) -> Option<BootMs> {
        match self.peer()? {
            Peer::Unknown { again, .. } => *again,
            Peer::Unnumbered | Peer::Numbered { .. } => None,
        }
    }

    pub(crate) fn peer(&self) -> Option<&Peer> {
        self.link.as_ref().map(|l| &l.peer)
    }

    fn set_peer(&mut self, peer: Peer) {
        if let Some(link) = &mut self.link {
            link.peer = peer;
        }
    }

    fn is_hello(&self, id: Id) -> bool {
        matches!(self.peer(), Some(Peer::Unknown { hello, .. }) if *hello == Some(id))
    }

    /// The CMP knows numbers, and has this one: to its `Hello`, or to a message with a lower number.
    pub(crate) fn welcomed(&mut self, hello: Id, revision: u8, number: u64) {
        if self.is_hello(hello) {
            if revision < SESSION_REVISION {
                return self.hello_acked(hello);
            }
            self.set_peer(Peer::Numbered {
                revision,
                sent: None,
                told: None,
            });
            if revision < FLEET_REVISION {
                self.end_unknown_session();
            }
            self.send_own_result();
        } else if !matches!(self.peer(), Some(Peer::Numbered { .. })) || number < self.driver.number
        {
            return; // Of an earlier connection, or overtaken.
        }
        self.driver.number = self.driver.number.max(number);
        self.driver.count();
        self.send_login();
    }

    /// The CMP has acknowledged the `Hello`, as those do that know no revisions.
    fn hello_acked(&mut self, id: Id) {
        if self.is_hello(id) {
            self.set_peer(Peer::Unnumbered);
            self.end_unknown_session();
            // The end of the last session before the next one's beginning: such a CMP books them as they come.
            self.send_logouts();
            self.send_login();
        }
    }

    /// Takes an acknowledgement.
    pub(crate) fn session_acked(&mut self, id: Id) {
        self.hello_acked(id);
        if let Some(Peer::Numbered {
            sent: Some((message, number)),
            ..
        }) = self.peer()
            && *message == id
        {
            let number = *number;
            self.session_told(number);
            if number == self.driver.number {
                self.session_confirmed();
            }
        }
    }

    /// The CMP has this number, and with it the ends of all sessions before.
    pub(crate) fn session_told(&mut self, number: u64) {
        let peer = self.link.as_mut().map(|l| &mut l.peer);
        if let Some(Peer::Numbered { told, .. }) = peer {
            *told = Some(number);
            let open: Vec<Id> = self.durable().logouts().iter().map(|(id, _)| *id).collect();
            for logout_id in open {
                self.record(Record::LogoutAcked(logout_id));
            }
        }
    }

    /// Whether the CMP has something to learn about sessions.
    pub(crate) fn has_untold_session(&self) -> bool {
        match self.peer() {
            None => false,
            Some(Peer::Unknown { hello, .. }) => hello.is_some(),
            Some(Peer::Unnumbered) => !self.durable().logouts().is_empty(),
            Some(Peer::Numbered { told, .. }) => {
                self.driver.login.is_none() && *told != Some(self.driver.number)
            }
        }
    }

    /// Says who is logged in, where the CMP has an older state. A pending login says it itself.
    pub(crate) fn tell_session(&mut self, now: BootMs) {
        let number = self.driver.number;
        let is_sent = match self.peer() {
            Some(Peer::Numbered { sent, .. }) => sent.is_some_and(|(_, last)| last == number),
            Some(Peer::Unknown { .. } | Peer::Unnumbered) | None => true,
        };
        if is_sent || !self.has_untold_session() {
            return;
        }
        let message_id = self.next_id();
        if let Some(Peer::Numbered { sent, .. }) = self.link.as_mut().map(|l| &mut l.peer) {
            *sent = Some((message_id, number));
        }
        let account = self.driver.account();
        let verifier = self.driver.session.as_ref().and_then(|s| s.verifier);
        let body = match (account, verifier) {
            (Some(account), Some(verifier)) => Up::OfflineSession {
                number,
                account,
                verifier,
            },
            _ => Up::Session { number, account },
        };
        self.send(Some(message_id), body);
        self.arm_resend(now);
    }
}
