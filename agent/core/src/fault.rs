//! The core without its journal: while records can't be written, or were never read, the session
//! ends, what is enabled is disabled, and nothing else happens. What became of the card is kept in
//! memory, and goes into the snapshot with which the journal begins again.
//!
//! Nothing of the CMP is taken or acknowledged meanwhile: it repeats what is open (docs/wire/aid2.md).

use crate::agent::Agent;
use crate::card::{Running, Work};
use crate::durable::{Operation, Record, RestoreError};
use crate::event::{BootMs, EuiccOp, Event, LoginEnd, Notice};
use crate::link::{Link, Peer};
use crate::waits::Erasure;
use alloc::{boxed::Box, string::String, vec::Vec};

const CANNOT_WRITE: &str = "the agent's journal can't be written";

impl Agent {
    /// Takes what the journal holds, read after the start; what happened on the card since is added.
    /// Call it while [`Agent::is_secured`]. Without content (`None`, `&[]`) the journal is a new one.
    ///
    /// # Errors
    /// The journal holds a record that this version can't read; nothing has changed.
    pub fn restore_late(
        &mut self,
        now: BootMs,
        snapshot: Option<&[u8]>,
        records: &[Vec<u8>],
    ) -> Result<(), RestoreError> {
        if !self.is_unread() {
            return Ok(());
        }
        let since = self.ledger.adopt(snapshot, records)?;
        if let Some(found) = self.card.found.take() {
            // In the order in which it happened: what the earlier life left, then what came since.
            let present = self.card.profiles.replace(found);
            // The downloads of the earlier life are settled now.
            self.card.resumed = false;
            self.settle_list(now);
            for report in since {
                self.report(now, report.iccid, report.status, report.code);
            }
            self.card.profiles = present;
        }
        self.secure(now);
        Ok(())
    }

    /// A record may not be on disk. What waited behind it does not happen; the safe state comes first.
    pub(crate) fn fail(&mut self, now: BootMs, text: String) {
        if let Some(link) = &mut self.link {
            link.resend = None;
        }
        if let Some(what) = self.ledger.fail(text) {
            // Chosen, but never begun.
            let begun = self.card.running.take();
            self.not_begun(&what, begun);
        }
        self.forget_hashes();
        self.erasure = Erasure::Idle;
        self.refuse_login(LoginEnd::JournalFailed, CANNOT_WRITE);
        self.end_session();
        self.secure(now);
    }

    fn not_begun(&mut self, what: &EuiccOp, begun: Option<Running>) {
        match (what, begun.map(|r| r.work)) {
            (EuiccOp::Enable { .. } | EuiccOp::Disable { .. } | EuiccOp::Delete { .. }, _) => {
                self.record(Record::IntentClosed);
            }
            (EuiccOp::Download { .. }, Some(Work::Download(request_id))) => {
                if let Some(mut download) = self.download(request_id) {
                    download.attempts = download.attempts.saturating_sub(1);
                    self.record(Record::Download(Box::new(download)));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn handle_in_fault(&mut self, now: BootMs, event: Event) {
        match event {
            Event::LinkUp => {
                let since = self.link_since().unwrap_or(now);
                self.link = Some(Link {
                    since,
                    peer: Peer::default(),
                    resend: None,
                });
                self.notify(Notice::LinkUp);
            }
            Event::LinkDown => {
                self.link = None;
                self.notify(Notice::LinkDown);
            }
            Event::Login { login_id, .. } | Event::LoginByCode { login_id } => {
                self.notify(Notice::LoginRefused {
                    login_id,
                    cause: LoginEnd::JournalFailed,
                    reason: String::from(CANNOT_WRITE),
                });
            }
            Event::EuiccDone {
                op,
                result,
                profiles,
            } => {
                if self.card.running.is_some_and(|r| r.number == op) {
                    self.euicc_done(now, result, profiles);
                    if self.is_unread() && self.card.found.is_none() {
                        self.card.found = self.card.profiles.clone();
                    }
                }
            }
            Event::JournalRestored => {
                self.ledger.mend();
                if self.link.is_some() {
                    self.link_is_up(now);
                }
                return self.decide(now);
            }
            Event::Call { active } => self.card.call_reported(now, active),
            Event::Ignition { on } => self.ignition(now, on),
            // The CMP repeats what is not acknowledged; nobody is logged in.
            Event::Boot
            | Event::Logout
            | Event::DeleteOwn { .. }
            | Event::Provision
            | Event::PinHashed { .. }
            | Event::FactoryReset { .. }
            | Event::Erased { .. }
            | Event::SetUp
            | Event::Inbound { .. }
            | Event::Persisted { .. }
            | Event::PersistFailed { .. } => {}
        }
        self.secure(now);
    }

    /// Disables what is enabled: nobody is logged in whose it could be.
    pub(crate) fn secure(&mut self, now: BootMs) {
        if self.card.running.is_some() || self.card.retry.is_some() {
            return;
        }
        if self.card.profiles.is_none() {
            return self.start(now, Work::List, EuiccOp::List);
        }
        let enabled = self
            .card
            .iter()
            .find(|p| p.enabled)
            .map(|p| p.iccid.clone());
        if self.card.call.is_some() {
            self.card.held_by_call = enabled.is_some();
            return;
        }
        if let Some(intent) = self.durable().intent().cloned() {
            if intent.operation == Operation::Disable {
                return self.begin(now, intent.operation, intent.iccid, intent.attempts);
            }
            // Not reached: decided anew when the journal is back.
            self.record(Record::IntentClosed);
        }
        if let Some(iccid) = enabled {
            self.begin(now, Operation::Disable, iccid, 0);
        }
    }
}
