//! The invariants of docs/ARCHITECTURE.md, each looked at after every step.

use crate::card::Happened;
use crate::cmp::Actor;
use crate::world::{DAY, World, account};
use aid_agent_core::{BootMs, CodeOutcome, Down, EuiccOp, OrderKind, Timer, Up};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::Outgoing;
use aid_cmp_core::decide::call::MAX_PAUSE;
use aid_cmp_core::model::{CallState, OrderState};
use std::fmt::Arguments;

/// How long a profile may stay enabled for nobody while the agent could disable it, ms: a disabling that fails is tried
/// again after at most a minute.
const DISABLED_WITHIN: u64 = 130_000;
/// How long a profile may be on a card without the CMP's knowing, from the connection on, ms.
const KNOWN_WITHIN: u64 = 120_000;
/// Longest pause of the agent by itself: a login's code, tries, the end of a call; ms.
const AGENT_PAUSE: u64 = 4 * 3600 * 1000 + 1000;
/// Rows that a car may make the CMP keep in a day.
const ROWS_A_DAY: usize = 400;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in docs/ARCHITECTURE.md.
    pub invariant: u8,
    /// When, Unix milliseconds of the simulated time.
    pub at: u64,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// A violation of this invariant.
    #[must_use]
    pub fn new(invariant: u8, at: u64, what: String) -> Self {
        Self {
            invariant,
            at,
            what,
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

impl World {
    /// Notes the first violation.
    pub fn violate(&mut self, invariant: u8, what: Arguments<'_>) {
        if self.violation.is_none() {
            self.log
                .add(self.now, format_args!("INVARIANT {invariant}: {what}"));
            let found = Violation::new(invariant, self.now - self.began, what.to_string());
            self.violation = Some(found);
        }
    }

    /// What must hold after every step.
    pub fn check(&mut self) {
        for car in 0..self.cars.len() {
            self.check_enabled(car);
            self.check_known(car);
            self.check_deadline(car);
        }
        if let Some((eid, last, came)) = self.smdp.disorder {
            self.violate(
                7,
                format_args!("{eid}: notification {came} reached the SM-DP+ after {last}"),
            );
        }
        if self.msps.iter().any(|m| m.codes_after_end > 0) {
            self.violate(
                5,
                format_args!("a code was given for a token that had ended"),
            );
        }
    }

    /// Invariants 1 and 2.
    fn check_enabled(&mut self, car: usize) {
        let now = self.now;
        let here = &self.cars[car];
        let enabled = here.card.profiles.iter().filter(|(_, on)| **on);
        if enabled.clone().count() > 1 {
            return self.violate(2, format_args!("car {car}: two profiles are enabled"));
        }
        let agent = here.agent.as_ref();
        let session = agent.and_then(|a| a.session()).map(|s| s.account);
        let iccid = enabled.map(|(iccid, _)| iccid).next().cloned();
        let owner = iccid.as_ref().and_then(|i| self.owner(i));
        let is_wrong = iccid.is_some() && (session.is_none() || owner != session);
        // Without power, card or with a call, nobody can change it. A card that is busy is asked again.
        let can_change =
            agent.is_some() && !here.card.is_away && here.card.busy == 0 && !here.in_call;
        let here = &mut self.cars[car];
        match here.wrong_since {
            Some(_) if !is_wrong || !can_change => here.wrong_since = None,
            None if is_wrong && can_change => here.wrong_since = Some(now),
            Some(since) if now - since > DISABLED_WITHIN => {
                let invariant = if session.is_none() { 1 } else { 2 };
                let (iccid, for_s) = (iccid, (now - since) / 1000);
                self.violate(
                    invariant,
                    format_args!(
                        "car {car}: {iccid:?} is enabled for {for_s} s; logged in: {session:?}"
                    ),
                );
            }
            _ => {}
        }
    }

    /// Invariant 4: once a car has been online for a while, the CMP knows every profile on its card.
    fn check_known(&mut self, car: usize) {
        let now = self.now;
        let here = &mut self.cars[car];
        let Some(since) = here.online_since.filter(|_| self.cmp.is_up) else {
            return;
        };
        // While its journal fails the agent says nothing: the time begins when it works again.
        let fails = here.agent.as_ref().is_some_and(|a| a.has_failed_journal());
        if fails {
            here.online_since = Some(now);
            return;
        }
        // Looked at once in ten seconds: it takes longer than all the rest.
        let slot = self.now / 10_000;
        if std::mem::replace(&mut self.cars[car].known_at, slot) == slot {
            return;
        }
        let here = &self.cars[car];
        if self.now - since < KNOWN_WITHIN || here.card.is_away || here.card.profiles.is_empty() {
            return;
        }
        let agent = here.agent.as_ref();
        // The agent itself has to know, and its reports must have gone out.
        if agent.is_none_or(|a| a.profiles().is_none()) {
            return;
        }
        let waiting = agent.is_some_and(|a| !a.durable().outbox().is_empty());
        if waiting || here.running.is_some() {
            return;
        }
        let eid = here.eid;
        let card = &here.card.profiles;
        let vehicle = self.cmp.store.vehicles.get(&eid);
        let shown = vehicle.and_then(|v| v.card.as_deref()).unwrap_or_default();
        let known = |i: &aid_id::Iccid| {
            let rows = &self.cmp.store.profiles;
            rows.iter().any(|p| p.eid == eid && p.iccid == *i) || shown.contains(i.as_str())
        };
        if let Some(iccid) = card.keys().find(|i| !known(i)).cloned() {
            self.violate(
                4,
                format_args!("car {car}: {iccid} is on the card, and the CMP does not know it"),
            );
        }
    }

    /// Invariant 13: no deadline is further away than the longest pause.
    fn check_deadline(&mut self, car: usize) {
        let here = &self.cars[car];
        let Some(agent) = &here.agent else {
            return;
        };
        let BootMs(boot) = here.boot(self.now);
        if let Some((BootMs(at), why)) = agent.poll_timeout()
            && at > boot + AGENT_PAUSE
            && why != Timer::Call
        {
            self.violate(
                13,
                format_args!("car {car}: {why:?} is due in {} s", (at - boot) / 1000),
            );
        }
    }

    /// Invariant 13 at the CMP, and 11: what it keeps is bounded.
    pub fn check_cmp(&mut self) {
        let wall = self.cmp.wall(self.now);
        if self.cmp.skew == 0 {
            let far = |c: &&aid_cmp_core::model::Call| {
                // What a wrong clock put off counts for nothing; what is being made will say when it is due.
                c.state == CallState::Due
                    && c.next_at > wall + MAX_PAUSE
                    && !self.cmp.busy.contains(&c.id)
            };
            let far = self.cmp.store.calls.iter().find(far);
            if let Some(call) = far
                && self
                    .cmp
                    .store
                    .next_call(wall, &self.cmp.busy)
                    .is_some_and(|at| at > wall + MAX_PAUSE)
            {
                let (kind, hours) = (call.kind, (call.next_at - wall) / 3_600_000);
                self.violate(13, format_args!("a call {kind:?} is due in {hours} h"));
            }
        }
        let days = (self.now - self.began) / DAY + 1;
        let most = ROWS_A_DAY * days as usize * self.cars.len();
        let store = &self.cmp.store;
        let rows = store.requests.len() + store.reports.len() + store.orders.len();
        if rows > most {
            self.violate(
                11,
                format_args!("the CMP keeps {rows} rows after {days} days"),
            );
        }
    }

    /// Invariant 10: what a decision changed belongs to whom it was about. Invariant 6: no order is about a profile of
    /// another link.
    pub fn check_commit(&mut self, actor: &Actor, changes: &[Change]) {
        for change in changes {
            match (actor, change) {
                (Actor::Msp(msp), Change::PutProfile(p) | Change::AddProfile(p)) => {
                    let owner = self.cmp.store.federation(p.federation);
                    let owner = owner.map(|f| f.msp.clone());
                    if owner.as_ref() != Some(msp) {
                        self.violate(10, format_args!("{msp} changed a profile of {owner:?}"));
                    }
                }
                (Actor::Msp(msp), Change::UpdateFederation(f)) if f.msp != *msp => {
                    self.violate(10, format_args!("{msp} changed a link of {}", f.msp));
                }
                (Actor::Car(eid), Change::PutRequest(r)) if r.eid != *eid => {
                    self.violate(10, format_args!("{eid} changed a request of {}", r.eid));
                }
                (Actor::Car(eid), Change::PutProfile(p)) if p.eid != *eid => {
                    self.violate(10, format_args!("{eid} changed a profile of {}", p.eid));
                }
                (Actor::Car(eid), Change::CloseOrder(id, ..)) => {
                    self.check_done(change);
                    let order = self.cmp.store.orders.iter().find(|o| o.id == *id);
                    if let Some(other) = order.filter(|o| o.eid != *eid).map(|o| o.eid) {
                        self.violate(10, format_args!("{eid} closed an order of {other}"));
                    }
                }
                (_, Change::AddOrder(order)) => {
                    let owner = order.iccid().and_then(|i| self.owner(i));
                    let link = order.federation.and_then(|f| self.cmp.store.federation(f));
                    let link = link.map(|f| f.account);
                    if let (Some(owner), Some(link)) = (owner, link)
                        && owner != link
                    {
                        self.violate(
                            6,
                            format_args!("an order of {link:?} deletes a profile of {owner:?}"),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// Invariant 6: what an order deleted is gone when its result comes.
    fn check_done(&mut self, change: &Change) {
        let Change::CloseOrder(id, OrderState::Done | OrderState::NotFound, ..) = change else {
            return;
        };
        let order = self.cmp.store.orders.iter().find(|o| o.id == *id);
        let deleted = order.and_then(|o| match &o.kind {
            OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } => {
                Some((o.eid, iccid.clone()))
            }
            _ => None,
        });
        let Some((eid, iccid)) = deleted else {
            return;
        };
        // One that came back since, with a new code, is another installation.
        let mut cars = self.cars.iter().filter(|c| c.eid == eid);
        let is_there = cars.any(|c| {
            let last = c.card.history.iter().rev().find(|h| h.0 == iccid);
            let deletions = c
                .card
                .history
                .iter()
                .filter(|h| h.0 == iccid && h.1 == Happened::Deleted);
            last.is_some_and(|h| h.1 != Happened::Deleted) && deletions.count() == 0
        });
        if is_there {
            self.violate(
                6,
                format_args!("{eid} says that {iccid} is deleted, and it is on the card"),
            );
        }
    }

    /// The account to which a profile belongs, by the MSPs.
    #[must_use]
    pub fn owner(&self, iccid: &aid_id::Iccid) -> Option<aid_id::AccountRef> {
        self.owners.get(iccid).map(|user| account(*user))
    }

    /// Invariant 8: nothing happens on the card that is not in the journal.
    pub fn check_intent(&mut self, car: usize, what: &EuiccOp) {
        if !self.is_intended(car, what) {
            self.violate(8, format_args!("car {car}: {what:?} is not in the journal"));
        }
        if let EuiccOp::Download { code } = what {
            self.check_code(car, code.expose());
        }
        if matches!(what, EuiccOp::Enable { .. }) && self.cars[car].card.enabled().is_some() {
            let before = self.cars[car].card.enabled().cloned();
            self.violate(
                2,
                format_args!("car {car}: {what:?} while {before:?} is enabled"),
            );
        }
    }

    /// Invariant 5: a code whose end the car has acknowledged installs nothing.
    fn check_code(&mut self, car: usize, code: &str) {
        let eid = self.cars[car].eid;
        let request = self.cmp.store.requests.iter();
        let over = request
            .filter(|r| r.eid == eid && r.delivered_at.is_some() && r.code.is_none())
            .any(|r| {
                r.state == aid_cmp_core::model::RequestState::Failed
                    && self.given.get(&r.id).is_some_and(|c| c == code)
            });
        if over {
            self.violate(
                5,
                format_args!("car {car} downloads with a code that it knows is recalled"),
            );
        }
    }

    /// Invariant 8: a report leaves the car once it is on disk. Invariant 9: over the admin bearer.
    pub fn check_up(&mut self, car: usize, body: &Up, over_admin: bool) {
        if let Up::Status { report_seq, .. } = body
            && !self.cars[car].on_disk.contains(report_seq)
        {
            self.violate(
                8,
                format_args!("car {car}: report {report_seq} leaves before it is on disk"),
            );
        }
        if !over_admin {
            self.violate(
                9,
                format_args!("car {car}: a message leaves through the OP's bearer"),
            );
        }
    }

    /// Invariant 5: no code leaves the CMP for a link that has ended, or for somebody who is not in.
    pub fn check_down(&mut self, message: &Outgoing) {
        let Down::ActivationCode {
            request_id,
            account,
            outcome,
        } = &message.body
        else {
            return;
        };
        let CodeOutcome::Code { code, .. } = outcome else {
            return;
        };
        let store = &self.cmp.store;
        let request = store.request_of_car(message.eid, *request_id);
        let link = request
            .as_ref()
            .and_then(|r| store.federation(r.federation));
        let ended = link.is_none_or(|f| f.ended_at.is_some());
        if ended {
            return self.violate(
                5,
                format_args!("a code for {account:?} leaves the CMP after the link's end"),
            );
        }
        if let Some(request) = request {
            self.given.insert(request.id, code.expose().to_owned());
        }
    }

    /// What happened on a card since: whose it is, and whether anybody wanted a deletion (invariant 6).
    pub fn check_history(&mut self, car: usize, from: usize) {
        let eid = self.cars[car].eid;
        let since: Vec<_> = self.cars[car]
            .card
            .history
            .iter()
            .skip(from)
            .cloned()
            .collect();
        for (iccid, what) in since {
            let status = what.status();
            self.log.add(
                self.now,
                format_args!("car {car}: card: {iccid} {status:?}"),
            );
            if what != Happened::Deleted {
                continue;
            }
            let agent = self.cars[car].agent.as_ref();
            let own = agent.is_some_and(|a| {
                let state = a.durable();
                let about = |k: &OrderKind| match k {
                    OrderKind::Delete { iccid: i } | OrderKind::DeleteOf { iccid: i, .. } => {
                        *i == iccid
                    }
                    OrderKind::DeleteAll | OrderKind::FactoryReset => true,
                    OrderKind::Erase { account } => state.owner(&iccid) == Some(*account),
                    OrderKind::Disable { .. } | OrderKind::Logout { .. } => false,
                };
                state.wanted().contains(&iccid) || state.orders().iter().any(|o| about(&o.kind))
            });
            if !own && agent.is_some() {
                self.violate(
                    6,
                    format_args!("car {car}: {iccid} was deleted, and nobody ordered it ({eid})"),
                );
            }
        }
    }
}
