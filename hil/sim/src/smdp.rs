//! The simulated SM-DP+: orders bound to an EID, and the notifications that it accepted.

use crate::card::Happened;
use aid_id::{Eid, Iccid};
use std::collections::BTreeMap;

/// How far an order is (SGP.22 §3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Confirmed; no card has it.
    Released,
    /// Its package was handed out; the same card may fetch it again.
    Downloaded,
    /// The card said that it is installed.
    Installed,
    /// The operator took it back, or the card refused it for good.
    Gone,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// The profile.
    pub iccid: Iccid,
    /// The only card that gets it.
    pub eid: Eid,
    /// How far it is.
    pub state: OrderState,
}

/// Why a package is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It can't be reached.
    Away,
    /// Unknown matching id, another EID, or used (SGP.22 8.2.6/3.8).
    ForGood,
}

/// The SM-DP+.
#[derive(Debug, Default)]
pub struct Smdp {
    /// Orders by matching id.
    pub orders: BTreeMap<String, Order>,
    /// It can't be reached.
    pub is_away: bool,
    /// It refuses the next package for good.
    pub refuses_next: bool,
    /// Numbers of the notifications that it accepted, by card, in the order of their arrival.
    pub accepted: BTreeMap<Eid, Vec<u32>>,
    /// A notification came that is older than one before: the card and both numbers.
    pub disorder: Option<(Eid, u32, u32)>,
    count: u64,
}

impl Smdp {
    /// Takes an order; yields its matching id. An earlier order of the same profile is gone.
    pub fn order(&mut self, iccid: Iccid, eid: Eid) -> String {
        for old in self.orders.values_mut().filter(|o| o.iccid == iccid) {
            old.state = OrderState::Gone;
        }
        self.count += 1;
        let id = format!("SIM-{:08}", self.count);
        let state = OrderState::Released;
        self.orders.insert(id.clone(), Order { iccid, eid, state });
        id
    }

    /// Hands out the package of an activation code.
    ///
    /// # Errors
    /// There is none.
    pub fn package(&mut self, code: &str, eid: Eid) -> Result<Iccid, Refused> {
        if self.is_away {
            return Err(Refused::Away);
        }
        let matching = code.split('$').nth(2).unwrap_or_default();
        let order = self.orders.get_mut(matching).filter(|o| o.eid == eid);
        let order = order.ok_or(Refused::ForGood)?;
        if std::mem::take(&mut self.refuses_next) {
            order.state = OrderState::Gone;
        }
        match order.state {
            OrderState::Released | OrderState::Downloaded => {
                order.state = OrderState::Downloaded;
                Ok(order.iccid.clone())
            }
            OrderState::Installed | OrderState::Gone => Err(Refused::ForGood),
        }
    }

    /// Takes a notification; false: it can't be reached.
    pub fn notify(&mut self, eid: Eid, sequence: u32, iccid: &Iccid, what: Happened) -> bool {
        if self.is_away {
            return false;
        }
        let accepted = self.accepted.entry(eid).or_default();
        if let Some(last) = accepted.last()
            && *last > sequence
        {
            self.disorder = Some((eid, *last, sequence));
        }
        accepted.push(sequence);
        let same = |o: &&mut Order| o.iccid == *iccid && o.state == OrderState::Downloaded;
        if what == Happened::Installed {
            for order in self.orders.values_mut().filter(same) {
                order.state = OrderState::Installed;
            }
        }
        true
    }
}
