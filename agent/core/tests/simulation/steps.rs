//! The steps of a life.

use crate::world::*;
use aid_agent_core::*;

impl World {
    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Login(user) => {
                let login_id = self.id();
                let (user, pin) = (char::from(*user).to_string(), Secret::new("123456".into()));
                self.event(Event::Login {
                    login_id,
                    user,
                    pin,
                });
            }
            Step::Logout => self.event(Event::Logout),
            Step::Link(up) => self.set_link(*up),
            Step::Run(n) => {
                for _ in 0..*n {
                    if !self.effect() {
                        self.cmp();
                    }
                }
            }
            Step::Answer => self.answer(),
            Step::Delete(n) => {
                let (order_id, iccid) = (self.id(), iccid(u64::from(*n)));
                self.inbound(Down::Order {
                    order_id,
                    kind: OrderKind::Delete { iccid },
                });
            }
            Step::Repeat => {
                if let Some(code) = self.last_code.clone() {
                    self.inbound(code);
                }
            }
            Step::Fail => self.fail_next = true,
            Step::Cut(happened) => self.cut(*happened),
            Step::LoginByCode => {
                let login_id = self.id();
                self.event(Event::LoginByCode { login_id });
            }
            Step::Approve(user) => {
                let open = self.codes.iter_mut().find(|(_, who)| who.is_none());
                if let Some((login_id, who)) = open.map(|(id, who)| (*id, who)) {
                    *who = Some(*user);
                    let message = accepted(login_id, *user);
                    if let Some(number) = self.code_numbers.get(&login_id).copied() {
                        self.enter(number, *user);
                    }
                    self.inbound(message);
                }
            }
            Step::DeleteAll => self.reset(OrderKind::DeleteAll),
            Step::Erase(user) => {
                let account = account(*user);
                self.reset(OrderKind::Erase { account });
            }
            Step::DeleteOwn => {
                let session = self.agent.session().map(|s| s.account);
                let owners = self.agent.durable().owners();
                let own = owners.filter(|(_, a)| Some(*a) == session);
                if let Some(iccid) = own.map(|(i, _)| i.clone()).min() {
                    self.event(Event::DeleteOwn { iccid });
                }
            }
            Step::Provision => self.event(Event::Provision),
            Step::Failures(count) => self.failures = usize::from(*count),
            Step::Full => self.full_next = true,
            Step::Profile(user) => {
                let profile = user_profile(*user);
                let account = account(*user);
                self.inbound(Down::UserProfile { account, profile });
            }
            Step::Disk(disk) => self.disk = *disk,
            Step::Outage(outage) => self.outage = *outage,
            Step::Away(away) => self.away = *away,
            Step::Time => {
                self.now += 40_000;
                self.agent.handle_timeout(BootMs(self.now));
            }
        }
    }

    /// An order about many profiles.
    pub(crate) fn reset(&mut self, kind: OrderKind) {
        if self.link {
            let order_id = self.id();
            self.resets.insert(order_id, kind.clone());
            self.inbound(Down::Order { order_id, kind });
        }
    }
}
