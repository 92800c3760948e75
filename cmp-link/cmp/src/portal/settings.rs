//! Password, car PIN, preferences, sessions.

use super::{
    BUSY, Cmp, DoneQuery, Page, Plain, csrf, done_line, inside, login_first, page as html,
    see_other, sender, shown, try_again, visitor, with_status,
};
use crate::service::{Changed, Preferred, Service};
use aid_cmp_core::model::Account;
use aid_id::Secret;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

async fn render(
    service: &Arc<Service>,
    (account, value): (&Account, &str),
    done: Option<&'static str>,
    wrong: Option<&str>,
) -> Result<String, super::Refusal> {
    let csrf = csrf(service, value);
    let sessions = service.own_sessions(account, value).await?;
    let preferences = service.preferences(account).await?;
    let view = html::SettingsView {
        account,
        sessions: &sessions,
        preferences: &preferences,
        csrf: &csrf,
        done,
        wrong,
    };
    Ok(inside("Settings", &csrf, &html::settings(&view)))
}

pub(super) async fn page(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<DoneQuery>, QueryRejection>,
) -> Page {
    let Some((account, value)) = visitor(&service, &headers).await? else {
        return login_first("/settings");
    };
    let done = query.ok().and_then(|Query(q)| done_line(&q.done));
    Ok(shown(
        render(&service, (&account, &value), done, None).await?,
    ))
}

/// Back to the settings with what was done, or the page again with what is wrong.
async fn answered(
    service: &Arc<Service>,
    who: (&Account, &str),
    changed: Changed,
    word: &str,
) -> Result<Response, super::Refusal> {
    let (status, wrong) = match changed {
        Changed::Done => return see_other(&format!("/settings?done={word}")),
        Changed::Wrong => (
            StatusCode::UNAUTHORIZED,
            "Your present password is wrong.".to_owned(),
        ),
        Changed::Locked(minutes) => {
            let text = format!("Too many attempts. Try again in {minutes} minutes.");
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
        Changed::Unusable(why) => (StatusCode::UNPROCESSABLE_ENTITY, why.to_owned()),
        Changed::Busy(_) | Changed::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, BUSY.to_owned()),
    };
    let html = render(service, who, None, Some(&wrong)).await?;
    let answer = with_status(status, html);
    Ok(match changed {
        Changed::Busy(busy) => try_again(answer, busy.retry_after),
        Changed::Locked(minutes) => {
            let wait = Duration::from_secs(minutes.saturating_mul(60));
            try_again(answer, wait)
        }
        _ => answer,
    })
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    csrf: String,
    old: Secret,
    new: Secret,
    again: Secret,
}

pub(super) async fn password(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PasswordForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let changed = if form.new.expose() == form.again.expose() {
        service
            .change_password(&account, &value, &form.old, &form.new)
            .await?
    } else {
        Changed::Unusable("The two new passwords differ.")
    };
    answered(&service, (&account, &value), changed, "password").await
}

#[derive(Deserialize)]
pub(super) struct PinForm {
    csrf: String,
    password: Secret,
    /// Empty: no PIN.
    pin: Secret,
}

pub(super) async fn pin(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PinForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let pin = Some(&form.pin).filter(|pin| !pin.expose().is_empty());
    let changed = service.change_pin(&account, &form.password, pin).await?;
    answered(&service, (&account, &value), changed, "pin").await
}

pub(super) async fn sessions(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Page {
    let (account, value) = sender(&service, &headers, &form?.0.csrf).await?;
    service.end_other_sessions(&account, &value).await?;
    see_other("/settings?done=sessions")
}

#[derive(Deserialize)]
pub(super) struct PreferenceForm {
    csrf: String,
    name: String,
    /// Empty: it is removed.
    #[serde(default)]
    value: String,
}

/// A preference of the AID User Profile, which every car gets at the login (R-2-9).
pub(super) async fn preference(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<PreferenceForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, value) = sender(&service, &headers, &form.csrf).await?;
    let wanted = Some(form.value.trim()).filter(|v| !v.is_empty());
    let name = form.name.trim().to_lowercase();
    let changed = match service.prefer(&account, &name, wanted).await? {
        Preferred::Done => Changed::Done,
        Preferred::Malformed => Changed::Unusable(
            "A preference has a name of lower-case letters, digits, dots and dashes, and a value of one line.",
        ),
        Preferred::TooMany => {
            Changed::Unusable("You have as many preferences as there may be. Remove one first.")
        }
    };
    answered(&service, (&account, &value), changed, "preference").await
}
