//! Calls that are stored before they are carried on. The caller gets the target's own answer; where the target is away, it
//! gets the operation's success for a call that may be delivered later.
//!
//! One commit writes what a caller gets as its answer. For a success it is the commit before the call is carried on: the
//! hub will deliver the call, and where it is killed before it has noted that the target has answered, it delivers it once more
//! under the same id, which the target answers as before. Successes are noted together, each second. Everything else that
//! a caller hears, and what changes a token, is stored first.

use std::time::{Duration, Instant};

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_serve::metrics::Counter;
use axum::http::StatusCode;
use tokio::time::timeout;
use uuid::Uuid;

use super::call::Call;
use super::{Refused, internal};
use crate::core::answer::{Answer, Outcome};
use crate::core::delivery::{Decision, Verdict, decide, judge};
use crate::core::operation::{Delivery, Operation};
use crate::core::token::TokenKey;
use crate::flights::{Joined, wait};
use crate::hub::{Hub, now_ms};
use crate::store::{Begun, Ended, Meter, NewCall, Success, TokenEnd};

static KEPT: Counter = Counter::new(
    "aid_hub_kept",
    "Calls that were accepted for a target that was away, by target",
);

static FULL: Counter = Counter::new(
    "aid_hub_full",
    "Calls that were not accepted for a target that was away, because their pair has too many undelivered ones, by target",
);

/// The refusal of a call whose id another call had.
pub(super) fn mismatch() -> ApiError {
    let text = "this CMP-request-id was used for another request";
    ApiError::because(ErrorCode::Syntax, text)
}

fn busy() -> Refused {
    let text = "the same request is still being answered";
    let error = ApiError::because(ErrorCode::Internal, text);
    Refused {
        error: error.with_status(StatusCode::SERVICE_UNAVAILABLE),
        wait: Some(Duration::from_secs(1)),
    }
}

/// What an outcome means for the token of a call.
pub(crate) fn token_end(
    operation: Operation,
    token: Option<TokenKey>,
    outcome: &Outcome,
) -> TokenEnd {
    let introduces = operation.introduces_token();
    match (token, judge(operation, outcome)) {
        (Some(key), Verdict::Done) if introduces => TokenEnd::Confirmed(key),
        (Some(key), Verdict::Refused) if introduces => TokenEnd::Refused(key),
        (Some(key), Verdict::Done) if operation.ends_token() => TokenEnd::Ended(key),
        _ => TokenEnd::Stays,
    }
}

/// Answers a call.
///
/// # Errors
/// The refusal that the caller gets.
pub(super) async fn answer(hub: &Hub, call: Call) -> Result<Answer, Refused> {
    let key = (call.route.from.clone(), call.headers.request_id);
    let end = call.start + hub.answer;
    loop {
        match hub.flights.join(key.clone(), call.same(), Instant::now()) {
            Joined::First(landing) => {
                let answered = first(hub, &call).await;
                return match answered {
                    Ok((answer, None)) => {
                        landing.land(answer.clone());
                        Ok(answer)
                    }
                    Ok((answer, Some(success))) => {
                        landing.answered(answer.clone());
                        hub.succeeded(success, landing);
                        Ok(answer)
                    }
                    // Whoever waits begins again.
                    Err(error) => {
                        drop(landing);
                        Err(error)
                    }
                };
            }
            Joined::Mismatch => return Err(mismatch().into()),
            Joined::Same(waiting) => {
                let left = end.saturating_duration_since(Instant::now());
                match timeout(left, wait(waiting)).await {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) => {}
                    Err(_) => return Err(busy()),
                }
            }
        }
    }
}

/// The answer to a call that would be kept, where its pair has too many undelivered ones.
fn full(call: &Call) -> Answer {
    let route = &call.route;
    FULL.add(&[("target", route.to.as_str())]);
    tracing::warn!(pair = %route.pair, "a call was not kept: the pair has too many undelivered ones; see `aid-hub call list`");
    Answer::full()
}

/// A success that is still to be noted in the database.
type Noted = Option<Success>;

async fn first(hub: &Hub, call: &Call) -> Result<(Answer, Noted), Refused> {
    let contract = call.operation.contract();
    let success = contract.success();
    let (route, headers) = (&call.route, &call.headers);
    let begun = hub.store.begin(NewCall {
        party: route.from.clone(),
        request_id: headers.request_id,
        correlation_id: headers.correlation_id,
        pair: route.pair.clone(),
        target: route.to.clone(),
        operation: call.operation,
        digest: call.digest,
        client_id: route.client_id.clone(),
        target_id: route.target_id.clone(),
        token: call.token,
        path: call.path.clone(),
        content_type: call.content_type(),
        body: call.body.clone(),
        keep: route.keep,
        room: hub.backlog.has_room(&route.pair, call.length()),
        success,
        meter: Meter::one(call.meter_key(), |counts| counts.calls = 1),
        meter_kept: Meter::one(call.meter_key(), |counts| counts.kept = 1),
        at: now_ms(),
    });
    let id = match begun.await.map_err(internal)? {
        Begun::Go(id) => id,
        Begun::Answered(answer) => return Ok((answer, None)),
        Begun::Kept => {
            hub.backlog.add(&route.pair, call.length());
            KEPT.add(&[("target", route.to.as_str())]);
            return Ok((Answer::done(success), None));
        }
        Begun::Full => {
            hub.count(Meter::one(call.meter_key(), |counts| {
                counts.calls = 1;
                counts.failed = 1;
            }));
            return Ok((full(call), None));
        }
        Begun::Mismatch => return Err(mismatch().into()),
        Begun::Running => return Err(busy()),
        Begun::Unknown => {
            hub.count(Meter::one(call.meter_key(), |counts| {
                counts.calls = 1;
                counts.refused = 1;
            }));
            return Err(ApiError::new(ErrorCode::TokenNotFound).into());
        }
    };
    let network = hub.network();
    let carried = call.carried(call.left(hub.answer).max(Duration::from_millis(100)));
    let outcome = network
        .carriers
        .carry(&route.to, route.sandbox, carried)
        .await;
    finish(hub, call, id, &outcome).await
}

/// Stores how it ended, unless the success of an accepted call can be noted later, then says so.
async fn finish(
    hub: &Hub,
    call: &Call,
    id: i64,
    outcome: &Outcome,
) -> Result<(Answer, Noted), Refused> {
    let (operation, route) = (call.operation, &call.route);
    let decision = decide(operation, route.keep, outcome);
    let has_room = || hub.backlog.has_room(&route.pair, call.length());
    let now = now_ms();
    let (ended, answer) = match decision {
        Decision::Keep if !has_room() => (Ended::Pass, full(call)),
        Decision::Answer => {
            let answer = outcome.to_answer();
            (Ended::Answer(answer.clone()), answer)
        }
        Decision::Pass => (Ended::Pass, outcome.to_answer()),
        Decision::Keep => {
            let random = Uuid::new_v4().as_bytes()[0];
            let wish = match judge(operation, outcome) {
                Verdict::Later(wish) => wish.min(hub.patience.longest),
                _ => Duration::ZERO,
            };
            let pause = hub.patience.pause(0, random).max(wish);
            let next = now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
            let reason = outcome.describe();
            tracing::warn!(target = %route.to, "a call of {} was kept: {reason}", route.from);
            hub.backlog.add(&route.pair, call.length());
            KEPT.add(&[("target", route.to.as_str())]);
            let success = Answer::done(operation.contract().success());
            (Ended::Keep(next, reason), success)
        }
    };
    let token = token_end(operation, call.token, outcome);
    if matches!(ended, Ended::Answer(_)) && says_accepted(call, &answer, token) {
        let noted = answer.clone();
        return Ok((answer, Some(Success { id, answer: noted })));
    }
    let (status, kept) = (answer.status, matches!(ended, Ended::Keep(..)));
    let meter = Meter::one(call.meter_key(), |counts| {
        counts.refused = u64::from(status.is_client_error());
        counts.failed = u64::from(status.is_server_error());
        counts.kept = u64::from(kept);
    });
    hub.store
        .end(id, ended, token, meter, now)
        .await
        .map_err(internal)?;
    if kept {
        hub.due.notify_one();
    }
    Ok((answer, None))
}

/// Whether an answer says no more than what is on disk since before the call was carried on: that the hub has accepted it.
fn says_accepted(call: &Call, answer: &Answer, token: TokenEnd) -> bool {
    let operation = call.operation;
    call.route.keep
        && operation.delivery() == Delivery::Kept
        && token == TokenEnd::Stays
        && answer.status == operation.contract().success()
        && answer.body.is_empty()
}
