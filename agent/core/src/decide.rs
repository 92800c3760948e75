//! Chooses what the card does next, from what is on it, who is logged in and what was ordered.
//! §4.3 steps 2, 10 and 13; order of urgency: switch off, orders, switch on, download, notify.

use crate::agent::Agent;
use crate::card::Work;
use crate::driver::Wish;
use crate::durable::{Intent, Operation, Record};
use crate::event::{BootMs, CardProfile, EuiccOp};
use aid_id::{AccountRef, Iccid};
use aid_wire::OrderOutcome;

impl Agent {
    /// Starts the next card operation where none is under way, and asks for a code where one is missing.
    pub(crate) fn decide(&mut self, now: BootMs) {
        self.ripen(now);
        self.tend_verifiers(now);
        self.orders_without_card(now);
        if self.go_on_with_reset(now) {
            return;
        }
        if self.card.running.is_none() && self.card.retry.is_none() {
            self.next_operation(now);
        }
        self.missing_code(now);
        self.tell_session(now);
    }

    fn next_operation(&mut self, now: BootMs) {
        let Some(profiles) = self.card.profiles.clone() else {
            return self.start(now, Work::List, EuiccOp::List);
        };
        self.card.held_by_call = false;
        let card = profiles.as_slice();
        if let Some(intent) = self.durable().intent().cloned() {
            if intent.operation != Operation::Delete && self.card.hold_for_call() {
                return;
            }
            return self.begin(now, intent.operation, intent.iccid, intent.attempts);
        }
        // Invariants 1 and 2: an OP of nobody who is here is switched off before anything else.
        let account = self.driver.account();
        let held = |iccid: &Iccid| {
            self.driver
                .session
                .as_ref()
                .is_some_and(|s| s.held.contains(iccid))
        };
        let wrong = card.iter().find(|p| {
            let own = account.is_some() && self.durable().owner(&p.iccid) == account;
            p.enabled && (!own || held(&p.iccid))
        });
        if let Some(profile) = wrong {
            let iccid = profile.iccid.clone();
            if self.card.hold_for_call() {
                return;
            }
            return self.begin(now, Operation::Disable, iccid, 0);
        }
        if !self.ledger.has_room_for_reports() {
            return self.deliver_notifications(now);
        }
        if let Some((iccid, enabled)) = self.next_deletion()
            && !(enabled && self.card.hold_for_call())
        {
            let operation = if enabled {
                Operation::Disable
            } else {
                Operation::Delete
            };
            return self.begin(now, operation, iccid, 0);
        }
        if !card.iter().any(|p| p.enabled) && account.is_some() {
            let own = |iccid: &Iccid| {
                self.durable().owner(iccid) == account
                    && !held(iccid)
                    && !self.card.is_set_aside(iccid)
            };
            if let Some(profile) = card.iter().find(|p| own(&p.iccid))
                && !self.card.hold_for_call()
            {
                return self.begin(now, Operation::Enable, profile.iccid.clone(), 0);
            }
        }
        // A download takes seconds: none while an OP is enabled, whose disabling would wait for it.
        if !card.iter().any(|p| p.enabled)
            && let Some(request_id) = self.next_download(account)
        {
            return self.begin_download(now, request_id, &profiles);
        }
        self.deliver_notifications(now);
    }

    fn deliver_notifications(&mut self, now: BootMs) {
        if self.link.is_some() && self.waits.notifications.may_begin() {
            self.waits.notifications.begin();
            self.start(now, Work::Notifications, EuiccOp::Notifications);
        }
    }

    /// Journals the intent, then runs it: the effect waits behind the record.
    pub(crate) fn begin(&mut self, now: BootMs, operation: Operation, iccid: Iccid, attempts: u16) {
        let attempts = attempts.saturating_add(1);
        self.record(Record::Intent(Intent {
            operation,
            iccid: iccid.clone(),
            attempts,
        }));
        let (work, what) = match operation {
            Operation::Enable => (Work::Switch, EuiccOp::Enable { iccid }),
            Operation::Disable => (Work::Switch, EuiccOp::Disable { iccid }),
            Operation::Delete => (Work::Delete, EuiccOp::Delete { iccid }),
        };
        self.start(now, work, what);
    }

    /// True while an operation on the profile is open.
    pub(crate) fn busy_with(&self, iccid: &Iccid) -> bool {
        self.durable()
            .intent()
            .as_ref()
            .is_some_and(|i| i.iccid == *iccid)
    }

    pub(crate) fn finish_order(&mut self, now: BootMs, order_id: [u8; 16], outcome: OrderOutcome) {
        self.record(Record::OrderDone(order_id, outcome));
        if let Some(body) = self.result_message(order_id, outcome) {
            self.send(Some(order_id), body);
        }
        self.arm_resend(now);
    }

    /// §4.3 step 2: the user of the session has no OP here, none comes, and none was asked for.
    fn missing_code(&mut self, now: BootMs) {
        let Some(session) = &self.driver.session else {
            return;
        };
        let account = session.account;
        if session.wish == Wish::Request
            && self.durable().has_room_for_code()
            && self.lacks_profile(account)
        {
            self.request_code(now, account, false);
        }
    }

    /// Whether the user has no OP here, and none comes. False while the card was not read.
    pub(crate) fn lacks_profile(&self, account: AccountRef) -> bool {
        if self.card.profiles.is_none() {
            return false;
        }
        let own = |p: &CardProfile| self.durable().owner(&p.iccid) == Some(account);
        !(self.card.iter().any(own)
            || self
                .durable()
                .downloads()
                .iter()
                .any(|d| d.account == account)
            || self.durable().requests().iter().any(|(_, a)| *a == account))
    }
}
