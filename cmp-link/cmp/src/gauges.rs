//! How much is to be done, as Prometheus gauges, and what became of calls to MSPs.

use crate::store::Work;
use aid_aid1::deviation::Deviation;
use aid_serve::metrics::{Counter, Gauge, Timer};
use std::time::Duration;

static OPEN_ORDERS: Gauge =
    Gauge::new("aid_cmp_open_orders", "Orders to vehicles without a result");
static OLDEST_ORDER: Gauge = Gauge::new(
    "aid_cmp_oldest_order_age_seconds",
    "Age of the oldest order without a result",
);
static DUE_CALLS: Gauge = Gauge::new("aid_cmp_due_calls", "Calls to MSPs that are due");
static DEAD_CALLS: Gauge = Gauge::new("aid_cmp_dead_calls", "Calls to MSPs that were given up");
static OLDEST_CALL: Gauge = Gauge::new(
    "aid_cmp_oldest_call_age_seconds",
    "Age of the oldest call to an MSP that is due",
);
static OPEN_REQUESTS: Gauge = Gauge::new(
    "aid_cmp_open_requests",
    "Requests for activation codes without a result",
);
static ONLINE: Gauge = Gauge::new(
    "aid_cmp_vehicles_online",
    "Vehicles that are connected through this instance",
);

/// So many vehicles are connected through this instance.
pub(crate) fn online(count: usize) {
    ONLINE.set(&[], i64::try_from(count).unwrap_or(i64::MAX));
}

static CALLS: Counter = Counter::new("aid_cmp_calls", "Calls to MSPs by kind and result");

/// What became of a call: `answered`, `again` or `dead`.
pub(crate) fn called(kind: &str, result: &str) {
    CALLS.add(&[("kind", kind), ("result", result)]);
}

static CALL_TIMES: Timer = Timer::new(
    "aid_cmp_msp_call_seconds",
    "Time until an MSP answered a call, by operation and MSP",
);

/// An MSP's answer to a call, or the end of the wait for it, took so long.
pub(crate) fn took(kind: &str, msp: &str, time: Duration) {
    CALL_TIMES.took(&[("operation", kind), ("msp", msp)], time);
}

static BROKER: Gauge = Gauge::new(
    "aid_cmp_broker_reached",
    "Whether the broker is reached and has taken the subscription: 1 or 0; absent without a broker",
);

/// Whether the broker is reached.
pub(crate) fn broker(is_reached: bool) {
    BROKER.set(&[], i64::from(is_reached));
}

static WAITING: Gauge = Gauge::new(
    "aid_cmp_webhook_events_waiting",
    "Events that addresses have not heard yet",
);

/// So many events wait for addresses to hear them.
pub(crate) fn waiting(count: u64) {
    WAITING.set(&[], i64::try_from(count).unwrap_or(i64::MAX));
}

static LOCKS: Counter = Counter::new(
    "aid_cmp_account_locks",
    "Accounts that were locked or unlocked, by event; every instance counts all of them",
);

/// An account was `locked` or `unlocked`.
pub(crate) fn locks(event: &str) {
    LOCKS.add(&[("event", event)]);
}

static TOLD: Counter = Counter::new(
    "aid_cmp_webhook_events",
    "Events for webhooks by result: heard, again, dropped",
);

/// What became of an event for a webhook.
pub(crate) fn told(result: &str) {
    TOLD.add(&[("result", result)]);
}

static DEVIATIONS: Counter = Counter::new(
    "aid_cmp_deviations",
    "What MSPs did otherwise than AID.02 has it and was tolerated, by MSP and kind",
);

/// An MSP deviated so many times.
pub(crate) fn deviated(msp: &str, kind: Deviation, count: u64) {
    DEVIATIONS.add_many(&[("msp", msp), ("kind", kind.as_str())], count);
}

/// Seconds since this time, 0 if there is none.
fn age(since: Option<u64>, now: u64) -> i64 {
    let age = since.map_or(0, |at| now.saturating_sub(at) / 1000);
    i64::try_from(age).unwrap_or(i64::MAX)
}

/// Shows how much is to be done.
pub(crate) fn show(work: &Work, now: u64) {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    OPEN_ORDERS.set(&[], count(work.open_orders));
    OLDEST_ORDER.set(&[], age(work.oldest_order, now));
    DUE_CALLS.set(&[], count(work.due_calls));
    DEAD_CALLS.set(&[], count(work.dead_calls));
    OLDEST_CALL.set(&[], age(work.oldest_call, now));
    OPEN_REQUESTS.set(&[], count(work.open_requests));
}
