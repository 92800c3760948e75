//! What is done without anybody asking. Each kind of work has a task of its own, so that what takes long, such as the
//! removal of old rows, holds up no deadline.

use crate::gauges;
use crate::service::{Purged, Service, now};
use crate::store::{AuditFilter, Kept, Stored, Tx};
use aid_cli::clock::Steadiness;
use aid_cli::signal::Stop;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Pause between looks for what has a deadline, and for what another process or instance has added.
const TICK: Duration = Duration::from_secs(1);
/// Pause between looks for what has none.
const SLOW: Duration = Duration::from_secs(10);
/// Pause between two rounds through everything that may be removed.
const ROUND: Duration = Duration::from_secs(3600);
/// A count of all that is to be done may take one part in so many of the time.
const COUNT_SHARE: u32 = 100;

/// Starts all of it.
pub(super) fn start(service: &Arc<Service>, stop: &Stop) -> Vec<JoinHandle<()>> {
    let of = || (Arc::clone(service), stop.clone());
    let (barring, reminding, expiring, noting) = (of(), of(), of(), of());
    let (counting, asking, removing, attending) = (of(), of(), of(), of());
    let locking = of();
    vec![
        tokio::spawn(attend(attending.0, attending.1)),
        tokio::spawn(watch_locks(locking.0, locking.1)),
        tokio::spawn(cut_off(barring.0, barring.1)),
        tokio::spawn(remind(reminding.0, reminding.1)),
        tokio::spawn(expire(expiring.0, expiring.1)),
        tokio::spawn(note(noting.0, noting.1)),
        tokio::spawn(count(counting.0, counting.1)),
        tokio::spawn(synchronise(asking.0, asking.1)),
        tokio::spawn(remove(removing.0, removing.1)),
    ]
}

/// Waits; false: the program stops.
async fn pause(stop: &Stop, pause: Duration) -> bool {
    tokio::time::timeout(pause, stop.clone().wait())
        .await
        .is_err()
}

/// Logs a failure; what failed is done again at the next look.
fn done<T>(what: &str, result: Stored<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::error!(%error, "the store failed: {what}"))
        .ok()
}

/// Says whether the wall clock can be believed.
struct Clock {
    start: Instant,
    steadiness: Steadiness,
}

impl Clock {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            steadiness: Steadiness::new(now(), start.elapsed()),
        }
    }

    fn is_steady(&mut self) -> bool {
        self.steadiness.look(now(), self.start.elapsed())
    }
}

/// Since when something may be new: another process's commit may take its time. At the start no car is connected; one that
/// connects is judged then, and gets what waited for it.
fn news(since: u64) -> u64 {
    since.saturating_sub(60_000)
}

/// Cuts off cars that were barred. Nothing else is done here, so that nothing else holds it up.
async fn cut_off(service: Arc<Service>, stop: Stop) {
    let mut since = news(now());
    while pause(&stop, TICK).await {
        let begin = now();
        // What failed is looked at again from the same time on.
        if done("cars that are cut off", service.cut_off(since).await).is_some() {
            since = news(begin);
        }
    }
}

/// Sends connected cars what waits for them.
async fn remind(service: Arc<Service>, stop: Stop) {
    let mut since = news(now());
    while pause(&stop, TICK).await {
        let begin = now();
        if done("reminders", service.remind(since).await).is_some() {
            since = news(begin);
        }
        done("login codes", service.follow_codes().await);
    }
}

/// Ends what has a deadline.
async fn expire(service: Arc<Service>, stop: Stop) {
    let mut clock = Clock::new();
    while pause(&stop, TICK).await {
        // What a clock that has just jumped says is over, may not be.
        if clock.is_steady() {
            done("requests that end", service.expire().await);
        }
    }
}

/// Stores which cars are connected.
async fn attend(service: Arc<Service>, stop: Stop) {
    while pause(&stop, TICK).await {
        done("connections of cars", service.attend(now()).await);
    }
}

/// Stores what partners did otherwise than the specification has it.
async fn note(service: Arc<Service>, stop: Stop) {
    while pause(&stop, TICK).await {
        done("deviations", service.note_deviations().await);
    }
}

/// Counts what is to be done, for the metrics: seldom where that takes long.
async fn count(service: Arc<Service>, stop: Stop) {
    let mut wait = TICK;
    while pause(&stop, wait).await {
        let began = Instant::now();
        let counts = service
            .store
            .read(async |tx| Ok((tx.work().await?, tx.unheard_count().await?)))
            .await;
        if let Some((work, waiting)) = done("counts", counts) {
            gauges::show(&work, now());
            gauges::waiting(waiting);
        }
        wait = SLOW.max(began.elapsed() * COUNT_SHARE);
    }
}

/// Entries of the audit trail that are read at once.
const AUDITS: u32 = 500;

/// Tells log and metrics of accounts that were locked or unlocked, through whichever instance or command.
async fn watch_locks(service: Arc<Service>, stop: Stop) {
    let filter = AuditFilter {
        since: now(),
        ..AuditFilter::default()
    };
    let mut after = None;
    while pause(&stop, SLOW).await {
        let filter = filter.clone();
        let read = async move |tx: &Tx<'_>| tx.audits(&filter, after, AUDITS).await;
        let Some(audits) = done("the audit trail", service.store.read(read).await) else {
            continue;
        };
        for (position, audit) in audits {
            after = Some((audit.at, position));
            match audit.action.as_ref() {
                "account locked" => gauges::locks("locked"),
                "user unlocked" => {
                    gauges::locks("unlocked");
                    let (by, who, why) = (&audit.actor, &audit.detail, &audit.reason);
                    tracing::warn!(%by, %who, why, "a user was unlocked");
                }
                _ => {}
            }
        }
    }
}

/// Asks the MSPs which profiles they have.
async fn synchronise(service: Arc<Service>, stop: Stop) {
    let mut wait = TICK;
    while pause(&stop, wait).await {
        done("synchronisation", service.synchronise().await);
        wait = SLOW;
    }
}

/// Removes what is of no more use, a part at each look, and begins a round an hour after the last has ended.
async fn remove(service: Arc<Service>, stop: Stop) {
    let mut clock = Clock::new();
    let (mut kept, mut purged) = (Kept::default(), Purged::default());
    let mut next = Instant::now();
    let mut wait = TICK;
    while pause(&stop, wait).await {
        wait = SLOW;
        // Looked at all the time, so that a jump is noticed.
        let steady = clock.is_steady();
        if !steady || Instant::now() < next {
            continue;
        }
        let more = (
            done("old rows", service.prune(&mut kept).await),
            done("ended links", service.purge(&mut purged).await),
        );
        if more == (Some(false), Some(false)) {
            next = Instant::now() + ROUND;
        }
    }
}
