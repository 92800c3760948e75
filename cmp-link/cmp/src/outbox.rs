//! Calls to MSPs from the stored outbox: in order per lane, again with backoff and jitter, given up
//! only when the MSP refuses for good (R-7.8-5, R-4.4.1-3).
//! Runs as one task, which wakes when a call was added here, and looks every second for those of other processes.
//!
//! The calls of each MSP and kind have places of their own, so that none waits for another that is slow. An MSP that does
//! not answer is tried with one call at a time, with growing pauses, as a whole: its other calls stay due, and nobody looks
//! at them. Only requests for codes, for which drivers wait, are made at once all the same.
//!
//! A call that is being made is leased to this instance, so that no other makes it too. The lease is short and renewed
//! while the call lasts: an instance that is killed loses its leases within seconds. An SQLite file has one instance,
//! which takes its old leases back at once.

use crate::gauges;
use crate::service::{Service, now};
use crate::store::{Claim, DueLane, StoreError, Stored, Tx};
use aid_aid1::body::{Body as _, ProfileStatuses, RequestActivationCode, SendCsimStatus};
use aid_aid1::client::{self, Activation, CallError, MspClient};
use aid_aid1::deviation::Deviation;
use aid_aid1::error_code::ErrorCode;
use aid_cli::signal::Stop;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::call::{CLAIM, RENEW, longest_wait, pause, pause_after_silence};
use aid_cmp_core::decide::code::Answer;
use aid_cmp_core::decide::question::Question;
use aid_cmp_core::decide::sync::Listing;
use aid_cmp_core::decide::{Context, Decision};
use aid_cmp_core::model::{Call, CallKind, CallState};
use aid_id::Id;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Within this time an MSP may answer with a code (R-7.7.1-3).
const SYNCHRONOUS: Duration = Duration::from_secs(3);
/// Calls of one kind to one MSP at once.
const PARALLEL: usize = 8;
/// Failures one after the other after which an MSP counts as down.
const DOWN: u32 = 3;
/// First and longest pause before an MSP that is down is tried again, ms. It doubles from one to the other.
const DOWN_PAUSE: (u64, u64) = (1000, 15_000);
/// How long a stop waits for the calls that are being made.
const GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks for calls that are due, ms: another process, such as a command, may have added one.
const LOOK: u64 = 1000;
/// Pause between two claims that no look asks for, ms. A look trusts the stored times; a claim recognises those that a
/// wrong clock put too far away.
const CLAIM_ANYWAY: u64 = 5000;
/// Name of the one instance that works on an SQLite file.
const ALONE: &str = "aid-cmp";

/// What a call's result means.
enum Done {
    Yes(Option<Answer>),
    Listed(Question, Listing),
    Again {
        /// What went wrong, for the log and the operator.
        error: String,
        /// How long the MSP wants us to wait, ms.
        wait: u64,
        /// Other calls would fail too.
        is_away: bool,
    },
    /// A request for a code was not answered in time; why.
    Silent(String),
    Never(String),
}

/// A call that is worth repeating.
fn again(kind: CallKind, error: &CallError) -> Done {
    let longest = longest_wait(kind);
    let wait = error.retry_after(Duration::from_millis(longest));
    let wait = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(longest));
    match (kind, error) {
        // The code may be on its way: the MSP is not pressed.
        (CallKind::Code, CallError::Timeout { .. }) => Done::Silent(error.to_string()),
        _ => Done::Again {
            error: error.to_string(),
            wait,
            is_away: is_away(error),
        },
    }
}

/// Whether a failure says that the MSP is away or overloaded, and not something about this one call.
fn is_away(error: &CallError) -> bool {
    match error {
        CallError::Connect { .. } | CallError::Timeout { .. } | CallError::Broken { .. } => true,
        CallError::Refused { status, .. } => matches!(status.as_u16(), 429 | 502..=504),
        CallError::Contract { .. } | CallError::Settings(_) => false,
    }
}

/// Runs until the stop.
pub async fn run(service: Arc<Service>, stop: Stop) {
    let mut outbox = Outbox {
        who: match service.store.is_shared() {
            true => Uuid::new_v4().to_string(),
            false => ALONE.to_owned(),
        },
        running: JoinSet::new(),
        lanes: BTreeMap::new(),
        msps: BTreeMap::new(),
        renewed_at: now(),
        service,
    };
    let stopped = stop.wait();
    tokio::pin!(stopped);
    loop {
        outbox.renew().await;
        let wait = outbox.look().await;
        tokio::select! {
            () = &mut stopped => break,
            () = outbox.service.due.notified() => {}
            Some(made) = outbox.running.join_next() => outbox.made(made.ok()),
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
        }
    }
    outbox.end().await;
}

/// The calls of one kind to one MSP.
type LaneOf = (String, CallKind);

/// What is being made.
struct Outbox {
    service: Arc<Service>,
    /// To whom calls are leased.
    who: String,
    running: JoinSet<Made>,
    lanes: BTreeMap<LaneOf, Lane>,
    msps: BTreeMap<String, Reached>,
    /// When the leases were renewed last, Unix milliseconds.
    renewed_at: u64,
}

/// Where the calls of one kind to one MSP are.
#[derive(Debug, Default)]
struct Lane {
    /// Those that run.
    busy: BTreeSet<Id>,
    /// When calls were claimed last, Unix milliseconds. None: what is claimed already has to be looked for, because an
    /// earlier process has left it, or because there is room for it now.
    claimed_at: Option<u64>,
}

/// Whether an MSP answers.
#[derive(Debug, Default)]
struct Reached {
    /// Calls one after the other to which the MSP was away.
    failures: u32,
    /// Before that it is not tried again.
    next: Option<Instant>,
}

impl Reached {
    fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// Notes how a call ended.
    fn note(&mut self, answered: bool) {
        if answered {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.is_down() {
            let (first, longest) = DOWN_PAUSE;
            let doubled = first << (self.failures - DOWN).min(8);
            self.next = Some(Instant::now() + Duration::from_millis(doubled.min(longest)));
        }
    }
}

/// A call that was made.
struct Made {
    lane: LaneOf,
    id: Id,
    /// Whether the MSP is there; none where the result was not stored.
    answered: Option<bool>,
}

impl Outbox {
    /// Claims calls that are due, and begins to make them; yields when to look again, in ms.
    async fn look(&mut self) -> u64 {
        let at = now();
        let lanes = self
            .service
            .store
            .read(async move |tx| tx.due_lanes(at).await);
        let lanes = match lanes.await {
            Ok(lanes) => lanes,
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read");
                return LOOK;
            }
        };
        let mut wait = LOOK;
        for DueLane { msp, kind, next } in lanes {
            let of = (msp, kind);
            let free = match self.free(&of) {
                Ok(free) => free,
                Err(until) => {
                    wait = wait.min(until);
                    continue;
                }
            };
            let claimed_at = self.lanes.get(&of).and_then(|lane| lane.claimed_at);
            let lately = claimed_at.is_some_and(|claimed| claimed.abs_diff(at) < CLAIM_ANYWAY);
            let is_due = next.is_some_and(|next| next <= at);
            // Where nothing can be claimed, such as on a full disk, it is tried again later.
            let claimed = (lately && !is_due) || self.claim(of, at, free).await;
            if let (true, Some(next)) = (claimed, next) {
                wait = wait.min(next.saturating_sub(at).max(20));
            }
        }
        wait
    }

    /// How many calls of a lane may be begun; otherwise when to ask again, in ms.
    fn free(&self, of: &LaneOf) -> Result<usize, u64> {
        let busy = |lane: &Lane| lane.busy.len();
        let (msp, kind) = of;
        if *kind != CallKind::Code
            && let Some(reached) = self.msps.get(msp).filter(|reached| reached.is_down())
        {
            let others = self.lanes.iter();
            let others = others.filter(|((of, kind), _)| of == msp && *kind != CallKind::Code);
            let left = reached
                .next
                .map(|next| next.saturating_duration_since(Instant::now()));
            let left = left.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(LOOK));
            return match others.map(|(_, lane)| busy(lane)).sum::<usize>() {
                0 if left == 0 => Ok(1),
                0 => Err(left),
                _ => Err(LOOK),
            };
        }
        match PARALLEL.saturating_sub(self.lanes.get(of).map_or(0, busy)) {
            0 => Err(LOOK),
            free => Ok(free),
        }
    }

    /// Claims calls of a lane and begins to make so many; false where the database failed.
    async fn claim(&mut self, of: LaneOf, at: u64, free: usize) -> bool {
        let lane = self.lanes.entry(of.clone()).or_default();
        lane.claimed_at = Some(at);
        // Those that run are among them: their lease gets longer.
        let limit = u32::try_from(lane.busy.len().saturating_add(free)).unwrap_or(u32::MAX);
        let claimed = self.service.store.claim(Claim {
            who: self.who.clone(),
            msp: of.0.clone(),
            kind: of.1,
            now: at,
            until: at.saturating_add(CLAIM),
            limit,
        });
        let claimed = match claimed.await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read");
                return false;
            }
        };
        let busy = &mut lane.busy;
        let due = claimed.into_iter().filter(|call| !busy.contains(&call.id));
        for call in due.take(free).collect::<Vec<_>>() {
            busy.insert(call.id);
            let (service, lane) = (Arc::clone(&self.service), of.clone());
            self.running.spawn(async move {
                let id = call.id;
                let made = make(&service, call).await;
                if let Err(error) = &made {
                    tracing::error!(%error, "the result of a call was not stored; it is made again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                let answered = made.ok();
                Made { lane, id, answered }
            });
        }
        true
    }

    /// Makes the leases of the calls that run last longer, from time to time. Where that fails, another instance may make
    /// the same call, which its `CMP-request-id` makes harmless.
    async fn renew(&mut self) {
        let at = now();
        if self.renewed_at.abs_diff(at) < RENEW || !self.service.store.is_shared() {
            return;
        }
        self.renewed_at = at;
        if self.lanes.values().all(|lane| lane.busy.is_empty()) {
            return;
        }
        let until = at.saturating_add(CLAIM);
        if let Err(error) = self.service.store.renew(self.who.clone(), until).await {
            tracing::warn!(%error, "the leases of calls to MSPs were not renewed");
        }
    }

    /// A call has ended; which, is not known after a panic: all are looked at again.
    fn made(&mut self, made: Option<Made>) {
        let Some(Made { lane, id, answered }) = made else {
            self.lanes.clear();
            return;
        };
        if let Some(answered) = answered {
            self.msps.entry(lane.0.clone()).or_default().note(answered);
        }
        let lane = self.lanes.entry(lane).or_default();
        lane.busy.remove(&id);
        lane.claimed_at = None;
    }

    /// Waits a little for the calls that run: what an MSP is answering now need not be asked again. The rest is free
    /// for others.
    async fn end(mut self) {
        let rest = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            self.running.shutdown().await;
        }
        if let Err(error) = self.service.store.release(self.who).await {
            tracing::warn!(%error, "calls to MSPs wait for the end of their lease");
        }
    }
}

/// Stores what came of a call.
async fn ended(service: &Arc<Service>, change: Change) -> Stored<()> {
    let ended = async move |_: &Service, _: &Tx<'_>, _: &Context| {
        let decision = Decision {
            changes: vec![change.clone()],
            ..Decision::default()
        };
        Ok((decision, ()))
    };
    service.decide(ended).await
}

/// Makes one call and stores what came of it; yields whether the MSP is there.
async fn make(service: &Arc<Service>, call: Call) -> Result<bool, StoreError> {
    let Some(msp) = service.msp(&call.msp) else {
        let text = format!("no [[msp]] is called {:?} any more", call.msp);
        ended(service, Change::GiveUpCall(call.id, now(), text)).await?;
        return Ok(true);
    };
    let begin = Instant::now();
    let mut done = send(&msp.client, &call).await;
    let took = begin.elapsed();
    let mut late = None;
    if took > SYNCHRONOUS && matches!(done, Done::Yes(Some(Answer::Code { .. }))) {
        msp.deviations.note(Deviation::LateAnswer);
        late = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
    if let Done::Yes(Some(Answer::Code { code, .. })) = &done
        && let Err(error) = service.check_smdp(code).await
    {
        done = Done::Yes(Some(Answer::Failed {
            code: ErrorCode::ActivationCodeFormat.number(),
            reason: format!("the MSP's activation code can't be used: {error}"),
        }));
    }
    let (id, kind, msp) = (Uuid::from_bytes(call.id), call.kind.as_str(), &call.msp);
    let result = match &done {
        Done::Yes(_) | Done::Listed(..) => "answered",
        Done::Again { .. } | Done::Silent(_) => "again",
        Done::Never(_) => "dead",
    };
    gauges::called(kind, result);
    let answered = !matches!(done, Done::Again { is_away: true, .. } | Done::Silent(_));
    match done {
        Done::Yes(Some(answer)) => service.called(call.id, answer, late).await?,
        Done::Listed(question, listing) => service.listed(&call, &question, listing).await?,
        Done::Yes(None) => {
            let closed = Change::CloseCall(call.id, CallState::Done, now());
            ended(service, closed).await?;
        }
        Done::Again { .. } | Done::Silent(_) => {
            let attempts = call.attempts.saturating_add(1);
            let draw = Uuid::new_v4().as_u64_pair().1;
            let at = now();
            let (error, pause) = match done {
                Done::Again { error, wait, .. } => (error, pause(attempts, draw).max(wait)),
                Done::Silent(error) => (error, pause_after_silence(attempts, draw)),
                _ => return Ok(answered),
            };
            let next_at = at.saturating_add(pause);
            tracing::warn!(%id, kind, %msp, attempts, %error, "a call failed; it is made again");
            if call.kind == CallKind::Code && attempts == 1 {
                service.delayed(call.id).await?;
            }
            let retry = Change::RetryCall {
                id: call.id,
                attempts,
                at,
                next_at,
                error,
            };
            ended(service, retry).await?;
        }
        Done::Never(error) => {
            tracing::error!(%id, kind, %msp, %error, "a call is given up; see the outbox");
            ended(service, Change::GiveUpCall(call.id, now(), error)).await?;
        }
    }
    Ok(answered)
}

async fn send(client: &MspClient, call: &Call) -> Done {
    let ids = client::Call {
        request_id: Uuid::from_bytes(call.id),
        correlation_id: Uuid::from_bytes(call.correlation),
    };
    let damaged = || Done::Never("the stored call can't be read".into());
    match call.kind {
        CallKind::Code => {
            let Ok(body) = RequestActivationCode::parse(call.body.as_bytes()) else {
                return damaged();
            };
            match client.request_activation_code(ids, call.token, &body).await {
                Ok(Activation::Now(answer)) => Done::Yes(Some(Answer::Code {
                    code: answer.activation_code,
                    iccid: answer.iccid,
                    swapped: answer.swapped_iccid,
                })),
                Ok(Activation::Later) => Done::Yes(Some(Answer::Later)),
                Err(error) if error.is_transient() => again(call.kind, &error),
                Err(error) => Done::Yes(Some(refusal(&error))),
            }
        }
        CallKind::Status => {
            let Ok(body) = SendCsimStatus::parse(call.body.as_bytes()) else {
                return damaged();
            };
            finish(
                call.kind,
                client.send_csim_status(ids, call.token, &body).await,
            )
        }
        CallKind::Query => {
            let Some(question) = Question::from_text(&call.body) else {
                return damaged();
            };
            let answer = client
                .request_profile_status(ids, call.token, question.iccid())
                .await;
            match listing(answer, question.iccid().is_some()) {
                Ok(listing) => Done::Listed(question, listing),
                Err(error) => match finish(call.kind, Err(error)) {
                    Done::Yes(_) => damaged(),
                    other => other,
                },
            }
        }
        CallKind::Invalidate => {
            let done = client.request_invalidate(ids, call.token).await;
            // R-7.9-4: a token that the MSP does not have any more is as good as ended. A 404 that is not the MSP's
            // own says nothing of it.
            let gone = |e: &CallError| {
                !e.is_transient() && e.refusal().is_some_and(|(status, _)| status == 404)
            };
            match done {
                Err(error) if gone(&error) => Done::Yes(None),
                other => finish(call.kind, other),
            }
        }
    }
}

/// What an answer to Request Profile Status says; a clear refusal with 404 is an answer too (R-7.10-6).
///
/// # Errors
/// Any other refusal, and calls that were not answered.
pub fn listing(
    answer: Result<ProfileStatuses, CallError>,
    one_profile: bool,
) -> Result<Listing, CallError> {
    let error = match answer {
        Ok(list) => {
            let pairs = list.profiles.into_iter().map(|p| (p.iccid, p.status));
            return Ok(Listing::Profiles(pairs.collect()));
        }
        Err(error) => error,
    };
    let Some((status, body)) = error.refusal() else {
        return Err(error);
    };
    if status != 404 || error.is_transient() {
        return Err(error);
    }
    let profile = ErrorCode::ProfileNotFound.number().to_string();
    let names_profile = body.is_some_and(|b| b.code == profile);
    Ok(if one_profile && names_profile {
        Listing::NoSuchProfile
    } else {
        Listing::NoSuchUser
    })
}

/// A call without an answer's body: done, worth repeating, or refused for good.
fn finish(kind: CallKind, result: Result<(), CallError>) -> Done {
    match result {
        Ok(()) => Done::Yes(None),
        Err(error) if error.is_transient() => again(kind, &error),
        Err(error) => Done::Never(error.to_string()),
    }
}

/// A refused request as the car hears of it.
fn refusal(error: &CallError) -> Answer {
    match error.refusal().and_then(|(_, body)| body) {
        Some(body) => Answer::Failed {
            code: body.code.parse().unwrap_or_default(),
            reason: body.error.clone(),
        },
        None => Answer::Failed {
            code: ErrorCode::ActivationCodeOther.number(),
            reason: "the MSP refused".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One failure is no outage, and one answer ends it.
    #[test]
    fn an_msp_is_down_after_failures_in_a_row_and_until_it_answers() {
        let mut msp = Reached::default();
        for _ in 1..DOWN {
            msp.note(false);
            assert!(!msp.is_down());
        }
        msp.note(true);
        for _ in 1..DOWN {
            msp.note(false);
        }
        assert!(!msp.is_down());
        let mut pauses = Vec::new();
        for _ in 0..100 {
            let before = Instant::now();
            msp.note(false);
            assert!(msp.is_down());
            pauses.push(msp.next.map(|next| next - before).unwrap_or_default());
        }
        let (first, longest) = DOWN_PAUSE;
        let near = |pause: Duration, ms: u64| pause.as_millis().abs_diff(u128::from(ms)) < 500;
        assert!(near(pauses[0], first), "{pauses:?}");
        assert!(near(pauses[1], 2 * first), "{pauses:?}");
        assert!(near(pauses[99], longest), "{pauses:?}");
        msp.note(true);
        assert!(!msp.is_down() && msp.next.is_none());
    }
}
