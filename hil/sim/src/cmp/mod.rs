//! The simulated CMP: the decisions of `aid-cmp-core` on rows in memory, as `aid-cmp` loads, decides, commits and sends.
//!
//! A decision is durable at its commit and not before; a power cut is possible on either side of it. Connections, and what
//! was sent on them, are gone after a cut.

mod cars;
mod msps;
pub mod store;

use crate::ids;
use crate::sabotage::Sabotage;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Decision, Outgoing, Policy, code, order, serving};
use aid_cmp_core::model::{CallState, Federation, Order};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::{ACCOUNT_REVISION, CodeOutcome, Down, OrderKind, announced};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

pub use msps::{CallEnd, FromMsp, Operation};

/// Key of the PINs.
pub const PIN_KEY: [u8; 32] = [0x42; 32];
/// Every user's PIN.
pub const PIN: &str = "4711";
/// First pause before what has no acknowledgement is sent again, ms.
const RESEND_MS: u64 = 30_000;

/// Who a decision was about, for the invariants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A message of this car.
    Car(Eid),
    /// A call of this MSP, or its answer.
    Msp(String),
    /// A user, an operator or the clock.
    Inside,
}

/// Where power is cut around a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The decision is lost.
    Before,
    /// It is on disk; nothing of it was sent.
    After,
}

/// What a commit left behind.
#[derive(Debug, Default)]
pub struct Committed {
    /// Messages to cars.
    pub down: Vec<Outgoing>,
    /// Power was cut.
    pub cut: bool,
}

/// The CMP.
#[derive(Debug)]
pub struct Cmp {
    /// What is on disk.
    pub store: Store,
    /// False while it is down.
    pub is_up: bool,
    /// The next commit is the last before power is cut.
    pub cut: Option<Cut>,
    /// What its clock is ahead of the true time, ms.
    pub skew: i64,
    /// Cars that are connected, and when what they have not acknowledged is sent again (true time).
    pub cars: BTreeMap<Eid, Option<u64>>,
    /// Calls under way.
    pub busy: BTreeSet<Id>,
    /// What the last commit changed, and for whom.
    pub last: Option<(Actor, Vec<Change>)>,
    /// Misbehaviour on purpose.
    pub sabotage: Option<Sabotage>,
    /// Something happened since the timers were looked at.
    pub is_changed: bool,
    tries: BTreeMap<Eid, u32>,
}

impl Cmp {
    /// A CMP with these rows.
    #[must_use]
    pub fn new(store: Store, sabotage: Option<Sabotage>) -> Self {
        Self {
            store,
            is_up: true,
            cut: None,
            skew: 0,
            cars: BTreeMap::new(),
            busy: BTreeSet::new(),
            last: None,
            sabotage,
            is_changed: true,
            tries: BTreeMap::new(),
        }
    }

    /// What its clock says, Unix milliseconds.
    #[must_use]
    pub fn wall(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.skew)
    }

    /// The context of a decision.
    #[must_use]
    pub fn context(&self, now: u64) -> Context {
        Context {
            now: self.wall(now),
            fresh: ids::fresh,
            random: ids::fresh,
            policy: Policy {
                private_smdp: true,
                ..Policy::default()
            },
        }
    }

    /// Power is cut: all connections end.
    pub fn crash(&mut self) {
        self.is_up = false;
        self.is_changed = true;
        self.cars.clear();
        self.busy.clear();
        self.tries.clear();
        self.cut = None;
    }

    /// The car's subscription stands: what it has not journaled is sent.
    pub fn connected(&mut self, now: u64, eid: Eid) -> Vec<Outgoing> {
        self.is_changed = true;
        self.cars.insert(eid, None);
        self.tries.insert(eid, 0);
        self.greet(now, eid)
    }

    /// All that a car has not journaled. Orders come first: a profile that a code brings again is deleted before.
    pub fn greet(&mut self, now: u64, eid: Eid) -> Vec<Outgoing> {
        let orders = self.store.open_orders(eid);
        let mut messages: Vec<Outgoing> = orders.iter().map(|o| self.order_message(o)).collect();
        let session = self.store.vehicles.get(&eid).and_then(|v| v.session);
        let answers = self.store.undelivered(eid);
        let answers = answers.map(|r| code::message(r, ids::fresh));
        messages.extend(answers.filter(|m| code::holder(m).is_none_or(|who| session == Some(who))));
        let wall = self.wall(now);
        for order in orders {
            self.store.apply(Change::OrderSent(order.id, wall));
        }
        self.sent(now, &messages);
        messages
    }

    /// Cars that are connected and have to get something again.
    pub fn remind(&mut self, now: u64) -> Vec<Outgoing> {
        let due = |at: &Option<u64>| at.is_some_and(|at| at <= now);
        let cars = self.cars.iter().filter(|(_, at)| due(at));
        let cars: Vec<Eid> = cars.map(|(eid, _)| *eid).collect();
        let mut messages = Vec::new();
        for eid in cars {
            self.cars.insert(eid, None);
            *self.tries.entry(eid).or_default() += 1;
            messages.extend(self.greet(now, eid));
        }
        messages
    }

    /// Notes that these were sent.
    fn sent(&mut self, now: u64, messages: &[Outgoing]) {
        for message in messages {
            let needs_result = match &message.body {
                Down::Order { .. } => true,
                Down::ActivationCode { outcome, .. } => !matches!(outcome, CodeOutcome::Pending),
                _ => false,
            };
            let tries = self.tries.get(&message.eid).copied().unwrap_or_default();
            if needs_result && let Some(at) = self.cars.get_mut(&message.eid) {
                at.get_or_insert(now + (RESEND_MS << tries.min(7)));
            }
        }
    }

    /// When it has something to do by itself, true time.
    #[must_use]
    pub fn timeout(&self, now: u64) -> Option<u64> {
        if !self.is_up {
            return None;
        }
        let wall = self.wall(now);
        let true_time = |at: u64| now + at.saturating_sub(wall);
        let calls = self.store.next_call(wall, &self.busy).map(true_time);
        let again = self.cars.values().flatten().copied().min();
        let open = self.store.requests.iter().filter(|r| r.state.is_open());
        let expiry = open.map(|r| true_time(r.expires_at)).min();
        [calls, again, expiry].into_iter().flatten().min()
    }

    /// Writes a decision and yields its messages for cars that are connected.
    pub fn commit(&mut self, now: u64, actor: Actor, mut decision: Decision) -> Committed {
        self.is_changed = true;
        let cut = self.cut.take();
        if cut == Some(Cut::Before) {
            self.crash();
            return Committed {
                down: Vec::new(),
                cut: true,
            };
        }
        let mut cars: Vec<Eid> = Vec::new();
        for change in &decision.changes {
            if let Change::AddOrder(order) = change
                && !cars.contains(&order.eid)
            {
                cars.push(order.eid);
            }
        }
        if !cars.is_empty() {
            let open: Vec<Order> = cars
                .iter()
                .flat_map(|e| self.store.open_orders(*e))
                .collect();
            decision = decision.without_repeated_deletions(&open);
        }
        if self.sabotage == Some(Sabotage::OrderAstray) {
            self.lead_astray(&mut decision);
        }
        for change in &decision.changes {
            self.store.apply(change.clone());
        }
        self.last = Some((actor, decision.changes.clone()));
        if cut == Some(Cut::After) {
            self.crash();
            return Committed {
                down: Vec::new(),
                cut: true,
            };
        }
        let mut down = decision.down;
        for message in &mut down {
            self.name_account(message);
        }
        down.retain(|message| self.cars.contains_key(&message.eid));
        if self.sabotage == Some(Sabotage::AckUnheard) {
            // Acknowledges reports that it does not keep.
            self.store.reports.pop();
        }
        self.sent(now, &down);
        Committed { down, cut: false }
    }

    /// Gives the orders of a decision to a link of somebody else.
    fn lead_astray(&self, decision: &mut Decision) {
        for change in &mut decision.changes {
            if let Change::AddOrder(order) = change
                && let Some(link) = order.federation
            {
                let own = self.store.federation(link).map(|f| f.account);
                let mut others = self.store.federations.iter();
                let other = others.find(|f| Some(f.account) != own);
                order.federation = other.map(|f| f.id);
            }
        }
    }

    fn order_message(&self, order: &Order) -> Outgoing {
        let mut message = order::message(order);
        self.name_account(&mut message);
        message
    }

    /// Names whose profile an order deletes to a car that understands that.
    fn name_account(&self, message: &mut Outgoing) {
        let Down::Order { order_id, kind } = &message.body else {
            return;
        };
        let order = self.store.orders.iter().find(|o| o.id == *order_id);
        let link = order.and_then(|o| o.federation);
        let (OrderKind::Delete { .. }, Some(link)) = (kind, link) else {
            return;
        };
        let vehicle = self.store.vehicles.get(&message.eid);
        let software = vehicle.and_then(|v| v.software.clone()).unwrap_or_default();
        if announced(&software) >= ACCOUNT_REVISION
            && let Some(federation) = self.store.federation(link)
        {
            order::name_account(message, federation.account);
        }
    }

    /// The link that serves a user in a car.
    #[must_use]
    pub fn serving(&self, account: AccountRef, eid: Eid) -> Option<Federation> {
        let mut active = self.store.federations_of(account);
        active.retain(|f| f.ended_at.is_none());
        let choice = |eid| self.store.preferences.get(&(account, eid)).copied();
        serving::choose(&active, choice(Some(eid)), choice(None)).cloned()
    }

    fn is_in(&self, eid: Eid, account: AccountRef) -> bool {
        let vehicle = self.store.vehicles.get(&eid);
        vehicle.is_some_and(|v| v.session == Some(account))
    }

    /// Ends requests whose code did not come in time, and those that a wrong clock gave too much time.
    pub fn expire(&mut self, now: u64) -> Vec<Outgoing> {
        let wall = self.wall(now);
        let late = |at: u64| at <= wall || at > wall.saturating_add(code::WAIT_MS + 3_600_000);
        let open = self.store.requests.iter();
        let due = open.filter(|r| r.state.is_open() && late(r.expires_at));
        let due: Vec<_> = due.cloned().collect();
        let mut down = Vec::new();
        for request in due {
            let mut decision = code::expired(&self.context(now), &request);
            let dropped = Change::CloseCall(request.id, CallState::Dropped, wall);
            decision.changes.push(dropped);
            let committed = self.commit(now, Actor::Inside, decision);
            down.extend(committed.down);
            if committed.cut {
                break;
            }
        }
        down
    }
}
