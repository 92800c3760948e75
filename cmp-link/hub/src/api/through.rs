//! Calls that are carried on at once and stored nowhere: Request Activation Code and Request Profile Status.
//!
//! A synchronous activation code has three seconds on its whole way (AID.02 §7.7.1): the target gets what is left of them.
//! Where it takes longer, the caller hears so, and its repetition gets the late answer, so that no code is lost.

use std::time::{Duration, Instant};

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::span;
use aid_serve::metrics::Counter;
use axum::http::StatusCode;
use tokio::time::timeout;

use super::call::Call;
use super::{Refused, internal};
use crate::core::answer::{Answer, Outcome};
use crate::core::operation::Operation;
use crate::flights::{Joined, Landing, Waiting, wait};
use crate::hub::Hub;
use crate::store::Meter;

/// How long a target may take before nobody waits for its answer any more.
const LATEST: Duration = Duration::from_secs(30);

static LATE: Counter = Counter::new(
    "aid_hub_late_answers",
    "Answers that came too late for their callers, by target",
);

/// Answers a call.
///
/// # Errors
/// The refusal that the caller gets.
pub(super) async fn answer(hub: &Hub, call: Call) -> Result<Answer, Refused> {
    let owned = match call.token {
        Some(key) => hub.store.owns(key).await.map_err(internal)?,
        None => false,
    };
    let meter = call.meter_key();
    let answered = match owned {
        true => carried(hub, call).await,
        false => Err(ApiError::new(ErrorCode::TokenNotFound).into()),
    };
    let status = answered.as_ref().map_or_else(
        |refused| call_status(&refused.error, meter.operation),
        |answer| answer.status,
    );
    hub.count(Meter::one(meter, |counts| {
        counts.calls = 1;
        counts.refused = u64::from(status.is_client_error());
        counts.failed = u64::from(status.is_server_error());
    }));
    answered
}

fn call_status(error: &ApiError, operation: Operation) -> StatusCode {
    operation.contract().refusal(error.clone()).status
}

async fn carried(hub: &Hub, call: Call) -> Result<Answer, Refused> {
    let limit = match call.operation.is_synchronous() {
        true => hub.synchronous,
        false => hub.answer,
    };
    let left = call.left(limit);
    let key = (call.route.from.clone(), call.headers.request_id);
    let waiting = match hub.flights.join(key, call.digest, Instant::now()) {
        Joined::First(landing) => begin(hub, call, landing, left),
        Joined::Same(waiting) => waiting,
        Joined::Mismatch => return Err(super::stored::mismatch().into()),
    };
    match timeout(left, wait(waiting)).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(internal("the task that carried it is gone").into()),
        Err(_) => Ok(Outcome::Silent(String::new()).to_answer()),
    }
}

/// Carries it in a task of its own, which goes on where its caller is not answered in time or hangs up.
fn begin(hub: &Hub, call: Call, landing: Landing, left: Duration) -> Waiting {
    let waiting = landing.answer();
    let hub = hub.clone();
    let end = Instant::now() + left;
    let place = span::here();
    tokio::spawn(span::inside(place, async move {
        let network = hub.network();
        let route = &call.route;
        let carried = call.carried(LATEST);
        let outcome = network
            .carriers
            .carry(&route.to, route.sandbox, carried)
            .await;
        let answer = outcome.to_answer();
        let (late, right) = (
            Instant::now() > end,
            matches!(outcome, Outcome::Answered(_)),
        );
        if late {
            LATE.add(&[("target", route.to.as_str())]);
        }
        match late && right {
            true => landing.land_late(answer, Instant::now()),
            false => landing.land(answer),
        }
    }));
    waiting
}
