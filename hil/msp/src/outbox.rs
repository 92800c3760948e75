//! Works off the outbox: the calls to each CMP in a lane of their own, those to the SM-DP+ in another, so that one that is
//! slow or away holds up no other. One attempt at a time per job, again with growing pauses, dead once the other side has
//! refused. `send` makes one call.

mod send;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aid_aid1::account_id::verify;
use aid_cli::clock::Steadiness;
use aid_cli::signal::Stop;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::core::model::{Job, JobState, Kind, OutboxRow};
use crate::core::outbox::{Attempt, MAX_PAUSE, settle};
use crate::core::{Change, Decision};
use crate::es2::Es2Error;
use crate::msp::{Msp, now_ms};
use crate::store::{Lane, STORE_AGAIN, Stored, Tx};

pub(crate) use send::{call_of, deviated, send, token_job, token_job_body, unauthorized};

/// How often the database is looked at, for what the command line has put there.
const POLL: Duration = Duration::from_secs(1);
/// How long answers are kept for repeated requests, ms: a day.
const KEEP_ANSWERS: i64 = 24 * 3600 * 1000;
/// How often older ones are forgotten, a limited number at a time.
const TIDY: Duration = Duration::from_secs(10);
/// Jobs of a lane that are read at once.
const BATCH: i64 = 32;

/// Runs until stopped.
pub(crate) async fn run(msp: Msp, stop: Stop) {
    tokio::select! {
        () = work(&msp) => {}
        () = stop.wait() => {}
    }
}

async fn work(msp: &Msp) {
    let start = Instant::now();
    let wall = || now_ms().unsigned_abs();
    let mut clock = Steadiness::new(wall(), start.elapsed());
    let mut tidied: Option<Instant> = None;
    let mut busy = BTreeSet::new();
    let mut running = JoinSet::new();
    loop {
        let steady = clock.look(wall(), start.elapsed());
        if steady && tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            tidied = Some(Instant::now());
            tidy(msp).await;
        }
        match due_lanes(msp).await {
            Ok(lanes) => {
                for lane in lanes {
                    if busy.insert(lane.clone()) {
                        running.spawn(drive(msp.clone(), lane));
                    }
                }
            }
            Err(error) => tracing::error!(%error, "outbox"),
        }
        tokio::select! {
            Some(done) = running.join_next() => match done {
                Ok(lane) => {
                    busy.remove(&lane);
                }
                Err(error) => tracing::error!(%error, "outbox"),
            },
            // Either somebody says that there is work, or it is time to look.
            _ = timeout(POLL, msp.outbox.notified()) => {}
        }
    }
}

async fn tidy(msp: &Msp) {
    let before = now_ms() - KEEP_ANSWERS;
    let forgotten = Decision::of(vec![Change::AnswersForgotten { before }], ());
    if let Err(error) = msp.store.put(forgotten).await {
        tracing::error!(%error, "old answers");
    }
}

/// The latest time at which a job is due again, unless the clock was wrong when it was put off.
fn latest(now: i64) -> i64 {
    now.saturating_add(2 * MAX_PAUSE)
}

async fn due_lanes(msp: &Msp) -> Stored<Vec<Lane>> {
    let now = now_ms();
    let due = async move |tx: Tx<'_>| tx.due_lanes(now, latest(now)).await;
    msp.store.read(due).await
}

/// Works off what is due in a lane; yields the lane, so that it can be worked off again.
async fn drive(msp: Msp, lane: Lane) -> Lane {
    // A task of its own: a lane whose worker has panicked is worked off all the same.
    let (shared, of_task) = (msp.clone(), lane.clone());
    let worked = tokio::spawn(async move { work_off(&shared, &of_task).await });
    match worked.await {
        Ok(Ok(())) => return lane,
        Ok(Err(error)) => tracing::error!(%error, ?lane, "outbox"),
        Err(error) => tracing::error!(%error, ?lane, "outbox"),
    }
    tokio::time::sleep(STORE_AGAIN).await;
    lane
}

async fn work_off(msp: &Msp, lane: &Lane) -> Stored<()> {
    loop {
        let (now, lane) = (now_ms(), lane.clone());
        let due = async move |tx: Tx<'_>| tx.due_jobs(&lane, now, latest(now), BATCH).await;
        let rows = msp.store.read(due).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            // It may have been withdrawn since it was read.
            let id = row.id;
            let current = msp.store.read(async move |tx| tx.job(id).await).await?;
            if current.is_some_and(|row| row.state == JobState::Waiting) {
                one(msp, &row).await?;
            }
        }
    }
}

/// One attempt of one job, and what becomes of it.
async fn one(msp: &Msp, row: &OutboxRow) -> Stored<()> {
    let (kind, client) = (row.job.kind.as_str(), &row.job.client_id);
    let attempt = attempt(msp, &row.job).await;
    match &attempt {
        Attempt::Sent => tracing::info!(kind, %client, "sent"),
        Attempt::Later { reason, .. } => {
            let attempts = row.attempts + 1;
            tracing::warn!(kind, %client, attempts, "will be sent again: {reason}");
        }
        Attempt::Refused { reason, .. } => {
            tracing::error!(kind, %client, "cannot be sent: {reason}");
        }
    }
    store(msp, row.job.request_id, attempt).await
}

/// Stores how an attempt ended, for the job and for what it was about.
///
/// # Errors
/// The database fails: the job will be sent again, with the same id.
pub(crate) async fn store(msp: &Msp, request_id: Uuid, attempt: Attempt) -> Stored<()> {
    let settled = msp.store.decide(async move |tx| {
        let row = tx.job_of_call(request_id).await?;
        let refused = matches!(attempt, Attempt::Refused { .. });
        let view = tx.job_view(row, refused).await?;
        let random = Uuid::new_v4().as_bytes()[0];
        let ids = &mut Uuid::new_v4;
        Ok(settle(&view, &attempt, random, ids, now_ms()))
    });
    settled.await.map(|_| ())
}

/// Makes the call of a job once.
pub(crate) async fn attempt(msp: &Msp, job: &Job) -> Attempt {
    if job.kind == Kind::CancelOrder {
        let agreed = msp.agreed();
        let (iccid, eid) = job.to_cancel();
        let done = agreed.es2.cancel_order(job.request_id, iccid, eid).await;
        return match done {
            Ok(()) => Attempt::Sent,
            Err(error @ Es2Error::Unreachable { .. }) => Attempt::later(error.to_string()),
            Err(error @ Es2Error::Refused { .. }) => Attempt::refused(error.to_string()),
        };
    }
    let Some(cmp) = msp.cmp(&job.client_id) else {
        let gone = format!("{} is not in the configuration any more", job.client_id);
        return Attempt::refused(gone);
    };
    if job.kind == Kind::SendMspToken {
        // Worth repeating as long as the account id lives.
        let id = token_job(job).map_or("", |(id, _)| id);
        let now = u64::try_from(now_ms() / 1000).unwrap_or_default();
        if verify(id, &cmp.secrets, &cmp.policy, now).is_err() {
            return Attempt::refused("the account id has expired");
        }
    }
    match &msp.layer {
        Some(layer) => layer.send(msp, &cmp, job).await,
        None => send(&cmp, job).await,
    }
}
