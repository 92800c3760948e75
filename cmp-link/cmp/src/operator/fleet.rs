//! Vehicles: who takes part, what is in them, and what an operator does when a rental, a workshop or a unit ends (A.4).

use super::links::profile_rows;
use super::{Listed, Operator, Refusal, changes, eid, id_text, place, time};
use crate::service::now;
use crate::store::{Presence, Tx};
use crate::views;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, deletion};
use aid_cmp_core::model::Vehicle;
use aid_id::{AccountRef, Eid};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Why the profiles of a car have to go (A.4).
#[derive(Debug, Clone, Copy, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The rental ended: users are logged out, profiles deleted.
    RentalEnd,
    /// The car is in a workshop: as `policy.workshop` says.
    Workshop,
}

/// A vehicle with its presence; none: it was never connected.
pub(crate) fn vehicle_row(v: &Vehicle, presence: Option<&Presence>) -> Value {
    let card = v.card.as_ref();
    let card = card.and_then(|c| serde_json::from_str::<Value>(c).ok());
    json!({
        "eid": v.eid.as_str(), "vin": v.vin, "added_at": time(v.added_at), "last_seen": time(v.last_seen),
        "software": v.software, "card": card, "retired_at": time(v.retired_at),
        "retired_reason": v.retired_reason, "replaced_by": v.replaced_by.map(|e| e.to_string()),
        "certificate": v.certificate, "next_certificate": v.next_certificate, "session": v.session.map(|a| id_text(a.0)),
        "online": presence.is_some_and(Presence::is_online),
        "last_message": time(presence.map(|p| p.heard_at).max(v.last_seen)),
        "connected_since": time(presence.filter(|p| p.is_online()).map(|p| p.connected_at)),
        "disconnected_at": time(presence.and_then(|p| p.disconnected_at)),
        "instance": presence.and_then(|p| p.instance.clone()),
    })
}

/// A VIN (ISO 3779): 17 letters and digits without I, O and Q.
pub(crate) fn vin(text: &str) -> Result<String, Refusal> {
    let text = text.to_ascii_uppercase();
    let good = |b: u8| b.is_ascii_alphanumeric() && !b"IOQ".contains(&b);
    if text.len() == 17 && text.bytes().all(good) {
        return Ok(text);
    }
    Err(Refusal::invalid(format!(
        "{text:?} is no VIN: 17 letters and digits, without I, O and Q"
    )))
}

/// The vehicle of this EID, which takes part or took part.
pub(crate) async fn vehicle(tx: &Tx<'_>, eid: Eid) -> Result<Vehicle, Refusal> {
    let found = tx.vehicle(eid).await?;
    found.ok_or_else(|| {
        Refusal::unknown(format!(
            "no vehicle {eid} takes part; `vehicle list` shows those that do"
        ))
    })
}

/// The MSPs that want to hear of deletions.
pub(crate) type Wanting = BTreeSet<String>;

/// Everything of a vehicle, with the locks of whomever a decision about it concerns.
pub(crate) async fn locked_car(
    tx: &Tx<'_>,
    eid: Eid,
    wanting: &Wanting,
) -> Result<deletion::Car, Refusal> {
    // The car first, as its own messages do.
    tx.lock(Lock::Vehicle(eid)).await?;
    // Whoever came while this waited for a lock has to be locked, too.
    let mut locked: Option<BTreeSet<AccountRef>> = None;
    loop {
        let car = views::car(tx, vehicle(tx, eid).await?, |m| wanting.contains(m)).await?;
        let owners = car.federations.iter().map(|f| f.account);
        let concerned: BTreeSet<_> = owners.chain(car.users.iter().copied()).collect();
        if locked.as_ref().is_some_and(|l| concerned.is_subset(l)) {
            return Ok(car);
        }
        for account in &concerned {
            tx.lock(Lock::Account(*account)).await?;
        }
        locked = Some(concerned);
    }
}

pub(crate) fn not_retired(vehicle: &Vehicle) -> Result<(), Refusal> {
    match (&vehicle.retired_at, &vehicle.replaced_by) {
        (Some(_), Some(by)) => Err(Refusal::conflict(format!(
            "{} was replaced by {by}; name that one",
            vehicle.eid
        ))),
        (Some(_), None) => Err(Refusal::conflict(format!(
            "{} is retired already",
            vehicle.eid
        ))),
        _ => Ok(()),
    }
}

impl Operator<'_> {
    /// Lets a vehicle take part with any certificate of the gateway's CA that names its EID.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn add_vehicle(&self, text: &str, number: Option<String>) -> Result<Value, Refusal> {
        let vin = number.as_deref().map(vin).transpose()?;
        let eid = eid(text)?;
        let add = async move |tx: &Tx<'_>, context: &Context| {
            let vehicle = Vehicle {
                vin: vin.clone(),
                ..Vehicle::new(eid, context.now)
            };
            if let Some(before) = tx.vehicle(eid).await? {
                let state = match before.retired_at {
                    None => "takes part already",
                    Some(_) => "was retired; its eUICC does not come back",
                };
                return Err(Refusal::conflict(format!("the vehicle {eid} {state}")));
            }
            let audit = context.audit("operator", "vehicle added", eid.to_string());
            let row = vehicle_row(&vehicle, None);
            Ok((changes(vec![Change::AddVehicle(vehicle), audit]), row))
        };
        self.decide(add).await
    }

    /// Vehicles by EID.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn vehicles(
        &self,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        let after: Option<Eid> = place(after)?;
        let at = now();
        let read = async move |tx: &Tx<'_>| {
            let vehicles = tx.vehicles(after, limit).await?;
            let presences = match (vehicles.first(), vehicles.last()) {
                (Some(first), Some(last)) => tx.presences(first.eid, last.eid, at).await?,
                _ => Vec::new(),
            };
            Ok((vehicles, presences))
        };
        let (vehicles, presences) = self.store.read(read).await?;
        let row = |v: &Vehicle| {
            let own = presences.binary_search_by(|p| p.eid.cmp(&v.eid));
            let own = own.ok().and_then(|at| presences.get(at));
            (v.eid.to_string(), Some(vehicle_row(v, own)))
        };
        Ok(vehicles.iter().map(row).collect())
    }

    /// Vehicles by the beginning of their EID or VIN, or by the name of a user who is or was logged in; at most `limit`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn search_vehicles(&self, text: &str, limit: u32) -> Result<Vec<Value>, Refusal> {
        let (text, at) = (text.trim().to_owned(), now());
        let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        let read = async move |tx: &Tx<'_>| {
            let mut found = Vec::new();
            if is_word && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit()) {
                found = tx.vehicles_like(&text, limit).await?;
            }
            if is_word && text.len() <= 17 {
                let vin = text.to_ascii_uppercase();
                found.extend(tx.vehicles_with_vin_like(&vin, limit).await?);
            }
            if let Some(account) = tx.account_named(&text.to_lowercase()).await? {
                let mut cars = tx.sessions(account.id).await?;
                cars.extend(tx.cars_of(account.id).await?);
                for eid in cars.into_iter().take(limit as usize) {
                    found.extend(tx.vehicle(eid).await?);
                }
            }
            found.sort_by_key(|v| v.eid);
            found.dedup_by_key(|v| v.eid);
            found.truncate(limit as usize);
            let mut rows = Vec::new();
            for vehicle in &found {
                let presence = tx.presence(vehicle.eid, at).await?;
                rows.push(vehicle_row(vehicle, presence.as_ref()));
            }
            Ok(rows)
        };
        Ok(self.store.read(read).await?)
    }

    /// The MSPs that want to hear of deletions (R-7.8-3).
    pub(crate) fn wanting(&self) -> Wanting {
        let wants = |m: &&crate::config::MspFile| {
            let list = m.statuses.as_ref();
            list.is_none_or(|l| l.iter().any(|s| s == "deleted"))
        };
        let wanting = self.file.msp.iter().filter(wants);
        wanting.map(|m| m.name.clone()).collect()
    }

    /// A vehicle with profiles, users and open orders.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn show_vehicle(&self, text: &str) -> Result<Value, Refusal> {
        let (eid, wanting, at) = (eid(text)?, self.wanting(), now());
        let read = async move |tx: &Tx<'_>| {
            let vehicle = vehicle(tx, eid).await?;
            let presence = tx.presence(eid, at).await?;
            let car = views::car(tx, vehicle, |m| wanting.contains(m)).await?;
            let mut row = vehicle_row(&car.vehicle, presence.as_ref());
            row["profiles"] = profile_rows(tx, &car.profiles).await?.into();
            row["open_orders"] = car.orders.len().into();
            let mut users = Vec::new();
            for user in &car.users {
                users.extend(tx.account(*user).await?.map(|a| Value::from(a.name)));
            }
            row["users"] = users.into();
            Ok(row)
        };
        self.look(read).await
    }

    /// Cuts a vehicle off (A.4).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn retire_vehicle(&self, text: &str, reason: String) -> Result<Value, Refusal> {
        let (eid, wanting) = (eid(text)?, self.wanting());
        self.decide(async move |tx, context| {
            let car = locked_car(tx, eid, &wanting).await?;
            not_retired(&car.vehicle)?;
            Ok((deletion::gone(context, &car, None, &reason), ()))
        })
        .await?;
        self.show_vehicle(text).await
    }

    /// The unit with the eUICC was exchanged (A.4).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn exchange_vehicle(
        &self,
        old: &str,
        new: &str,
        reason: String,
    ) -> Result<Value, Refusal> {
        let (wanting, before, after) = (self.wanting(), eid(old)?, new.to_owned());
        self.decide(async move |tx, context| {
            let car = locked_car(tx, before, &wanting).await?;
            not_retired(&car.vehicle)?;
            let by = Vehicle {
                vin: car.vehicle.vin.clone(),
                ..Vehicle::new(eid(&after)?, context.now)
            };
            if tx.vehicle(by.eid).await?.is_some() {
                return Err(Refusal::conflict(format!(
                    "the vehicle {after} takes part already; an exchanged unit has an eUICC of its own"
                )));
            }
            Ok((deletion::gone(context, &car, Some(by), &reason), ()))
        })
        .await?;
        self.show_vehicle(new).await
    }

    /// Logs the users of a vehicle out and deletes its profiles, as the cause demands (A.4).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn clear_vehicle(
        &self,
        text: &str,
        because: Because,
        reason: Option<String>,
    ) -> Result<Value, Refusal> {
        let (eid, wanting) = (eid(text)?, self.wanting());
        let trigger = match because {
            Because::RentalEnd => deletion::Trigger::RentalEnd,
            Because::Workshop => deletion::Trigger::Workshop,
        };
        self.decide(async move |tx, context| {
            let car = locked_car(tx, eid, &wanting).await?;
            not_retired(&car.vehicle)?;
            let decision = deletion::clear(context, &car, trigger, reason.clone());
            Ok((decision, ()))
        })
        .await?;
        self.show_vehicle(text).await
    }
}
