//! `vehicle`, `federation`, `profile`, `sync` and `user erase`: the procedures that an operator begins.
//! Called by the command line; decides in the same turns as the server, also while it runs.

use super::admin::{Admin, eid, iccid, id_text, show};
use crate::config::Config;
use crate::outbox::listing;
use crate::service::fresh;
use crate::store::Store as _;
use crate::views;
use aid_aid1::client::Call;
use aid_cli::cli::Failure;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::sync::Listing;
use aid_cmp_core::decide::{deletion, removal, sync, tries, withdraw};
use aid_cmp_core::model::{Federation, OrderState, Profile, SyncRun, Vehicle};
use aid_id::{Eid, Iccid};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

/// Why the profiles of a car have to go (A.4).
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Because {
    /// The rental ended: users are logged out, profiles deleted.
    RentalEnd,
    /// The car is in a workshop: as `policy.workshop` says.
    Workshop,
}

/// Whose profiles are compared.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SyncWhom {
    /// Of this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this link; `federation list` shows them.
    #[arg(long, value_name = "ID")]
    federation: Option<Uuid>,
    /// Of all users.
    #[arg(long)]
    all: bool,
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

fn sync_row(r: &SyncRun) -> Value {
    let findings = serde_json::from_str::<Value>(&r.findings).unwrap_or_default();
    json!({
        "sync": id_text(r.id), "federation": id_text(r.federation), "at": r.at,
        "outcome": r.outcome, "findings": findings,
    })
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

impl Admin<'_> {
    pub(super) async fn vehicle(&self, eid: Eid) -> Result<Vehicle, Failure> {
        let found = self.store.vehicle(eid).await?;
        found.ok_or_else(|| {
            Failure::new(format!(
                "no vehicle {eid} takes part; `vehicle list` shows those that do"
            ))
        })
    }

    pub(super) async fn add_vehicle(
        &self,
        text: &str,
        number: Option<String>,
    ) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let vehicle = Vehicle {
            vin: number.as_deref().map(vin).transpose()?,
            ..Vehicle::new(eid(text)?, context.now)
        };
        if let Some(before) = self.store.vehicle(vehicle.eid).await? {
            let state = match before.retired_at {
                None => "takes part already",
                Some(_) => "was retired; its eUICC does not come back",
            };
            return Err(Failure::new(format!("the vehicle {text} {state}")));
        }
        let audit = context.audit("operator", "vehicle added", vehicle.eid.to_string());
        let row = vehicle_row(&vehicle);
        self.commit_in(turn, vec![Change::AddVehicle(vehicle), audit])
            .await?;
        show(vec![row], self.json)
    }

    pub(super) async fn vehicles(&self) -> Result<(), Failure> {
        let rows = self.store.vehicles().await?;
        show(rows.iter().map(vehicle_row).collect(), self.json)
    }

    async fn car(&self, text: &str) -> Result<deletion::Car, Failure> {
        let vehicle = self.vehicle(eid(text)?).await?;
        self.car_of(vehicle).await
    }

    pub(super) async fn car_of(&self, vehicle: Vehicle) -> Result<deletion::Car, Failure> {
        Ok(views::car(self.store, vehicle, |m| self.wants_deletions(m)).await?)
    }

    fn wants_deletions(&self, name: &str) -> bool {
        let msp = self.file.msp.iter().find(|m| m.name == name);
        msp.is_some_and(|m| {
            let list = m.statuses.as_ref();
            list.is_none_or(|l| l.iter().any(|s| s == "deleted"))
        })
    }

    pub(super) async fn show_vehicle(&self, text: &str) -> Result<(), Failure> {
        let car = self.car(text).await?;
        let mut row = vehicle_row(&car.vehicle);
        row["profiles"] = car.profiles.iter().map(profile_row).collect();
        row["open_orders"] = car.orders.len().into();
        let mut users = Vec::new();
        for user in &car.users {
            users.extend(
                self.store
                    .account(*user)
                    .await?
                    .map(|a| Value::from(a.name)),
            );
        }
        row["users"] = users.into();
        show(vec![row], self.json)
    }

    pub(super) async fn retire_vehicle(&self, text: &str, reason: String) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let car = self.car(text).await?;
        not_retired(&car.vehicle)?;
        let decision = deletion::gone(&self.context(), &car, None, &reason);
        self.commit_in(turn, decision.changes).await?;
        self.show_vehicle(text).await
    }

    pub(super) async fn exchange_vehicle(
        &self,
        old: &str,
        new: &str,
        reason: String,
    ) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let car = self.car(old).await?;
        not_retired(&car.vehicle)?;
        let context = self.context();
        let by = Vehicle {
            vin: car.vehicle.vin.clone(),
            ..Vehicle::new(eid(new)?, context.now)
        };
        if self.store.vehicle(by.eid).await?.is_some() {
            return Err(Failure::new(format!(
                "the vehicle {new} takes part already; an exchanged unit has an eUICC of its own"
            )));
        }
        let decision = deletion::gone(&context, &car, Some(by), &reason);
        self.commit_in(turn, decision.changes).await?;
        self.show_vehicle(new).await
    }

    pub(super) async fn clear_vehicle(
        &self,
        text: &str,
        because: Because,
        reason: Option<String>,
    ) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let car = self.car(text).await?;
        not_retired(&car.vehicle)?;
        let trigger = match because {
            Because::RentalEnd => deletion::Trigger::RentalEnd,
            Because::Workshop => deletion::Trigger::Workshop,
        };
        let decision = deletion::clear(&self.context(), &car, trigger, reason);
        self.commit_in(turn, decision.changes).await?;
        self.show_vehicle(text).await
    }

    pub(super) async fn delete_profile(&self, text: &str, reason: String) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let wanted = iccid(text)?;
        let profile = self.profile(&wanted).await?;
        if !profile.status.may_be_on_card() {
            return Err(Failure::new(format!(
                "profile {wanted} is in no vehicle any more: {}",
                profile.status.as_str()
            )));
        }
        let orders = self.store.orders(Some(profile.eid), true).await?;
        let open = orders.iter().any(|o| o.deletes(&wanted));
        let (context, by) = (self.context(), deletion::Trigger::Operator);
        let decision = deletion::delete(&context, &profile, open, by, Some(reason));
        self.commit_in(turn, decision.changes).await?;
        let orders = self.store.orders(Some(profile.eid), true).await?;
        let order = orders.iter().find(|o| o.deletes(&wanted));
        let mut row = profile_row(&profile);
        row["order"] = order.map(|o| id_text(o.id)).into();
        show(vec![row], self.json)
    }

    /// The profile of this ICCID that a car may have, or the newest.
    async fn profile(&self, iccid: &Iccid) -> Result<Profile, Failure> {
        let list = self.store.profiles_with(iccid).await?;
        let here = list.iter().find(|p| p.status.may_be_on_card()).cloned();
        here.or_else(|| list.into_iter().next()).ok_or_else(|| {
            Failure::new(format!(
                "there is no profile {iccid}; `profile list` shows all"
            ))
        })
    }

    /// The user may have a profile again where he had deleted his own (R-4.5-10).
    pub(super) async fn allow_profile(&self, user: &str, text: &str) -> Result<(), Failure> {
        let (account, eid) = (self.account(user).await?, eid(text)?);
        let context = self.context();
        let mut changes = Vec::new();
        for federation in self.store.federations(Some(account.id)).await? {
            if self.store.hold(federation.id, eid).await?.is_some() {
                changes.push(Change::ClearHold(federation.id, eid));
            }
        }
        if changes.is_empty() {
            return Err(Failure::new(format!(
                "{user} did not delete a profile in {eid}; nothing is held back"
            )));
        }
        let detail = format!("{} in {eid}", hex::encode(account.id.0));
        changes.push(context.audit("operator", "profile allowed again", detail));
        self.commit(changes).await?;
        show(vec![json!({"user": account.name, "eid": text})], self.json)
    }

    async fn federation(&self, id: Uuid) -> Result<Federation, Failure> {
        let found = self.store.federation_by_id(id.into_bytes()).await?;
        found.ok_or_else(|| {
            Failure::new(format!(
                "there is no link {id}; `federation list` shows all"
            ))
        })
    }

    pub(super) async fn withdraw(&self, id: Uuid, reason: String) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let federation = self.federation(id).await?;
        if federation.ended_at.is_some() {
            return Err(Failure::new(format!("link {id} has ended already")));
        }
        let (context, by) = (self.context(), withdraw::By::Operator);
        let mut ended =
            views::withdrawal(self.store, &context, &federation, by, Some(reason)).await?;
        ended.belongs_to(fresh());
        let orders = ended.changes.iter();
        let orders = orders.filter(|c| matches!(c, Change::AddOrder(_))).count();
        self.commit_in(turn, ended.changes).await?;
        let row =
            json!({"federation": id.to_string(), "ended_at": context.now, "delete_orders": orders});
        show(vec![row], self.json)
    }

    /// Removes the ended links of which nothing is left to do; says of the others what is.
    pub(super) async fn purge(&self) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let (mut rows, mut changes) = (Vec::new(), Vec::new());
        for federation in self.store.federations(None).await? {
            if federation.ended_at.is_none() {
                continue;
            }
            let id = id_text(federation.id);
            let rest = views::rest(self.store, federation).await?;
            let kept = removal::why_kept(&context, &rest);
            if kept.is_none() {
                changes.extend(removal::purge(&context, &rest.federation).changes);
            }
            rows.push(json!({"federation": id, "purged": kept.is_none(), "kept_because": kept}));
        }
        self.commit_in(turn, changes).await?;
        show(rows, self.json)
    }

    pub(super) async fn show_user(&self, name: &str) -> Result<(), Failure> {
        let account = self.account(name).await?;
        let mut links = Vec::new();
        for federation in self.store.federations(Some(account.id)).await? {
            let profiles = self.store.profiles(Some(federation.id)).await?;
            links.push(json!({
                "federation": id_text(federation.id), "msp": federation.msp,
                "subscription_type": federation.kind.as_str(), "since": federation.since,
                "ended_at": federation.ended_at, "ended_reason": federation.ended_reason,
                "profiles": profiles.iter().map(profile_row).collect::<Vec<_>>(),
            }));
        }
        let cars = self.store.cars_of(account.id).await?;
        let notices = self.store.notices(account.id).await?;
        let notice = |n: &aid_cmp_core::model::UserNotice| json!({"at": n.at, "kind": n.kind.as_str(), "detail": n.detail});
        let row = json!({
            "name": account.name, "account": id_text(account.id.0),
            "display_name": account.display_name, "has_pin": account.pin_mac.is_some(),
            "created_at": account.created_at, "federations": links,
            "vehicles": cars.iter().map(|e| e.as_str()).collect::<Vec<_>>(),
            "notices": notices.iter().map(notice).collect::<Vec<_>>(),
        });
        show(vec![row], self.json)
    }

    pub(super) async fn erase_user(
        &self,
        name: &str,
        reason: String,
        key: &[u8; 32],
    ) -> Result<(), Failure> {
        let turn = self.store.turn().await?;
        let account = self.account(name).await?;
        let context = self.context();
        let decision = views::erasure(self.store, &context, &account, Some(reason)).await?;
        let orders = decision.changes.iter();
        let orders = orders.filter(|c| matches!(c, Change::AddOrder(_))).count();
        let mut changes = decision.changes;
        changes.push(Change::ForgetAttempts(tries::prefix(key, &account.name)));
        self.commit_in(turn, changes).await?;
        // The name is gone from the tables; it must not stay in the log of the file either.
        if !self.store.empty_log().await? {
            tracing::warn!(
                "the log of the database still holds what was erased; run the command `migrate` when the server is idle"
            );
        }
        let row = json!({"account": id_text(account.id.0), "erased": true, "orders": orders});
        show(vec![row], self.json)
    }

    /// Asks the MSPs now and compares (§4.6).
    pub(super) async fn sync(
        &self,
        config: &Config,
        whom: &SyncWhom,
        one: Option<&str>,
    ) -> Result<(), Failure> {
        let one = one.map(iccid).transpose()?;
        let list = match (&whom.user, whom.federation) {
            (Some(user), _) => {
                let account = self.account(user).await?;
                self.store.federations(Some(account.id)).await?
            }
            (None, Some(id)) => vec![self.federation(id).await?],
            (None, None) => self.store.federations(None).await?,
        };
        let mut rows = Vec::new();
        for federation in list {
            if federation.ended_at.is_some() && whom.federation.is_none() {
                continue;
            }
            rows.push(self.sync_one(config, federation, one.clone()).await?);
        }
        show(rows, self.json)
    }

    async fn sync_one(
        &self,
        config: &Config,
        federation: Federation,
        one: Option<Iccid>,
    ) -> Result<Value, Failure> {
        let failed = |text: String| json!({"federation": id_text(federation.id), "outcome": "failed", "error": text});
        let Some(msp) = config.agreed.msps.iter().find(|m| m.name == federation.msp) else {
            return Ok(failed(format!("no [[msp]] is called {:?}", federation.msp)));
        };
        let run = fresh();
        let call = Call {
            request_id: Uuid::from_bytes(run),
            correlation_id: Uuid::from_bytes(fresh()),
        };
        let token = federation.token;
        let asked = msp.client.request_profile_status(call, token, one.as_ref());
        let answer: Listing = match listing(asked.await, one.is_some()) {
            Ok(answer) => answer,
            Err(error) => return Ok(failed(error.to_string())),
        };
        let turn = self.store.turn().await?;
        let context = self.context();
        let wanted = self.wants_deletions(&federation.msp);
        let view = views::sync(self.store, &context, federation, one, answer, wanted).await?;
        let mut decision = sync::compare(&context, &view, run);
        let detail = format!("federation {}", id_text(view.federation.id));
        let audit = context.audit("operator", "synchronised", detail);
        decision.changes.push(audit);
        self.commit_in(turn, decision.changes).await?;
        let runs = self.store.sync_runs(Some(view.federation.id)).await?;
        let row = runs.iter().find(|r| r.id == run).map(sync_row);
        Ok(row.unwrap_or_default())
    }

    pub(super) async fn sync_report(&self, of: Option<Uuid>) -> Result<(), Failure> {
        if let Some(id) = of {
            self.federation(id).await?;
        }
        let runs = self.store.sync_runs(of.map(Uuid::into_bytes)).await?;
        show(runs.iter().map(sync_row).collect(), self.json)
    }

    pub(super) async fn profiles(&self, vehicle: Option<&str>) -> Result<(), Failure> {
        let rows = match vehicle {
            Some(text) => {
                let vehicle = self.vehicle(eid(text)?).await?;
                self.store.profiles_in(vehicle.eid).await?
            }
            None => self.store.profiles(None).await?,
        };
        show(rows.iter().map(profile_row).collect(), self.json)
    }

    /// How much is to be done.
    pub(super) async fn summary(&self) -> Result<(), Failure> {
        let work = self.store.work().await?;
        let overdue = u64::from(self.file.policy.overdue_days) * 24 * 3600 * 1000;
        let before = self.context().now.saturating_sub(overdue);
        let open = self.store.orders(None, true).await?;
        let late =
            |o: &&aid_cmp_core::model::Order| o.state == OrderState::Open && o.created_at <= before;
        let row = json!({
            "open_orders": work.open_orders, "overdue_orders": open.iter().filter(late).count(),
            "oldest_order": work.oldest_order, "due_calls": work.due_calls,
            "oldest_call": work.oldest_call, "dead_calls": work.dead_calls,
            "open_requests": work.open_requests,
        });
        show(vec![row], self.json)
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
