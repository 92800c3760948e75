//! The cars of a user as the portal shows them: which subscription each has, what is pending and since when, and why no
//! profile came (AID6). Everything is judged per profile: an order, a hold or an end of one says nothing about another.

use super::{Service, now};
use crate::names;
use crate::store::{StoreError, Stored, Tx};
use aid_cmp_core::change::{Change, Lock, PortalChange};
use aid_cmp_core::decide::{Context, Decision};
use aid_cmp_core::model::{
    Account, CodeRequest, Federation, MspVerdict, Order, Profile, ProfileStatus, RequestState,
};
use aid_id::{AccountRef, Eid, Id};
use aid_wire::OrderKind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most names of cars that a user may give.
const MAX_NAMES: usize = 100;

/// Where a profile in a car stands, as its user sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The car loads it.
    Loading,
    /// It is in the car, and not in use.
    Ready,
    /// It is in use.
    InUse,
    /// The operator has blocked it for the time being.
    Blocked,
    /// It is removed as soon as the car has a connection; when that was ordered, Unix milliseconds.
    Removal(u64),
    /// It is removed, and nothing says when that was ordered.
    Removing,
    /// It is removed.
    Removed,
    /// The user removed it, and it comes back only when they say so.
    Held,
    /// It could not be installed.
    Failed,
    /// It went with the car's old unit.
    Lost,
}

impl Standing {
    /// Of a profile, with the order that removes it, and whether the user wants none of this subscription in this car.
    fn new(profile: &Profile, order: Option<&Order>, held: bool) -> Self {
        let is_there = profile.status.may_be_on_card();
        match (profile.verdict, profile.status) {
            _ if is_there && order.is_some() => {
                Self::Removal(order.map_or(0, |order| order.created_at))
            }
            (MspVerdict::Invalid | MspVerdict::Swapped, _) if is_there => Self::Removing,
            (MspVerdict::Suspended, _) if is_there => Self::Blocked,
            (_, ProfileStatus::Prepared) => Self::Loading,
            (_, ProfileStatus::Installed | ProfileStatus::Disabled) => Self::Ready,
            (_, ProfileStatus::Enabled) => Self::InUse,
            (_, ProfileStatus::Failed) => Self::Failed,
            (_, ProfileStatus::Deleted) if held => Self::Held,
            (_, ProfileStatus::Deleted) => Self::Removed,
            (_, ProfileStatus::Lost) => Self::Lost,
        }
    }

    /// Whether it is in the car, or on its way there or out.
    #[must_use]
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::Removed | Self::Held | Self::Failed | Self::Lost)
    }

    /// Whether the user can have it removed.
    #[must_use]
    pub const fn is_removable(self) -> bool {
        matches!(
            self,
            Self::Loading | Self::Ready | Self::InUse | Self::Blocked
        )
    }
}

/// A profile in a car.
#[derive(Debug, Clone)]
pub struct CarProfile {
    /// It.
    pub profile: Profile,
    /// Where it stands.
    pub standing: Standing,
    /// The operator of its subscription.
    pub msp: String,
    /// The subscription's number with digits masked.
    pub masked: String,
    /// Whether the link of its subscription has ended.
    pub ended: bool,
}

/// Why no profile came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When, Unix milliseconds.
    pub at: u64,
    /// Code of §5.5, where the operator gave one.
    pub code: Option<u16>,
    /// The operator's words.
    pub reason: String,
    /// The operator.
    pub msp: String,
    /// Whether the operator did not answer in time.
    pub silent: bool,
}

/// A car of a user.
#[derive(Debug, Clone)]
pub struct Car {
    /// Its eUICC.
    pub eid: Eid,
    /// What the user calls it.
    pub name: Option<String>,
    /// Its vehicle identification number, where it is known.
    pub vin: Option<String>,
    /// Whether it is connected to this instance now.
    pub online: bool,
    /// When it was last heard, Unix milliseconds.
    pub last_seen: Option<u64>,
    /// Its software.
    pub software: Option<String>,
    /// Whether the user is logged in to it.
    pub logged_in: bool,
    /// Since when a log-out waits for the car, Unix milliseconds.
    pub logout: Option<u64>,
    /// Since when a profile is asked for, Unix milliseconds.
    pub asked: Option<u64>,
    /// Why the last request brought none.
    pub failure: Option<Failure>,
    /// Its profiles, newest first.
    pub profiles: Vec<CarProfile>,
}

impl Car {
    /// Whether something of the user is in it, pending, or waits for their word.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let held = |p: &CarProfile| p.standing.is_present() || p.standing == Standing::Held;
        self.logged_in
            || self.logout.is_some()
            || self.asked.is_some()
            || self.failure.is_some()
            || self.profiles.iter().any(held)
    }

    /// The end of the VIN, or of the EID where that is all that is known.
    #[must_use]
    pub fn short(&self) -> &str {
        let text = self.vin.as_deref().unwrap_or_else(|| self.eid.as_str());
        let start = text.len().saturating_sub(6);
        text.get(start..).unwrap_or(text)
    }
}

/// How a car was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It is stored.
    Done,
    /// It can't be a name, or there are too many.
    Unusable,
    /// The user has no such car.
    Unknown,
}

impl Service {
    /// The user's cars: those with something current first, then by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn garage(self: &Arc<Self>, account: &Account) -> Stored<Vec<Car>> {
        let id = account.id;
        self.look(async move |service, tx| service.cars_of_user(tx, id).await)
            .await
    }

    async fn cars_of_user(&self, tx: &Tx<'_>, id: AccountRef) -> Stored<Vec<Car>> {
        let mut names: BTreeMap<Eid, String> = tx.car_names(id).await?.into_iter().collect();
        let mut profiles: BTreeMap<Eid, Vec<(Profile, Federation)>> = BTreeMap::new();
        let mut requests: BTreeMap<Eid, Vec<(CodeRequest, Federation)>> = BTreeMap::new();
        for federation in tx.federations(id).await? {
            for profile in tx.profiles(federation.id).await? {
                let list = profiles.entry(profile.eid).or_default();
                list.push((profile, federation.clone()));
            }
            if federation.ended_at.is_none() {
                for request in tx.requests(federation.id).await? {
                    let list = requests.entry(request.eid).or_default();
                    list.push((request, federation.clone()));
                }
            }
        }
        let inside = tx.sessions(id).await?;
        let mut eids = tx.cars_of(id).await?;
        eids.extend(profiles.keys().chain(requests.keys()).copied());
        eids.extend(&inside);
        eids.sort_unstable();
        eids.dedup();
        let mut cars = Vec::new();
        for eid in eids {
            let Some(vehicle) = tx.vehicle(eid).await? else {
                continue;
            };
            // This instance knows best of its own connections: what is stored of them is up to a second old.
            let stored = tx.presence(eid, now()).await?;
            let elsewhere = stored.is_some_and(|p| p.is_online() && !self.presence.is_own(&p));
            let orders = tx.open_orders(eid).await?;
            let own = profiles.remove(&eid).unwrap_or_default();
            let shown = self.shown(tx, own, &orders).await?;
            let asked = requests.remove(&eid).unwrap_or_default();
            let leaves = |o: &&Order| o.kind == OrderKind::Logout { account: id };
            cars.push(Car {
                eid,
                name: names.remove(&eid),
                vin: vehicle.vin,
                online: elsewhere || self.is_online(eid),
                last_seen: vehicle.last_seen,
                software: vehicle.software,
                logged_in: inside.contains(&eid),
                logout: orders.iter().find(leaves).map(|o| o.created_at),
                asked: pending(&asked),
                failure: failure(&asked, &shown),
                profiles: shown,
            });
        }
        let order = |car: &Car| {
            let name = car.name.clone().unwrap_or_default();
            (!car.is_current(), !car.logged_in, name.is_empty(), name)
        };
        cars.sort_by_key(order);
        Ok(cars)
    }

    async fn shown(
        &self,
        tx: &Tx<'_>,
        profiles: Vec<(Profile, Federation)>,
        orders: &[Order],
    ) -> Stored<Vec<CarProfile>> {
        let mut list = Vec::new();
        for (profile, federation) in profiles {
            let order = orders.iter().find(|o| o.deletes(&profile.iccid));
            let ended = federation.ended_at.is_some();
            let held = !ended && tx.hold(federation.id, profile.eid).await?.is_some();
            list.push(CarProfile {
                standing: Standing::new(&profile, order, held),
                masked: self.masked(&federation),
                msp: federation.msp,
                ended,
                profile,
            });
        }
        list.sort_by_key(|p| std::cmp::Reverse((p.standing.is_present(), p.profile.created_at)));
        // Of several that the user removed, only the newest asks whether it shall come again.
        let mut newest: Vec<Id> = Vec::new();
        for one in &mut list {
            let link = one.profile.federation;
            if one.standing == Standing::Held && newest.contains(&link) {
                one.standing = Standing::Removed;
            }
            newest.push(link);
        }
        Ok(list)
    }

    /// The user names a car of theirs; an empty name takes the name away.
    ///
    /// # Errors
    /// The store failed.
    pub async fn name_car(
        self: &Arc<Self>,
        account: AccountRef,
        eid: Eid,
        name: &str,
    ) -> Stored<Named> {
        let name = name.trim();
        let name = match name.is_empty() {
            true => None,
            false => match names::shown_name(name) {
                Some(name) => Some(name.to_owned()),
                None => return Ok(Named::Unusable),
            },
        };
        let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
            tx.lock(Lock::Account(account)).await?;
            let mut decision = Decision::default();
            if !is_theirs(tx, account, eid).await? {
                return Ok((decision, Named::Unknown));
            }
            let names = tx.car_names(account).await?;
            if name.is_some() && names.len() >= MAX_NAMES && names.iter().all(|(e, _)| *e != eid) {
                return Ok((decision, Named::Unusable));
            }
            let change = PortalChange::NameCar(account, eid, name.clone());
            decision.changes.push(Change::Portal(change));
            Ok::<_, StoreError>((decision, Named::Done))
        };
        self.decide(decide).await
    }
}

/// Whether the user was logged in to the car, or has a profile in it.
async fn is_theirs(tx: &Tx<'_>, account: AccountRef, eid: Eid) -> Stored<bool> {
    if tx.has_logged_in(eid, account).await? {
        return Ok(true);
    }
    for federation in tx.federations(account).await? {
        if tx
            .profiles(federation.id)
            .await?
            .iter()
            .any(|p| p.eid == eid)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Since when a profile is asked for.
fn pending(requests: &[(CodeRequest, Federation)]) -> Option<u64> {
    let open = requests.iter().filter(|(r, _)| r.state.is_open());
    open.map(|(r, _)| r.created_at).min()
}

/// Why the newest request brought no profile, unless one is there all the same.
fn failure(requests: &[(CodeRequest, Federation)], profiles: &[CarProfile]) -> Option<Failure> {
    let (request, federation) = requests.iter().max_by_key(|(r, _)| r.created_at)?;
    let silent = match request.state {
        RequestState::Failed => false,
        RequestState::Expired => true,
        _ => return None,
    };
    let there = |p: &CarProfile| {
        p.profile.federation == federation.id
            && (p.standing.is_present() || p.standing == Standing::Held)
    };
    (!profiles.iter().any(there)).then(|| Failure {
        at: request.changed_at,
        code: request.error_code,
        reason: request.error.clone().unwrap_or_default(),
        msp: federation.msp.clone(),
        silent,
    })
}
