//! Links between users and MSPs, and the profiles that came of them (§4.4, §4.5).

use super::fleet::vehicle;
use super::{Listed, Operator, Refusal, account, changes, eid, iccid, id_text, place, time};
use crate::store::Tx;
use crate::views;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, Decision, deletion, withdraw};
use aid_cmp_core::model::{Federation, Profile};
use aid_id::Iccid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use uuid::Uuid;

pub(crate) fn profile_row(p: &Profile) -> Value {
    json!({
        "iccid": p.iccid.as_str(), "eid": p.eid.as_str(), "status": p.status.as_str(),
        "msp_state": p.verdict.as_str(), "federation": id_text(p.federation),
        "last_used": time(p.last_used),
    })
}

/// Rows of profiles, with since when the MSP says of each what it says, and why: what customer care explains to a user
/// (§7.5).
pub(crate) async fn profile_rows(
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
            row["msp_state_since"] = time(judgement.since);
            row["msp_state_reason"] = judgement.reason.clone().into();
        }
        row
    };
    Ok(profiles.iter().map(row).collect())
}

/// The profile of this ICCID that a car may have, or the newest.
async fn profile(tx: &Tx<'_>, iccid: &Iccid) -> Result<Profile, Refusal> {
    let list = tx.profiles_with(iccid).await?;
    let here = list.iter().find(|p| p.status.may_be_on_card()).cloned();
    here.or_else(|| list.into_iter().next()).ok_or_else(|| {
        Refusal::unknown(format!(
            "there is no profile {iccid}; `profile list` shows all"
        ))
    })
}

/// The link of this id.
pub(crate) async fn federation(tx: &Tx<'_>, id: Uuid) -> Result<Federation, Refusal> {
    found(id, tx.federation_by_id(id.into_bytes()).await?)
}

/// The link of this id, with the lock of its user.
pub(crate) async fn locked_federation(tx: &Tx<'_>, id: Uuid) -> Result<Federation, Refusal> {
    found(id, tx.locked_federation_by_id(id.into_bytes()).await?)
}

fn found(id: Uuid, federation: Option<Federation>) -> Result<Federation, Refusal> {
    federation.ok_or_else(|| {
        Refusal::unknown(format!(
            "there is no link {id}; `federation list` shows all"
        ))
    })
}

/// How many orders a decision gives.
pub(crate) fn order_count(decision: &Decision) -> usize {
    let orders = decision.changes.iter();
    orders.filter(|c| matches!(c, Change::AddOrder(_))).count()
}

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

/// The member of a link that lets its bearer act for the user at both sides.
pub(crate) const TOKEN: &str = "msp_token";

impl Operator<'_> {
    /// Deletes a profile from the vehicle that has it (§4.5).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn delete_profile(&self, text: &str, reason: String) -> Result<Value, Refusal> {
        let wanted = iccid(text)?;
        let delete = async move |tx: &Tx<'_>, context: &Context| {
            // Whoever else deletes it locks its user, too.
            let owner = profile(tx, &wanted).await?.federation;
            tx.locked_federation_by_id(owner).await?;
            let profile = profile(tx, &wanted).await?;
            if !profile.status.may_be_on_card() {
                return Err(Refusal::conflict(format!(
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
        self.decide(delete).await
    }

    /// The user may have a profile again where they had deleted their own (R-4.5-10).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn allow_profile(&self, user: &str, text: &str) -> Result<Value, Refusal> {
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
                return Err(Refusal::conflict(format!(
                    "{user} did not delete a profile in {eid}; nothing is held back"
                )));
            }
            let detail = format!("{} in {eid}", hex::encode(account.id.0));
            cleared.push(context.audit("operator", "profile allowed again", detail));
            Ok((changes(cleared), account.name))
        };
        let name = self.decide(allow).await?;
        Ok(json!({"user": name, "eid": text}))
    }

    /// Removes an ended link if nothing is left to do for it; otherwise yields why it is kept.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn purge(&self, id: aid_id::Id) -> Result<Option<String>, Refusal> {
        self.decide(async move |tx, context| {
            let (decision, kept) = views::purge(tx, context, id).await?;
            Ok((decision, kept.map(str::to_owned)))
        })
        .await
    }

    /// Ends a link for its user (§4.4.1).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn withdraw(&self, id: Uuid, reason: String) -> Result<Value, Refusal> {
        let withdraw = async move |tx: &Tx<'_>, context: &Context| {
            let federation = locked_federation(tx, id).await?;
            if federation.ended_at.is_some() {
                return Err(Refusal::conflict(format!("link {id} has ended already")));
            }
            let (by, reason) = (withdraw::By::Operator, Some(reason.clone()));
            let mut ended = views::withdrawal(tx, context, &federation, by, reason).await?;
            ended.belongs_to((context.fresh)());
            let orders = order_count(&ended);
            let row = json!({
                "federation": id.to_string(), "ended_at": time(context.now), "delete_orders": orders,
            });
            Ok((ended, row))
        };
        self.decide(withdraw).await
    }

    /// Profiles by ICCID and link.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn profiles(
        &self,
        vehicle_of: Option<&str>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        if let Some(eid) = vehicle_of.map(eid).transpose()? {
            let read = async move |tx: &Tx<'_>| {
                let vehicle = vehicle(tx, eid).await?;
                let profiles = tx.profiles_in(vehicle.eid).await?;
                let rows = profile_rows(tx, &profiles).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| (String::new(), Some(row)))
                    .collect())
            };
            return self.look(read).await;
        }
        let after: Option<ProfileKey> = place(after)?;
        let read = async move |tx: &Tx<'_>| {
            let after = after
                .as_ref()
                .map(|key| (&key.iccid, key.federation.into_bytes()));
            let profiles = tx.all_profiles(after, limit).await?;
            let rows = profile_rows(tx, &profiles).await?;
            Ok(profiles
                .iter()
                .map(|p| ProfileKey::of(p).to_string())
                .zip(rows.into_iter().map(Some))
                .collect())
        };
        self.look(read).await
    }

    /// Links by age, each with its token: for the operator of the machine, who can read the database. The API leaves
    /// it out.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn federations(
        &self,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        let after: Option<Uuid> = place(after)?;
        let read = async move |tx: &Tx<'_>| {
            let mut rows = Vec::new();
            for f in tx
                .all_federations(after.map(Uuid::into_bytes), limit)
                .await?
            {
                let user = tx.account(f.account).await?.map(|a| a.name);
                let doubt = tx.doubt(f.id).await?;
                let row = json!({
                    "doubtful_since": time(doubt.map(|d| d.since)),
                    "federation": id_text(f.id), "msp": f.msp, "user": user,
                    TOKEN: f.token.to_string(), "subscription_type": f.kind.as_str(),
                    "customer_group": f.customer_group, "since": time(f.since), "ended_at": time(f.ended_at),
                    "ended_reason": f.ended_reason,
                });
                rows.push((id_text(f.id), Some(row)));
            }
            Ok(rows)
        };
        Ok(self.store.read(read).await?)
    }
}
