//! What decisions need to know, loaded from the store: for the server and for the command line, which decide about the
//! same things. A decision locks whom it is about before it calls one of these.

use crate::store::{Stored, Tx};
use aid_aid1::error_code::ErrorCode;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::sync::Listing;
use aid_cmp_core::decide::{Context, Decision, Outgoing};
use aid_cmp_core::decide::{deletion, order, removal, status, sync, withdraw};
use aid_cmp_core::model::{CallState, Federation, Order, OrderState, RequestState, Vehicle};
use aid_id::{AccountRef, Eid, Iccid, Id};
use aid_wire::{ACCOUNT_REVISION, Down, FLEET_REVISION, OrderKind, announced};
use std::collections::BTreeMap;

/// How long a status that was told is taken for heard, ms.
const TOLD_MS: u64 = 24 * 3600 * 1000;

/// Everything of a car; `wants` says of an MSP whether it wants to hear of deletions.
///
/// # Errors
/// The store failed.
pub async fn car(
    tx: &Tx<'_>,
    vehicle: Vehicle,
    wants: impl Fn(&str) -> bool,
) -> Stored<deletion::Car> {
    let eid = vehicle.eid;
    let profiles = tx.profiles_in(eid).await?;
    let users = tx.users_of(eid).await?;
    let mut federations: BTreeMap<_, Federation> = BTreeMap::new();
    for profile in &profiles {
        if !federations.contains_key(&profile.federation)
            && let Some(federation) = tx.federation_by_id(profile.federation).await?
        {
            federations.insert(federation.id, federation);
        }
    }
    for user in &users {
        for federation in tx.federations(*user).await? {
            federations.insert(federation.id, federation);
        }
    }
    let mut requests = Vec::new();
    for federation in federations.keys() {
        let pending = |r: &aid_cmp_core::model::CodeRequest| {
            r.eid == eid && (r.state.is_open() || r.state == RequestState::Answered)
        };
        let list = tx.requests(*federation).await?;
        requests.extend(list.into_iter().filter(pending));
    }
    let wanted = federations.values().filter(|f| wants(&f.msp)).map(|f| f.id);
    Ok(deletion::Car {
        wanted: wanted.collect(),
        orders: tx.open_orders(eid).await?,
        federations: federations.into_values().collect(),
        vehicle,
        profiles,
        users,
        requests,
    })
}

/// A decision without the orders to delete what open orders delete already, whoever gave them.
///
/// # Errors
/// The store failed.
pub async fn without_repeated_deletions(tx: &Tx<'_>, decision: Decision) -> Stored<Decision> {
    let mut cars = Vec::new();
    for change in &decision.changes {
        if let Change::AddOrder(order) = change
            && matches!(order.kind, OrderKind::Delete { .. })
            && !cars.contains(&order.eid)
        {
            cars.push(order.eid);
        }
    }
    let mut open = Vec::new();
    for eid in &cars {
        open.extend(tx.open_orders(*eid).await?);
    }
    match cars.is_empty() {
        true => Ok(decision),
        false => Ok(decision.without_repeated_deletions(&open)),
    }
}

/// The messages of a decision, orders to delete with whose profile it is (§4.4.1, step 8).
///
/// # Errors
/// The store failed.
pub async fn messages(tx: &Tx<'_>, decision: &mut Decision) -> Stored<Vec<Outgoing>> {
    let mut messages = std::mem::take(&mut decision.down);
    for change in &decision.changes {
        let Change::AddOrder(order) = change else {
            continue;
        };
        let own = |m: &&mut Outgoing| matches!(&m.body, Down::Order { order_id, .. } if *order_id == order.id);
        if let Some(message) = messages.iter_mut().find(own) {
            name_account(tx, order, message).await?;
        }
    }
    Ok(messages)
}

/// The message of an order, one to delete with whose profile it is (§4.4.1, step 8).
///
/// `None`: the car's last `Hello` does not say that it understands such an order; it waits for one that does.
///
/// # Errors
/// The store failed.
pub async fn order_message(tx: &Tx<'_>, order: &Order) -> Stored<Option<Outgoing>> {
    let mut message = order::message(order);
    if order.kind == OrderKind::FactoryReset {
        let vehicle = tx.vehicle(order.eid).await?;
        return Ok(vehicle.filter(knows_fleet).map(|_| message));
    }
    name_account(tx, order, &mut message).await?;
    Ok(Some(message))
}

/// Whether a car's last `Hello` says that it understands verifiers and factory resets.
#[must_use]
pub fn knows_fleet(vehicle: &Vehicle) -> bool {
    let software = vehicle.software.as_deref().unwrap_or_default();
    announced(software) >= FLEET_REVISION
}

/// Names the account to a car whose last `Hello` says that it understands that. One that was put back to an older release
/// since ignores the order, and gets it again after its next `Hello`, in the form that it knows.
async fn name_account(tx: &Tx<'_>, order: &Order, message: &mut Outgoing) -> Stored<()> {
    let (OrderKind::Delete { .. }, Some(link)) = (&order.kind, order.federation) else {
        return Ok(());
    };
    let vehicle = tx.vehicle(order.eid).await?;
    let software = vehicle.and_then(|v| v.software).unwrap_or_default();
    if announced(&software) >= ACCOUNT_REVISION
        && let Some(federation) = tx.federation_by_id(link).await?
    {
        order::name_account(message, federation.account);
    }
    Ok(())
}

/// What is still to be done for a federation.
///
/// # Errors
/// The store failed.
pub async fn rest(tx: &Tx<'_>, federation: Federation) -> Stored<removal::Rest> {
    let profiles = tx.profiles(federation.id).await?;
    let mut open_orders = 0;
    let mut cars: Vec<Eid> = profiles.iter().map(|p| p.eid).collect();
    cars.sort_unstable();
    cars.dedup();
    for eid in cars {
        let orders = tx.open_orders(eid).await?;
        let own = |o: &&aid_cmp_core::model::Order| {
            o.federation == Some(federation.id) && o.state == OrderState::Open
        };
        open_orders += orders.iter().filter(own).count();
    }
    Ok(removal::Rest {
        calls: tx.has_calls(&federation.msp, federation.token).await?,
        profiles,
        open_orders,
        federation,
    })
}

/// Removes an ended federation if nothing is left to do for it, as the server's clock and the command line do; otherwise
/// yields why it is kept. Its user is locked here.
///
/// # Errors
/// The store failed.
pub async fn purge(
    tx: &Tx<'_>,
    context: &Context,
    federation: Id,
) -> Stored<(Decision, Option<&'static str>)> {
    let Some(federation) = tx.locked_federation_by_id(federation).await? else {
        return Ok((Decision::default(), Some("it is removed already")));
    };
    let rest = rest(tx, federation).await?;
    match removal::why_kept(context, &rest) {
        Some(why) => Ok((Decision::default(), Some(why))),
        None => Ok((removal::purge(context, &rest.federation), None)),
    }
}

/// Removes an erased user who has no federation any more. They are locked here.
///
/// # Errors
/// The store failed.
pub async fn forget(tx: &Tx<'_>, account: AccountRef) -> Stored<Decision> {
    let mut decision = Decision::default();
    tx.lock(Lock::Account(account)).await?;
    let erased = tx.account(account).await?;
    if erased.is_some_and(|a| removal::is_erased(&a)) && tx.federations(account).await?.is_empty() {
        let removed = Change::RemoveAccount(account);
        decision.changes.push(removed);
    }
    Ok(decision)
}

/// The end of a federation, whoever wants it.
///
/// # Errors
/// The store failed.
pub async fn withdrawal(
    tx: &Tx<'_>,
    context: &Context,
    federation: &Federation,
    by: withdraw::By,
    reason: Option<String>,
) -> Stored<Decision> {
    let profiles = tx.profiles(federation.id).await?;
    let requests = tx.requests(federation.id).await?;
    Ok(withdraw::withdraw(
        context, federation, &profiles, &requests, by, reason,
    ))
}

/// The end of everything of a user.
///
/// # Errors
/// The store failed.
pub async fn erasure(
    tx: &Tx<'_>,
    context: &Context,
    account: &aid_cmp_core::model::Account,
    reason: Option<String>,
) -> Stored<Decision> {
    let mut decision = Decision::default();
    for federation in tx.federations(account.id).await? {
        let by = withdraw::By::Operator;
        let ended = withdrawal(tx, context, &federation, by, reason.clone()).await?;
        decision.merge(ended);
    }
    let cars = tx.cars_of(account.id).await?;
    decision.merge(removal::erase(context, account, &cars, reason));
    Ok(decision)
}

/// Who has an MSP asked for the profiles of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// An operator: a listing settles every doubt about the link.
    Operator,
    /// The outbox.
    Outbox,
}

/// What a synchronisation compares.
///
/// # Errors
/// The store failed.
pub async fn sync(
    tx: &Tx<'_>,
    context: &Context,
    federation: Federation,
    asked: Option<Iccid>,
    listing: Listing,
    wanted: bool,
    asked_by: Asker,
) -> Stored<sync::View> {
    let profiles = tx.profiles(federation.id).await?;
    let mut told = Vec::new();
    for profile in &profiles {
        let newest = tx
            .newest_in_lane(&federation.msp, &status::lane(&profile.iccid))
            .await?;
        let lately = newest.is_some_and(|c| match c.state {
            CallState::Due | CallState::Dead => true,
            _ => c.created_at.saturating_add(TOLD_MS) > context.now,
        });
        if lately {
            told.push(profile.iccid.clone());
        }
    }
    let mut elsewhere = Vec::new();
    if let Listing::Profiles(list) = &listing {
        for (iccid, _) in list {
            let holders = tx.profiles_with(iccid).await?;
            if holders.iter().any(|p| p.federation != federation.id) {
                elsewhere.push(iccid.clone());
            }
        }
    }
    let doubt = tx.doubt(federation.id).await?;
    // An MSP lists what is left of a token that has ended, too: that it lists something says nothing against 21.
    let unknown = ErrorCode::TokenNotFound.number();
    Ok(sync::View {
        doubtful: doubt.is_some_and(|d| asked_by == Asker::Operator || d.code == unknown),
        federation,
        profiles,
        listing,
        asked,
        told,
        elsewhere,
        wanted,
    })
}

/// The active federations of a user, oldest first; `usable` says of an MSP whether it is configured.
///
/// # Errors
/// The store failed.
pub async fn active(
    tx: &Tx<'_>,
    account: AccountRef,
    usable: impl Fn(&str) -> bool,
) -> Stored<Vec<Federation>> {
    let mut list = tx.federations(account).await?;
    list.retain(|f| f.ended_at.is_none() && usable(&f.msp));
    Ok(list)
}
