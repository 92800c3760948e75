//! The world of a life: all parties, and one queue of what happens when. One thread, virtual time; every choice comes from
//! the seed.

use crate::car::Car;
use crate::card::Card;
use crate::cmp::store::Store;
use crate::cmp::{CallEnd, Cmp, FromMsp, PIN, PIN_KEY};
use crate::disk::Health;
use crate::ids;
use crate::invariant::Violation;
use crate::log::Log;
use crate::msp::{Msp, Subscription};
use crate::plan::{Fault, State, Step};
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::smdp::Smdp;
use aid_agent_core::{Down, Event, Id, Up};
use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::EncryptedPhone;
use aid_cmp_core::decide::Outgoing;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::{Account, Call, Federation, Vehicle};
use aid_id::{AccountRef, Eid, Iccid, MspToken, Secret};
use std::collections::BTreeMap;

/// Cars of a life.
pub const CARS: usize = 2;
/// Users of a life.
pub const USERS: usize = 3;
/// A day, ms.
pub const DAY: u64 = 24 * 3600 * 1000;
/// Unix time at which a life begins, ms: clocks that are behind must not be so before 1970.
pub const EPOCH: u64 = 1_800_000_000_000;
/// Things that may happen at one moment; more is a circle.
const MOMENT: u32 = 20_000;

/// What becomes well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healed {
    /// A car's disk.
    Disk(usize),
    /// A car's card answers.
    Card(usize),
    /// A car's card has room.
    Room(usize),
    /// A call is over.
    Call(usize),
    /// The SM-DP+ is there.
    Smdp,
    /// The MSPs are there.
    Msp,
    /// The MSPs answer at once.
    MspLate,
    /// The CMP starts.
    Cmp,
    /// The CMP's clock is right.
    Clock,
}

/// Something in the queue.
#[derive(Debug)]
pub enum Item {
    /// A step of the plan.
    Step(Step),
    /// A message reaches the CMP.
    Up {
        /// The car.
        car: usize,
        /// The connection that it was sent on; none: it does not matter any more.
        link: Option<u64>,
        /// Its id.
        id: Id,
        /// It.
        body: Box<Up>,
    },
    /// A message reaches a car.
    Down {
        /// The car.
        car: usize,
        /// The connection that it was sent on.
        link: u64,
        /// Its id.
        id: Id,
        /// It.
        body: Box<Down>,
    },
    /// A write ended.
    Written {
        /// The car.
        car: usize,
        /// Its life.
        life: u64,
        /// The ticket; none: it failed.
        ticket: Option<u64>,
    },
    /// The card ended an operation.
    CardDone {
        /// The car.
        car: usize,
        /// Its life.
        life: u64,
    },
    /// The car tries to connect.
    Dial(usize),
    /// The car gets power.
    Start(usize),
    /// The shell looks after a failed journal.
    Tend(usize, u64),
    /// Something is well again.
    Heal(Healed),
    /// A user approves the code that a car shows.
    Approve(usize, AccountRef),
    /// A call reaches the MSP.
    Call(Box<Call>),
    /// Its answer reaches the CMP.
    Called(Box<Call>, Box<CallEnd>),
    /// A call of the MSP reaches the CMP.
    Said(usize, Box<FromMsp>),
    /// The MSP tries the oldest call of its outbox.
    Say(usize),
    /// A fault comes.
    Fault(usize, Fault),
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// True time, Unix milliseconds.
    pub now: u64,
    /// When the life began.
    pub began: u64,
    queue: BTreeMap<(u64, u64), Item>,
    count: u64,
    /// The cars.
    pub cars: Vec<Car>,
    /// The CMP.
    pub cmp: Cmp,
    /// A copy of its database.
    pub backup: Store,
    /// The MSPs.
    pub msps: Vec<Msp>,
    /// MSPs whose outbox is looked at already.
    pub saying: Vec<bool>,
    /// The SM-DP+.
    pub smdp: Smdp,
    /// Every choice comes from it.
    pub random: Random,
    /// What happened.
    pub log: Log,
    /// What must not happen and did: nothing goes on after it.
    pub violation: Option<Violation>,
    /// Misbehaviour on purpose.
    pub sabotage: Option<Sabotage>,
    /// How often which fault came in which state.
    pub table: BTreeMap<(State, Fault), u64>,
    /// The users of the profiles, by the MSPs.
    pub owners: BTreeMap<Iccid, usize>,
    /// Codes that left the CMP, by its requests.
    pub given: BTreeMap<Id, String>,
    /// The last connection's number.
    pub links: u64,
    /// The database was replaced by an older copy in this life.
    pub was_restored: bool,
    moment: u32,
    cmp_timer: Option<u64>,
}

/// The account of a user.
#[must_use]
pub fn account(user: usize) -> AccountRef {
    AccountRef([user as u8 + 1; 16])
}

/// The user of an account.
#[must_use]
pub fn user_of(account: AccountRef) -> usize {
    usize::from(account.0[0]).saturating_sub(1)
}

/// The name under which a user logs in.
#[must_use]
pub fn name(user: usize) -> String {
    format!("user{user}")
}

/// The PIN that all users have.
#[must_use]
pub fn pin() -> Secret {
    Secret::new(PIN.to_owned())
}

/// The MSP of a user.
#[must_use]
pub fn msp_of(user: usize) -> usize {
    usize::from(user == USERS - 1)
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        ids::begin(seed);
        let mut random = Random::new(seed);
        let mut store = Store::default();
        let mut msps = vec![Msp::new("alpha", 1000), Msp::new("beta", 900_000)];
        for user in 0..USERS {
            let id = account(user);
            store.accounts.push(Account {
                id,
                name: name(user),
                display_name: name(user),
                password: Secret::new("$argon2id$".into()),
                pin_mac: Some(pin_mac(&PIN_KEY, id, PIN)),
                created_at: EPOCH,
            });
            let token = MspToken::from_bytes(random.id());
            let msp = &mut msps[msp_of(user)];
            msp.subscriptions.push(Subscription {
                token,
                user,
                ended: false,
                limit: if user == 0 { 1 } else { 2 },
                profiles: Vec::new(),
                free: Vec::new(),
            });
            store.federations.push(Federation {
                id: ids::fresh(),
                msp: msp.name.clone(),
                token,
                account: id,
                phone: EncryptedPhone {
                    phone_number: String::new(),
                    iv: String::new(),
                },
                kind: SubscriptionType::Private,
                customer_group: None,
                since: EPOCH,
                ended_at: None,
                ended_reason: None,
            });
        }
        let mut cars = Vec::new();
        for number in 0..CARS {
            let eid = eid(number);
            store.vehicles.insert(eid, Vehicle::new(eid, EPOCH));
            let mut card = Card::new(eid, 5);
            card.sabotage = sabotage;
            let mut car = Car::new(eid, card);
            car.disk.lies = sabotage == Some(Sabotage::LyingDisk);
            cars.push(car);
        }
        Self {
            now: EPOCH,
            began: EPOCH,
            queue: BTreeMap::new(),
            count: 0,
            cars,
            backup: store.clone(),
            cmp: Cmp::new(store, sabotage),
            saying: vec![false; msps.len()],
            msps,
            smdp: Smdp::default(),
            random,
            log: Log::default(),
            violation: None,
            sabotage,
            table: BTreeMap::new(),
            owners: BTreeMap::new(),
            given: BTreeMap::new(),
            links: 0,
            was_restored: false,
            moment: 0,
            cmp_timer: None,
        }
    }

    /// Puts something into the queue, `after` ms from now.
    pub fn later(&mut self, after: u64, item: Item) {
        self.at(self.now.saturating_add(after), item);
    }

    /// Puts something into the queue.
    pub fn at(&mut self, at: u64, item: Item) {
        self.count += 1;
        self.queue.insert((at, self.count), item);
    }

    /// Lets time pass until then; stops at a violation.
    pub fn run_until(&mut self, end: u64) {
        while self.violation.is_none() && self.step(end) {}
        if self.violation.is_none() {
            self.now = self.now.max(end);
        }
    }

    /// Lets the next thing happen, unless it comes after `end`.
    fn step(&mut self, end: u64) -> bool {
        let queued = self.queue.first_key_value().map(|(key, _)| key.0);
        let mut next = queued.map(|at| (at, None));
        let timers = self.cars.iter().enumerate().filter_map(|(number, car)| {
            let (at, _) = car.agent.as_ref()?.poll_timeout()?;
            Some((car.true_time(at), Some(number)))
        });
        let timers = timers.chain(self.cmp_timer.map(|at| (at, Some(CARS))));
        for (at, who) in timers {
            if next.is_none_or(|(first, _)| at < first) {
                next = Some((at, who));
            }
        }
        let Some((at, who)) = next.filter(|(at, _)| *at <= end) else {
            return false;
        };
        if at > self.now {
            (self.now, self.moment) = (at, 0);
        }
        self.moment += 1;
        if self.moment > MOMENT {
            self.violate(
                11,
                format_args!("a circle: nothing but this happens at one moment"),
            );
            return false;
        }
        match who {
            Some(CARS) => {
                self.cmp_due();
                self.check_cmp();
            }
            Some(number) => {
                let boot = self.cars[number].boot(self.now);
                if let Some(agent) = &mut self.cars[number].agent {
                    agent.handle_timeout(boot);
                }
                self.effects(number);
            }
            None => {
                if let Some((_, item)) = self.queue.pop_first() {
                    self.happen(item);
                }
            }
        }
        if std::mem::take(&mut self.cmp.is_changed) {
            self.cmp_timer = self.cmp.timeout(self.now);
        }
        self.check();
        true
    }

    /// The CMP does what is due by its own timers.
    fn cmp_due(&mut self) {
        self.cmp.is_changed = true;
        let down = self.cmp.remind(self.now);
        self.send_down(down);
        let down = self.cmp.expire(self.now);
        self.send_down(down);
        self.after_commit(false);
        if !self.cmp.is_up {
            return;
        }
        let wall = self.cmp.wall(self.now);
        for mut call in self.cmp.store.due_calls(wall, &self.cmp.busy) {
            self.cmp.busy.insert(call.id);
            call.next_at = call.next_at.min(wall);
            let after = self.random.between(20, 400);
            self.later(after, Item::Call(Box::new(call)));
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Step(step) => self.deed(step),
            Item::Up {
                car,
                link,
                id,
                body,
            } => self.reached_cmp(car, link, id, *body),
            Item::Down {
                car,
                link,
                id,
                body,
            } => {
                let here = &self.cars[car];
                if here.link.as_ref().is_some_and(|l| l.number == link) {
                    self.log.add(self.now, format_args!("car {car} < {body:?}"));
                    self.hidden_from(car, id, *body);
                }
            }
            Item::Written { car, life, ticket } => {
                if self.cars[car].life == life && self.cars[car].agent.is_some() {
                    let event = match ticket {
                        Some(ticket) => Event::Persisted { ticket },
                        None => Event::PersistFailed {
                            text: "the journal can't be written".into(),
                        },
                    };
                    self.event(car, event);
                }
            }
            Item::CardDone { car, life } => self.card_done(car, life),
            Item::Dial(car) => self.dial(car),
            Item::Start(car) => self.start(car),
            Item::Tend(car, life) => self.tend(car, life),
            Item::Heal(healed) => self.heal(healed),
            Item::Approve(car, account) => {
                if self.cmp.is_up {
                    let committed = self.cmp.approve(self.now, self.cars[car].eid, account);
                    self.send_down(committed.down);
                    self.after_commit(committed.cut);
                }
            }
            Item::Call(call) => {
                let Some(msp) = self.msps.iter_mut().find(|m| m.name == call.msp) else {
                    return;
                };
                let end = msp.call(&call, &mut self.smdp, &mut self.random);
                self.log.add(
                    self.now,
                    format_args!("{} answers {:?}: {end:?}", call.msp, call.kind),
                );
                let number = usize::from(call.msp != self.msps[0].name);
                for own in &self.msps[number].subscriptions {
                    for (iccid, _) in &own.profiles {
                        if !self.owners.contains_key(iccid) {
                            self.owners.insert(iccid.clone(), own.user);
                        }
                    }
                }
                self.have_said(number);
                let after = self.random.between(20, 1500);
                self.later(after, Item::Called(call, Box::new(end)));
            }
            Item::Called(call, end) => {
                // An answer to a CMP that is down, or was restarted, reaches nobody: it calls again.
                if self.cmp.is_up && self.cmp.busy.contains(&call.id) {
                    let draw = self.random.next();
                    let committed = self.cmp.called(self.now, &call, *end, draw);
                    self.send_down(committed.down);
                    self.after_commit(committed.cut);
                }
            }
            Item::Said(msp, call) => self.said(msp, &call),
            Item::Say(msp) => self.say(msp),
            Item::Fault(car, fault) => self.inject(car, fault),
        }
    }

    /// A message reaches the CMP.
    fn reached_cmp(&mut self, car: usize, link: Option<u64>, id: Id, body: Up) {
        let here = &self.cars[car];
        let current = here.link.as_ref().map(|l| l.number);
        let is_open = self.cmp.cars.contains_key(&here.eid) && (link.is_none() || link == current);
        if !self.cmp.is_up || !is_open {
            return;
        }
        if self.sabotage == Some(Sabotage::Panic) && matches!(body, Up::NumberedLogin { .. }) {
            assert!(
                self.cmp.store.vehicles.is_empty(),
                "the CMP panics on purpose"
            );
        }
        self.log.add(self.now, format_args!("car {car} > {body:?}"));
        let committed = self.cmp.up(self.now, here.eid, id, body);
        self.send_down(committed.down);
        self.after_commit(committed.cut);
    }

    /// Messages of the CMP go their ways.
    pub fn send_down(&mut self, messages: Vec<Outgoing>) {
        for message in messages {
            let Some(car) = self.cars.iter().position(|c| c.eid == message.eid) else {
                continue;
            };
            self.check_down(&message);
            let fault = self.cars[car].on_message.take();
            let delay = self.random.between(10, 150);
            let now = self.now;
            let Some(link) = &mut self.cars[car].link else {
                continue;
            };
            let number = link.number;
            let at = (now + delay).max(link.last_down + 1);
            if fault != Some(Fault::Reorder) {
                link.last_down = at;
            }
            for at in arrivals(fault, at) {
                let body = Box::new(message.body.clone());
                self.at(
                    at,
                    Item::Down {
                        car,
                        link: number,
                        id: message.message_id,
                        body,
                    },
                );
            }
        }
    }

    /// Notes what a commit did; starts a CMP again whose power was cut.
    pub fn after_commit(&mut self, cut: bool) {
        if let Some((actor, changes)) = self.cmp.last.take() {
            self.check_commit(&actor, &changes);
        }
        if cut || !self.cmp.is_up {
            self.log.add(self.now, format_args!("cmp is down"));
            let after = self.random.between(1000, 30_000);
            self.later(after, Item::Heal(Healed::Cmp));
            self.cmp_gone();
        }
    }

    /// The CMP is down: the cars' connections break.
    pub fn cmp_gone(&mut self) {
        for car in 0..self.cars.len() {
            if self.cars[car].link.take().is_some() {
                self.cars[car].online_since = None;
                self.event(car, Event::LinkDown);
                self.redial(car);
            }
        }
    }

    /// A car that is awake tries to connect.
    pub fn redial(&mut self, car: usize) {
        let here = &mut self.cars[car];
        if here.is_awake && here.link.is_none() && here.agent.is_some() && !here.is_dialing {
            here.is_dialing = true;
            let after = self.random.between(300, 12_000);
            self.later(after, Item::Dial(car));
        }
    }

    fn dial(&mut self, car: usize) {
        let here = &mut self.cars[car];
        here.is_dialing = false;
        if !here.is_awake || here.link.is_some() || here.agent.is_none() {
            return;
        }
        let is_read = here.agent.as_ref().is_some_and(|a| a.profiles().is_some());
        if !self.cmp.is_up || !is_read {
            return self.redial(car);
        }
        self.links += 1;
        let here = &mut self.cars[car];
        here.link = Some(crate::car::Connection {
            number: self.links,
            last_up: self.now,
            last_down: self.now,
        });
        here.online_since = Some(self.now);
        let eid = here.eid;
        let down = self.cmp.connected(self.now, eid);
        self.event(car, Event::LinkUp);
        self.send_down(down);
    }

    /// The link of a car breaks; the CMP notices, or does not.
    pub fn unlink(&mut self, car: usize, noticed: bool) {
        if self.cars[car].link.take().is_none() {
            return;
        }
        self.cars[car].online_since = None;
        if noticed {
            self.cmp.cars.remove(&self.cars[car].eid);
        }
        self.event(car, Event::LinkDown);
        self.redial(car);
    }

    /// Looks after the outbox of an MSP.
    pub fn have_said(&mut self, msp: usize) {
        if !self.saying[msp] && !self.msps[msp].outbox.is_empty() {
            self.saying[msp] = true;
            let after = self.random.between(100, 3000);
            self.later(after, Item::Say(msp));
        }
    }

    fn say(&mut self, msp: usize) {
        self.saying[msp] = false;
        let away = self.msps[msp].is_away || !self.cmp.is_up;
        if let Some(call) = self.msps[msp].outbox.front().filter(|_| !away).cloned() {
            self.saying[msp] = true;
            let after = self.random.between(20, 300);
            self.later(after, Item::Said(msp, Box::new(call)));
        } else if !self.msps[msp].outbox.is_empty() {
            self.saying[msp] = true;
            let after = self.random.between(10_000, 120_000);
            self.later(after, Item::Say(msp));
        }
    }

    fn said(&mut self, msp: usize, call: &FromMsp) {
        self.saying[msp] = false;
        if self.cmp.is_up {
            let result = self.cmp.operate(self.now, call);
            self.log.add(
                self.now,
                format_args!(
                    "{} calls {:?}: {:?}",
                    call.msp,
                    call.operation,
                    result.as_ref().err()
                ),
            );
            let cut = result.as_ref().is_ok_and(|c| c.cut);
            if !cut {
                // A refusal is an answer, too.
                self.msps[msp].outbox.pop_front();
            }
            if let Ok(committed) = result {
                self.send_down(committed.down);
                self.after_commit(cut);
            }
        }
        self.have_said(msp);
    }

    /// Everything that was wrong is well again.
    pub fn heal_all(&mut self) {
        for car in 0..self.cars.len() {
            for healed in [Healed::Disk(car), Healed::Card(car), Healed::Room(car)] {
                self.heal(healed);
            }
            let here = &mut self.cars[car];
            here.armed.clear();
            here.card.busy = 0;
            (here.on_message, here.cut_in_write, here.cut_in_start) = (None, false, None);
            self.heal(Healed::Call(car));
        }
        self.cmp.cut = None;
        for healed in [Healed::Smdp, Healed::Msp, Healed::MspLate, Healed::Clock] {
            self.heal(healed);
        }
        if !self.cmp.is_up {
            self.heal(Healed::Cmp);
        }
        self.smdp.refuses_next = false;
    }

    /// Something is well again.
    pub fn heal(&mut self, healed: Healed) {
        self.log.add(self.now, format_args!("healed: {healed:?}"));
        self.cmp.is_changed = true;
        match healed {
            Healed::Disk(car) => {
                if self.sabotage != Some(Sabotage::DeadDisk) {
                    self.cars[car].disk.health = Health::Good;
                    self.cars[car].disk.is_unreadable = false;
                }
            }
            Healed::Card(car) => self.cars[car].card.is_away = false,
            Healed::Room(car) => self.cars[car].card.room = 5,
            Healed::Call(car) => {
                if std::mem::take(&mut self.cars[car].in_call) {
                    self.event(car, Event::Call { active: false });
                }
            }
            Healed::Smdp => self.smdp.is_away = false,
            Healed::Msp => self.msps.iter_mut().for_each(|m| m.is_away = false),
            Healed::MspLate => self.msps.iter_mut().for_each(|m| m.is_late = false),
            Healed::Cmp => self.cmp.is_up = true,
            Healed::Clock => self.cmp.skew = 0,
        }
    }
}

/// When a message arrives that suffers this.
pub fn arrivals(fault: Option<Fault>, at: u64) -> Vec<u64> {
    match fault {
        Some(Fault::Loss) => Vec::new(),
        Some(Fault::Duplicate) => vec![at, at + 700],
        Some(Fault::Delay | Fault::Reorder) => vec![at + 32_000],
        _ => vec![at],
    }
}

/// The EID of a car.
#[allow(clippy::expect_used, reason = "30 digits are the first 30 of an EID")]
fn eid(number: usize) -> Eid {
    Eid::with_check_digits(&format!("89049032000001{number:016}")).expect("30 digits")
}
