//! Status reports of cars (§7.8): what each is about, from what the store knows.
//! Called by `cars`.

use super::Service;
use crate::store::{Store, Stored};
use aid_cmp_core::decide::{Context, Decision, status};
use aid_cmp_core::model::{CodeRequest, Order, Profile, Report};
use aid_id::{Eid, Iccid, Id};
use aid_wire::{OrderKind, Status};

impl<S: Store> Service<S> {
    /// Decides about a status report of a car.
    pub(super) async fn status(&self, context: &Context, report: Report) -> Stored<Decision> {
        let known = self.store.has_report(&report).await?;
        if known {
            let view = status::View {
                known,
                ..status::View::default()
            };
            return Ok(status::report(context, view, &report));
        }
        let profile = match &report.iccid {
            Some(iccid) => self.profile_in(iccid, report.eid).await?,
            None => None,
        };
        let request = self.request_behind(&report, profile.as_ref()).await?;
        let owner = profile.as_ref().map(|p| p.federation);
        let owner = owner.or_else(|| request.as_ref().map(|r| r.federation));
        // What no request of the CMP brought is nobody's: a car could invent it for any user.
        let named = request.as_ref().and_then(|r| r.iccid.as_ref());
        let is_given = profile.is_some() || named.is_some_and(|n| Some(n) == report.iccid.as_ref());
        let federation = match owner {
            Some(id) if is_given || !self.held_elsewhere(&report).await? => {
                self.store.federation_by_id(id).await?
            }
            _ => None,
        };
        let wanted = federation
            .as_ref()
            .and_then(|f| self.msp(&f.msp))
            .is_some_and(|msp| msp.statuses.contains(&status::word(report.status)));
        let ordered = self.order_behind(&report).await?;
        let view = status::View {
            known,
            profile,
            request,
            federation,
            wanted,
            ordered,
        };
        Ok(status::report(context, view, &report))
    }

    /// The transaction of the open order that a report is about: the car reports before it says that an
    /// order is done.
    async fn order_behind(&self, report: &Report) -> Stored<Option<Id>> {
        if !matches!(report.status, Status::Deleted | Status::Disabled) {
            return Ok(None);
        }
        let orders = self.store.orders(Some(report.eid), true).await?;
        let obeyed = |o: &&Order| match (&o.kind, report.status) {
            (OrderKind::Delete { iccid }, _) => report.iccid.as_ref() == Some(iccid),
            (OrderKind::Disable { iccid }, Status::Disabled) => {
                report.iccid.as_ref() == Some(iccid)
            }
            (OrderKind::Erase { account }, _) => report.account == Some(*account),
            (OrderKind::DeleteAll, _) => true,
            _ => false,
        };
        Ok(orders.iter().find(obeyed).map(|o| o.correlation))
    }

    /// The profile in this car; of several onboardings the newest.
    pub(super) async fn profile_in(&self, iccid: &Iccid, eid: Eid) -> Stored<Option<Profile>> {
        let list = self.store.profiles_with(iccid).await?;
        Ok(list.into_iter().find(|p| p.eid == eid))
    }

    /// Whether another car or subscription has the profile: then a car can't claim it.
    async fn held_elsewhere(&self, report: &Report) -> Stored<bool> {
        let Some(iccid) = &report.iccid else {
            return Ok(false);
        };
        let others = self.store.profiles_with(iccid).await?;
        Ok(others.iter().any(|p| p.status.may_be_on_card()))
    }

    /// The request that a report ends: that of its ICCID, or the one whose code the user's car has.
    async fn request_behind(
        &self,
        report: &Report,
        profile: Option<&Profile>,
    ) -> Stored<Option<CodeRequest>> {
        let federation = match (profile, report.account) {
            (Some(profile), _) => Some(profile.federation),
            (None, Some(account)) => {
                let serving = self.serving(account, Some(report.eid)).await?;
                serving.map(|f| f.id)
            }
            (None, None) => None,
        };
        let Some(federation) = federation else {
            return Ok(None);
        };
        let fits = |r: &CodeRequest| {
            let same = match (&r.iccid, &report.iccid) {
                (Some(a), Some(b)) => a == b,
                // The MSP or the car did not say which.
                _ => matches!(
                    report.status,
                    Status::Installed | Status::InstallationFailed
                ),
            };
            r.eid == report.eid && r.code.is_some() && same
        };
        let list = self.store.requests(federation).await?;
        Ok(list.into_iter().find(fits))
    }
}
