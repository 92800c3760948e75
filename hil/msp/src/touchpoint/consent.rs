//! The question whether accounts shall be linked, with fees, and the answer (AID.02 §4.1 [10]-[18], §4.2 [11]-[16]).

use aid_aid1::check_code::check_code;
use aid_aid1::error_code::ErrorCode;
use aid_serve::page;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::link::{Linked, link};
use super::session::Visit;
use super::{
    COOKIE, Shared, expired, front, incomplete, message, pages, reach, sender, unavailable, under,
    visitor,
};
use crate::core::account::audit;
use crate::core::model::{Subscription, SubscriptionState};
use crate::msp::{Msp, now_ms};
use crate::store::StoreError;

/// The customer's subscriptions that can have the option (R-A.1-1).
async fn choices(msp: &Msp, user: &str) -> Result<Vec<Subscription>, StoreError> {
    let user = user.to_owned();
    let read = msp
        .store
        .read(async move |tx| tx.subscriptions_of(&user).await);
    let all = read.await?;
    let fits = |s: &Subscription| s.eligible && s.state == SubscriptionState::Active;
    Ok(all.into_iter().filter(fits).collect())
}

pub(super) async fn form(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let Some((name, session, user)) = visitor(&shared, &headers) else {
        return expired();
    };
    let Some(visit) = &session.visit else {
        return page::see_other("/");
    };
    let choices = match choices(&shared.msp, &user).await {
        Ok(choices) => choices,
        Err(error) => return unavailable(&error),
    };
    let cmp = shared.msp.cmp(&visit.cmp);
    let code = check_code(visit.sid);
    let question = pages::Question {
        cmp: cmp.as_ref().map_or(visit.cmp.as_str(), |cmp| &cmp.name),
        user: &user,
        // A visitor who began here has seen no code at the CMP: then none is shown here either.
        code: visit.back.as_ref().map(|_| code.as_str()),
        choices: &choices,
    };
    let targets: Vec<_> = visit
        .back
        .iter()
        .map(|b| page::origin(b.as_str()))
        .collect();
    let front = front(&shared.msp, &headers, Some(&session.csrf));
    let html = pages::consent(&front, &question);
    under(&name, StatusCode::OK, html, &targets)
}

/// The answer.
#[derive(Deserialize)]
pub(super) struct Consent {
    csrf: String,
    decision: String,
    /// Which subscription; the first that can have the option if absent.
    subscription: Option<String>,
}

pub(super) async fn decide(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: Result<Form<Consent>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return incomplete();
    };
    let now = now_ms();
    let Some((name, session, user)) = sender(&shared, &headers, &form.csrf) else {
        return expired();
    };
    let Some(visit) = session.visit else {
        return expired();
    };
    let choices = match choices(&shared.msp, &user).await {
        Ok(choices) => choices,
        Err(error) => return unavailable(&error),
    };
    let mut choices = choices.into_iter();
    let chosen = match &form.subscription {
        Some(id) => choices.find(|s| s.id == *id),
        None => choices.next(),
    };
    let outcome = match (form.decision.as_str(), chosen) {
        ("allow", Some(subscription)) => link(&shared.msp, &visit, &subscription, now).await,
        ("allow", None) => Err(ErrorCode::AccountIdOther),
        ("deny", _) => Err(ErrorCode::Aborted),
        _ => {
            return message(StatusCode::BAD_REQUEST, "refused-decision");
        }
    };
    let client = &visit.cmp;
    let (action, detail) = match outcome {
        Ok(Linked::Done) => ("connected", client.to_string()),
        Ok(Linked::Pending) => ("connecting", client.to_string()),
        Err(code) => ("not connected", format!("{client} code {code}")),
    };
    let entry = audit(&user, action, &detail, now);
    if let Err(error) = shared.msp.store.put(entry).await {
        return unavailable(&error);
    }
    let Some(to) = way_back(&shared.msp, &visit, outcome).await else {
        let done = match outcome {
            Ok(Linked::Done) => "done-connected",
            Ok(Linked::Pending) => "done-pending",
            Err(ErrorCode::Aborted) => "done-denied",
            Err(_) => "done-refused",
        };
        shared.sessions.change(&name, |s| {
            s.visit = None;
            s.done = Some(done);
        });
        return page::see_other("/");
    };
    // Who came from a CMP goes back to it, and is not logged in here any more.
    shared.sessions.end(&name);
    let mut response = match outcome {
        // A redirect would end at an error page of the browser.
        Ok(Linked::Pending) if reach::is_down(&to).await => {
            let cmp = shared.msp.cmp(&visit.cmp);
            let cmp = cmp.as_ref().map_or(visit.cmp.as_str(), |cmp| &cmp.name);
            let html = pages::down_pending(&front(&shared.msp, &headers, None), cmp, &to);
            page::answer(StatusCode::OK, html, &[])
        }
        _ => page::see_other(&to),
    };
    page::set_cookie(&mut response, COOKIE, None, None);
    response
}

/// Where the browser goes after onboarding (§7.1, §7.2.2); none if it began here. A link that waits for the CMP has not
/// failed: the CMP itself knows best what it has.
async fn way_back(msp: &Msp, visit: &Visit, outcome: Result<Linked, ErrorCode>) -> Option<String> {
    let back = visit.back.as_ref()?;
    let right = match outcome {
        Ok(_) => back.as_str().to_owned(),
        Err(code) => back.with_error(code),
    };
    Some(match &msp.layer {
        Some(layer) => layer.way_back(msp, &visit.cmp, back, right).await,
        None => right,
    })
}
