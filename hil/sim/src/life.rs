//! A life: some days with faults, then everything is well again, and all parties have to agree.

use crate::card::Happened;
use crate::day;
use crate::invariant::Violation;
use crate::plan::{Deed, Fault, State, Step};
use crate::sabotage::Sabotage;
use crate::world::{CARS, DAY, EPOCH, Item, USERS, World, account, msp_of, user_of};
use aid_agent_core::Phase;
use aid_aid1::body::CsimStatus;
use aid_cmp_core::decide::status::word;
use aid_cmp_core::model::{CallState, Federation, OrderState, ProfileStatus};
use aid_wire::Status;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// What a life is made of.
#[derive(Debug, Clone)]
pub struct Life {
    /// Every choice that the plan does not have comes from it.
    pub seed: u64,
    /// Its days.
    pub days: u64,
    /// What users do, and faults.
    pub plan: Vec<Step>,
    /// Misbehaviour on purpose.
    pub sabotage: Option<Sabotage>,
}

/// How a life ended.
#[derive(Debug)]
pub struct End {
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How often which fault came in which state.
    pub table: BTreeMap<(State, Fault), u64>,
    /// The last events, where they were wanted.
    pub lines: Vec<String>,
    /// Profiles that were installed.
    pub installed: u64,
    /// Reports that were made up for after a loss.
    pub repaired: u64,
}

impl Life {
    /// The life that this seed chooses.
    #[must_use]
    pub fn of_seed(seed: u64, days: u64) -> Self {
        Self {
            seed,
            days,
            plan: day::plan(seed, days),
            sabotage: None,
        }
    }

    /// Vehicle-days of it.
    #[must_use]
    pub fn vehicle_days(&self) -> u64 {
        self.days * CARS as u64
    }

    /// Lives it, and keeps so many of the last events.
    #[must_use]
    pub fn live(&self, kept: usize) -> End {
        let mut world = World::new(self.seed, self.sabotage);
        world.log.kept = kept;
        let lived = catch_unwind(AssertUnwindSafe(|| self.days_of(&mut world)));
        if let Err(panic) = lived {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let text = text.unwrap_or_default();
            world.violate(11, format_args!("a party panicked: {text}"));
        }
        let histories = world.cars.iter().flat_map(|c| &c.card.history);
        let installed = histories.filter(|h| h.1 == Happened::Installed).count();
        End {
            installed: installed as u64,
            repaired: world.cmp.store.repaired,
            violation: world.violation.take(),
            table: std::mem::take(&mut world.table),
            lines: world.log.lines().map(str::to_owned).collect(),
        }
    }

    fn days_of(&self, world: &mut World) {
        for car in 0..CARS {
            world.later(0, Item::Start(car));
        }
        for step in &self.plan {
            world.at(step.at, Item::Step(*step));
        }
        world.run_until(EPOCH + DAY / 2);
        world.misbehave();
        world.run_until(EPOCH + self.days * DAY);
        world.settle();
        if world.violation.is_none() {
            world.check_rest();
        }
        for car in 0..CARS {
            for user in 0..USERS {
                if world.violation.is_none() {
                    world.check_login(car, user);
                }
            }
        }
        if world.violation.is_none() {
            world.settle();
            world.check_rest();
        }
    }
}

impl World {
    /// Everything is well again, the cars connect some times, and what is open is done.
    fn settle(&mut self) {
        if self.violation.is_some() {
            return;
        }
        self.heal_all();
        self.run_until(self.now + 2 * MINUTE);
        for car in 0..CARS {
            self.deed(Step {
                at: self.now,
                car: car as u8,
                deed: Deed::Logout,
            });
        }
        // A lost report shows when two Hellos in a row differ in the same.
        for _ in 0..3 {
            for car in 0..CARS {
                self.deed(Step {
                    at: self.now,
                    car: car as u8,
                    deed: Deed::Park,
                });
            }
            self.run_until(self.now + 5000);
            for car in 0..CARS {
                self.deed(Step {
                    at: self.now,
                    car: car as u8,
                    deed: Deed::Wake,
                });
            }
            self.run_until(self.now + 10 * MINUTE);
        }
        // The longest pause of a call to an MSP is half a day, and that of a code is two hours.
        let end = self.now + 14 * HOUR;
        while self.violation.is_none() && self.now < end && self.is_open() {
            self.run_until(self.now + 20 * MINUTE);
        }
    }

    /// Whether something is still to be done.
    fn is_open(&self) -> bool {
        let store = &self.cmp.store;
        let calls = store.calls.iter().any(|c| c.state == CallState::Due);
        let orders = store.orders.iter().any(|o| o.state == OrderState::Open);
        let outbox = self.msps.iter().any(|m| !m.outbox.is_empty());
        let cars = self.cars.iter().any(|car| {
            let agent = car.agent.as_ref();
            car.running.is_some()
                || car.card.kept().next().is_some()
                || agent.is_none_or(|a| {
                    let state = a.durable();
                    !state.outbox().is_empty() || !state.orders().is_empty()
                })
        });
        calls || orders || outbox || cars
    }

    /// What must hold when everything is well and nothing is open.
    pub fn check_rest(&mut self) {
        for car in 0..CARS {
            self.check_works(car);
        }
        let calls = self.cmp.store.calls.iter();
        if let Some(call) = calls.clone().find(|c| c.state == CallState::Due) {
            let (kind, attempts, error) = (call.kind, call.attempts, call.last_error.clone());
            return self.violate(
                13,
                format_args!("a call {kind:?} is not made after {attempts} tries: {error:?}"),
            );
        }
        if let Some(order) = self
            .cmp
            .store
            .orders
            .iter()
            .find(|o| o.state == OrderState::Open)
        {
            let order = order.clone();
            return self.violate(
                6,
                format_args!("{:?} ({}) is open for ever", order.kind, order.reason),
            );
        }
        for car in 0..CARS {
            self.check_agreed(car);
            self.check_reports(car);
            self.check_notifications(car);
        }
        self.check_msps();
        self.check_ended();
    }

    /// Invariant 12: the agent works, and is connected.
    fn check_works(&mut self, car: usize) {
        let here = &self.cars[car];
        let Some(agent) = &here.agent else {
            return self.violate(12, format_args!("car {car} does not start"));
        };
        if agent.has_failed_journal() || agent.profiles().is_none() {
            let phase = agent.phase();
            return self.violate(
                12,
                format_args!("car {car} is {phase:?} with a disk and a card that work"),
            );
        }
        if here.link.is_none() {
            self.violate(12, format_args!("car {car} is not connected"));
        }
    }

    /// Invariant 14: the CMP has of the card what is on it.
    fn check_agreed(&mut self, car: usize) {
        let here = &self.cars[car];
        let Some(agent) = &here.agent else {
            return;
        };
        if !agent.durable().outbox().is_empty() {
            let open = agent.durable().outbox().to_vec();
            return self.violate(
                3,
                format_args!("car {car}: reports are never acknowledged: {open:?}"),
            );
        }
        let eid = here.eid;
        let rows = self.cmp.store.profiles_in(eid);
        let mut differ = None;
        for (iccid, enabled) in &here.card.profiles {
            // Of several onboardings the newest.
            let row = self.cmp.store.profile_in(iccid, eid);
            let agrees = match row.map(|r| r.status) {
                Some(ProfileStatus::Enabled) => *enabled,
                Some(ProfileStatus::Installed | ProfileStatus::Disabled) => !*enabled,
                // One whose request the CMP has lost is nobody's there; support sees it on the card.
                None => self.was_restored,
                Some(_) => false,
            };
            if !agrees {
                let row = self.cmp.store.profile_in(iccid, eid).map(|r| r.status);
                differ = Some(format!(
                    "{iccid}: on the card (enabled: {enabled}), at the CMP {row:?}"
                ));
            }
        }
        for row in rows {
            let on_card = here.card.profiles.contains_key(&row.iccid);
            let claims = row.status.may_be_on_card() && row.status != ProfileStatus::Prepared;
            // What is missing is noted in the audit trail and never deleted by itself.
            let noted = self
                .cmp
                .store
                .audits
                .contains_key("profile not on its card");
            if claims && !on_card && !noted {
                differ = Some(format!(
                    "{}: not on the card, at the CMP {:?}",
                    row.iccid, row.status
                ));
            }
        }
        if let Some(what) = differ {
            self.violate(14, format_args!("car {car}: {what}"));
        }
    }

    /// Invariant 3: what the CMP heard is what happened on the card.
    fn check_reports(&mut self, car: usize) {
        let here = &self.cars[car];
        let heard = self.cmp.store.reports.iter().filter(|r| r.eid == here.eid);
        let mut heard: Vec<_> = heard
            .filter(|r| r.status != Status::InstallationFailed)
            .collect();
        // By number where one epoch has them all: their order on the way is looked at by `check_msps`.
        if !here.is_lossy {
            heard.sort_by_key(|r| r.seq);
        }
        let heard: Vec<_> = heard.iter().map(|r| (r.iccid.clone(), r.status)).collect();
        let happened = here.card.history.iter();
        let happened: Vec<_> = happened
            .map(|(iccid, what)| (Some(iccid.clone()), what.status()))
            .collect();
        if !here.is_lossy && heard != happened {
            let at = heard.iter().zip(&happened).position(|(a, b)| a != b);
            let at = at.unwrap_or(heard.len().min(happened.len()));
            let (a, b) = (heard.get(at).cloned(), happened.get(at).cloned());
            let (n, m) = (heard.len(), happened.len());
            self.violate(
                3,
                format_args!(
                    "car {car}: report {at} of {n} is {a:?}; on the card {b:?} of {m} happened"
                ),
            );
        }
    }

    /// Invariant 7: nothing was removed that nobody accepted.
    fn check_notifications(&mut self, car: usize) {
        let card = &self.cars[car].card;
        let accepted = self.smdp.accepted.get(&card.eid);
        let has = |n: &u32| accepted.is_some_and(|list| list.contains(n));
        let kept: Vec<u32> = card.kept().collect();
        let lost = (1..=card.last_notification()).find(|n| !has(n) && !kept.contains(n));
        if let Some(lost) = lost {
            return self.violate(
                7,
                format_args!("car {car}: notification {lost} was removed, and nobody accepted it"),
            );
        }
        if let Some(first) = kept.first() {
            self.violate(
                7,
                format_args!("car {car}: notification {first} is never delivered"),
            );
        }
    }

    /// Invariant 3 at the MSPs: of each profile the last that the MSP heard is how it is.
    fn check_msps(&mut self) {
        // A synchronisation (§4.6), which is not simulated, reports what is lost with a journal or a database.
        if self.was_restored || self.cars.iter().any(|c| c.is_lossy) {
            return;
        }
        let mut wrong = None;
        for msp in &self.msps {
            for (iccid, heard) in &msp.heard {
                let last = heard.last().copied();
                let rows = self.cmp.store.profiles_with(iccid);
                let own = |p: &&aid_cmp_core::model::Profile| {
                    let owner = self.cmp.store.federation(p.federation);
                    owner.is_some_and(|f| f.msp == msp.name)
                };
                let row = rows.iter().find(own).map(|p| p.status);
                let status = match row {
                    Some(ProfileStatus::Installed) => Some(CsimStatus::Installed),
                    Some(ProfileStatus::Enabled) => Some(CsimStatus::Enabled),
                    Some(ProfileStatus::Disabled) => Some(CsimStatus::Disabled),
                    Some(ProfileStatus::Deleted) => Some(word(Status::Deleted)),
                    Some(ProfileStatus::Failed) => Some(word(Status::InstallationFailed)),
                    // A new code for the same profile.
                    Some(ProfileStatus::Prepared | ProfileStatus::Lost) | None => continue,
                };
                if last != status {
                    wrong = Some(format!("{iccid} is {row:?}, its MSP last heard {last:?}"));
                }
            }
        }
        if let Some(what) = wrong {
            self.violate(3, format_args!("{what}"));
        }
    }

    /// Invariants 5 and 6: nothing of a link that has ended is on a card.
    fn check_ended(&mut self) {
        let mut found = None;
        for (number, car) in self.cars.iter().enumerate() {
            for iccid in car.card.profiles.keys() {
                let row = self.cmp.store.profile_in(iccid, car.eid);
                let link = row.and_then(|r| self.cmp.store.federation(r.federation));
                if link.is_some_and(|f| f.ended_at.is_some()) {
                    found = Some((number, iccid.clone()));
                }
            }
        }
        if let Some((car, iccid)) = found {
            self.violate(
                5,
                format_args!("car {car}: {iccid} is still there after its link's end"),
            );
        }
    }

    /// A database that was restored may have a link whose end it has forgotten; its user unlinks it.
    fn unlink_stale(&mut self, user: usize) {
        let links = self.cmp.store.federations_of(account(user));
        let own = &self.msps[msp_of(user)];
        let is_stale = |f: &&Federation| {
            let at_msp = own.subscription(f.token);
            f.ended_at.is_none() && at_msp.is_none_or(|s| s.ended)
        };
        if self.was_restored && links.iter().any(|f| is_stale(&f)) {
            let committed = self.cmp.unlink(self.now, account(user));
            self.send_down(committed.down);
            self.after_commit(committed.cut);
        }
    }

    /// Invariant 13: a user with a subscription gets their profile, whatever happened before.
    fn check_login(&mut self, car: usize, user: usize) {
        self.unlink_stale(user);
        self.relink(user);
        // Ten requests in an hour, and wrong PINs in a quarter of one, are limits that pass.
        self.run_until(self.now + HOUR);
        let step = |deed| Step {
            at: 0,
            car: car as u8,
            deed,
        };
        self.deed(step(Deed::IgnitionOn));
        self.deed(step(Deed::Login(user as u8)));
        let end = self.now + 6 * HOUR;
        let (mut asked, mut tried_again) = (false, false);
        while self.violation.is_none() && self.now < end {
            self.run_until(self.now + MINUTE / 2);
            let agent = self.cars[car].agent.as_ref();
            let session = agent.and_then(|a| a.session());
            if session.is_some_and(|s| s.asking()) && !asked {
                asked = true;
                self.deed(step(Deed::Provision));
            }
            // A CMP restored from a backup gives a code once more that was used since. The SM-DP+ refuses it, the screen
            // says so, and the user logs in again.
            let agent = self.cars[car].agent.as_ref();
            let gave_up =
                agent.is_some_and(|a| a.phase() == Phase::NoProfile && a.waiting().is_none());
            if gave_up && self.was_restored && !tried_again && self.now > end - 5 * HOUR {
                tried_again = true;
                self.deed(step(Deed::Logout));
                self.run_until(self.now + 2 * MINUTE);
                self.deed(step(Deed::Login(user as u8)));
            }
            let enabled = self.cars[car].card.enabled();
            if enabled.is_some_and(|i| self.owner(i) == Some(account(user))) {
                break;
            }
        }
        if self.violation.is_none() && self.now >= end {
            let agent = self.cars[car].agent.as_ref();
            let phase = agent.map(|a| a.phase());
            let who = agent.and_then(|a| a.session()).map(|s| user_of(s.account));
            let why = agent.and_then(|a| a.waiting());
            self.violate(13, format_args!("car {car}: user {user} has no profile after six hours: {phase:?}, logged in {who:?}, waiting {why:?}"));
        }
        self.deed(step(Deed::Logout));
        self.run_until(self.now + 2 * MINUTE);
    }
}
