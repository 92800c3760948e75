//! `vehicle`, `federation`, `profile` and `user erase`: the procedures that an operator begins.

use super::admin::{Admin, List, PageArgs, account, changes, eid, iccid, id_text, show};
use crate::store::Tx;
use crate::views;
use aid_cli::cli::Failure;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, Decision, deletion, tries, withdraw};
use aid_cmp_core::model::{Federation, Profile, Vehicle};
use aid_id::{AccountRef, Eid, Iccid};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use uuid::Uuid;

/// Why the profiles of a car have to go (A.4).
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Because {
    /// The rental ended: users are logged out, profiles deleted.
    RentalEnd,
    /// The car is in a workshop: as `policy.workshop` says.
    Workshop,
}

pub(super) fn vehicle_row(v: &Vehicle) -> Value {
    let card = v.card.as_ref();
    let card = card.and_then(|c| serde_json::from_str::<Value>(c).ok());
    json!({
        "eid": v.eid.as_str(), "vin": v.vin, "added_at": v.added_at, "last_seen": v.last_seen,
        "software": v.software, "card": card, "retired_at": v.retired_at,
        "retired_reason": v.retired_reason, "replaced_by": v.replaced_by.map(|e| e.to_string()),
        "certificate": v.certificate, "session": v.session.map(|a| id_text(a.0)),
    })
}

pub(super) fn profile_row(p: &Profile) -> Value {
    json!({
        "iccid": p.iccid.as_str(), "eid": p.eid.as_str(), "status": p.status.as_str(),
        "msp_state": p.verdict.as_str(), "federation": id_text(p.federation),
        "last_used": p.last_used,
    })
}

/// Rows of profiles, with since when the MSP says of each what it says, and why: what customer care explains to a user
/// (§7.5).
pub(super) async fn profile_rows(
    tx: &Tx<'_>,
    profiles: &[Profile],
) -> crate::store::Stored<Vec<Value>> {
    let mut judgements = BTreeMap::new();
    for profile in profiles {
        if let Entry::Vacant(entry) = judgements.entry(profile.federation) {
            entry.insert(tx.judgements(profile.federation).await?);
        }
    }
    let row = |profile: &Profile| {
        let mut row = profile_row(profile);
        let own = judgements.get(&profile.federation);
        let own = own.and_then(|list| list.iter().find(|j| j.iccid == profile.iccid));
        if let Some(judgement) = own {
            row["msp_state_since"] = judgement.since.into();
            row["msp_state_reason"] = judgement.reason.clone().into();
        }
        row
    };
    Ok(profiles.iter().map(row).collect())
}

/// A VIN (ISO 3779): 17 letters and digits without I, O and Q.
pub(super) fn vin(text: &str) -> Result<String, Failure> {
    let text = text.to_ascii_uppercase();
    let good = |b: u8| b.is_ascii_alphanumeric() && !b"IOQ".contains(&b);
    if text.len() == 17 && text.bytes().all(good) {
        return Ok(text);
    }
    Err(Failure::usage(format!(
        "{text:?} is no VIN: 17 letters and digits, without I, O and Q"
    )))
}

/// The vehicle of this EID, which takes part or took part.
pub(super) async fn vehicle(tx: &Tx<'_>, eid: Eid) -> Result<Vehicle, Failure> {
    let found = tx.vehicle(eid).await?;
    found.ok_or_else(|| {
        Failure::new(format!(
            "no vehicle {eid} takes part; `vehicle list` shows those that do"
        ))
    })
}

/// The MSPs that want to hear of deletions.
type Wanting = BTreeSet<String>;

/// Everything of a vehicle, with the locks of whomever a decision about it concerns.
pub(super) async fn locked_car(
    tx: &Tx<'_>,
    eid: Eid,
    wanting: &Wanting,
) -> Result<deletion::Car, Failure> {
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

/// The profile of this ICCID that a car may have, or the newest.
async fn profile(tx: &Tx<'_>, iccid: &Iccid) -> Result<Profile, Failure> {
    let list = tx.profiles_with(iccid).await?;
    let here = list.iter().find(|p| p.status.may_be_on_card()).cloned();
    here.or_else(|| list.into_iter().next()).ok_or_else(|| {
        Failure::new(format!(
            "there is no profile {iccid}; `profile list` shows all"
        ))
    })
}

/// The link of this id.
pub(super) async fn federation(tx: &Tx<'_>, id: Uuid) -> Result<Federation, Failure> {
    found(id, tx.federation_by_id(id.into_bytes()).await?)
}

/// The link of this id, with the lock of its user.
pub(super) async fn locked_federation(tx: &Tx<'_>, id: Uuid) -> Result<Federation, Failure> {
    found(id, tx.locked_federation_by_id(id.into_bytes()).await?)
}

fn found(id: Uuid, federation: Option<Federation>) -> Result<Federation, Failure> {
    federation.ok_or_else(|| {
        Failure::new(format!(
            "there is no link {id}; `federation list` shows all"
        ))
    })
}

/// How many orders a decision gives.
fn order_count(decision: &Decision) -> usize {
    let orders = decision.changes.iter();
    orders.filter(|c| matches!(c, Change::AddOrder(_))).count()
}

impl Admin<'_> {
    pub(super) async fn add_vehicle(
        &self,
        text: &str,
        number: Option<String>,
    ) -> Result<(), Failure> {
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
                return Err(Failure::new(format!("the vehicle {eid} {state}")));
            }
            let audit = context.audit("operator", "vehicle added", eid.to_string());
            let row = vehicle_row(&vehicle);
            Ok((changes(vec![Change::AddVehicle(vehicle), audit]), row))
        };
        show(vec![self.decide(add).await?], self.json)
    }

    pub(super) async fn vehicles(&self, page: &PageArgs) -> Result<(), Failure> {
        self.list(page, async |after: Option<Eid>, limit| {
            let read = async move |tx: &Tx<'_>| tx.vehicles(after, limit).await;
            let vehicles = self.store.read(read).await?;
            let row = |v: &Vehicle| (v.eid, Some(vehicle_row(v)));
            Ok(vehicles.iter().map(row).collect())
        })
        .await
    }

    /// The MSPs that want to hear of deletions (R-7.8-3).
    pub(super) fn wanting(&self) -> Wanting {
        let wants = |m: &&crate::config::MspFile| {
            let list = m.statuses.as_ref();
            list.is_none_or(|l| l.iter().any(|s| s == "deleted"))
        };
        let wanting = self.file.msp.iter().filter(wants);
        wanting.map(|m| m.name.clone()).collect()
    }

    pub(super) async fn show_vehicle(&self, text: &str) -> Result<(), Failure> {
        let (eid, wanting) = (eid(text)?, self.wanting());
        let read = async move |tx: &Tx<'_>| {
            let vehicle = vehicle(tx, eid).await?;
            let car = views::car(tx, vehicle, |m| wanting.contains(m)).await?;
            let mut row = vehicle_row(&car.vehicle);
            row["profiles"] = profile_rows(tx, &car.profiles).await?.into();
            row["open_orders"] = car.orders.len().into();
            let mut users = Vec::new();
            for user in &car.users {
                users.extend(tx.account(*user).await?.map(|a| Value::from(a.name)));
            }
            row["users"] = users.into();
            Ok(row)
        };
        show(vec![self.look(read).await?], self.json)
    }

    pub(super) async fn retire_vehicle(&self, text: &str, reason: String) -> Result<(), Failure> {
        let (eid, wanting) = (eid(text)?, self.wanting());
        self.decide(async move |tx, context| {
            let car = locked_car(tx, eid, &wanting).await?;
            not_retired(&car.vehicle)?;
            Ok((deletion::gone(context, &car, None, &reason), ()))
        })
        .await?;
        self.show_vehicle(text).await
    }

    pub(super) async fn exchange_vehicle(
        &self,
        old: &str,
        new: &str,
        reason: String,
    ) -> Result<(), Failure> {
        let (wanting, before, after) = (self.wanting(), eid(old)?, new.to_owned());
        self.decide(async move |tx, context| {
            let car = locked_car(tx, before, &wanting).await?;
            not_retired(&car.vehicle)?;
            let by = Vehicle {
                vin: car.vehicle.vin.clone(),
                ..Vehicle::new(eid(&after)?, context.now)
            };
            if tx.vehicle(by.eid).await?.is_some() {
                return Err(Failure::new(format!(
                    "the vehicle {after} takes part already; an exchanged unit has an eUICC of its own"
                )));
            }
            Ok((deletion::gone(context, &car, Some(by), &reason), ()))
        })
        .await?;
        self.show_vehicle(new).await
    }

    pub(super) async fn clear_vehicle(
        &self,
        text: &str,
        because: Because,
        reason: Option<String>,
    ) -> Result<(), Failure> {
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

    pub(super) async fn delete_profile(&self, text: &str, reason: String) -> Result<(), Failure> {
        let wanted = iccid(text)?;
        let delete = async move |tx: &Tx<'_>, context: &Context| {
            // Whoever else deletes it locks its user, too.
            let owner = profile(tx, &wanted).await?.federation;
            tx.locked_federation_by_id(owner).await?;
            let profile = profile(tx, &wanted).await?;
            if !profile.status.may_be_on_card() {
                return Err(Failure::new(format!(
                    "profile {wanted} is in no vehicle any more: {}",
                    profile.status.as_str()
                )));
            }
            let orders = tx.open_orders(profile.eid).await?;
            let before = orders.iter().find(|o| o.deletes(&wanted)).map(|o| o.id);
            let (by, reason) = (deletion::Trigger::Operator, Some(reason.clone()));
            let decision = deletion::delete(context, &profile, before.is_some(), by, reason);
            let given = decision.changes.iter().find_map(|change| match change {
                Change::AddOrder(order) => Some(order.id),
                _ => None,
            });
            let mut row = profile_row(&profile);
            row["order"] = before.or(given).map(id_text).into();
            Ok((decision, row))
        };
        show(vec![self.decide(delete).await?], self.json)
    }

    /// The user may have a profile again where they had deleted their own (R-4.5-10).
    pub(super) async fn allow_profile(&self, user: &str, text: &str) -> Result<(), Failure> {
        let (user, eid) = (user.to_owned(), eid(text)?);
        let allow = async move |tx: &Tx<'_>, context: &Context| {
            let account = account(tx, &user).await?;
            tx.lock(Lock::Account(account.id)).await?;
            let mut cleared = Vec::new();
            for federation in tx.federations(account.id).await? {
                if tx.hold(federation.id, eid).await?.is_some() {
                    cleared.push(Change::ClearHold(federation.id, eid));
                }
            }
            if cleared.is_empty() {
                return Err(Failure::new(format!(
                    "{user} did not delete a profile in {eid}; nothing is held back"
                )));
            }
            let detail = format!("{} in {eid}", hex::encode(account.id.0));
            cleared.push(context.audit("operator", "profile allowed again", detail));
            Ok((changes(cleared), account.name))
        };
        let name = self.decide(allow).await?;
        show(vec![json!({"user": name, "eid": text})], self.json)
    }

    pub(super) async fn withdraw(&self, id: Uuid, reason: String) -> Result<(), Failure> {
        let withdraw = async move |tx: &Tx<'_>, context: &Context| {
            let federation = locked_federation(tx, id).await?;
            if federation.ended_at.is_some() {
                return Err(Failure::new(format!("link {id} has ended already")));
            }
            let (by, reason) = (withdraw::By::Operator, Some(reason.clone()));
            let mut ended = views::withdrawal(tx, context, &federation, by, reason).await?;
            ended.belongs_to((context.fresh)());
            let orders = order_count(&ended);
            let row = json!({
                "federation": id.to_string(), "ended_at": context.now, "delete_orders": orders,
            });
            Ok((ended, row))
        };
        show(vec![self.decide(withdraw).await?], self.json)
    }

    /// Removes the ended links of which nothing is left to do; says of the others what is.
    pub(super) async fn purge(&self) -> Result<(), Failure> {
        let (mut after, mut list) = (None, List::new(self.json));
        loop {
            let read = async move |tx: &Tx<'_>| tx.purge_due(u64::MAX, after, PURGED).await;
            let ended = self.store.read(read).await?;
            after = ended.last().map(|f| (f.ended_at.unwrap_or_default(), f.id));
            if after.is_none() {
                return list.end();
            }
            for id in ended.into_iter().map(|f| f.id) {
                let purge = async move |tx: &Tx<'_>, context: &Context| {
                    Ok(views::purge(tx, context, id).await?)
                };
                let kept = self.decide(purge).await?;
                list.print(vec![json!({
                    "federation": id_text(id), "purged": kept.is_none(), "kept_because": kept,
                })])?;
            }
        }
    }

    pub(super) async fn show_user(&self, name: &str) -> Result<(), Failure> {
        let name = name.to_owned();
        let read = async move |tx: &Tx<'_>| {
            let account = account(tx, &name).await?;
            let mut links = Vec::new();
            for federation in tx.federations(account.id).await? {
                let profiles = tx.profiles(federation.id).await?;
                let doubt = tx.doubt(federation.id).await?;
                links.push(json!({
                    "doubtful_since": doubt.map(|d| d.since),
                    "federation": id_text(federation.id), "msp": federation.msp,
                    "subscription_type": federation.kind.as_str(), "since": federation.since,
                    "ended_at": federation.ended_at, "ended_reason": federation.ended_reason,
                    "profiles": profile_rows(tx, &profiles).await?,
                }));
            }
            let cars = tx.cars_of(account.id).await?;
            let notices = tx.notices(account.id).await?;
            let notice = |n: &aid_cmp_core::model::UserNotice| json!({"at": n.at, "kind": n.kind.as_str(), "detail": n.detail});
            Ok(json!({
                "name": account.name, "account": id_text(account.id.0),
                "display_name": account.display_name, "has_pin": account.pin_mac.is_some(),
                "created_at": account.created_at, "federations": links,
                "vehicles": cars.iter().map(|e| e.as_str()).collect::<Vec<_>>(),
                "notices": notices.iter().map(notice).collect::<Vec<_>>(),
            }))
        };
        show(vec![self.look(read).await?], self.json)
    }

    pub(super) async fn erase_user(
        &self,
        name: &str,
        reason: String,
        key: &[u8; 32],
    ) -> Result<(), Failure> {
        let (name, key) = (name.to_owned(), *key);
        let erase = async move |tx: &Tx<'_>, context: &Context| {
            // The cars first, as their own messages do: the sessions there end.
            let id = account(tx, &name).await?.id;
            for eid in tx.sessions(id).await? {
                tx.lock(Lock::Vehicle(eid)).await?;
            }
            tx.lock(Lock::Account(id)).await?;
            let account = account(tx, &name).await?;
            let mut decision = views::erasure(tx, context, &account, Some(reason.clone())).await?;
            let wrong_pins = tries::prefix(&key, &account.name);
            tx.lock(Lock::Attempts(tries::everywhere(&wrong_pins)))
                .await?;
            decision.changes.push(Change::ForgetAttempts(wrong_pins));
            let orders = order_count(&decision);
            let row = json!({"account": id_text(account.id.0), "erased": true, "orders": orders});
            Ok((decision, row))
        };
        let row = self.decide(erase).await?;
        // The name is gone from the tables; it must not stay in the log of the file either.
        if !self.store.empty_log().await? {
            tracing::warn!(
                "the log of the database still holds what was erased; run the command `migrate` when the server is idle"
            );
        }
        show(vec![row], self.json)
    }

    pub(super) async fn profiles(
        &self,
        vehicle_of: Option<&str>,
        page: &PageArgs,
    ) -> Result<(), Failure> {
        if let Some(eid) = vehicle_of.map(eid).transpose()? {
            let read = async move |tx: &Tx<'_>| {
                let vehicle = vehicle(tx, eid).await?;
                let profiles = tx.profiles_in(vehicle.eid).await?;
                Ok(profile_rows(tx, &profiles).await?)
            };
            return show(self.look(read).await?, self.json);
        }
        self.list(page, async |after: Option<ProfileKey>, limit| {
            let read = async move |tx: &Tx<'_>| {
                let after = after
                    .as_ref()
                    .map(|key| (&key.iccid, key.federation.into_bytes()));
                let profiles = tx.all_profiles(after, limit).await?;
                let rows = profile_rows(tx, &profiles).await?;
                Ok(profiles
                    .iter()
                    .map(ProfileKey::of)
                    .zip(rows.into_iter().map(Some))
                    .collect())
            };
            self.look(read).await
        })
        .await
    }

    /// How much is to be done.
    pub(super) async fn summary(&self) -> Result<(), Failure> {
        let overdue = u64::from(self.file.policy.overdue_days) * 24 * 3600 * 1000;
        let before = self.context().now.saturating_sub(overdue);
        let read =
            async move |tx: &Tx<'_>| Ok((tx.work().await?, tx.overdue_orders(before).await?));
        let (work, overdue) = self.store.read(read).await?;
        let row = json!({
            "open_orders": work.open_orders, "overdue_orders": overdue,
            "oldest_order": work.oldest_order, "due_calls": work.due_calls,
            "oldest_call": work.oldest_call, "dead_calls": work.dead_calls,
            "open_requests": work.open_requests,
        });
        show(vec![row], self.json)
    }
}

/// Ended links that are read at once.
const PURGED: u32 = 100;

/// The place of a profile in the list of all: ICCID/FEDERATION.
#[derive(Debug, Clone)]
struct ProfileKey {
    iccid: Iccid,
    federation: Uuid,
}

impl ProfileKey {
    fn of(profile: &Profile) -> Self {
        Self {
            iccid: profile.iccid.clone(),
            federation: Uuid::from_bytes(profile.federation),
        }
    }
}

impl FromStr for ProfileKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (iccid, federation) = text.split_once('/').ok_or(())?;
        Ok(Self {
            iccid: iccid.parse().map_err(|_| ())?,
            federation: federation.parse().map_err(|_| ())?,
        })
    }
}

impl Display for ProfileKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.iccid, self.federation)
    }
}

fn not_retired(vehicle: &Vehicle) -> Result<(), Failure> {
    match (&vehicle.retired_at, &vehicle.replaced_by) {
        (Some(_), Some(by)) => Err(Failure::new(format!(
            "{} was replaced by {by}; name that one",
            vehicle.eid
        ))),
        (Some(_), None) => Err(Failure::new(format!("{} is retired already", vehicle.eid))),
        _ => Ok(()),
    }
}
