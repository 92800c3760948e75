//! The durable state with the queue of effects in front of the shell: a record and what may only happen once it is on
//! disk are in one order, and nothing comes out while a record is on its way.

use super::{Durable, Record, Report, RestoreError};
use crate::bounds::{EFFECTS_RESERVED, MAX_EFFECTS, MAX_RECORDS, MAX_REPORTS, REPORTS_RESERVED};
use crate::event::{Effect, EuiccOp, Notice};
use aid_wire::Up;
use alloc::{string::String, vec::Vec};
use heapless::Deque;

/// Where in the number of a report the epoch begins, bits.
const EPOCH_SHIFT: u32 = 32;

/// What is wrong with the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes no records. The state in memory is whole: what was acknowledged, what failed to be
    /// written, and what happened since.
    Unwritten,
    /// It could not be read at the start: the state in memory has only what happened since.
    Unread,
}

#[derive(Debug)]
enum Queued {
    Persist(Vec<Record>),
    Effect(Effect),
    /// The reports that wait with numbers above `after`, up to `until`.
    Reports {
        after: u64,
        until: u64,
    },
}

/// The durable state and the effects on their way to the shell.
#[derive(Debug)]
pub(crate) struct Ledger {
    state: Durable,
    /// Epoch of a journal that has none yet.
    epoch: u32,
    queue: Deque<Queued, MAX_EFFECTS>,
    /// Ticket of the persist that is under way.
    awaiting: Option<u64>,
    next_ticket: u64,
    /// Why nothing is journaled at present; `None` while the journal works.
    fault: Option<Fault>,
    /// Why the journal can't go on, until the agent has taken it.
    broken: Option<&'static str>,
}

impl Ledger {
    pub(crate) fn new(state: Durable, fault: Option<Fault>) -> Self {
        Self {
            state,
            epoch: 0,
            queue: Deque::new(),
            awaiting: None,
            next_ticket: 0,
            fault,
            broken: None,
        }
    }

    /// What is on disk or on its way there.
    pub(crate) fn state(&self) -> &Durable {
        &self.state
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Gives an epoch to a journal that has none.
    pub(crate) fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// Applies a record and queues it; the only way to change what is durable. It joins a persist that
    /// has not left yet: being on disk earlier than needed is always right, and a list is one fdatasync.
    pub(crate) fn record(&mut self, record: Record) {
        self.state.apply(record.clone());
        if self.fault.is_some() {
            // The snapshot that ends the fault carries it.
            return;
        }
        let last = self.queue.iter_mut().rev().find_map(|queued| match queued {
            Queued::Persist(list) => Some(list),
            Queued::Effect(_) | Queued::Reports { .. } => None,
        });
        match last.filter(|list| list.len() < MAX_RECORDS) {
            Some(list) => list.push(record),
            None => self.push(Queued::Persist(alloc::vec![record])),
        }
    }

    fn push(&mut self, queued: Queued) {
        if self.queue.push_back(queued).is_err() {
            self.broken = Some("the journal is slower than what is to be recorded");
        }
    }

    /// Queues a message or notice. It is dropped where the queue is nearly full.
    pub(crate) fn offer(&mut self, effect: Effect) {
        if self.queue.len() + EFFECTS_RESERVED < MAX_EFFECTS {
            self.push(Queued::Effect(effect));
        }
    }

    /// Queues a card operation.
    pub(crate) fn act(&mut self, op: u64, what: EuiccOp) {
        self.push(Queued::Effect(Effect::Euicc { op, what }));
    }

    /// Queues what must not be dropped.
    pub(crate) fn demand(&mut self, effect: Effect) {
        self.push(Queued::Effect(effect));
    }

    /// Queues the reports with numbers above `after`, which are sent while they are not acknowledged.
    pub(crate) fn send_reports(&mut self, after: u64) {
        let until = self.state.report_seq;
        if let Some(Queued::Reports { until: last, .. }) = self.queue.back_mut()
            && *last == after
        {
            *last = until;
        } else if self.queue.len() + EFFECTS_RESERVED < MAX_EFFECTS {
            self.push(Queued::Reports { after, until });
        }
    }

    /// The number of the next report: in the upper half the epoch of the journal, in the lower a count.
    pub(crate) fn next_report(&self) -> u64 {
        let last = self.state.report_seq;
        let before = if last >> EPOCH_SHIFT == 0 && self.epoch != 0 {
            u64::from(self.epoch) << EPOCH_SHIFT
        } else {
            last
        };
        before + 1
    }

    /// Whether there is room for reports of more than what can't wait.
    pub(crate) fn has_room_for_reports(&self) -> bool {
        self.state.outbox.len() + REPORTS_RESERVED < MAX_REPORTS
    }

    /// The next thing to do; nothing comes while a persist is open.
    pub(crate) fn poll(&mut self) -> Option<Effect> {
        loop {
            if self.awaiting.is_some() || self.broken.is_some() {
                return None;
            }
            if let Queued::Reports { after, until } = self.queue.front_mut()? {
                let open = self.state.outbox.iter();
                let next = open
                    .filter(|r| r.seq > *after && r.seq <= *until)
                    .min_by_key(|r| r.seq);
                if let Some(report) = next {
                    *after = report.seq;
                    let (message_id, body) = (None, status_message(report.clone()));
                    return Some(Effect::Send { message_id, body });
                }
            }
            match self.queue.pop_front()? {
                Queued::Reports { .. } => {}
                Queued::Effect(effect) => return Some(effect),
                Queued::Persist(records) => match postcard::to_allocvec(&records) {
                    Ok(bytes) => {
                        let ticket = self.next_ticket;
                        self.next_ticket += 1;
                        self.awaiting = Some(ticket);
                        return Some(Effect::Persist { ticket, bytes });
                    }
                    Err(_) => self.broken = Some("the agent's records can't be encoded"),
                },
            }
        }
    }

    /// Whether nothing waits for the shell.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The records with this ticket are on disk.
    pub(crate) fn persisted(&mut self, ticket: u64) {
        if self.awaiting == Some(ticket) {
            self.awaiting = None;
        }
    }

    /// Why the journal can't go on, once.
    pub(crate) fn take_broken(&mut self) -> Option<&'static str> {
        self.broken.take()
    }

    /// Drops messages that wait: they would overtake those that are sent again at the next link.
    pub(crate) fn link_lost(&mut self) {
        self.queue.retain(|queued| {
            !matches!(
                queued,
                Queued::Effect(Effect::Send { .. } | Effect::AckInbound { .. })
                    | Queued::Reports { .. }
            )
        });
    }

    /// A record may not be on disk: what waited behind it does not happen. The HMI is told why, and what
    /// it was to be told before; a card operation that waited is returned.
    pub(crate) fn fail(&mut self, text: String) -> Option<EuiccOp> {
        self.fault = Some(Fault::Unwritten);
        self.awaiting = None;
        self.broken = None;
        let mut unbegun = None;
        let waiting = core::mem::replace(&mut self.queue, Deque::new());
        self.offer(Effect::Notify(Notice::Error { text }));
        for queued in waiting {
            match queued {
                Queued::Effect(Effect::Euicc { what, .. }) => unbegun = Some(what),
                Queued::Effect(effect @ Effect::Notify(_)) => self.offer(effect),
                Queued::Persist(_) | Queued::Effect(_) | Queued::Reports { .. } => {}
            }
        }
        unbegun
    }

    /// The journal works again, and holds the state.
    pub(crate) fn mend(&mut self) {
        self.fault = None;
    }

    /// Takes what the journal of an earlier life holds, in place of what happened since; returns the
    /// reports of that. The state is to be written as a snapshot.
    pub(crate) fn adopt(
        &mut self,
        snapshot: Option<&[u8]>,
        records: &[Vec<u8>],
    ) -> Result<heapless::Vec<Report, MAX_REPORTS>, RestoreError> {
        let state = Durable::restore(snapshot, records)?;
        self.fault = Some(Fault::Unwritten);
        Ok(core::mem::replace(&mut self.state, state).outbox)
    }

    /// The state for a journal snapshot; `None` while records are on their way to disk.
    pub(crate) fn snapshot(&self) -> Option<Vec<u8>> {
        let queued = |q: &Queued| matches!(q, Queued::Persist(_));
        let open = self.awaiting.is_some() || self.fault.is_some() || self.queue.iter().any(queued);
        (!open).then(|| postcard::to_allocvec(&self.state).ok())?
    }

    /// The state as it is now, whatever of it is on disk.
    pub(crate) fn encoded(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(&self.state).ok()
    }

    /// The state that a failed journal has to begin with again.
    pub(crate) fn unsaved(&self) -> Option<Vec<u8>> {
        match self.fault? {
            Fault::Unwritten => postcard::to_allocvec(&self.state).ok(),
            Fault::Unread => None,
        }
    }
}

fn status_message(report: Report) -> Up {
    let Report {
        seq,
        iccid,
        account,
        status,
        code,
    } = report;
    Up::Status {
        report_seq: seq,
        iccid,
        account,
        status,
        code,
    }
}
