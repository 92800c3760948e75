//! Calls that are carried on at once and stored nowhere: Request Activation Code, Request Profile Status and Send CSIM
//! Status.
//!
//! A synchronous activation code has three seconds on its whole way (AID.02 §7.7.1): the target gets what is left of them.
//! Where it takes longer, the caller hears so, and its repetition gets the late answer, so that no code is lost.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::span;
use aid_serve::metrics::Counter;
use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::call::Call;
use super::{Refused, internal};
use crate::core::answer::{Answer, Outcome};
use crate::core::operation::Operation;
use crate::core::token::TokenKey;
use crate::flights::{Joined, Landing, wait};
use crate::hub::Hub;
use crate::store::{Meter, Ownership, Stored};

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
        Some(key) => owns(hub, &call, key).await.map_err(internal)?,
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

/// Whether a token is one of the call's pair. What has just been found is not looked up again; a token that is not the
/// pair's is always looked up, whosever it is.
async fn owns(hub: &Hub, call: &Call, key: TokenKey) -> Stored<bool> {
    let network = hub.network();
    let tokens = network.gate(&call.route.pair).map(|gate| &gate.tokens);
    if tokens.is_some_and(|tokens| tokens.has(key, Instant::now())) {
        return Ok(true);
    }
    let owned = hub.store.owns(key).await?;
    if let Some(tokens) = tokens.filter(|_| owned == Ownership::Lasting) {
        tokens.note(key, Instant::now());
    }
    Ok(owned != Ownership::None)
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
    let answered = match hub.flights.join(key, call.same(), Instant::now()) {
        Joined::First(landing) => {
            let waiting = landing.answer();
            let under_way = begin(hub, call, landing, left);
            // What is left of it goes on, see `UnderWay`.
            let done = timeout(left, under_way).await;
            match done {
                Ok(()) => Ok(wait(waiting).await),
                Err(late) => Err(late),
            }
        }
        Joined::Same(waiting) => timeout(left, wait(waiting)).await,
        Joined::Mismatch => return Err(super::stored::mismatch().into()),
    };
    match answered {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(internal("the task that carried it is gone").into()),
        Err(_) => Ok(Outcome::Silent(String::new()).to_answer()),
    }
}

/// A call that is carried by the task of its caller, without a task and a wake-up of its own. Dropped before its end,
/// because the caller was not answered in time or hangs up, it goes on in a task of its own.
struct UnderWay(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for UnderWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(call) = &mut self.0 else {
            return Poll::Ready(());
        };
        let polled = call.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // There is no runtime any more where the program ends: then nobody waits for the answer either.
        if let (Some(call), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(call);
        }
    }
}

/// Carries a call, and says how it was answered.
fn begin(hub: &Hub, call: Call, landing: Landing, left: Duration) -> UnderWay {
    let hub = hub.clone();
    let end = Instant::now() + left;
    let place = span::here();
    UnderWay(Some(Box::pin(span::inside(place, async move {
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
    }))))
}
