//! Procedures that no car and no MSP begins: synchronisation, removal of what has ended, the user's choices and what he is told (§4.6, R-4.3-5, R-4.4.1-14, R-4.5-10).
//! Called by the clock, the outbox and the portal.

use super::Service;
use crate::store::{Store, Stored};
use crate::views;
use aid_aid1::body::CsimStatus;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::policy::DAY_MS;
use aid_cmp_core::decide::question::{Question, query};
use aid_cmp_core::decide::sync::{self, Listing};
use aid_cmp_core::decide::{Context, Decision, removal};
use aid_cmp_core::model::{Call, CallState, Federation, UserNotice};
use aid_id::{AccountRef, Eid, Id};

/// An hour, ms.
const HOUR_MS: u64 = 3600 * 1000;
/// Links that one look of the clock takes up; the next look takes the next.
const BATCH: usize = 100;

impl<S: Store> Service<S> {
    /// Whether an MSP wants to hear of deletions (R-7.8-3).
    #[must_use]
    pub fn wants_deletions(&self, msp: &str) -> bool {
        let msp = self.msp(msp);
        msp.is_some_and(|m| m.statuses.contains(&CsimStatus::Deleted))
    }

    /// Takes the answer to Request Profile Status; the call is done.
    ///
    /// # Errors
    /// The store failed; the call is made again.
    pub async fn listed(&self, call: &Call, question: &Question, listing: Listing) -> Stored<()> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let found = self.store.federation(&call.msp, call.token).await?;
        let mut decision = match found {
            Some(federation) => {
                self.compared(&context, call.id, federation, question, listing)
                    .await?
            }
            None => Decision::default(),
        };
        let answered = Change::CloseCall(call.id, CallState::Done, context.now);
        decision.changes.push(answered);
        self.carry_out(turn, decision).await
    }

    async fn compared(
        &self,
        context: &Context,
        run: Id,
        federation: Federation,
        question: &Question,
        listing: Listing,
    ) -> Stored<Decision> {
        if let Question::Candidate(iccid) = question {
            let profiles = self.store.profiles(Some(federation.id)).await?;
            let profile = profiles.iter().find(|p| p.iccid == *iccid);
            return Ok(sync::candidate(context, &federation, profile, &listing));
        }
        let wanted = self.wants_deletions(&federation.msp);
        let asked = question.iccid().cloned();
        let view = views::sync(&self.store, context, federation, asked, listing, wanted).await?;
        Ok(sync::compare(context, &view, run))
    }

    /// Asks the MSPs about all links whose last synchronisation is older than the policy wants; a link
    /// whose question is still due is not asked about again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn synchronise(&self) -> Stored<()> {
        let context = self.context();
        let every = u64::from(context.policy.sync_hours).saturating_mul(HOUR_MS);
        if every == 0 {
            return Ok(());
        }
        let turn = self.store.turn().await?;
        let mut decision = Decision::default();
        for federation in self.store.federations(None).await? {
            if decision.changes.len() >= BATCH {
                break;
            }
            let active = federation.ended_at.is_none() && self.msp(&federation.msp).is_some();
            let call = query(&context, &federation, &Question::All);
            let before = self.store.newest_in_lane(&call.msp, &call.lane).await?;
            let fresh = before.is_some_and(|b| {
                b.state == CallState::Due || b.created_at.abs_diff(context.now) < every
            });
            if active && !fresh {
                decision.changes.push(Change::AddCall(call));
            }
        }
        self.carry_out(turn, decision).await
    }

    /// Removes ended federations of which nothing is left to do, and erased users without any.
    ///
    /// # Errors
    /// The store failed.
    pub async fn purge(&self) -> Stored<()> {
        let turn = self.store.turn().await?;
        let context = self.context();
        let keep = u64::from(context.policy.keep_days).saturating_mul(DAY_MS);
        let mut decision = Decision::default();
        for federation in self.store.federations(None).await? {
            if decision.changes.len() >= BATCH {
                break;
            }
            // The cheap question first.
            if federation
                .ended_at
                .is_none_or(|at| at.saturating_add(keep) > context.now)
            {
                continue;
            }
            let rest = views::rest(&self.store, federation).await?;
            if removal::why_kept(&context, &rest).is_none() {
                decision.merge(removal::purge(&context, &rest.federation));
            }
        }
        for account in self.store.accounts().await? {
            if removal::is_erased(&account)
                && self.store.federations(Some(account.id)).await?.is_empty()
            {
                decision.changes.push(Change::RemoveAccount(account.id));
            }
        }
        self.carry_out(turn, decision).await
    }

    /// The user chooses which of his subscriptions serves him, in one car or in all others; none takes
    /// the choice back (R-4.3-5). False if it is not his.
    ///
    /// # Errors
    /// The store failed.
    pub async fn choose_subscription(
        &self,
        account: AccountRef,
        eid: Option<Eid>,
        federation: Option<Id>,
    ) -> Stored<bool> {
        let turn = self.store.turn().await?;
        if let Some(id) = federation {
            let found = self.store.federation_by_id(id).await?;
            if found.is_none_or(|f| f.account != account || f.ended_at.is_some()) {
                return Ok(false);
            }
        }
        if let Some(eid) = eid
            && !self.store.has_logged_in(eid, account).await?
        {
            return Ok(false);
        }
        let choice = Change::Prefer(account, eid, federation);
        self.store.commit_in(turn, vec![choice]).await?;
        Ok(true)
    }

    /// The user wants a profile again where he had deleted his own (R-4.5-10). False where he had not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn allow_again(&self, account: AccountRef, eid: Eid) -> Stored<bool> {
        let turn = self.store.turn().await?;
        let mut changes = Vec::new();
        for federation in self.store.federations(Some(account)).await? {
            if self.store.hold(federation.id, eid).await?.is_some() {
                changes.push(Change::ClearHold(federation.id, eid));
            }
        }
        let there = !changes.is_empty();
        self.store.commit_in(turn, changes).await?;
        Ok(there)
    }

    /// The cars in which the user deleted his profile and said nothing since.
    ///
    /// # Errors
    /// The store failed.
    pub async fn held(&self, account: AccountRef) -> Stored<Vec<Eid>> {
        let mut cars = Vec::new();
        for federation in self.store.federations(Some(account)).await? {
            for profile in self.store.profiles(Some(federation.id)).await? {
                if !cars.contains(&profile.eid)
                    && self.store.hold(federation.id, profile.eid).await?.is_some()
                {
                    cars.push(profile.eid);
                }
            }
        }
        Ok(cars)
    }

    /// What the user should know, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn notices(&self, account: AccountRef) -> Stored<Vec<UserNotice>> {
        self.store.notices(account).await
    }

    /// The user has read a notice.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dismiss(&self, account: AccountRef, notice: Id) -> Stored<()> {
        let read = Change::RemoveNotice(account, notice);
        self.store.commit(vec![read]).await
    }
}
