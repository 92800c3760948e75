//! Procedures that no car and no MSP begins: synchronisation, requests that end, removal of what has ended, the user's
//! choices and what they are told (§4.6, R-4.3-5, R-4.4.1-14, R-4.5-10).
//!
//! What is due is read by an index, so many rows at a time and outside any decision; then each is a decision of its own,
//! which judges it again under its lock. So all this costs what there is to do, however large the tables are.

use super::{Service, now};
use crate::store::{Kept, StoreError, Stored, Tx};
use crate::{gauges, views};
use aid_aid1::body::CsimStatus;
use aid_cmp_core::change::{Change, LinkChange, Lock};
use aid_cmp_core::decide::policy::DAY_MS;
use aid_cmp_core::decide::question::{Question, query};
use aid_cmp_core::decide::sync::{self, Listing};
use aid_cmp_core::decide::{Context, Decision, code, removal};
use aid_cmp_core::model::{Call, CallState, CodeRequest, Federation, UserNotice};
use aid_id::{AccountRef, Eid, Id};
use std::sync::Arc;

/// An hour, ms.
const HOUR_MS: u64 = 3600 * 1000;
/// Rows that are read at once.
pub(super) const PAGE: u32 = 100;
/// Pages of one kind that one look takes up; the next look goes on.
const PAGES: usize = 100;
/// Questions that an MSP may have open at a time because of the synchronisation. It is asked the next ones as it answers,
/// and nothing while it is down.
const QUESTIONS: u32 = 200;

/// Where [`Service::purge`] has left off.
#[derive(Debug, Clone, Default)]
pub struct Purged {
    /// Behind this end and link.
    link: Option<(u64, Id)>,
    /// All links are seen, and users behind this name.
    user: Option<Option<String>>,
}

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
            let profiles = tx.profiles(federation.id).await?;
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
        let mut after = None;
        for _ in 0..PAGES {
            let due = self.look(async move |_, tx| tx.overdue(now(), after, PAGE).await);
            let due = due.await?;
            self.end_requests(&due).await;
            after = due.last().map(|last| (last.expires_at, last.id));
            if due.len() < PAGE as usize {
                break;
            }
        }
        let overlong = self.look(async move |_, tx| tx.overlong(now(), PAGE).await);
        self.end_requests(&overlong.await?).await;
        Ok(())
    }

    /// Ends these requests if they are open and over. One that fails holds up no other, and is found again.
    async fn end_requests(self: &Arc<Self>, due: &[CodeRequest]) {
        for request in due {
            let (id, account) = (request.id, request.account);
            let decide = async move |_: &Self, tx: &Tx<'_>, context: &Context| {
                tx.lock(Lock::Account(account)).await?;
                let request = tx.request(id).await?;
                let decision = request.and_then(|request| over(context, request));
                Ok::<_, StoreError>((decision.unwrap_or_default(), ()))
            };
            if let Err(error) = self.decide(decide).await {
                tracing::error!(request = hex::encode(id), %error, "a request was not ended");
            }
        }
    }

    /// Asks each MSP about the links whose last synchronisation is older than the policy wants, as many at a time as it
    /// answers. An MSP that is down holds up no other.
    ///
    /// # Errors
    /// The store failed.
    pub async fn synchronise(self: &Arc<Self>) -> Stored<()> {
        let context = self.context();
        let every = u64::from(context.policy.sync_hours).saturating_mul(HOUR_MS);
        if every == 0 {
            return Ok(());
        }
        let mut done = Ok(());
        for msp in &self.agreed().msps {
            let asked = self.ask_about_links(&msp.name, context.now, every).await;
            done = done.and(asked);
        }
        done
    }

    async fn ask_about_links(self: &Arc<Self>, msp: &str, now: u64, every: u64) -> Stored<()> {
        let name = msp.to_owned();
        let open = self.look(async move |_, tx| tx.open_questions(&name, QUESTIONS).await);
        let mut room = QUESTIONS.saturating_sub(open.await?);
        // Those noted later than that were noted under a wrong clock.
        let latest = now.saturating_add(every).saturating_add(1);
        for within in [0..=now.saturating_sub(every), latest..=u64::MAX] {
            let mut after = None;
            // Those that are due and not asked about have a question open, so they are few.
            while room > 0 {
                let (name, within) = (msp.to_owned(), within.clone());
                let look =
                    async move |_: &Self, tx: &Tx<'_>| tx.synced(&name, within, after, PAGE).await;
                let page = self.look(look).await?;
                let Some((at, last)) = page.last() else {
                    break;
                };
                after = Some((*at, last.id));
                for (_, federation) in page {
                    if room == 0 {
                        break;
                    }
                    match self.ask(federation.id, every).await {
                        Ok(new) => room -= u32::from(new),
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

    /// Removes ended federations of which nothing is left to do, and erased users without any. Goes on where it has left
    /// off; true: there is more to look at. What has to be kept is looked at once in each round.
    ///
    /// # Errors
    /// The store failed.
    pub async fn purge(self: &Arc<Self>, from: &mut Purged) -> Stored<bool> {
        for _ in 0..PAGES {
            let more = match from.user.clone() {
                None => self.purge_links(from).await?,
                Some(user) => self.purge_users(from, user).await?,
            };
            if !more {
                *from = Purged::default();
                return Ok(false);
            }
        }
        Ok(true)
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

    /// A page of ended federations.
    async fn purge_links(self: &Arc<Self>, from: &mut Purged) -> Stored<bool> {
        let context = self.context();
        let keep = u64::from(context.policy.keep_days).saturating_mul(DAY_MS);
        let (before, after) = (context.now.saturating_sub(keep), from.link);
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
        match next {
            Some(_) => from.link = next,
            None => from.user = Some(None),
        }
        Ok(true)
    }

    /// A page of erased users.
    async fn purge_users(
        self: &Arc<Self>,
        from: &mut Purged,
        user: Option<String>,
    ) -> Stored<bool> {
        let look = async move |_: &Self, tx: &Tx<'_>| tx.erased(user.as_deref(), PAGE).await;
        let page = self.look(look).await?;
        for erased in page.iter().filter(|erased| !erased.linked) {
            let account = erased.account;
            let decide = async move |_: &Self, tx: &Tx<'_>, _: &Context| {
                Ok::<_, StoreError>((views::forget(tx, account).await?, ()))
            };
            if let Err(error) = self.decide(decide).await {
                tracing::error!(account = hex::encode(account.0), %error, "an erased user was not removed");
            }
        }
        from.user = page.into_iter().next_back().map(|last| Some(last.name));
        Ok(from.user.is_some())
    }

    /// Removes what is of no more use, old repetitions, sessions, reports and unfinished onboardings, in small steps; goes
    /// on where it has left off. True: there is more to look at.
    ///
    /// # Errors
    /// The store failed.
    pub async fn prune(&self, kept: &mut Kept) -> Stored<bool> {
        for _ in 0..PAGES {
            if !self.store.prune(now(), kept).await? {
                return Ok(false);
            }
        }
        Ok(true)
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
            for federation in tx.federations(account).await? {
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
            for federation in tx.federations(account).await? {
                for profile in tx.profiles(federation.id).await? {
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

/// Decides about a request whose time is over, if it is.
fn over(context: &Context, request: CodeRequest) -> Option<Decision> {
    if !request.state.is_open() {
        return None;
    }
    let mut decision = Decision::default();
    if request.expires_at > context.now {
        // Its end was set under a wrong clock: it is set anew.
        decision.changes.push(Change::PutRequest(CodeRequest {
            expires_at: context.now.saturating_add(code::WAIT_MS),
            ..request
        }));
        return Some(decision);
    }
    decision = code::expired(context, &request);
    let dropped = Change::CloseCall(request.id, CallState::Dropped, context.now);
    decision.changes.push(dropped);
    Some(decision)
}
