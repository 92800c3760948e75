//! The states of the car's session are numbered, so that the CMP's book of sessions is the car's, whatever is lost,
//! repeated or overtaken on the way (docs/wire/aid2.md, rule 1). A CMP of revision 1 knows no numbers; it learns
//! of sessions by `Login` and `Logout` as they come.

use crate::agent::Agent;
use crate::durable::Record;
use crate::event::BootMs;
use aid_id::Id;
use aid_wire::{SESSION_REVISION, Up};

/// Time the CMP has to answer a `Hello` that is sent for the first time, ms; it doubles from one to the next.
const HELLO_MS: u64 = 1000;
/// The longest of these times, ms.
const LONGEST_HELLO_MS: u64 = 30_000;

/// The CMP behind the present link.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It has not answered this `Hello` yet, which was sent so many times, and is sent again then.
    Unknown {
        hello: Option<Id>,
        sent: u32,
        again: Option<BootMs>,
    },
    /// It knows revision 1 only.
    Unnumbered,
    /// It knows numbers of sessions.
    Numbered {
        /// The message that waits for its acknowledgement, and the number in it.
        sent: Option<(Id, u64)>,
        /// The number that it has.
        told: Option<u64>,
    },
}

impl Default for Peer {
    fn default() -> Self {
        Self::Unknown {
            hello: None,
            sent: 0,
            again: None,
        }
    }
}

impl Agent {
    /// The id of this connection's `Hello`, which is sent now. It is repeated sooner than other messages at first, because
    /// logins wait for its answer.
    pub(crate) fn hello_id(&mut self, now: BootMs) -> Id {
        let (hello, sent) = match self.peer {
            Peer::Unknown { hello, sent, .. } => (hello, sent),
            Peer::Unnumbered | Peer::Numbered { .. } => (None, 0),
        };
        let id = hello.unwrap_or_else(|| self.next_id());
        let pause = (HELLO_MS << sent.min(8)).min(LONGEST_HELLO_MS);
        self.peer = Peer::Unknown {
            hello: Some(id),
            sent: sent.saturating_add(1),
            again: Some(now.plus(pause)),
        };
        id
    }

    /// When an unanswered `Hello` is sent again.
    pub(crate) fn hello_again(&self) -> Option<BootMs> {
        match self.peer {
            Peer::Unknown { again, .. } => again,
            Peer::Unnumbered | Peer::Numbered { .. } => None,
        }
    }

    fn is_hello(&self, id: Id) -> bool {
        matches!(self.peer, Peer::Unknown { hello, .. } if hello == Some(id))
    }

    /// Something happened to the session. Nothing of it is journaled: the CMP says at each connection from where to
    /// count, and after a restart nobody is logged in.
    pub(crate) fn number_session(&mut self) {
        self.session_number = self.session_number.saturating_add(1);
    }

    /// The CMP knows numbers, and has this one: to its `Hello`, or to a message with a lower number.
    pub(crate) fn welcomed(&mut self, hello: Id, revision: u8, number: u64) {
        if self.is_hello(hello) {
            if revision < SESSION_REVISION {
                return self.hello_acked(hello);
            }
            self.peer = Peer::Numbered {
                sent: None,
                told: None,
            };
        } else if !matches!(self.peer, Peer::Numbered { .. }) || number < self.session_number {
            return; // Of an earlier connection, or overtaken.
        }
        self.session_number = self.session_number.max(number);
        self.number_session();
        self.send_login();
    }

    /// The CMP has acknowledged the `Hello`, as those do that know no revisions.
    fn hello_acked(&mut self, id: Id) {
        if self.is_hello(id) {
            self.peer = Peer::Unnumbered;
            // The end of the last session before the next one's beginning: such a CMP books them as they come.
            self.send_logouts();
            self.send_login();
        }
    }

    /// Takes an acknowledgement.
    pub(crate) fn session_acked(&mut self, id: Id) {
        self.hello_acked(id);
        if let Peer::Numbered {
            sent: Some((message, number)),
            ..
        } = self.peer
            && message == id
        {
            self.session_told(number);
        }
    }

    /// The CMP has this number, and with it the ends of all sessions before.
    pub(crate) fn session_told(&mut self, number: u64) {
        if let Peer::Numbered { told, .. } = &mut self.peer {
            *told = Some(number);
            for (logout_id, _) in self.durable.logouts.clone() {
                self.record(Record::LogoutAcked(logout_id));
            }
        }
    }

    /// Whether the CMP has something to learn about sessions.
    pub(crate) fn has_untold_session(&self) -> bool {
        match &self.peer {
            Peer::Unknown { hello, .. } => hello.is_some(),
            Peer::Unnumbered => !self.durable.logouts.is_empty(),
            Peer::Numbered { told, .. } => {
                self.login.is_none() && *told != Some(self.session_number)
            }
        }
    }

    /// Says who is logged in, where the CMP has an older state. A pending login says it itself.
    pub(crate) fn tell_session(&mut self, now: BootMs) {
        let number = self.session_number;
        let is_sent = match &self.peer {
            Peer::Numbered { sent, .. } => sent.is_some_and(|(_, last)| last == number),
            Peer::Unknown { .. } | Peer::Unnumbered => true,
        };
        if is_sent || !self.has_untold_session() {
            return;
        }
        let message_id = self.next_id();
        if let Peer::Numbered { sent, .. } = &mut self.peer {
            *sent = Some((message_id, number));
        }
        let account = self.session.as_ref().map(|s| s.account);
        self.send(Some(message_id), Up::Session { number, account });
        self.arm_resend(now);
    }
}
