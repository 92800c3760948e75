//! The core over a journal on a device that fails and gets damaged, with a card and a CMP beside it.

mod damage;
mod faults;

use super::*;
use aid_agent_core::*;
use aid_journal::sim::{SimError, SimMedia};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A device that stays while the journal on it is opened again and again.
#[derive(Clone)]
struct Device(Rc<RefCell<SimMedia>>, aid_journal::Config);

/// Bytes of a segment: small, so that a day needs several.
const SEGMENT: usize = 16 * 1024;

impl Device {
    fn new(seed: u64, segment_size: usize) -> Self {
        let media = SimMedia::new(seed);
        Self(
            Rc::new(RefCell::new(media)),
            aid_journal::Config { segment_size },
        )
    }
}

impl Media for Device {
    type Error = SimError;
    fn list(&mut self) -> Result<Vec<u64>, SimError> {
        self.0.borrow_mut().list()
    }
    fn create(&mut self, segment: u64, size: usize, head: &[u8]) -> Result<(), SimError> {
        self.0.borrow_mut().create(segment, size, head)
    }
    fn read(&mut self, segment: u64) -> Result<Vec<u8>, SimError> {
        self.0.borrow_mut().read(segment)
    }
    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) -> Result<(), SimError> {
        self.0.borrow_mut().write(segment, offset, bytes)
    }
    fn sync(&mut self, segment: u64) -> Result<(), SimError> {
        self.0.borrow_mut().sync(segment)
    }
    fn remove(&mut self, segment: u64) -> Result<(), SimError> {
        self.0.borrow_mut().remove(segment)
    }
    fn set_aside(&mut self, name: &str) -> Result<Option<String>, SimError> {
        self.0.borrow_mut().set_aside(name)
    }
    fn erase_aside(&mut self) -> Result<(), SimError> {
        self.0.borrow_mut().erase_aside()
    }
    fn is_full(error: &SimError) -> bool {
        SimMedia::is_full(error)
    }
}

impl Disk for Device {
    type Media = Self;
    fn open(&self) -> Result<Self, SimError> {
        Ok(self.clone())
    }
    fn config(&self) -> aid_journal::Config {
        self.1
    }
    fn is_in_use(_: &SimError) -> bool {
        false
    }
}

const USER: AccountRef = AccountRef([b'a'; 16]);

fn iccid(n: usize) -> Iccid {
    format!("89{n:017}").parse().expect("ICCID")
}

/// A car, and the CMP that it talks to.
struct Car {
    device: Device,
    store: Store<Device>,
    agent: Box<Agent>,
    now: u64,
    ids: u64,
    card: BTreeMap<Iccid, bool>,
    /// What happened on the card, in order.
    history: Vec<(Iccid, Status)>,
    installed: usize,
    reports: BTreeMap<u64, (Iccid, Status)>,
    /// Orders that the car acknowledged.
    taken: Vec<Id>,
    results: Vec<Id>,
}

impl Car {
    fn new(device: Device, card: BTreeMap<Iccid, bool>) -> Self {
        let now = 1_000_000;
        let (store, agent) =
            Store::start(device.clone(), "test", BootMs(now), "1").expect("starts");
        let mut car = Self {
            device,
            store,
            agent,
            now,
            ids: 0,
            card,
            history: vec![],
            installed: 0,
            reports: BTreeMap::new(),
            taken: vec![],
            results: vec![],
        };
        car.event(Event::Boot);
        car.event(Event::LinkUp);
        car
    }

    /// The agent starts anew on the same device and card; nothing of the old one is left.
    fn restart(self) -> Self {
        let mut car = Self::new(self.device.clone(), self.card.clone());
        (car.history, car.installed) = (self.history, self.installed);
        (car.reports, car.taken, car.results) = (self.reports, self.taken, self.results);
        car.ids = self.ids;
        car
    }

    fn id(&mut self) -> Id {
        self.ids += 1;
        (u128::from(self.ids) << 64).to_be_bytes()
    }

    fn event(&mut self, event: Event) {
        self.now += 1;
        self.agent.handle(BootMs(self.now), event);
        self.effects();
    }

    fn inbound(&mut self, message_id: Id, body: Down) {
        self.event(Event::Inbound { message_id, body });
    }

    fn effects(&mut self) {
        while let Some(effect) = self.agent.poll_effect() {
            let now = BootMs(self.now);
            match effect {
                Effect::Persist { ticket, bytes } => {
                    let event = match self.store.append(now, &bytes) {
                        Ok(()) => Event::Persisted { ticket },
                        Err(text) => Event::PersistFailed { text },
                    };
                    self.agent.handle(now, event);
                    if let Err(text) = self.store.compact(now, &self.agent) {
                        self.agent.handle(now, Event::PersistFailed { text });
                    }
                }
                Effect::Euicc { op, what } => self.card_works(op, &what),
                Effect::Send { message_id, body } => self.cmp(message_id, body),
                Effect::AckInbound { message_id } => self.taken.push(message_id),
                Effect::HashPin { .. } | Effect::Erase { .. } | Effect::Notify(_) => {}
            }
        }
    }

    fn card_works(&mut self, op: u64, what: &EuiccOp) {
        let (iccid, status, state) = match what {
            EuiccOp::Enable { iccid } => (iccid.clone(), Status::Enabled, Some(true)),
            EuiccOp::Disable { iccid } => (iccid.clone(), Status::Disabled, Some(false)),
            EuiccOp::Delete { iccid } => (iccid.clone(), Status::Deleted, None),
            EuiccOp::Download { .. } => {
                self.installed += 1;
                (iccid(self.installed), Status::Installed, Some(false))
            }
            EuiccOp::List | EuiccOp::Notifications => (iccid(0), Status::Installed, None),
        };
        if iccid != self::iccid(0) {
            match state {
                Some(enabled) => self.card.insert(iccid.clone(), enabled),
                None => self.card.remove(&iccid),
            };
            self.history.push((iccid, status));
        }
        let profiles = self.card.iter().map(|(iccid, enabled)| CardProfile {
            iccid: iccid.clone(),
            enabled: *enabled,
        });
        let event = Event::EuiccDone {
            op,
            result: Ok(()),
            profiles: Some(profiles.collect()),
        };
        self.agent.handle(BootMs(self.now), event);
    }

    fn cmp(&mut self, said: Option<Id>, body: Up) {
        let message_id = self.id();
        let answer = match body {
            Up::Hello { .. } => Down::Ack {
                message_id: said.expect("a Hello has an id"),
            },
            Up::Login { login_id, .. } => {
                let aup = Aup {
                    display_name: String::new(),
                    msp_name: String::new(),
                    masked_number: String::new(),
                };
                let profiles = self.card.keys().cloned().collect();
                let outcome = LoginOutcome::Accepted {
                    account: USER,
                    aup,
                    profiles,
                };
                Down::LoginResult { login_id, outcome }
            }
            Up::RequestActivationCode {
                request_id,
                account,
            } => {
                let (code, iccid) = (Secret::new("1$s$m".into()), None);
                Down::ActivationCode {
                    request_id,
                    account,
                    outcome: CodeOutcome::Code { code, iccid },
                }
            }
            Up::Status {
                report_seq,
                iccid: Some(iccid),
                status,
                ..
            } => {
                let old = self.reports.insert(report_seq, (iccid.clone(), status));
                assert!(old.is_none_or(|o| o == (iccid, status)), "a report changed");
                Down::StatusAck { report_seq }
            }
            Up::OrderResult { order_id, .. } => {
                self.results.push(order_id);
                Down::Ack {
                    message_id: order_id,
                }
            }
            Up::Logout { .. } => return,
            _ => return,
        };
        self.agent.handle(
            BootMs(self.now),
            Event::Inbound {
                message_id,
                body: answer,
            },
        );
    }

    fn is_safe(&self) -> bool {
        self.agent.session().is_some() || !self.card.values().any(|enabled| *enabled)
    }

    fn log_in(&mut self) {
        let login_id = self.id();
        let (user, pin) = ("a".to_owned(), Secret::new("123456".into()));
        self.event(Event::Login {
            login_id,
            user,
            pin,
        });
    }

    /// What the loop does with the journal, once.
    fn tend(&mut self) {
        if self.agent.has_failed_journal() && self.agent.is_secured() {
            self.now = self.now.max(self.store.next_try().expect("a next try").0);
            self.store
                .recover(&mut self.agent, BootMs(self.now), "2")
                .expect("small");
            self.effects();
        }
    }

    /// The device works, now or after some tries.
    fn recover(&mut self) {
        for _ in 0..200 {
            if !self.agent.has_failed_journal() {
                return;
            }
            self.tend();
            assert!(self.is_safe());
        }
        panic!("{:?}", self.store.failure());
    }

    fn reported(&self) -> Vec<(Iccid, Status)> {
        self.reports.values().cloned().collect()
    }
}

/// A car whose power was cut while its user's profile was enabled.
fn cut_while_active() -> (Device, BTreeMap<Iccid, bool>) {
    let device = Device::new(3, SEGMENT);
    let mut car = Car::new(device.clone(), BTreeMap::new());
    car.log_in();
    car.event(Event::Logout);
    car.log_in();
    assert_eq!(car.card, BTreeMap::from([(iccid(1), true)]));
    device.0.borrow_mut().restart();
    (device, car.card)
}
