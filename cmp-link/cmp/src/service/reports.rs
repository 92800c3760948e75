//! Status reports of cars (§7.8): what each is about, from what the store knows.

use super::Service;
use crate::store::{Stored, Tx};
use aid_cli::printable::printable;
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::decide::{Context, Decision, hello, status};
use aid_cmp_core::model::{CodeRequest, Order, Profile, Report, RequestState};
use aid_id::{Eid, Iccid, Id};
use aid_wire::{Down, OrderKind, ProfileState, Status};

impl Service {
    /// Decides about a status report of a car, which is locked.
    pub(super) async fn status(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        report: Report,
    ) -> Stored<Decision> {
        let known = tx.has_report(&report).await?;
        if known {
            let view = status::View {
                known,
                ..status::View::default()
            };
            return Ok(status::report(context, view, &report));
        }
        let profile = match &report.iccid {
            Some(iccid) => locked_profile_in(tx, iccid, report.eid).await?,
            None => None,
        };
        if let (None, Some(account)) = (&profile, report.account) {
            tx.lock(Lock::Account(account)).await?;
        }
        let request = self.request_behind(tx, &report, profile.as_ref()).await?;
        let owner = profile.as_ref().map(|p| p.federation);
        let owner = owner.or_else(|| request.as_ref().map(|r| r.federation));
        // What no request of the CMP brought is nobody's: a car could invent it for any user.
        let named = request.as_ref().and_then(|r| r.iccid.as_ref());
        let is_given = profile.is_some() || named.is_some_and(|n| Some(n) == report.iccid.as_ref());
        let federation = match owner {
            Some(id) if is_given || !held_elsewhere(tx, &report).await? => {
                tx.locked_federation_by_id(id).await?
            }
            _ => None,
        };
        let word = status::word(report.status);
        let msp = federation.as_ref().and_then(|f| self.msp(&f.msp));
        let mut wanted = msp.as_ref().is_some_and(|m| m.statuses.contains(&word));
        let used = matches!(report.status, Status::Enabled | Status::Disabled);
        let once = wanted && used && msp.is_some_and(|m| !m.every_use);
        if let (true, Some(federation), Some(iccid)) = (once, &federation, &report.iccid) {
            wanted = !tx.is_told(federation.id, iccid, word).await?;
        }
        // Using a profile ends no order.
        let orders = match report.status {
            Status::Enabled | Status::InstallationFailed => Vec::new(),
            _ => tx.open_orders(report.eid).await?,
        };
        let ordered = order_behind(&orders, &report);
        let view = status::View {
            known,
            overtaken: tx.has_later_report(&report).await?,
            profile,
            request,
            federation,
            wanted,
            once,
            ordered,
            orders,
        };
        Ok(status::report(context, view, &report))
    }

    /// A car says hello, and what is on its card. Where that differs from what the CMP has of it, the reports that were
    /// lost are made up for. The car is locked.
    pub(super) async fn hello(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        eid: Eid,
        software: String,
        listed: &[ProfileState],
    ) -> Stored<Decision> {
        let vehicle = tx.vehicle(eid).await?;
        let earlier = vehicle.and_then(|v| Some((v.last_seen?, v.card?)));
        let earlier = earlier.filter(|(seen, _)| hello::is_settled(*seen, context.now));
        let before = match earlier {
            Some((seen, card)) => Some(unexplained(tx, context.now, eid, seen, &card).await?),
            None => None,
        };
        let before = before.as_deref();
        let profiles = tx.profiles_in(eid).await?;
        let orders = tx.open_orders(eid).await?;
        let found = hello::compare(listed, before, &profiles, &orders);
        let mut decision = Decision::default();
        decision.changes.push(Change::Seen {
            eid,
            at: context.now,
            // It is shown to operators and stored, whatever the car has in it.
            software: printable(&software).chars().take(128).collect(),
            card: found.card,
        });
        for lost in found.lost {
            let detail = format!("{} in {eid}: {}", lost.iccid, status::word(lost.status));
            let report = Report {
                eid,
                seq: 0,
                iccid: Some(lost.iccid),
                account: lost.account,
                status: lost.status,
                code: 0,
                received_at: context.now,
            };
            let mut made_up = self.status(tx, context, report).await?;
            made_up
                .changes
                .retain(|c| !matches!(c, Change::AddReport(_)));
            made_up
                .down
                .retain(|m| !matches!(m.body, Down::StatusAck { .. }));
            // Otherwise it is of no subscription that the CMP knows.
            let known = |c: &Change| matches!(c, Change::PutProfile(_));
            if made_up.changes.iter().any(known) {
                decision.merge(made_up);
                let audit = context.audit("cmp", "status taken from the card", detail);
                decision.changes.push(audit);
            }
        }
        for iccid in found.missing {
            let why = "a report of its deletion may be lost: compare with the car, then delete or keep it";
            let audit = context.audit_because(
                "cmp",
                "profile not on its card",
                format!("{iccid} in {eid}"),
                Some(why.to_owned()),
            );
            decision.changes.push(audit);
        }
        Ok(decision)
    }

    /// The request that a report ends: that of its ICCID, or the one whose code the user's car has.
    async fn request_behind(
        &self,
        tx: &Tx<'_>,
        report: &Report,
        profile: Option<&Profile>,
    ) -> Stored<Option<CodeRequest>> {
        let federation = match (profile, report.account) {
            (Some(profile), _) => Some(profile.federation),
            (None, Some(account)) => {
                let serving = self.serving(tx, account, Some(report.eid)).await?;
                serving.map(|f| f.id)
            }
            (None, None) => None,
        };
        let Some(federation) = federation else {
            return Ok(None);
        };
        let ends = matches!(
            report.status,
            Status::Installed | Status::InstallationFailed
        );
        let fits = |r: &&CodeRequest| {
            let same = match (&r.iccid, &report.iccid) {
                (Some(a), Some(b)) => a == b,
                // The MSP or the car did not say which.
                _ => ends,
            };
            r.eid == report.eid && r.code.is_some() && same
        };
        // The MSP named another profile than its code has loaded: an unknown one is that of the code which the car has
        // not used yet.
        let unused = |r: &&CodeRequest| {
            ends && profile.is_none() && r.eid == report.eid && r.state == RequestState::Answered
        };
        let list = tx.requests(federation).await?;
        let found = list.iter().find(fits);
        Ok(found.or_else(|| list.iter().find(unused)).cloned())
    }
}

/// The card that a car showed at `seen`, without what its reports since then have explained.
async fn unexplained(tx: &Tx<'_>, now: u64, eid: Eid, seen: u64, card: &str) -> Stored<String> {
    let mut reported = Vec::new();
    for iccid in hello::differing(card) {
        if tx
            .has_reported(eid, &iccid, hello::since(seen, now))
            .await?
        {
            reported.push(iccid);
        }
    }
    Ok(hello::without(card, &reported))
}

/// The transaction of the open order that a report is about: the car reports before it says that an
/// order is done.
fn order_behind(orders: &[Order], report: &Report) -> Option<Id> {
    if !matches!(report.status, Status::Deleted | Status::Disabled) {
        return None;
    }
    let obeyed = |o: &&Order| match (&o.kind, report.status) {
        (OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. }, _) => {
            report.iccid.as_ref() == Some(iccid)
        }
        (OrderKind::Disable { iccid }, Status::Disabled) => report.iccid.as_ref() == Some(iccid),
        (OrderKind::Erase { account }, _) => report.account == Some(*account),
        (OrderKind::DeleteAll | OrderKind::FactoryReset, _) => true,
        _ => false,
    };
    orders.iter().find(obeyed).map(|o| o.correlation)
}

/// The profile in this car; of several onboardings the newest.
async fn profile_in(tx: &Tx<'_>, iccid: &Iccid, eid: Eid) -> Stored<Option<Profile>> {
    let list = tx.profiles_with(iccid).await?;
    Ok(list.into_iter().find(|p| p.eid == eid))
}

/// Whether another car or subscription has the profile: then a car can't claim it.
async fn held_elsewhere(tx: &Tx<'_>, report: &Report) -> Stored<bool> {
    let Some(iccid) = &report.iccid else {
        return Ok(false);
    };
    tx.lock(Lock::Profile(iccid.clone())).await?;
    let others = tx.profiles_with(iccid).await?;
    Ok(others.iter().any(|p| p.status.may_be_on_card()))
}

/// The profile in this car, with its user locked.
pub(super) async fn locked_profile_in(
    tx: &Tx<'_>,
    iccid: &Iccid,
    eid: Eid,
) -> Stored<Option<Profile>> {
    let mut found = profile_in(tx, iccid, eid).await?;
    while let Some(before) = found {
        tx.locked_federation_by_id(before.federation).await?;
        let now = profile_in(tx, iccid, eid).await?;
        if now.as_ref().map(|p| p.federation) == Some(before.federation) {
            return Ok(now);
        }
        // Another onboarding's came meanwhile.
        found = now;
    }
    Ok(None)
}
