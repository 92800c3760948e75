//! The core without its journal: while records can't be written, or were never read, the session
//! ends, what is enabled is disabled, and nothing else happens. What became of the card is kept in
//! memory, and goes into the snapshot with which the journal begins again.
//!
//! Nothing of the CMP is taken or acknowledged meanwhile: it repeats what is open (docs/wire/aid2.md).

use crate::agent::{Agent, Queued};
use crate::durable::{Durable, Operation, Record, RestoreError};
use crate::event::{BootMs, CardProfile, Effect, EuiccOp, Event, LoginEnd, Notice};
use crate::numbering::Peer;
use alloc::{collections::VecDeque, string::String, vec::Vec};

/// What is wrong with the journal.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It takes no records. The state in memory is whole: what was acknowledged, what failed to be
    /// written, and what happened since.
    Unwritten,
    /// It could not be read at the start: the state in memory has only what happened since.
    Unread {
        /// The card as it was first found: what an open operation of the earlier life is settled by.
        found: Option<Vec<CardProfile>>,
    },
}

impl Agent {
    /// The agent after a start at which the journal can't be read. It disables what is enabled; give
    /// it the journal's content with [`Agent::restore_late`] once it can be read.
    #[must_use]
    pub fn without_journal(software: String) -> Self {
        let fault = Some(Fault::Unread { found: None });
        Self::with(software, Durable::default(), fault)
    }

    /// True while nothing is journaled: nobody can log in.
    #[must_use]
    pub fn has_failed_journal(&self) -> bool {
        self.fault.is_some()
    }

    /// True while the journal's content is awaited ([`Agent::restore_late`]).
    #[must_use]
    pub fn is_unread(&self) -> bool {
        matches!(self.fault, Some(Fault::Unread { .. }))
    }

    /// True when the card was secured, as far as it answers: the shell may turn to the journal.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        self.op.is_none() && self.effects.is_empty()
    }

    /// The state that a failed journal has to begin with again; `None` while the journal works, or its
    /// content is not known.
    #[must_use]
    pub fn unsaved(&self) -> Option<Vec<u8>> {
        match self.fault {
            Some(Fault::Unwritten) => postcard::to_allocvec(&self.durable).ok(),
            Some(Fault::Unread { .. }) | None => None,
        }
    }

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
        let Some(Fault::Unread { found }) = &mut self.fault else {
            return Ok(());
        };
        let durable = Durable::restore(snapshot, records)?;
        let found = found.take();
        let since = core::mem::replace(&mut self.durable, durable).outbox;
        self.fault = Some(Fault::Unwritten);
        if found.is_some() {
            // In the order in which it happened: what the earlier life left, then what came since.
            let present = self.card.take();
            // The downloads of the earlier life are settled now.
            self.resumed = false;
            self.op = Some((self.next_op, EuiccOp::List));
            self.euicc_done(now, Ok(()), found);
            for report in since {
                self.report(now, report.iccid, report.status, report.code);
            }
            self.card = present;
        }
        self.secure();
        Ok(())
    }

    /// A record may not be on disk. What waited behind it does not happen; the safe state comes first.
    pub(crate) fn fail(&mut self, text: String) {
        self.fault = Some(Fault::Unwritten);
        self.awaiting = None;
        self.resend = None;
        let waiting = core::mem::take(&mut self.effects);
        self.notify(Notice::Error { text });
        self.effects.extend(without_acts(waiting, |what| {
            // Chosen, but never begun.
            self.op = None;
            match what {
                EuiccOp::Enable { .. } | EuiccOp::Disable { .. } | EuiccOp::Delete { .. } => {
                    self.durable.apply(&Record::IntentClosed);
                }
                EuiccOp::Download { .. } => {
                    let running = self.running.take();
                    let mut open = self.durable.downloads.iter_mut();
                    if let Some(download) = open.find(|d| Some(d.request_id) == running) {
                        download.attempts = download.attempts.saturating_sub(1);
                    }
                }
                EuiccOp::List | EuiccOp::Notifications => {}
            }
        }));
        self.refuse_login(
            LoginEnd::JournalFailed,
            String::from("the agent's journal can't be written"),
        );
        self.end_session();
        self.secure();
    }

    pub(crate) fn handle_in_fault(&mut self, now: BootMs, event: Event) {
        match event {
            Event::LinkUp => {
                self.link_up = true;
                self.link_since.get_or_insert(now);
                self.notify(Notice::LinkUp);
            }
            Event::LinkDown => {
                self.link_up = false;
                self.link_since = None;
                self.resend = None;
                self.peer = Peer::default();
                self.notify(Notice::LinkDown);
            }
            Event::Login { login_id, .. } | Event::LoginByCode { login_id } => {
                let reason = String::from("the agent's journal can't be written");
                self.notify(Notice::LoginRefused {
                    login_id,
                    cause: LoginEnd::JournalFailed,
                    reason,
                });
            }
            Event::EuiccDone {
                op,
                result,
                profiles,
            } => {
                if self.op.as_ref().is_some_and(|(open, _)| *open == op) {
                    if let Some(Fault::Unread { found }) = &mut self.fault
                        && found.is_none()
                    {
                        found.clone_from(&profiles);
                    }
                    self.euicc_done(now, result, profiles);
                }
            }
            Event::JournalRestored => {
                self.fault = None;
                if self.link_up {
                    self.link_is_up(now);
                }
                return self.decide(now);
            }
            // The CMP repeats what is not acknowledged; nobody is logged in.
            Event::Boot
            | Event::Logout
            | Event::DeleteOwn { .. }
            | Event::Provision
            | Event::Inbound { .. }
            | Event::Persisted { .. }
            | Event::PersistFailed { .. } => {}
        }
        self.secure();
    }

    /// Disables what is enabled: nobody is logged in whose it could be.
    pub(crate) fn secure(&mut self) {
        if self.op.is_some() || self.card_retry.is_some() {
            return;
        }
        let Some(card) = &self.card else {
            return self.start_op(EuiccOp::List);
        };
        let enabled = card.iter().find(|p| p.enabled).map(|p| p.iccid.clone());
        let open = self.durable.intent.clone();
        if let Some(intent) = open {
            if intent.operation == Operation::Disable {
                return self.begin_op(intent.operation, intent.iccid, intent.attempts);
            }
            // Not reached: decided anew when the journal is back.
            self.record(Record::IntentClosed);
        }
        if let Some(iccid) = enabled {
            self.begin_op(Operation::Disable, iccid, 0);
        }
    }
}

/// What was to be said to the HMI; `unbegun` is given the card operation that waited.
fn without_acts(
    waiting: VecDeque<Queued>,
    mut unbegun: impl FnMut(EuiccOp),
) -> impl Iterator<Item = Queued> {
    let mut said = Vec::new();
    for queued in waiting {
        match queued {
            Queued::Other(Effect::Euicc { what, .. }) => unbegun(what),
            Queued::Other(Effect::Notify(_)) => said.push(queued),
            Queued::Persist(_) | Queued::Other(_) => {}
        }
    }
    said.into_iter()
}
