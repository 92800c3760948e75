//! What the CMP must learn: reports, outcomes of orders, requests and logouts stay in the journal and
//! are sent again until it has acknowledged them (R-4.3-12, a transactional outbox).
//! Called by `agent`, `decide`, `session` and `settle`.

use crate::agent::Agent;
use crate::durable::{Record, Report};
use crate::event::{BootMs, Notice};
use crate::numbering::Peer;
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{ProfileState, Status, Up};

/// Where in the number of a report the epoch begins, bits.
const EPOCH_SHIFT: u32 = 32;
/// Time the CMP has to acknowledge reports before they are sent again, ms.
const RESEND_MS: u64 = 30_000;

impl Agent {
    /// Journals a report and sends it; it stays in the outbox until the CMP has it.
    pub(crate) fn report(&mut self, now: BootMs, iccid: Option<Iccid>, status: Status, code: u16) {
        let account = iccid.as_ref().and_then(|i| self.durable.owner(i));
        self.report_for(now, account, iccid, status, code);
    }

    pub(crate) fn report_for(
        &mut self,
        now: BootMs,
        account: Option<AccountRef>,
        iccid: Option<Iccid>,
        status: Status,
        code: u16,
    ) {
        let report = Report {
            seq: self.next_report(),
            iccid,
            account,
            status,
            code,
        };
        self.record(Record::Report(report.clone()));
        self.send(None, status_message(report));
        self.arm_resend(now);
    }

    /// The number of the next report: in the upper half the epoch of the journal, in the lower a count.
    fn next_report(&self) -> u64 {
        let last = self.durable.report_seq;
        let before = if last >> EPOCH_SHIFT == 0 && self.epoch != 0 {
            u64::from(self.epoch) << EPOCH_SHIFT
        } else {
            last
        };
        before + 1
    }

    pub(crate) fn arm_resend(&mut self, now: BootMs) {
        if self.link_up && self.resend.is_none() {
            self.resend = Some(now.plus(RESEND_MS));
        }
    }

    pub(crate) fn link_is_up(&mut self, now: BootMs) {
        self.link_up = true;
        // What waits for the link to be back is tried once it proves to stay.
        self.link_since.get_or_insert(now);
        self.notify(Notice::LinkUp);
        self.peer = Peer::default();
        self.send_hello(now);
        self.send_rest(now);
    }

    /// Says what is on the card. What is about sessions waits for the answer, which says what the CMP understands.
    pub(crate) fn send_hello(&mut self, now: BootMs) {
        let profiles = self.card.iter().flatten().map(|p| ProfileState {
            iccid: p.iccid.clone(),
            state: if p.enabled {
                Status::Enabled
            } else {
                Status::Disabled
            },
            owner: self.durable.owner(&p.iccid),
        });
        let hello = Up::Hello {
            software: aid_wire::announce(&self.software),
            profiles: profiles.collect(),
        };
        let hello_id = self.hello_id(now);
        self.send(Some(hello_id), hello);
    }

    /// Sends again what the CMP has not acknowledged, in order.
    pub(crate) fn send_outstanding(&mut self, now: BootMs) {
        match &mut self.peer {
            // It has a time of its own.
            Peer::Unknown { .. } => {}
            Peer::Unnumbered => self.send_logouts(),
            Peer::Numbered { sent, .. } => *sent = None,
        }
        self.send_rest(now);
    }

    pub(crate) fn send_logouts(&mut self) {
        for (logout_id, account) in self.durable.logouts.clone() {
            self.send(Some(logout_id), Up::Logout { account });
        }
    }

    /// What is not about sessions.
    fn send_rest(&mut self, now: BootMs) {
        self.resend = None;
        for report in self.durable.outbox.clone() {
            self.send(None, status_message(report));
        }
        for order in self.durable.orders.clone() {
            if let Some(outcome) = order.outcome {
                let body = Up::OrderResult {
                    order_id: order.order_id,
                    outcome,
                };
                self.send(Some(order.order_id), body);
            }
        }
        for (request_id, account) in self.durable.requests.clone() {
            if !self.pending_answers.contains(&request_id) {
                self.send_request(request_id, account);
            }
        }
        if self.has_outstanding() {
            self.arm_resend(now);
        }
    }

    pub(crate) fn has_outstanding(&self) -> bool {
        !self.durable.outbox.is_empty()
            || self.has_untold_session()
            || self.durable.orders.iter().any(|o| o.outcome.is_some())
            || self
                .durable
                .requests
                .iter()
                .any(|(id, _)| !self.pending_answers.contains(id))
    }

    pub(crate) fn report_acked(&mut self, seq: u64) {
        if self.durable.outbox.iter().any(|r| r.seq == seq) {
            self.record(Record::ReportAcked(seq));
            self.notify(Notice::Reported(seq));
        }
        self.disarm_resend();
    }

    pub(crate) fn result_acked(&mut self, id: Id) {
        if self
            .durable
            .orders
            .iter()
            .any(|o| o.order_id == id && o.outcome.is_some())
        {
            self.record(Record::OrderClosed(id));
        }
        if self.durable.logouts.iter().any(|(open, _)| *open == id) {
            self.record(Record::LogoutAcked(id));
        }
        self.session_acked(id);
        self.disarm_resend();
    }

    pub(crate) fn disarm_resend(&mut self) {
        if !self.has_outstanding() {
            self.resend = None;
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
