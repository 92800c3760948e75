//! What is done now and then: parties that have changed are read again, the meter is stored, what is old goes, calls of an
//! instance that died are taken over, and gauges are set.

use std::time::{Duration, Instant};

use aid_cli::clock::Steadiness;
use aid_cli::signal::Stop;
use aid_serve::metrics::Gauge;

use crate::hub::{Hub, day, now_ms};
use crate::store::{CallState, Retention, Stored};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between two removals of what is old.
const TIDY: Duration = Duration::from_secs(10);
/// Longest share of the time in which undelivered calls are counted: one part in so many.
const COUNT_SHARE: u32 = 50;
/// Most calls that a gauge counts.
const COUNTED: i64 = 10_000;
/// Most rounds of removals at a time: ten thousand calls, twice what comes at 500 calls a second.
const ROUNDS: usize = 50;
const DAY: i64 = 86_400_000;

static WAITING: Gauge = Gauge::new(
    "aid_hub_waiting",
    "Calls that were accepted and are to be delivered; counted to 10000",
);
static DEAD: Gauge = Gauge::new(
    "aid_hub_dead",
    "Calls that the hub has given up: replay or drop them; counted to 10000",
);

/// Runs until stopped; stores then what was counted last.
pub(crate) async fn run(hub: Hub, stop: Stop) {
    let start = Instant::now();
    let wall = || now_ms().unsigned_abs();
    let mut clock = Steadiness::new(wall(), start.elapsed());
    let mut tidied: Option<Instant> = None;
    let mut count_at = start;
    let stopped = stop.wait();
    tokio::pin!(stopped);
    loop {
        if let Err(error) = hub.follow().await {
            tracing::error!(%error, "the changed parties are not used; what was in force stays so");
        }
        hub.flush().await;
        hub.flights.sweep(Instant::now());
        if Instant::now() >= count_at {
            let began = Instant::now();
            if let Err(error) = count_backlog(&hub).await {
                tracing::error!(%error, "the undelivered calls were not counted; what was counted last holds");
            }
            count_at = Instant::now() + began.elapsed() * COUNT_SHARE;
        }
        let steady = clock.look(wall(), start.elapsed());
        if tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            tidied = Some(Instant::now());
            if let Err(error) = tidy(&hub, steady).await {
                tracing::error!(%error, "what is old was not removed");
            }
        }
        tokio::select! {
            () = &mut stopped => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    hub.flush().await;
}

/// Counts what each pair has that is not delivered.
///
/// # Errors
/// The database failed.
pub(crate) async fn count_backlog(hub: &Hub) -> Stored<()> {
    hub.backlog.count_begins();
    hub.backlog.counted(hub.store.undelivered().await?);
    Ok(())
}

async fn tidy(hub: &Hub, steady: bool) -> Stored<()> {
    let now = now_ms();
    if hub.store.adopt(now, now).await? > 0 {
        hub.due.notify_one();
    }
    let waiting = hub.store.count_calls(CallState::Waiting, COUNTED).await?;
    let queued = hub.store.count_calls(CallState::Queued, COUNTED).await?;
    WAITING.set(&[], waiting + queued);
    DEAD.set(&[], hub.store.count_calls(CallState::Dead, COUNTED).await?);
    // A clock that jumped makes everything old in an instant; it is mostly right again soon.
    if steady {
        let kept = hub.retention;
        let before = |days: u16| now - i64::from(days) * DAY;
        let old = Retention {
            answers: before(kept.answers_days),
            letters: before(kept.letters_days),
            ended_tokens: before(kept.ended_tokens_days),
            pending_tokens: before(1),
            audit: before(kept.audit_days),
            meter_day: day(before(kept.meter_days)),
        };
        let mut gone = 0;
        for _ in 0..ROUNDS {
            let batch = hub.store.prune(old.clone()).await?;
            if batch == 0 {
                break;
            }
            gone += batch;
        }
        if gone > 0 {
            hub.store.empty_log().await?;
        }
    }
    Ok(())
}

/// What an instance finds at its start: undelivered calls, which it counts. Where it is the only one, calls that were being
/// answered when it ended are nobody's any more.
///
/// # Errors
/// The database failed.
pub(crate) async fn resume(hub: &Hub) -> Stored<()> {
    count_backlog(hub).await?;
    if hub.store.is_shared() {
        return Ok(());
    }
    let now = now_ms();
    hub.store.release(now).await?;
    while hub.store.adopt(i64::MAX, now).await? > 0 {}
    Ok(())
}
