//! Procedures that no car and no MSP begins: synchronisation, requests that end, removal of what has ended, the user's
//! choices and what they are told (§4.6, R-4.3-5, R-4.4.1-14, R-4.5-10).
//!
//! What is due is read by an index, so many rows at a time; then each is a decision of its own, which judges it again
//! under its lock.

use super::{Service, now};
use crate::store::{StoreError, Stored, Tx};
use crate::{gauges, views};
use aid_aid1::body::CsimStatus;
use aid_cmp_core::change::{Change, LinkChange, Lock};
use aid_cmp_core::decide::policy::DAY_MS;
use aid_cmp_core::decide::question::{Question, query};
use aid_cmp_core::decide::sync::{self, Listing};
use aid_cmp_core::decide::{Context, Decision, code, removal};
use aid_cmp_core::model::{Call, CallState, CodeRequest, Federation, UserNotice};
use aid_id::{AccountRef, Eid, Id};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An hour, ms.
const HOUR_MS: u64 = 3600 * 1000;
/// Rows that are read at once.
const PAGE: u32 = 100;
/// Pages of one kind that one look of the clock takes up.
const PAGES: usize = 100;
/// Links that one look of the clock asks about; the next look takes the next.
const BATCH: usize = 1000;

impl Service {
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
    pub async fn listed(
        self: &Arc<Self>,
        call: &Call,
        question: &Question,
        listing: Listing,
    ) -> Stored<()> {
        let (msp, token, run) = (call.msp.clone(), call.token, call.id);
        let question = question.clone();
        let decide = async move |service: &Self, tx: &Tx<'_>, context: &Context| {
            let mut decision = Decision::default();
            if let Some(federation) = tx.locked_federation(&msp, token).await? {
                let (question, listing) = (&question, listing.clone());
                decision = service
                    .compared(tx, context, run, federation, question, listing)
                    .await?;
            }
            let answered = Change::CloseCall(run, CallState::Done, context.now);
            decision.changes.push(answered);
            Ok::<_, StoreError>((decision, ()))
        };
        self.decide(decide).await
    }

    async fn compared(
        &self,
        tx: &Tx<'_>,
        context: &Context,
        run: Id,
        federation: Federation,
        question: &Question,
        listing: Listing,
    ) -> Stored<Decision> {
        if let Question::Candidate(iccid) = question {
            let profiles = tx.profiles(Some(federation.id)).await?;
            let profile = profiles.iter().find(|p| p.iccid == *iccid);
            return Ok(sync::candidate(context, &federation, profile, &listing));
        }
        let wanted = self.wants_deletions(&federation.msp);
        let asked = question.iccid().cloned();
        let by = views::Asker::Outbox;
        let view = views::sync(tx, context, federation, asked, listing, wanted, by).await?;
        Ok(sync::compare(context, &view, run))
    }

    /// Ends requests whose code did not come in time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn expire(self: &Arc<Self>) -> Stored<()> {
        let mut failed = BTreeSet::new();
        for _ in 0..PAGES {
            // Behind those that failed, which are found again.
            let limit = PAGE.saturating_add(u32::try_from(failed.len()).unwrap_or(u32::MAX));
            let due = self.look(async move |_, tx| tx.overdue(now(), limit).await);
            let due = due.await?;
            for request in &due {
                if failed.contains(&request.id) {
                    continue;
                }
                let (id, account) = (request.id, request.account);
                let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
                    tx.lock(Lock::Account(account)).await?;
                    let request = tx.request(id).await?;
                    let open = request.filter(|r| r.state.is_open());
                    let decision = open.map(|request| over(context, request));
                    Ok::<_, StoreError>((decision.unwrap_or_default(), ()))
                };
                if let Err(error) = self.decide(decide).await {
                    tracing::error!(request = hex::encode(id), %error, "a request was not ended");
                    failed.insert(id);
                }
            }
            if due.len() < limit as usize {
                break;
            }
        }
        Ok(())
    }

    /// Asks the MSPs about all links whose last synchronisation is older than the policy wants; a link
    /// whose question is still due is not asked about again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn synchronise(self: &Arc<Self>) -> Stored<()> {
        let context = self.context();
        let every = u64::from(context.policy.sync_hours).saturating_mul(HOUR_MS);
        if every == 0 {
            return Ok(());
        }
        let (before, mut after, mut asked) = (context.now.saturating_sub(every), None, 0);
        // Later than that: noted under a wrong clock.
        let latest = context.now.saturating_add(every);
        while asked < BATCH {
            let look =
                async move |_: &Self, tx: &Tx<'_>| tx.sync_due(before, latest, after, PAGE).await;
            let page = self.look(look).await?;
            let Some((at, last)) = page.last() else {
                return Ok(());
            };
            after = Some((*at, last.id));
            for (_, federation) in page {
                if self.msp(&federation.msp).is_some() {
                    match self.ask(federation.id, every).await {
                        Ok(new) => asked += usize::from(new),
                        Err(error) => tracing::error!(
                            federation = hex::encode(federation.id), %error, "an MSP was not asked about a link"
                        ),
                    }
                }
            }
        }
        Ok(())
    }

    /// Asks an MSP about a link, if it was not asked for so long; true: it is.
    async fn ask(self: &Arc<Self>, federation: Id, every: u64) -> Stored<bool> {
        let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
            let mut decision = Decision::default();
            let found = tx.locked_federation_by_id(federation).await?;
            if let Some(federation) = found.filter(|f| f.ended_at.is_none()) {
                let call = query(context, &federation, &Question::All);
                let before = tx.newest_in_lane(&call.msp, &call.lane).await?;
                let lately = before.is_some_and(|b| {
                    b.state == CallState::Due || b.created_at.abs_diff(context.now) < every
                });
                if !lately {
                    decision.changes.push(Change::AddCall(call));
                }
            }
            let asked = !decision.changes.is_empty();
            Ok::<_, StoreError>((decision, asked))
        };
        self.decide(decide).await
    }

    /// Removes ended federations of which nothing is left to do, and erased users without any.
    ///
    /// # Errors
    /// The store failed.
    pub async fn purge(self: &Arc<Self>) -> Stored<()> {
        let context = self.context();
        let keep = u64::from(context.policy.keep_days).saturating_mul(DAY_MS);
        let (before, mut after) = (context.now.saturating_sub(keep), None);
        loop {
            let look = async move |service: &Self, tx: &Tx<'_>| {
                let page = tx.purge_due(before, after, PAGE).await?;
                let next = page.last().map(|f| (f.ended_at.unwrap_or(0), f.id));
                let mut due = Vec::new();
                for federation in page {
                    let rest = views::rest(tx, federation).await?;
                    if removal::why_kept(&service.context(), &rest).is_none() {
                        due.push(rest.federation.id);
                    }
                }
                Ok((due, next))
            };
            let (due, next) = self.look(look).await?;
            for id in due {
                let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
                    Ok::<_, StoreError>((views::purge(tx, context, id).await?.0, ()))
                };
                if let Err(error) = self.decide(decide).await {
                    tracing::error!(federation = hex::encode(id), %error, "an ended link was not removed");
                }
            }
            if next.is_none() {
                break;
            }
            after = next;
        }
        let mut failed = BTreeSet::new();
        for _ in 0..PAGES {
            let limit = PAGE.saturating_add(u32::try_from(failed.len()).unwrap_or(u32::MAX));
            let forgotten = self.look(async move |_, tx| tx.forgotten(limit).await);
            let forgotten = forgotten.await?;
            for account in &forgotten {
                if failed.contains(account) {
                    continue;
                }
                let account = *account;
                let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
                    Ok::<_, StoreError>((views::forget(tx, account).await?, ()))
                };
                if let Err(error) = self.decide(decide).await {
                    tracing::error!(account = hex::encode(account.0), %error, "an erased user was not removed");
                    failed.insert(account);
                }
            }
            if forgotten.len() < limit as usize {
                break;
            }
        }
        Ok(())
    }

    /// Stores how often each MSP deviated since the last time, for operators, and counts it in the metrics.
    ///
    /// # Errors
    /// The store failed; it is counted the next time.
    pub async fn note_deviations(&self) -> Stored<()> {
        for msp in &self.agreed().msps {
            let counts = msp.deviations.take();
            let deviated = counts.iter().map(|(kind, count)| {
                Change::Link(LinkChange::Deviated {
                    msp: msp.name.clone(),
                    kind: *kind,
                    count: *count,
                    at: now(),
                })
            });
            if let Err(error) = self.commit(deviated.collect()).await {
                msp.deviations.put_back(counts);
                return Err(error);
            }
            for (kind, count) in counts {
                gauges::deviated(&msp.name, kind, count);
            }
        }
        Ok(())
    }

    /// Removes what is of no more use: old repetitions, sessions, reports, unfinished onboardings.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prune(&self) -> Stored<()> {
        while self.store.prune(now()).await? {}
        Ok(())
    }

    /// The user chooses which of their subscriptions serves them, in one car or in all others; none takes
    /// the choice back (R-4.3-5). False if it is not theirs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn choose_subscription(
        self: &Arc<Self>,
        account: AccountRef,
        eid: Option<Eid>,
        federation: Option<Id>,
    ) -> Stored<bool> {
        let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
            tx.lock(Lock::Account(account)).await?;
            let mut decision = Decision::default();
            if let Some(id) = federation {
                let found = tx.federation_by_id(id).await?;
                if found.is_none_or(|f| f.account != account || f.ended_at.is_some()) {
                    return Ok((decision, false));
                }
            }
            if let Some(eid) = eid
                && !tx.has_logged_in(eid, account).await?
            {
                return Ok((decision, false));
            }
            let choice = Change::Prefer(account, eid, federation);
            decision.changes.push(choice);
            Ok::<_, StoreError>((decision, true))
        };
        self.decide(decide).await
    }

    /// The user wants a profile again where they had deleted their own (R-4.5-10). False where they had not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn allow_again(self: &Arc<Self>, account: AccountRef, eid: Eid) -> Stored<bool> {
        let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
            tx.lock(Lock::Account(account)).await?;
            let mut decision = Decision::default();
            for federation in tx.federations(Some(account)).await? {
                if tx.hold(federation.id, eid).await?.is_some() {
                    let clear = Change::ClearHold(federation.id, eid);
                    decision.changes.push(clear);
                }
            }
            let there = !decision.changes.is_empty();
            Ok::<_, StoreError>((decision, there))
        };
        self.decide(decide).await
    }

    /// The cars in which the user deleted their profile and said nothing since.
    ///
    /// # Errors
    /// The store failed.
    pub async fn held(self: &Arc<Self>, account: AccountRef) -> Stored<Vec<Eid>> {
        let look = async move |_: &Self, tx: &Tx<'_>| {
            let mut cars = Vec::new();
            for federation in tx.federations(Some(account)).await? {
                for profile in tx.profiles(Some(federation.id)).await? {
                    if !cars.contains(&profile.eid)
                        && tx.hold(federation.id, profile.eid).await?.is_some()
                    {
                        cars.push(profile.eid);
                    }
                }
            }
            Ok(cars)
        };
        self.look(look).await
    }

    /// What the user should know, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn notices(self: &Arc<Self>, account: AccountRef) -> Stored<Vec<UserNotice>> {
        self.look(async move |_, tx| tx.notices(account).await)
            .await
    }

    /// The user has read a notice.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dismiss(&self, account: AccountRef, notice: Id) -> Stored<()> {
        let read = Change::RemoveNotice(account, notice);
        self.commit(vec![read]).await
    }
}

/// Decides about an open request whose time is over.
fn over(context: &Context, request: CodeRequest) -> Decision {
    let mut decision = Decision::default();
    if request.expires_at > context.now {
        // Its end was set under a wrong clock: it is set anew.
        decision.changes.push(Change::PutRequest(CodeRequest {
            expires_at: context.now.saturating_add(code::WAIT_MS),
            ..request
        }));
        return decision;
    }
    decision = code::expired(context, &request);
    let dropped = Change::CloseCall(request.id, CallState::Dropped, context.now);
    decision.changes.push(dropped);
    decision
}
