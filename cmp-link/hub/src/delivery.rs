//! Delivers what was accepted for targets that were away: each target has places of its own, so that one that is slow
//! or away holds up no other; the calls of one token go in their order; pauses grow, and what a target has refused for
//! good, or has not taken for too long, is a dead letter.

use std::collections::BTreeMap;
use std::time::Duration;

use aid_aid1::client::Carried;
use aid_aid1::headers::{Headers, PartyId};
use aid_cli::signal::Stop;
use aid_serve::metrics::Counter;
use axum::http::HeaderValue;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::token_end;
use crate::core::answer::Outcome;
use crate::core::delivery::Settled;
use crate::hub::{Hub, day, now_ms};
use crate::store::{CallRow, Due, Meter, MeterKey, Stored};

/// How often the database is looked at, for what other instances and the command line have put there.
const POLL: Duration = Duration::from_millis(500);
/// Pause after a failure of the database.
const STORE_AGAIN: Duration = Duration::from_secs(1);
/// After which time a call of a suspended pair is looked at again, ms.
const SUSPENDED: i64 = 15_000;

static DELIVERED: Counter = Counter::new(
    "aid_hub_deliveries",
    "Attempts to deliver kept calls, by target and result",
);

/// Runs until stopped.
pub(crate) async fn run(hub: Hub, stop: Stop) {
    tokio::select! {
        () = work(&hub) => {}
        () = stop.wait() => {}
    }
}

async fn work(hub: &Hub) {
    let mut running: JoinSet<PartyId> = JoinSet::new();
    let mut busy: BTreeMap<PartyId, usize> = BTreeMap::new();
    loop {
        if let Err(error) = start(hub, &mut running, &mut busy).await {
            tracing::error!(%error, "kept calls");
            tokio::time::sleep(STORE_AGAIN).await;
        }
        tokio::select! {
            Some(done) = running.join_next() => match done {
                Ok(target) => {
                    if let Some(count) = busy.get_mut(&target) {
                        *count = count.saturating_sub(1);
                    }
                }
                // Which target it was is not known: count anew.
                Err(error) => {
                    tracing::error!(%error, "kept calls");
                    running.shutdown().await;
                    busy.clear();
                }
            },
            // Either somebody says that there is work, or it is time to look.
            _ = timeout(POLL, hub.due.notified()) => {}
        }
    }
}

/// Begins as many deliveries as there are places.
async fn start(
    hub: &Hub,
    running: &mut JoinSet<PartyId>,
    busy: &mut BTreeMap<PartyId, usize>,
) -> Stored<()> {
    for target in hub.store.targets().await? {
        let count = busy.entry(target.clone()).or_default();
        let free = hub.places.saturating_sub(*count);
        if free == 0 {
            continue;
        }
        let now = now_ms();
        let longest = i64::try_from(hub.patience.longest.as_millis()).unwrap_or(i64::MAX);
        let due = Due {
            target: target.clone(),
            places: i64::try_from(free).unwrap_or(i64::MAX),
            now,
            latest: now.saturating_add(longest.saturating_mul(2)),
        };
        for call in hub.store.claim(due).await? {
            *count += 1;
            let hub = hub.clone();
            running.spawn(async move {
                let target = call.target.clone();
                let id = call.id;
                if let Err(error) = deliver(&hub, call).await {
                    tracing::error!(%error, id, "a delivery was not stored; it will be made again");
                }
                target
            });
        }
    }
    Ok(())
}

/// One attempt, and what becomes of the call.
async fn deliver(hub: &Hub, call: CallRow) -> Stored<()> {
    let network = hub.network();
    let Some(pair) = network.directory.pair(&call.pair) else {
        let reason = format!("the pair {} is gone", call.pair);
        return settled(hub, call, Settled::Dead, reason, None).await;
    };
    if !network.directory.is_open(&call.pair) {
        let again = Settled::Held(now_ms().saturating_add(SUSPENDED));
        let reason = format!("the pair {} is suspended", call.pair);
        return settled(hub, call, again, reason, None).await;
    }
    let sandbox = pair.state == crate::core::pair::PairState::Sandbox;
    let carried = Carried {
        operation: call.operation.contract(),
        headers: Headers {
            request_id: call.request_id,
            correlation_id: call.correlation_id,
            client_id: call.client_id.clone(),
            target_id: call.target_id.clone(),
        },
        path: call.path.clone(),
        kind: HeaderValue::from_str(&call.content_type)
            .ok()
            .filter(|kind| !kind.is_empty()),
        body: call.body.clone(),
        traceparent: None,
        limit: Some(hub.answer),
    };
    let outcome = network.carriers.carry(&call.target, sandbox, carried).await;
    let random = Uuid::new_v4().as_bytes()[0];
    let since = (call.attempts, call.since);
    let now = now_ms();
    let decided = hub
        .patience
        .settle(call.operation, &outcome, since, random, now);
    let reason = outcome.describe();
    let word = match &decided {
        Settled::Done => {
            tracing::info!(id = call.id, target = %call.target, "delivered");
            "done"
        }
        Settled::Again(_) | Settled::Held(_) => {
            tracing::warn!(id = call.id, target = %call.target, "will be delivered again: {reason}");
            "again"
        }
        Settled::Dead => {
            tracing::error!(id = call.id, target = %call.target, "given up: {reason}; see `aid-hub call show`");
            "dead"
        }
    };
    DELIVERED.add(&[("target", call.target.as_str()), ("result", word)]);
    let sandbox = Some(sandbox);
    settled_by(hub, call, decided, reason, sandbox, Some(&outcome)).await
}

async fn settled(
    hub: &Hub,
    call: CallRow,
    settled: Settled,
    reason: String,
    sandbox: Option<bool>,
) -> Stored<()> {
    settled_by(hub, call, settled, reason, sandbox, None).await
}

async fn settled_by(
    hub: &Hub,
    call: CallRow,
    settled: Settled,
    reason: String,
    sandbox: Option<bool>,
    outcome: Option<&Outcome>,
) -> Stored<()> {
    let now = now_ms();
    let key = MeterKey {
        day: day(now),
        pair: call.pair.clone(),
        sandbox: sandbox.unwrap_or_default(),
        operation: call.operation,
    };
    let done = settled == Settled::Done;
    let meter = match done {
        true => Meter::one(key, |counts| counts.delivered = 1),
        false => Meter::default(),
    };
    let token = match outcome.filter(|_| done) {
        Some(outcome) => token_end(call.operation, call.lane, outcome),
        None => crate::store::TokenEnd::Stays,
    };
    let next = call.lane.is_some() && !matches!(settled, Settled::Again(_) | Settled::Held(_));
    hub.store
        .settle(call, settled, reason, token, meter, now)
        .await?;
    if next {
        hub.due.notify_one();
    }
    Ok(())
}
