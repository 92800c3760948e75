//! What may become of the segments, with a profile enabled on the card.

use super::*;
use aid_journal::sim::Fault;

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
    let (_, before) = Store::start(device, "test", BootMs(0), "1").expect("starts");
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
