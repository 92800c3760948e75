//! `GET /v1/work`: what the agent does and waits for, and when it tries again.

use crate::health::Clock;
use crate::view::hex;
use aid_agent_core::{Agent, BootMs, Doing, OrderKind, Stage, Task};
use serde_json::{Value, json};

/// A moment of the boot clock for people, RFC 3339; null where the clock of the car is not set.
fn time(clock: Clock, at: BootMs) -> Value {
    let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let unix = i64::try_from(clock.unix).unwrap_or(i64::MAX);
    let (at, now) = (seconds(at.0), seconds(clock.now.0));
    let time = jiff::Timestamp::from_second(unix.saturating_add(at.saturating_sub(now)));
    time.map_or(Value::Null, |time| json!(time.to_string()))
}

fn order(kind: &OrderKind) -> &'static str {
    match kind {
        OrderKind::Delete { .. } | OrderKind::DeleteOf { .. } => "delete",
        OrderKind::Disable { .. } => "disable",
        OrderKind::Logout { .. } => "logout",
        OrderKind::DeleteAll => "delete_all",
        OrderKind::Erase { .. } => "erase",
        OrderKind::FactoryReset => "factory_reset",
    }
}

fn shown_task(task: &Task, clock: Clock) -> Value {
    let (what, detail) = match &task.doing {
        Doing::ReadCard => ("read_card", Value::Null),
        Doing::Enable => ("enable", Value::Null),
        Doing::Disable => ("disable", Value::Null),
        Doing::Delete => ("delete", Value::Null),
        Doing::Download => ("download", Value::Null),
        Doing::Notifications => ("notifications", Value::Null),
        Doing::Code => ("activation_code", Value::Null),
        Doing::Order(kind) => ("order", json!(order(kind))),
        Doing::Outcome(kind) => ("order_outcome", json!(order(kind))),
        Doing::Erase => ("factory_reset", Value::Null),
        Doing::Reports(count) => ("reports", json!(count.to_string())),
    };
    let (state, since, next) = match task.stage {
        Stage::Running(since) => ("running", time(clock, since), Value::Null),
        Stage::Retry(next) => ("retry", Value::Null, time(clock, next)),
        Stage::Waiting => ("waiting", Value::Null, Value::Null),
    };
    let cause = Some(&task.cause).filter(|cause| !cause.is_empty());
    json!({"what": what, "detail": detail, "state": state, "since": since, "next_try": next,
           "tries": task.tries, "account": task.account.map(|a| hex(&a.0)),
           "iccid": task.iccid.as_ref().map(|i| i.as_str()), "cause": cause})
}

/// The list, what is under way first.
pub(crate) fn shown(agent: &Agent, clock: Clock) -> Value {
    agent
        .tasks()
        .iter()
        .map(|task| shown_task(task, clock))
        .collect()
}
