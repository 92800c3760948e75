//! Faults, and what users and operators do.

use crate::disk::Health;
use crate::plan::{Deed, Fault, Step};
use crate::sabotage::Sabotage;
use crate::world::{CARS, DAY, Healed, Item, USERS, World, account, msp_of, name, pin, user_of};
use aid_agent_core::Event;
use aid_aid1::body::{ProfileValidity, SendMspToken, SubscriptionType};
use aid_aid1::phone::{PhoneKey, PhoneNumber};
use aid_cmp_core::decide::deletion::Trigger;
use aid_id::MspToken;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// Key of the phone numbers.
const PHONE_KEY: [u8; 32] = [0x17; 32];

impl World {
    /// A user or operator does something.
    pub fn deed(&mut self, step: Step) {
        self.log.add(self.now, format_args!("step: {step}"));
        let car = usize::from(step.car) % CARS;
        match step.deed {
            Deed::Wake => {
                self.cars[car].is_awake = true;
                self.redial(car);
            }
            Deed::Park => {
                self.cars[car].is_awake = false;
                self.unlink(car, true);
            }
            Deed::Login(user) => self.log_in(car, usize::from(user)),
            Deed::LoginByCode(user) => {
                self.cars[car].last_user = user;
                let login_id = self.random.id();
                self.event(car, Event::LoginByCode { login_id });
            }
            Deed::Logout => self.event(car, Event::Logout),
            Deed::IgnitionOff => self.event(car, Event::Ignition { on: false }),
            Deed::IgnitionOn => self.event(car, Event::Ignition { on: true }),
            Deed::DeleteOwn => {
                let agent = self.cars[car].agent.as_ref();
                let own = agent.and_then(|a| {
                    let who = a.session()?.account;
                    let mut list = a.profiles()?.iter();
                    list.find(|p| a.durable().owner(&p.iccid) == Some(who))
                        .map(|p| p.iccid.clone())
                });
                if let Some(iccid) = own {
                    self.event(car, Event::DeleteOwn { iccid });
                }
            }
            Deed::Provision => self.event(car, Event::Provision),
            Deed::Forget(user) => self.delete(car, usize::from(user)),
            Deed::Relink(user) => self.relink(usize::from(user)),
            Deed::Backup => self.backup = self.cmp.store.clone(),
            Deed::Arm(state, fault) => {
                let times = self.random.below(3) as u32;
                self.cars[car].armed.push((state, fault, times));
                self.armed(car);
            }
        }
    }

    fn log_in(&mut self, car: usize, user: usize) {
        self.cars[car].last_user = user as u8;
        let login_id = self.random.id();
        let (user, pin) = (name(user), pin());
        self.event(
            car,
            Event::Login {
                login_id,
                user,
                pin,
            },
        );
    }

    fn delete(&mut self, car: usize, user: usize) {
        if self.cmp.is_up {
            let eid = self.cars[car].eid;
            let trigger = Trigger::Operator;
            let committed = self.cmp.delete(self.now, eid, account(user), trigger);
            self.send_down(committed.down);
            self.after_commit(committed.cut);
        }
    }

    /// Links a subscription again where the user has none.
    pub fn relink(&mut self, user: usize) {
        let links = self.cmp.store.federations_of(account(user));
        let alive = links.iter().any(|f| f.ended_at.is_none());
        let at = msp_of(user);
        if alive || !self.cmp.is_up || self.cmp.cut.is_some() {
            return;
        }
        let key = PhoneKey::new(PHONE_KEY);
        let name = self.msps[at].name.clone();
        let (sid, _) = self.cmp.begin_link(self.now, &name, account(user));
        self.after_commit(false);
        let token = MspToken::from_bytes(self.random.id());
        let number: Option<PhoneNumber> = "4915112345678".parse().ok();
        let draw = self.random.id();
        let mut vector = [0; 12];
        vector.copy_from_slice(&draw[..12]);
        let Some(phone) = number.and_then(|n| key.encrypt(&n, vector).ok()) else {
            return;
        };
        let body = SendMspToken::Token {
            msp_token: token,
            phone,
            subscription_type: SubscriptionType::Private,
            customer_group: None,
        };
        let linked = self.cmp.link(self.now, &name, sid, &key, body);
        if let Ok(committed) = linked {
            // Whatever the MSP still has of the user is ended: one subscription at a time.
            for old in &mut self.msps[at].subscriptions {
                old.ended |= old.user == user;
            }
            self.msps[at].subscriptions.push(crate::msp::Subscription {
                token,
                user,
                ended: false,
                limit: if user == 0 { 1 } else { 2 },
                profiles: Vec::new(),
                free: Vec::new(),
            });
            self.send_down(committed.down);
            self.after_commit(committed.cut);
        }
    }

    /// Lets the faults come that wait for the state in which the car is.
    pub fn armed(&mut self, car: usize) {
        let here = &mut self.cars[car];
        let Some(state) = here.state().filter(|_| !here.armed.is_empty()) else {
            return;
        };
        let mut due = Vec::new();
        here.armed.retain_mut(|(wanted, fault, times)| {
            if *wanted != state {
                return true;
            }
            if *times > 0 {
                *times -= 1;
                return true;
            }
            due.push(*fault);
            false
        });
        for fault in due {
            // Not within an effect that is carried out.
            self.later(0, Item::Fault(car, fault));
        }
    }

    /// A fault comes.
    pub fn inject(&mut self, car: usize, fault: Fault) {
        let Some(state) = self.cars[car].state() else {
            // Without power: it comes when the car has it again.
            self.later(1000, Item::Fault(car, fault));
            return;
        };
        *self.table.entry((state, fault)).or_default() += 1;
        self.log.add(
            self.now,
            format_args!("car {car}: {} in {}", fault.word(), state.word()),
        );
        let (user, soon) = (usize::from(self.cars[car].last_user), self.soon());
        self.cmp.is_changed = true;
        match fault {
            Fault::Delay | Fault::Loss | Fault::Duplicate | Fault::Reorder => {
                self.cars[car].on_message = Some(fault);
            }
            Fault::LinkCut => self.unlink(car, false),
            Fault::CutBefore => self.cut(car, false),
            Fault::CutAfter => self.cut(car, true),
            Fault::CutInWrite => self.cars[car].cut_in_write = true,
            Fault::CutInStart => {
                self.cars[car].cut_in_start = Some(self.random.between(1, 6) as u32);
                self.cut(car, false);
                // The first cut is this one; the other comes within the start.
            }
            Fault::DiskFull => {
                self.cars[car].disk.health = Health::Full;
                self.later(soon, Item::Heal(Healed::Disk(car)));
            }
            Fault::DiskFails => self.cars[car].disk.health = Health::FailsOnce,
            Fault::DiskTorn => self.cars[car].disk.health = Health::TornOnce,
            Fault::DiskUnreadable => {
                self.cars[car].disk.is_unreadable = true;
                self.cut(car, false);
                self.later(soon, Item::Heal(Healed::Disk(car)));
            }
            Fault::JournalLost => {
                self.cars[car].is_lossy = true;
                self.cut(car, self.now.is_multiple_of(2));
                self.cars[car].disk.erase();
            }
            Fault::CmpCutBefore => self.cmp.cut = Some(crate::cmp::Cut::Before),
            Fault::CmpCutAfter => self.cmp.cut = Some(crate::cmp::Cut::After),
            Fault::CmpAway => {
                self.cmp.crash();
                self.cmp_gone();
                self.later(soon, Item::Heal(Healed::Cmp));
            }
            Fault::CmpRestored => {
                self.cmp.crash();
                self.cmp.store = self.backup.clone();
                self.was_restored = true;
                self.cars.iter_mut().for_each(|c| c.is_lossy = true);
                self.cmp_gone();
                self.later(soon, Item::Heal(Healed::Cmp));
            }
            Fault::ClockAhead => {
                let skew = self.random.between(HOUR, 3 * DAY);
                self.cmp.skew = i64::try_from(skew).unwrap_or_default();
                self.later(soon, Item::Heal(Healed::Clock));
            }
            Fault::ClockBehind => {
                let skew = self.random.between(HOUR, 3 * DAY);
                self.cmp.skew = -i64::try_from(skew).unwrap_or_default();
                self.later(soon, Item::Heal(Healed::Clock));
            }
            Fault::Sleep => {
                let time = self.random.between(MINUTE, 8 * HOUR);
                self.cars[car].booted -= i64::try_from(time).unwrap_or_default();
            }
            Fault::CardAway => {
                self.cars[car].card.is_away = true;
                self.later(soon, Item::Heal(Healed::Card(car)));
            }
            Fault::CardBusy => self.cars[car].card.busy = self.random.between(1, 8) as u32,
            Fault::CardFull => {
                let card = &mut self.cars[car].card;
                card.room = card.profiles.len();
                self.later(8 * HOUR, Item::Heal(Healed::Room(car)));
            }
            Fault::SmdpAway => {
                self.smdp.is_away = true;
                self.later(soon, Item::Heal(Healed::Smdp));
            }
            Fault::SmdpRefuses => self.smdp.refuses_next = true,
            Fault::MspAway => {
                self.msps.iter_mut().for_each(|m| m.is_away = true);
                self.later(soon, Item::Heal(Healed::Msp));
            }
            Fault::MspLate => {
                self.msps.iter_mut().for_each(|m| m.is_late = true);
                self.later(4 * HOUR, Item::Heal(Healed::MspLate));
            }
            Fault::Withdrawal => {
                let at = msp_of(user);
                self.msps[at].withdraw(user, &mut self.random);
                self.have_said(at);
            }
            Fault::Unlink => {
                if self.cmp.is_up {
                    let committed = self.cmp.unlink(self.now, account(user));
                    self.send_down(committed.down);
                    self.after_commit(committed.cut);
                }
            }
            Fault::Swap => {
                let other = (car + 1) % CARS;
                self.cars[other].is_awake = true;
                self.redial(other);
                self.log_in(other, user);
            }
            Fault::ProfileDead => self.profile_dead(car, user),
            Fault::Deletion => self.delete(car, user),
            Fault::Cleared => {
                if self.cmp.is_up {
                    let eid = self.cars[car].eid;
                    let committed = self.cmp.clear(self.now, eid, Trigger::RentalEnd);
                    self.send_down(committed.down);
                    self.after_commit(committed.cut);
                }
            }
            Fault::Takeover => self.log_in(car, (user + 1) % USERS),
            Fault::Call => {
                self.cars[car].in_call = true;
                self.event(car, Event::Call { active: true });
                let time = self.random.between(MINUTE, 20 * MINUTE);
                self.later(time, Item::Heal(Healed::Call(car)));
            }
        }
    }

    /// The MSP gives up the user's profile in this car; under a name that is not its own, too (invariant 10).
    fn profile_dead(&mut self, car: usize, user: usize) {
        let eid = self.cars[car].eid;
        let at = msp_of(user);
        let own = self.msps[at].subscriptions.iter();
        let mut own = own.filter(|s| s.user == user && !s.ended);
        let Some((token, iccid)) = own.find_map(|s| {
            let here = s.profiles.iter().find(|(_, e)| *e == eid)?;
            Some((s.token, here.0.clone()))
        }) else {
            return;
        };
        let dead = ProfileValidity::Invalid;
        // The other MSP says so first, of a profile and a token that are not its own, and of its own token.
        let other = (at + 1) % self.msps.len();
        let stolen = self.msps[other].subscriptions.last().map(|s| s.token);
        for token in stolen.into_iter().chain([token]) {
            self.msps[other].judge(token, iccid.clone(), dead, &mut self.random);
        }
        self.have_said(other);
        let msp = &mut self.msps[at];
        for own in &mut msp.subscriptions {
            own.profiles.retain(|(i, _)| *i != iccid);
        }
        msp.judge(token, iccid, dead, &mut self.random);
        self.have_said(at);
    }

    /// A while that a fault lasts, ms: mostly minutes, sometimes hours.
    fn soon(&mut self) -> u64 {
        match self.random.percent(20) {
            true => self.random.between(HOUR, 6 * HOUR),
            false => self.random.between(5000, 15 * MINUTE),
        }
    }
}

impl World {
    /// The user whose session it is.
    #[must_use]
    pub fn user_in(&self, car: usize) -> Option<usize> {
        let agent = self.cars[car].agent.as_ref()?;
        Some(user_of(agent.session()?.account))
    }

    /// Misbehaviour that a party begins by itself, at the beginning of a life's second day.
    pub fn misbehave(&mut self) {
        let card = &mut self.cars[0].card;
        match self.sabotage {
            Some(Sabotage::HiddenProfile) => {
                card.profiles.insert(crate::msp::number(77), false);
            }
            Some(Sabotage::TwoEnabled) => {
                card.profiles.insert(crate::msp::number(78), true);
                card.profiles.insert(crate::msp::number(79), true);
            }
            _ => {}
        }
    }
}
