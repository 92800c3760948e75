//! Events in, effects and timeouts out (ARCHITECTURE §3).

use crate::agent::Agent;
use crate::bounds::MAX_ORDERS;
use crate::driver::Alone;
use crate::durable::{Record, Reset};
use crate::event::{BootMs, Effect, Event, Notice, Timer};
use aid_id::Id;
use aid_wire::{Down, LoginWay, OrderKind, Up};
use alloc::string::String;

impl Agent {
    /// Takes an event. Poll effects and the timeout afterwards.
    pub fn handle(&mut self, now: BootMs, event: Event) {
        if self.has_failed_journal() {
            self.handle_in_fault(now, event);
        } else {
            self.handle_event(now, event);
        }
        self.check_journal(now);
    }

    fn handle_event(&mut self, now: BootMs, event: Event) {
        match event {
            Event::Boot | Event::JournalRestored => {}
            Event::LinkUp => self.link_is_up(now),
            Event::LinkDown => {
                self.link = None;
                // What waits here would overtake the outbox, which LinkUp sends again in order.
                self.ledger.link_lost();
                self.notify(Notice::LinkDown);
                self.judge_alone(now);
            }
            Event::Login {
                login_id,
                user,
                pin,
            } => self.log_in(now, login_id, LoginWay::Pin { user, pin }),
            Event::LoginByCode { login_id } => self.log_in(now, login_id, LoginWay::Code),
            Event::Logout => self.log_out(now),
            Event::DeleteOwn { iccid } => self.delete_own(iccid),
            Event::Provision => self.provision(now),
            Event::Call { active } => self.card.call_reported(now, active),
            Event::Ignition { on } => self.ignition(now, on),
            Event::Inbound { message_id, body } => self.inbound(now, message_id, body),
            Event::PinHashed { op, hash } => self.pin_hashed(now, op, hash),
            Event::FactoryReset { reset_id } => self.reset_here(now, reset_id),
            Event::Erased { result } => self.erased(now, result),
            Event::SetUp => self.set_up(),
            Event::Persisted { ticket } => self.ledger.persisted(ticket),
            Event::PersistFailed { text } => return self.fail(now, text),
            Event::EuiccDone {
                op,
                result,
                profiles,
            } => {
                if self.card.running.is_some_and(|r| r.number == op) {
                    self.euicc_done(now, result, profiles);
                }
            }
        }
        self.decide(now);
    }

    /// Goes into the safe state where the journal can't go on.
    fn check_journal(&mut self, now: BootMs) {
        if let Some(text) = self.ledger.take_broken() {
            self.fail(now, String::from(text));
        }
    }

    /// Takes the passing of time; call at `poll_timeout`, or at any time.
    pub fn handle_timeout(&mut self, now: BootMs) {
        let due = |at: &Option<BootMs>| at.is_some_and(|at| at <= now);
        if due(&self.card.retry) {
            self.card.retry = None;
        }
        if due(&self.card.call) {
            self.card.call_reported(now, false);
        }
        if self.has_failed_journal() {
            return self.secure(now);
        }
        if self
            .driver
            .login
            .as_ref()
            .is_some_and(|l| l.deadline <= now)
        {
            self.no_answer();
        }
        let alone = self.driver.login.as_ref().map(|l| &l.alone);
        if matches!(alone, Some(Alone::From(at)) if *at <= now) {
            self.judge_alone(now);
        }
        if due(&self.driver.parked_until()) {
            self.log_out(now);
        }
        if due(&self.hello_again()) {
            self.send_hello(now);
        }
        if due(&self.resend_at()) {
            self.send_outstanding(now);
        }
        self.decide(now);
        self.check_journal(now);
    }

    /// When to call `handle_timeout` at the latest, and why. Changes with every `handle`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(BootMs, Timer)> {
        if self.has_failed_journal() {
            let timers = [
                (self.card.retry, Timer::Card),
                (self.card.call, Timer::Call),
            ];
            return earliest(timers);
        }
        let timers = [
            (self.driver.login.as_ref().map(|l| l.deadline), Timer::Login),
            (self.card.retry, Timer::Card),
            (self.set_aside_timeout(), Timer::Card),
            (self.download_timeout(), Timer::Download),
            (self.code_timeout(), Timer::Download),
            (self.notifications_timeout(), Timer::Notifications),
            (self.hello_again(), Timer::Hello),
            (self.resend_at(), Timer::Resend),
            (self.driver.parked_until(), Timer::Parked),
            (self.card.call, Timer::Call),
            (self.offline_timeout(), Timer::Offline),
            (self.reset_timeout(), Timer::Reset),
        ];
        earliest(timers)
    }

    /// The next thing to do; `None` until the next event. Nothing comes while a persist is open.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.ledger.poll()
    }

    fn resend_at(&self) -> Option<BootMs> {
        self.link.as_ref().and_then(|l| l.resend)
    }

    fn inbound(&mut self, now: BootMs, message_id: Id, body: Down) {
        if self.durable().reset() == Some(Reset::Erasing) {
            return; // Nothing of it would stay.
        }
        match body {
            Down::LoginResult { login_id, outcome } => {
                return self.login_result(now, login_id, outcome);
            }
            Down::LoginCode {
                login_id,
                code,
                url,
                expires_in,
            } => return self.login_code(now, login_id, code, url, expires_in),
            Down::UserProfile { account, profile } => return self.user_profile(account, profile),
            Down::Space {
                request_id,
                granted,
            } => return self.space_answered(now, request_id, granted),
            Down::StatusAck { report_seq } => return self.report_acked(report_seq),
            Down::Ack { message_id } => return self.result_acked(message_id),
            Down::Welcome {
                message_id,
                revision,
                session,
            } => return self.welcomed(message_id, revision, session),
            Down::Verifier {
                account,
                verifier,
                salt,
                now,
                valid_s,
                attempts,
            } => {
                return self.verifier_granted(account, verifier, salt, now, valid_s, attempts);
            }
            Down::Revoke { account, verifier } => self.verifier_revoked(now, account, verifier),
            Down::ActivationCode {
                request_id,
                account,
                outcome,
            } => {
                if !self.activation_code(now, request_id, account, outcome) {
                    return;
                }
            }
            // The shell's: the core knows no keys.
            Down::Certificate { .. } => return,
            Down::Order { order_id, kind } => {
                if !self.order(now, order_id, kind) {
                    return;
                }
            }
        }
        self.ledger.offer(Effect::AckInbound { message_id });
    }

    /// Takes an order; false: there is no room for it now, and the CMP repeats it.
    fn order(&mut self, now: BootMs, order_id: Id, kind: OrderKind) -> bool {
        let orders = self.durable().orders();
        let known = orders.iter().find(|o| o.order_id == order_id);
        if let Some(outcome) = known.map(|o| o.outcome) {
            if let Some(outcome) = outcome
                && let Some(body) = self.result_message(order_id, outcome)
            {
                self.send(Some(order_id), body);
            }
        } else if self.durable().is_closed(order_id) {
            // Its result was acknowledged, so the CMP has lost it, such as with a database that was restored: it gets one
            // again, and nothing is executed twice.
            let outcome = self.outcome_of_closed(&kind);
            self.send(Some(order_id), Up::OrderResult { order_id, outcome });
        } else {
            if orders.len() >= MAX_ORDERS {
                return false;
            }
            // What the card refused before is tried again for a new order.
            self.card.undeletable.clear();
            let wipes = kind == OrderKind::FactoryReset;
            self.record(Record::OrderAccepted(order_id, kind));
            self.look_again();
            if wipes {
                self.begin_reset(now);
            }
        }
        self.arm_resend(now);
        true
    }
}

fn earliest<const N: usize>(timers: [(Option<BootMs>, Timer); N]) -> Option<(BootMs, Timer)> {
    let set = timers
        .into_iter()
        .filter_map(|(at, why)| at.map(|at| (at, why)));
    set.min()
}
