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

mod reached;
mod running;
mod send;

use crate::service::{Service, now};
use crate::store::{Claim, DueLane};
use aid_cli::signal::Stop;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::call::{CLAIM, RENEW, pause};
use aid_cmp_core::model::{Call, CallKind};
use aid_id::Id;
use reached::Reached;
use running::{End, Made, Running};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub use send::listing;

/// Calls of one kind to one MSP at once.
const PARALLEL: usize = 8;
/// How long a stop waits for the calls that are being made.
const GRACE: Duration = Duration::from_secs(5);

/// Pause between two looks for calls that are due, ms: another process, such as a command, may have added one.
const LOOK: u64 = 1000;
/// Pause between two claims that no look asks for, ms. A look trusts the stored times; a claim recognises those that a
/// wrong clock put too far away.
const CLAIM_ANYWAY: u64 = 5000;
/// Name of the one instance that works on an SQLite file.
const ALONE: &str = "aid-cmp";

/// Runs until the stop.
pub async fn run(service: Arc<Service>, stop: Stop) {
    let mut outbox = Outbox {
        who: match service.store.is_shared() {
            true => Uuid::new_v4().to_string(),
            false => ALONE.to_owned(),
        },
        running: Running::default(),
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
            Some(made) = outbox.running.next() => outbox.made(made).await,
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
    running: Running,
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
            let (service, made) = (Arc::clone(&self.service), call.clone());
            self.running.begin(of.clone(), call, async move {
                match send::make(&service, made).await {
                    Ok(answered) => End::Stored(answered),
                    Err(error) => {
                        tracing::error!(%error, "the result of a call was not stored; it is made again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        End::NotStored
                    }
                }
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

    /// A call has ended. One that panicked is put off like one that failed, and no other is touched.
    async fn made(&mut self, made: Made) {
        let Made { lane, call, end } = made;
        match end {
            End::Stored(answered) => self.msps.entry(lane.0.clone()).or_default().note(answered),
            End::NotStored => {}
            End::Panicked => self.put_off(&call).await,
        }
        let lane = self.lanes.entry(lane).or_default();
        lane.busy.remove(&call.id);
        lane.claimed_at = None;
    }

    async fn put_off(&self, call: &Call) {
        let (id, kind, msp) = (Uuid::from_bytes(call.id), call.kind.as_str(), &call.msp);
        tracing::error!(%id, kind, %msp, "a call panicked; it is made again later");
        let (at, attempts) = (now(), call.attempts.saturating_add(1));
        let draw = Uuid::new_v4().as_u64_pair().1;
        let retry = Change::RetryCall {
            id: call.id,
            attempts,
            at,
            next_at: at.saturating_add(pause(attempts, draw)),
            error: "aid-cmp itself failed; its log has the details".into(),
        };
        if let Err(error) = send::ended(&self.service, retry).await {
            tracing::error!(%id, %error, "a call that panicked was not put off");
        }
    }

    /// Waits a little for the calls that run: what an MSP is answering now need not be asked again. The rest is free
    /// for others.
    async fn end(mut self) {
        let rest = async { while self.running.next().await.is_some() {} };
        if tokio::time::timeout(GRACE, rest).await.is_err() {
            self.running.shutdown().await;
        }
        if let Err(error) = self.service.store.release(self.who).await {
            tracing::warn!(%error, "calls to MSPs wait for the end of their lease");
        }
    }
}
