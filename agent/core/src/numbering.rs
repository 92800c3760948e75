//! The states of the car's session are numbered, so that the CMP's book of sessions is the car's, whatever is lost,
//! repeated or overtaken on the way (docs/wire/aid2.md, rule 1). A CMP of revision 1 knows no numbers; it is told by
//! `Login` and `Logout` as they come.

use crate::agent::Agent;
use crate::durable::Record;
use crate::event::BootMs;
use aid_id::Id;
use aid_wire::{SESSION_REVISION, Up};

/// Where in a number of a session the count of journals begins, bits.
const JOURNAL_SHIFT: u32 = 32;

/// The CMP behind the present link.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It has not answered this `Hello` yet.
    Unknown { hello: Option<Id> },
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
        Self::Unknown { hello: None }
    }
}

impl Agent {
    /// The id of this connection's `Hello`.
    pub(crate) fn hello_id(&mut self) -> Id {
        if let Peer::Unknown { hello: Some(id) } = self.peer {
            return id;
        }
        let id = self.next_id();
        self.peer = Peer::Unknown { hello: Some(id) };
        id
    }

    fn is_hello(&self, id: Id) -> bool {
        matches!(self.peer, Peer::Unknown { hello } if hello == Some(id))
    }

    /// Journals the next number of the session; `open`: somebody may be logged in under it.
    pub(crate) fn number_session(&mut self, open: bool) -> u64 {
        self.number_session_after(self.durable.session_number, open)
    }

    fn number_session_after(&mut self, last: u64, open: bool) -> u64 {
        let number = last.saturating_add(1);
        self.record(Record::Session(number, open));
        number
    }

    /// Power went, or the journal failed, with somebody logged in: nobody is now.
    pub(crate) fn close_session_of_earlier_life(&mut self) {
        if self.durable.session_open && self.session.is_none() && self.login.is_none() {
            self.number_session(false);
        }
    }

    /// The CMP has answered the `Hello` and knows numbers.
    pub(crate) fn welcomed(&mut self, hello: Id, revision: u8, session: u64) {
        if !self.is_hello(hello) {
            return; // Of an earlier connection.
        }
        if revision < SESSION_REVISION {
            return self.hello_acked(hello);
        }
        self.peer = Peer::Numbered {
            sent: None,
            told: None,
        };
        let own = self.durable.session_number;
        let last = if own >> JOURNAL_SHIFT == 0 {
            // A new journal. What one that was lost has said and what is still on its way from it has lower numbers.
            let journal = (session >> JOURNAL_SHIFT) + 1;
            Some(journal << JOURNAL_SHIFT)
        } else {
            // It goes on behind what the CMP has: an older agent may have had this journal meanwhile.
            (session > own).then_some(session)
        };
        if let Some(last) = last {
            let open = self.session.is_some() || self.login.is_some();
            let number = self.number_session_after(last, open);
            if let Some(login) = &mut self.login {
                login.number = number;
            }
        }
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
            Peer::Unknown { hello } => hello.is_some(),
            Peer::Unnumbered => !self.durable.logouts.is_empty(),
            Peer::Numbered { told, .. } => {
                self.login.is_none() && *told != Some(self.durable.session_number)
            }
        }
    }

    /// Says who is logged in, where the CMP has an older state. A pending login says it itself.
    pub(crate) fn tell_session(&mut self, now: BootMs) {
        let number = self.durable.session_number;
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
