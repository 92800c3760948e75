//! What the CMP must learn: reports, outcomes of orders, requests and logouts stay in the journal and
//! are sent again until it has acknowledged them (R-4.3-12, a transactional outbox).

use crate::agent::Agent;
use crate::durable::{Record, Report};
use crate::event::{BootMs, Notice};
use crate::link::{Link, Peer};
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{ProfileState, Status, Up};

/// Time the CMP has to acknowledge reports before they are sent again, ms.
const RESEND_MS: u64 = 30_000;

impl Agent {
    /// Journals a report and sends it; it stays in the outbox until the CMP has it.
    pub(crate) fn report(&mut self, now: BootMs, iccid: Option<Iccid>, status: Status, code: u16) {
        let account = iccid.as_ref().and_then(|i| self.durable().owner(i));
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
        let seq = self.ledger.next_report();
        let before = self.durable().report_seq();
        let report = Report {
            seq,
            iccid,
            account,
            status,
            code,
        };
        self.record(Record::Report(report));
        if self.link.is_some() && !self.has_failed_journal() {
            self.ledger.send_reports(before);
        }
        self.arm_resend(now);
    }

    pub(crate) fn arm_resend(&mut self, now: BootMs) {
        if let Some(link) = &mut self.link {
            link.resend.get_or_insert(now.plus(RESEND_MS));
        }
    }

    pub(crate) fn link_is_up(&mut self, now: BootMs) {
        self.link = Some(Link {
            // What waits for the link to be back is tried once it proves to stay.
            since: self.link_since().unwrap_or(now),
            peer: Peer::default(),
            resend: None,
        });
        self.notify(Notice::LinkUp);
        self.send_hello(now);
        self.send_rest(now);
    }

    /// Says what is on the card. What is about sessions waits for the answer, which says what the CMP understands.
    pub(crate) fn send_hello(&mut self, now: BootMs) {
        let profiles = self.card.iter().map(|p| ProfileState {
            iccid: p.iccid.clone(),
            state: if p.enabled {
                Status::Enabled
            } else {
                Status::Disabled
            },
            owner: self.durable().owner(&p.iccid),
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
        match self.link.as_mut().map(|l| &mut l.peer) {
            // It has a time of its own.
            Some(Peer::Unknown { .. }) | None => {}
            Some(Peer::Unnumbered) => self.send_logouts(),
            Some(Peer::Numbered { sent, .. }) => *sent = None,
        }
        self.send_rest(now);
    }

    pub(crate) fn send_logouts(&mut self) {
        for (logout_id, account) in self.durable().logouts().to_vec() {
            self.send(Some(logout_id), Up::Logout { account });
        }
    }

    /// What is not about sessions.
    fn send_rest(&mut self, now: BootMs) {
        if let Some(link) = &mut self.link {
            link.resend = None;
        }
        if !self.durable().outbox().is_empty() {
            self.ledger.send_reports(0);
        }
        for order in self.durable().orders().to_vec() {
            if let Some(outcome) = order.outcome
                && let Some(body) = self.result_message(order.order_id, outcome)
            {
                self.send(Some(order.order_id), body);
            }
        }
        for (request_id, account) in self.durable().requests().to_vec() {
            if !self.waits.answered_later.contains(&request_id) {
                self.send_request(request_id, account);
            }
        }
        if self.has_outstanding() {
            self.arm_resend(now);
        }
    }

    /// Sends the outcome of a factory reset that was begun at the car, which waits for the answer to `Hello`.
    pub(crate) fn send_own_result(&mut self) {
        let mut orders = self.durable().orders().iter();
        let own = orders.find(|o| self.durable().is_own_reset(o.order_id));
        if let Some((order_id, Some(outcome))) = own.map(|o| (o.order_id, o.outcome))
            && let Some(body) = self.result_message(order_id, outcome)
        {
            self.send(Some(order_id), body);
        }
    }

    pub(crate) fn has_outstanding(&self) -> bool {
        !self.durable().outbox().is_empty()
            || self.has_untold_session()
            || self.durable().orders().iter().any(|o| o.outcome.is_some())
            || self
                .durable()
                .requests()
                .iter()
                .any(|(id, _)| !self.waits.answered_later.contains(id))
    }

    pub(crate) fn report_acked(&mut self, seq: u64) {
        if self.durable().outbox().iter().any(|r| r.seq == seq) {
            self.record(Record::ReportAcked(seq));
            self.notify(Notice::Reported(seq));
        }
        self.disarm_resend();
    }

    pub(crate) fn result_acked(&mut self, id: Id) {
        if self
            .durable()
            .orders()
            .iter()
            .any(|o| o.order_id == id && o.outcome.is_some())
        {
            self.record(Record::OrderClosed(id));
        }
        if self.durable().logouts().iter().any(|(open, _)| *open == id) {
            self.record(Record::LogoutAcked(id));
        }
        self.session_acked(id);
        self.disarm_resend();
    }

    pub(crate) fn disarm_resend(&mut self) {
        if !self.has_outstanding()
            && let Some(link) = &mut self.link
        {
            link.resend = None;
        }
    }
}
