//! Which cars are connected to this instance, kept in the store so that everybody can ask: command line, console, other
//! instances. What connections do is collected and stored once a second; messages of a car that stays connected are noted
//! at most once a minute, so that a fleet that talks costs no write per message.

use super::{Service, fresh, now};
use crate::gauges;
use crate::store::{Contact, Instance, Stored};
use aid_id::Eid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages of a car that stays connected are noted again after so long, ms.
const NOTE: u64 = 60_000;
/// Pause between two renewals of the instance's row, ms; several fit into its lease.
const BEAT: u64 = 10_000;
/// Cars that are stored in one transaction.
const BATCH: usize = 500;

#[derive(Debug, Clone, Copy)]
struct Car {
    contact: Contact,
    /// Its newest message that was stored, or is about to be.
    noted_at: u64,
}

#[derive(Debug, Default)]
struct Cars {
    /// Connected cars, and those whose end is not stored yet.
    known: BTreeMap<Eid, Car>,
    /// Those of them that have to be stored.
    changed: BTreeSet<Eid>,
    online: usize,
}

impl Cars {
    fn begin(&mut self, contact: Contact) {
        let car = Car {
            contact,
            noted_at: contact.heard_at,
        };
        let before = self.known.insert(contact.eid, car);
        if before.is_none_or(|b| b.contact.disconnected_at.is_some()) {
            self.online += 1;
        }
        self.changed.insert(contact.eid);
    }
}

/// The cars of this instance.
#[derive(Debug)]
pub(super) struct Presence {
    own: Instance,
    cars: Mutex<Cars>,
    /// When the instance's row was renewed last; none: not yet.
    beat_at: Mutex<Option<u64>>,
}

impl Presence {
    pub(super) fn new() -> Self {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        Self {
            own: Instance {
                id: fresh(),
                name: format!("{host}:{}", std::process::id()),
                started_at: now(),
            },
            cars: Mutex::default(),
            beat_at: Mutex::default(),
        }
    }

    /// Was this stored by this instance?
    pub(super) fn is_own(&self, stored: &crate::store::Presence) -> bool {
        stored.instance.as_deref() == Some(self.own.name.as_str())
    }

    fn cars(&self) -> MutexGuard<'_, Cars> {
        self.cars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A car connected.
    pub(super) fn connected(&self, eid: Eid, at: u64) {
        self.cars().begin(Contact {
            eid,
            connected_at: at,
            is_new: true,
            heard_at: at,
            disconnected_at: None,
        });
    }

    /// A message of a car came; `behind_broker` says that nobody else tells when a car connects.
    pub(super) fn heard(&self, eid: Eid, at: u64, behind_broker: bool) {
        let mut cars = self.cars();
        let known = cars.known.get_mut(&eid);
        let Some(car) = known.filter(|c| c.contact.disconnected_at.is_none()) else {
            if behind_broker {
                cars.begin(Contact {
                    eid,
                    connected_at: at,
                    is_new: false,
                    heard_at: at,
                    disconnected_at: None,
                });
            }
            return;
        };
        car.contact.heard_at = at;
        if at.abs_diff(car.noted_at) >= NOTE {
            car.noted_at = at;
            cars.changed.insert(eid);
        }
    }

    /// A car's connection ended.
    pub(super) fn lost(&self, eid: Eid, at: u64) {
        let mut cars = self.cars();
        if let Some(car) = cars.known.get_mut(&eid)
            && car.contact.disconnected_at.is_none()
        {
            car.contact.disconnected_at = Some(at);
            cars.online = cars.online.saturating_sub(1);
            cars.changed.insert(eid);
        }
    }

    /// Connected cars.
    pub(super) fn online(&self) -> usize {
        self.cars().online
    }

    /// What has to be stored, at most a batch.
    fn take(&self) -> Vec<Contact> {
        let mut cars = self.cars();
        let mut taken = Vec::new();
        while taken.len() < BATCH
            && let Some(eid) = cars.changed.pop_first()
        {
            let Some(car) = cars.known.get_mut(&eid) else {
                continue;
            };
            taken.push(car.contact);
            car.contact.is_new = false;
            if car.contact.disconnected_at.is_some() {
                cars.known.remove(&eid);
            }
        }
        taken
    }

    /// What was taken and not stored.
    fn put_back(&self, taken: Vec<Contact>) {
        let mut cars = self.cars();
        for contact in taken {
            let eid = contact.eid;
            let car = cars.known.entry(eid).or_insert(Car {
                contact,
                noted_at: contact.heard_at,
            });
            car.contact.is_new |= contact.is_new;
            cars.changed.insert(eid);
        }
    }

    /// Everything of the cars that are connected has to be stored anew.
    fn again(&self) {
        let mut cars = self.cars();
        let Cars { known, changed, .. } = &mut *cars;
        for (eid, car) in known {
            car.contact.is_new = true;
            changed.insert(*eid);
        }
    }

    fn last_beat(&self) -> MutexGuard<'_, Option<u64>> {
        self.beat_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the row of the instance is to be renewed.
    fn is_due(&self, at: u64) -> bool {
        self.last_beat()
            .is_none_or(|last| last.abs_diff(at) >= BEAT)
    }

    /// The row was renewed; yields whether that was the first time.
    fn renewed(&self, at: u64) -> bool {
        self.last_beat().replace(at).is_none()
    }
}

impl Service {
    /// Stores which cars are connected to this instance, renews its row, and disconnects the cars of instances that are
    /// gone. On a database that no other instance can share, any other one is gone.
    ///
    /// # Errors
    /// The store failed; it is stored at the next call.
    pub async fn attend(&self, at: u64) -> Stored<()> {
        let presence = &self.presence;
        gauges::online(presence.online());
        if presence.is_due(at) {
            let was_there = self.store.beat(presence.own.clone(), at).await?;
            if !presence.renewed(at) && !was_there {
                // Others took this instance for gone, and disconnected its cars.
                presence.again();
            }
            let only = (!self.store.is_shared()).then_some(presence.own.id);
            while self.store.end_gone(at, only).await? {}
        }
        loop {
            let taken = presence.take();
            if taken.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.contacts(presence.own.id, taken.clone()).await {
                presence.put_back(taken);
                return Err(error);
            }
        }
    }

    /// Notes that this instance ends: none of its cars is connected any more.
    ///
    /// # Errors
    /// The store failed; other instances find out by the end of its lease.
    pub async fn leave(&self, at: u64) -> Stored<()> {
        let own = self.presence.own.id;
        let online: Vec<Eid> = self.presence.cars().known.keys().copied().collect();
        for eid in online {
            self.presence.lost(eid, at);
        }
        self.attend(at).await?;
        self.store.forget_instance(own).await
    }
}
