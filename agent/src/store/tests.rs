//! The core over a journal on a device that fails and gets damaged, with a card and a CMP beside it.

use super::*;
use aid_agent_core::*;
use aid_journal::sim::{Fault, SimError, SimMedia};
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
    agent: Agent,
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
                Effect::Send { body, .. } => self.cmp(body),
                Effect::AckInbound { message_id } => self.taken.push(message_id),
                Effect::Notify(_) => {}
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

    fn cmp(&mut self, body: Up) {
        let message_id = self.id();
        let answer = match body {
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
                assert!(
                    old.is_none_or(|o| o == (iccid, status)),
                    "a report changed"
                );
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

type Act = fn(&mut Car);

/// A day, with every kind of record in it.
const DAY: [Act; 8] = [
    Car::log_in,
    |car| car.event(Event::Logout),
    Car::log_in,
    |car| {
        let order_id = [0xD1; 16];
        let kind = OrderKind::Disable { iccid: iccid(1) };
        car.inbound(order_id, Down::Order { order_id, kind });
    },
    |car| car.event(Event::Logout),
    Car::log_in,
    |car| {
        car.event(Event::LinkDown);
        car.event(Event::Logout);
        car.event(Event::LinkUp);
    },
    |car| {
        let order_id = [0xD2; 16];
        let kind = OrderKind::DeleteAll;
        car.inbound(order_id, Down::Order { order_id, kind });
    },
];

fn faults() -> Vec<(SimError, u64, bool)> {
    let mut faults = Vec::new();
    for error in [SimError::Io, SimError::Full] {
        for count in [1, 2, 5, 40] {
            for unreadable in [false, true] {
                faults.push((error, count, unreadable));
            }
        }
    }
    faults
}

// R-4.3-12 R-4.3-14: whichever write or sync fails, with whatever error and for however long.
#[test]
fn a_device_that_fails_at_any_operation_and_works_again() {
    let mut failed = 0;
    for (error, count, unreadable) in faults() {
        for after in 0.. {
            let device = Device::new(7 + after, SEGMENT);
            let mut car = Car::new(device.clone(), BTreeMap::new());
            device.0.borrow_mut().fail(Fault {
                error,
                after,
                count,
                unreadable,
            });
            let case = format!("{error:?} after {after}, {count} times, unreadable {unreadable}");
            for act in DAY {
                act(&mut car);
                assert!(car.is_safe(), "{case}: enabled for nobody");
                if car.agent.has_failed_journal() {
                    failed += 1;
                    assert_eq!(car.agent.session(), None, "{case}");
                    car.recover();
                }
            }
            let finished = device.0.borrow_mut().heal();
            // Every acknowledged order has its result: none was forgotten.
            for id in car.taken.clone().iter().filter(|id| id[0] >= 0xD1) {
                assert!(car.results.contains(id), "{case}: an order was lost");
            }
            assert_eq!(car.reported(), car.history, "{case}");
            car.log_in();
            assert!(car.agent.session().is_some(), "{case}: no login");
            car.event(Event::Logout);
            if finished {
                break;
            }
            // Then power is cut: what was not synced is lost, and nothing of it was promised.
            let before = car.agent.durable().clone();
            device.0.borrow_mut().restart();
            let car = car.restart();
            assert_eq!(*car.agent.durable(), before, "{case}");
            assert!(car.store.aside().is_none(), "{case}");
        }
    }
    assert!(failed > 300, "{failed} failures");
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

// R-4.3-14: the device fails from the start on, in every operation of the start.
#[test]
fn a_start_on_a_device_that_fails() {
    for (error, count, unreadable) in faults() {
        for after in 0..6 {
            let (device, card) = cut_while_active();
            device.0.borrow_mut().fail(Fault {
                error,
                after: if unreadable { 0 } else { after },
                count,
                unreadable,
            });
            let mut car = Car::new(device.clone(), card);
            let case = format!("{error:?} after {after}, {count} times, unreadable {unreadable}");
            assert!(car.is_safe(), "{case}");
            car.recover();
            assert_eq!(car.reported().last(), Some(&(iccid(1), Status::Disabled)));
            assert!(car.store.failure().is_none(), "{case}");
            car.log_in();
            assert_eq!(car.card, BTreeMap::from([(iccid(1), true)]), "{case}");
        }
    }
}

/// Pauses grow to a minute, however long the disk is bad.
#[test]
fn pauses_between_tries_grow_to_a_minute() {
    let (device, card) = cut_while_active();
    device.0.borrow_mut().fail(Fault {
        error: SimError::Io,
        after: 0,
        count: u64::MAX,
        unreadable: true,
    });
    let mut car = Car::new(device.clone(), card);
    let start = car.now;
    let mut last = start;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        car.tend();
        let next = car.store.next_try().expect("failing").0;
        pauses.push(next - last.max(car.now));
        last = next;
    }
    assert_eq!(
        pauses,
        [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]
    );
    let failure = car.store.failure().expect("failing");
    assert!(failure.since.0 <= start && failure.text.contains("input/output"));
    assert!(car.agent.is_unread() && car.is_safe());
}

// A disk that can't give the records back, but takes new ones, is not waited for for ever.
#[test]
fn unreadable_records_on_a_working_disk_are_put_aside_in_the_end() {
    let (device, card) = cut_while_active();
    let mut car = Car::new(device.clone(), card);
    // given a failure in memory only, and segments that never read again
    car.store.fail(BootMs(car.now), "input/output error".into());
    let text = "input/output error".to_owned();
    car.event(Event::PersistFailed { text });
    for _ in 0..PATIENCE {
        device.0.borrow_mut().fail(Fault {
            error: SimError::Io,
            after: 0,
            count: 1,
            unreadable: true,
        });
        car.tend();
        assert!(car.agent.has_failed_journal());
        assert!(car.store.aside().is_none());
    }
    device.0.borrow_mut().fail(Fault {
        error: SimError::Io,
        after: 0,
        count: 1,
        unreadable: true,
    });
    car.tend();
    assert!(!car.agent.has_failed_journal());
    assert_eq!(device.0.borrow().aside.len(), 1);
    assert_eq!(car.agent.durable().owner(&iccid(1)), Some(USER));
}

/// A damage to the segments.
type Damage = Box<dyn Fn(&mut BTreeMap<u64, Vec<u8>>)>;

/// Damages that can be told from a write that was cut off.
fn certain_damages() -> Vec<(String, Damage)> {
    let mut all: Vec<(String, Damage)> = Vec::new();
    let mut add = |name: String, damage: Damage| all.push((name, damage));
    // Every byte of the header, and of the first record's header and beginning.
    for offset in (0..28).chain(512..560) {
        for flip in [0x01, 0x80, 0xFF] {
            let name = format!("byte {offset} ^ {flip:02x}");
            add(
                name,
                Box::new(move |all| {
                    for segment in all.values_mut() {
                        segment[offset] ^= flip;
                    }
                }),
            );
        }
    }
    for length in [0, 1, 27, 28, 511, 512, 513, 1024, 4096, SEGMENT - 1] {
        let cut = move |all: &mut BTreeMap<u64, Vec<u8>>| {
            for segment in all.values_mut() {
                segment.truncate(length);
            }
        };
        add(format!("{length} bytes long"), Box::new(cut));
    }
    for fill in [0x00, 0xFF, 0x5A] {
        let overwrite = move |all: &mut BTreeMap<u64, Vec<u8>>| {
            for segment in all.values_mut() {
                segment.fill(fill);
            }
        };
        add(format!("all {fill:02x}"), Box::new(overwrite));
    }
    for id in [0, 2, 9, u64::MAX] {
        for length in [0, 512, SEGMENT] {
            let stray = move |all: &mut BTreeMap<u64, Vec<u8>>| {
                all.insert(id, vec![0; length]);
            };
            // An older one than the only one is a leftover as well as this.
            add(format!("stray {id} of {length} bytes"), Box::new(stray));
        }
        let copy = move |all: &mut BTreeMap<u64, Vec<u8>>| {
            let segment = all.values().next().expect("a segment").clone();
            all.insert(id, segment);
        };
        add(format!("copied to {id}"), Box::new(copy));
        let moved = move |all: &mut BTreeMap<u64, Vec<u8>>| {
            let (_, segment) = all.pop_first().expect("a segment");
            all.insert(id, segment);
        };
        add(format!("renamed to {id}"), Box::new(moved));
    }
    for version in [0, 2, 0xFFFF_u16] {
        let newer = move |all: &mut BTreeMap<u64, Vec<u8>>| {
            for segment in all.values_mut() {
                segment[4..6].copy_from_slice(&version.to_le_bytes());
            }
        };
        add(format!("version {version}"), Box::new(newer));
    }
    all
}

/// Well-formed segments whose records are no state of this version.
fn unreadable_states() -> Vec<(String, Device)> {
    let mut all = Vec::new();
    for (n, payload) in [
        vec![0xFF; 30],
        vec![0x01, 0x7F, 0, 0],
        vec![0x05],
        vec![0; 1],
    ]
    .into_iter()
    .enumerate()
    {
        for snapshot in [false, true] {
            let device = Device::new(1, SEGMENT);
            let (mut journal, _) = Journal::open(device.clone(), device.1).expect("new");
            if snapshot {
                journal.snapshot(&payload).expect("written");
            } else {
                journal.append(&payload).expect("written");
            }
            all.push((format!("state {n}, snapshot {snapshot}"), device));
        }
    }
    all
}

/// Starts on the device with an enabled profile; everything must work.
fn goes_on(case: &str, device: &Device, card: BTreeMap<Iccid, bool>) -> Car {
    let mut car = Car::new(device.clone(), card);
    car.recover();
    assert!(car.is_safe(), "{case}: enabled for nobody");
    assert_eq!(car.agent.phase(), Phase::Guest, "{case}");
    car.log_in();
    assert_eq!(car.card, BTreeMap::from([(iccid(1), true)]), "{case}");
    car.event(Event::Logout);
    assert!(car.is_safe(), "{case}");
    // And what it wrote can be read.
    let before = car.agent.durable().clone();
    device.0.borrow_mut().restart();
    let again = car.restart();
    assert_eq!(*again.agent.durable(), before, "{case}");
    assert!(again.store.aside().is_none(), "{case}: damaged again");
    again
}

// R-4.3-14: with each damage a profile is enabled on the card when the agent starts.
#[test]
fn a_damaged_journal_is_put_aside_and_the_agent_works() {
    for (case, damage) in certain_damages() {
        let (device, card) = cut_while_active();
        damage(device.0.borrow_mut().segments());
        let damaged = device.0.borrow_mut().segments().clone();
        let mut car = Car::new(device.clone(), card.clone());
        assert!(car.is_safe(), "{case}");
        let aside = car.store.aside().cloned();
        assert!(aside.is_some(), "{case}: not put aside");
        let kept = device.0.borrow().aside.values().next().cloned();
        assert_eq!(kept, Some(damaged), "{case}: not kept");
        car.recover();
        goes_on(&case, &device, car.card);
    }
}

// R-4.3-14
#[test]
fn records_of_another_version_are_put_aside_too() {
    for (case, device) in unreadable_states() {
        let card = BTreeMap::from([(iccid(1), true)]);
        let readable = case.starts_with("state 3, snapshot false");
        let car = Car::new(device.clone(), card.clone());
        assert_eq!(car.store.aside().is_none(), readable, "{case}");
        goes_on(&case, &device, car.card);
    }
}

// R-4.3-14: whatever one byte of the records becomes, it is damage or a record that was cut off.
#[test]
fn any_byte_of_the_records_may_be_wrong() {
    let (device, _) = cut_while_active();
    let segment = device.0.borrow_mut().segments()[&1].clone();
    let used = segment.iter().rposition(|b| *b != 0).expect("records");
    for offset in (512..used + 600).step_by(23) {
        let (device, card) = cut_while_active();
        for segment in device.0.borrow_mut().segments().values_mut() {
            segment[offset] ^= 0x5A;
        }
        goes_on(&format!("byte {offset}"), &device, card);
    }
}

// A write that was cut off is no damage: nothing is put aside, nothing acknowledged is lost.
#[test]
fn a_torn_tail_is_no_damage() {
    let (device, card) = cut_while_active();
    let (_, before) = Store::start(device.clone(), "test", BootMs(0), "1").expect("starts");
    for (at, length) in [(0, 1), (0, 512), (3, 700), (19, 4000)] {
        let (device, _) = cut_while_active();
        {
            let mut media = device.0.borrow_mut();
            let segment = media.segments().get_mut(&1).expect("a segment");
            let used = segment.iter().rposition(|b| *b != 0).expect("records");
            let end = used.div_ceil(512) * 512;
            segment[end + at..end + at + length].fill(0x77);
        }
        let (store, agent) = Store::start(device.clone(), "test", BootMs(0), "1").expect("starts");
        assert!(store.aside().is_none() && store.failure().is_none());
        assert_eq!(agent.durable(), before.durable());
        goes_on("torn", &device, card.clone());
    }
}

// Damaged, and on a device that takes nothing: secured, and put aside when it can be.
#[test]
fn damage_on_a_full_or_failing_device_waits() {
    for error in [SimError::Io, SimError::Full] {
        for after in 0..3 {
            let (device, card) = cut_while_active();
            device.0.borrow_mut().damage(1, 3);
            device.0.borrow_mut().fail(Fault {
                error,
                after,
                count: 9,
                unreadable: false,
            });
            let mut car = Car::new(device.clone(), card);
            assert!(car.is_safe(), "{error:?}");
            car.recover();
            assert!(car.store.aside().is_some());
            goes_on("waited", &device, car.card);
        }
    }
}

// A snapshot that can't be written costs no session as long as the journal opens again.
#[test]
fn a_failed_compaction_is_repaired_or_ends_the_session() {
    for count in [1, 2, 30] {
        let device = Device::new(1, 2 * SNAPSHOT_AT);
        let mut car = Car::new(device.clone(), BTreeMap::new());
        car.log_in();
        let mut acts = 0;
        while car.store.journal.as_ref().is_some_and(|j| j.used() < SNAPSHOT_AT) {
            let order_id = car.id();
            let kind = OrderKind::Delete { iccid: iccid(9) };
            car.inbound(order_id, Down::Order { order_id, kind });
            acts += 1;
            assert!(acts < 5000);
        }
        // The next record is written and synced; then comes the snapshot.
        device.0.borrow_mut().fail(Fault {
            error: SimError::Io,
            after: 2,
            count,
            unreadable: false,
        });
        let order_id = car.id();
        let kind = OrderKind::Delete { iccid: iccid(9) };
        car.inbound(order_id, Down::Order { order_id, kind });
        assert_eq!(car.agent.session().is_some(), count == 1, "{count}");
        assert!(car.is_safe());
        car.recover();
        car.event(Event::Logout);
        let before = car.agent.durable().clone();
        device.0.borrow_mut().restart();
        assert_eq!(*car.restart().agent.durable(), before);
    }
}
