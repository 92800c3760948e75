//! What the daemon's shell does around the agent's core: effects are carried out in their order; a failed journal is looked
//! after; a car without power starts again.

use crate::plan::Fault;
use crate::sabotage::Sabotage;
use crate::world::{Item, World, arrivals};
use aid_agent_core::{
    Agent, Down, Effect, EuiccOp, Event, Id, Notice, Operation, Record, Up, read_records,
};
use aid_wire::OrderOutcome;

/// Records after which the journal begins with a snapshot.
const COMPACT: usize = 64;
/// Longest pause between two looks after a failed journal, ms.
const LONGEST_TEND: u64 = 60_000;

impl World {
    /// Tells a car's agent of something.
    pub fn event(&mut self, car: usize, event: Event) {
        let boot = self.cars[car].boot(self.now);
        if let Some(agent) = &mut self.cars[car].agent {
            agent.handle(boot, event);
            self.effects(car);
        }
    }

    /// Carries out what a car's agent wants.
    pub fn effects(&mut self, car: usize) {
        loop {
            let here = &mut self.cars[car];
            let Some(agent) = &mut here.agent else {
                return;
            };
            let Some(effect) = agent.poll_effect() else {
                break;
            };
            if let Some(left) = &mut here.cut_in_start {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    here.cut_in_start = None;
                    return self.cut(car, false);
                }
            }
            self.carry_out(car, effect);
            if self.violation.is_some() {
                return;
            }
        }
        self.armed(car);
        let here = &mut self.cars[car];
        let Some(agent) = &here.agent else {
            return;
        };
        if agent.has_failed_journal() {
            if agent.is_secured() && !here.is_tended {
                here.is_tended = true;
                let pause = (1000 << here.tends.min(6)).min(LONGEST_TEND);
                here.tends += 1;
                let life = here.life;
                self.later(pause, Item::Tend(car, life));
            }
        } else {
            here.tends = 0;
            if here.disk.records.len() > COMPACT
                && here.disk.works()
                && let Some(snapshot) = agent.snapshot()
            {
                here.disk.begin(snapshot);
            }
        }
    }

    fn carry_out(&mut self, car: usize, effect: Effect) {
        match effect {
            Effect::Persist { ticket, bytes } => {
                let records = read_records(&bytes).unwrap_or_default();
                let here = &mut self.cars[car];
                if std::mem::take(&mut here.cut_in_write) {
                    if self.random.percent(50) {
                        here.disk.append(bytes);
                    }
                    return self.cut(car, false);
                }
                let eager = self.sabotage == Some(Sabotage::EagerShell);
                let ticket = (eager || here.disk.append(bytes)).then_some(ticket);
                if ticket.is_none() {
                    self.log
                        .add(self.now, format_args!("car {car}: a write fails"));
                }
                let life = self.cars[car].life;
                if ticket.is_some() {
                    self.note_reports(car, records);
                }
                self.later(2, Item::Written { car, life, ticket });
            }
            Effect::Send { message_id, body } => self.send_up(car, message_id, body),
            Effect::AckInbound { message_id } => {
                self.send_up(car, None, Up::Ack { message_id });
            }
            Effect::Euicc { op, what } => {
                self.check_intent(car, &what);
                self.log
                    .add(self.now, format_args!("car {car}: card {what:?}"));
                let time = match &what {
                    EuiccOp::List => self.random.between(40, 120),
                    EuiccOp::Download { .. } => self.random.between(3000, 9000),
                    EuiccOp::Notifications => self.random.between(300, 1500),
                    _ => self.random.between(400, 2000),
                };
                let here = &mut self.cars[car];
                let life = here.life;
                if here.running.replace((op, what)).is_some() {
                    return self.violate(8, format_args!("car {car}: two card operations at once"));
                }
                self.later(time, Item::CardDone { car, life });
            }
            // Only with a verifier, and after an order to reset; the simulated CMP gives neither.
            Effect::HashPin { .. } | Effect::Erase { .. } => {}
            Effect::Notify(notice) => {
                self.log
                    .add(self.now, format_args!("car {car}: {notice:?}"));
                if let Notice::LoginCode { .. } = notice {
                    let account = crate::world::account(usize::from(self.cars[car].last_user));
                    let after = self.random.between(2000, 20_000);
                    self.later(after, Item::Approve(car, account));
                }
            }
        }
    }

    /// Reports of these records may leave the car once they are on disk.
    fn note_reports(&mut self, car: usize, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Report(report) => {
                    self.cars[car].on_disk.insert(report.seq);
                }
                Record::ReportAcked(seq) => {
                    self.cars[car].on_disk.remove(&seq);
                }
                _ => {}
            }
        }
    }

    fn send_up(&mut self, car: usize, id: Option<Id>, mut body: Up) {
        if self.sabotage == Some(Sabotage::EmptyHello)
            && let Up::Hello { profiles, .. } = &mut body
        {
            profiles.clear();
        }
        let own = self.sabotage == Some(Sabotage::OwnBearer);
        let over_admin = !own || self.cars[car].card.enabled().is_none();
        self.check_up(car, &body, over_admin);
        if self.sabotage == Some(Sabotage::HiddenProfile)
            && let Up::Hello { profiles, .. } = &mut body
        {
            profiles.retain(|p| p.iccid != crate::msp::number(77));
        }
        let id = id.unwrap_or_else(|| self.random.id());
        let delay = self.random.between(10, 150);
        let now = self.now;
        let here = &mut self.cars[car];
        let fault = here.on_message.take_if(|_| here.link.is_some());
        let Some(link) = &mut here.link else {
            return;
        };
        let number = Some(link.number);
        let at = (now + delay).max(link.last_up + 1);
        if fault != Some(Fault::Reorder) {
            link.last_up = at;
        }
        // What is overtaken is taken even when its connection is gone: another instance of the CMP was slow.
        let link = number.filter(|_| fault != Some(Fault::Reorder));
        for at in arrivals(fault, at) {
            let body = Box::new(body.clone());
            self.at(
                at,
                Item::Up {
                    car,
                    link,
                    id,
                    body,
                },
            );
        }
    }

    /// A message of the CMP reaches the shell, which may misbehave on purpose.
    pub fn hidden_from(&mut self, car: usize, message_id: Id, body: Down) {
        if let (Some(Sabotage::OrderIgnored), Down::Order { order_id, .. }) = (self.sabotage, &body)
        {
            let outcome = OrderOutcome::Done;
            let order_id = *order_id;
            return self.send_up(car, None, Up::OrderResult { order_id, outcome });
        }
        if self.sabotage == Some(Sabotage::Echo) {
            let life = self.cars[car].life;
            self.at(
                self.now,
                Item::Down {
                    car,
                    link: self.cars[car].link.as_ref().map_or(life, |l| l.number),
                    id: message_id,
                    body: Box::new(body.clone()),
                },
            );
        }
        self.event(car, Event::Inbound { message_id, body });
    }

    /// The card has ended what ran.
    pub fn card_done(&mut self, car: usize, life: u64) {
        if self.cars[car].life != life {
            return;
        }
        let Some((op, what)) = self.cars[car].running.take() else {
            return;
        };
        let before = self.cars[car].card.history.len();
        let (result, profiles) = self.cars[car].card.run(&what, &mut self.smdp);
        self.check_history(car, before);
        self.event(
            car,
            Event::EuiccDone {
                op,
                result,
                profiles,
            },
        );
    }

    /// Power of a car is cut; `happened`: the card has done what ran.
    pub fn cut(&mut self, car: usize, happened: bool) {
        let here = &mut self.cars[car];
        if here.agent.is_none() {
            return;
        }
        self.log
            .add(self.now, format_args!("car {car}: power is cut"));
        let failed = here.agent.as_ref().is_some_and(|a| a.has_failed_journal());
        here.is_lossy |= failed;
        let before = here.card.history.len();
        if let Some((_, what)) = here.running.take().filter(|_| happened) {
            here.card.run_unheard(&what, &mut self.smdp);
        }
        here.agent = None;
        here.life += 1;
        here.disk.cut();
        here.is_tended = false;
        here.is_dialing = false;
        if here.link.take().is_some() {
            // The CMP does not notice.
            here.online_since = None;
        }
        self.check_history(car, before);
        let after = self.random.between(500, 60_000);
        self.later(after, Item::Start(car));
    }

    /// The car gets power.
    pub fn start(&mut self, car: usize) {
        let epoch = self.random.next() as u32;
        let here = &mut self.cars[car];
        if here.agent.is_some() {
            return;
        }
        if !here.disk.is_unreadable && here.disk.records.len() < here.disk.acknowledged {
            let (left, said) = (here.disk.records.len(), here.disk.acknowledged);
            return self.violate(
                8,
                format_args!("car {car}: {said} records were acknowledged, {left} are on disk"),
            );
        }
        let agent = if here.disk.is_unreadable {
            Agent::without_journal("sim")
        } else {
            match Agent::restore("sim", here.disk.base.as_deref(), &here.disk.records) {
                Ok(agent) => agent,
                Err(error) => return self.violate(12, format_args!("car {car}: {error}")),
            }
        };
        let open = agent.durable().outbox().iter().map(|r| r.seq);
        here.on_disk = open.collect();
        here.agent = Some(Box::new(agent.with_epoch(epoch).with_grace(300_000)));
        here.booted = i64::try_from(self.now).unwrap_or_default();
        here.wrong_since = None;
        self.log.add(self.now, format_args!("car {car}: starts"));
        if here.disk.health == crate::disk::Health::Full {
            let text = "the disk is full".into();
            self.event(car, Event::PersistFailed { text });
        }
        self.event(car, Event::Boot);
        if self.cars[car].in_call {
            self.event(car, Event::Call { active: true });
        }
        self.redial(car);
    }

    /// The shell looks after a failed journal.
    pub fn tend(&mut self, car: usize, life: u64) {
        let boot = self.cars[car].boot(self.now);
        let here = &mut self.cars[car];
        if here.life != life {
            return;
        }
        here.is_tended = false;
        let Some(agent) = &mut here.agent else {
            return;
        };
        if agent.has_failed_journal() && agent.is_secured() && here.disk.works() {
            if agent.is_unread() {
                let read = agent.restore_late(boot, here.disk.base.as_deref(), &here.disk.records);
                if let Err(error) = read {
                    return self.violate(12, format_args!("car {car}: {error}"));
                }
            } else if let Some(state) = agent.unsaved() {
                here.disk.begin(state);
                let open: Vec<u64> = agent.durable().outbox().iter().map(|r| r.seq).collect();
                here.on_disk.extend(open);
                self.log
                    .add(self.now, format_args!("car {car}: the journal works again"));
                self.event(car, Event::JournalRestored);
            }
        }
        self.effects(car);
    }

    /// Whether the operation is in the journal.
    pub fn is_intended(&self, car: usize, what: &EuiccOp) -> bool {
        let Some(agent) = &self.cars[car].agent else {
            return false;
        };
        if agent.has_failed_journal() {
            let allowed = matches!(what, EuiccOp::Disable { .. } | EuiccOp::List);
            return allowed && agent.session().is_none();
        }
        let disk = &self.cars[car].disk;
        let Ok(state) = aid_agent_core::Durable::restore(disk.base.as_deref(), &disk.records)
        else {
            return false;
        };
        let wants = |operation, iccid: &aid_id::Iccid| {
            let intent = state.intent();
            intent.is_some_and(|i| i.operation == operation && i.iccid == *iccid)
        };
        match what {
            EuiccOp::Enable { iccid } => wants(Operation::Enable, iccid),
            EuiccOp::Disable { iccid } => wants(Operation::Disable, iccid),
            EuiccOp::Delete { iccid } => wants(Operation::Delete, iccid),
            EuiccOp::Download { .. } => state.downloads().first().is_some_and(|d| d.attempts > 0),
            EuiccOp::List | EuiccOp::Notifications => true,
        }
    }
}
