//! Linking a subscription: the question, the way to the MSP and back (§4.1, §7.1), and onboarding that begins at the MSP
//! (§4.2, §7.2).

use super::cookie;
use super::{
    Cmp, Page, Refusal, csrf, login_first, page, see_other, sender, shell_page, shown, visitor,
};
use crate::config::Msp;
use crate::service::Service;
use crate::store::StoreError;
use aid_aid1::check_code::check_code;
use aid_aid1::error_code::ErrorCode;
use aid_aid1::redirect::{RedirectUri, percent_encode};
use aid_cmp_core::model::OnboardingState;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// The MSP that is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    msp: String,
}

fn not_offered() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "This operator is not offered.")
}

/// Names the account before the user leaves for the MSP, with a code that the MSP's page should show too (R-4.1-7).
pub(super) async fn ask(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Which>, QueryRejection>,
) -> Page {
    let Query(Which { msp }) = query?;
    let Some((account, value)) = visitor(&service, &headers).await? else {
        return login_first(&format!("/link?msp={}", percent_encode(&msp)));
    };
    let msp = service.msp(&msp).ok_or_else(not_offered)?;
    let sid = Uuid::new_v4();
    let question = page::LinkQuestion {
        account: &account,
        msp: &msp.name,
        ver: msp.account_id_ver.as_deref(),
        sid,
        code: &check_code(sid),
        csrf: &csrf(&service, &value),
    };
    let target = shell_page::origin(&msp.touchpoint);
    Ok(shell_page::answer(
        StatusCode::OK,
        page::ask_link(&question),
        &[target],
    ))
}

#[derive(Deserialize)]
pub(super) struct LinkForm {
    csrf: String,
    msp: String,
    /// Of the question, whose code the user has seen.
    sid: Option<Uuid>,
    /// What the MSP asks about the user (§5.2), where that was agreed.
    ver: Option<String>,
}

pub(super) async fn link(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<LinkForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (account, _) = sender(&service, &headers, &form.csrf).await?;
    let sid = form.sid.unwrap_or_else(Uuid::new_v4);
    match service
        .link(&account, &form.msp, sid, form.ver.as_deref())
        .await
    {
        Ok(Some(url)) => see_other(&url),
        Ok(None) if service.msp(&form.msp).is_some() => Err(Refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "What the operator asks about you is missing, or has not the form that it wants.",
        )),
        Ok(None) => Err(not_offered()),
        // The page was sent twice: each link has a number of its own.
        Err(StoreError::Taken) => Err(Refusal(
            StatusCode::CONFLICT,
            "This was begun already. Please start again on your account page.",
        )),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
pub(super) struct Returned {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
}

/// The MSP sent the browser back. Whether it worked is known from Send MSP Token, not from here.
pub(super) async fn linked(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Returned>, QueryRejection>,
) -> Page {
    let Query(query) = query?;
    let Some((account, _)) = visitor(&service, &headers).await? else {
        return see_other("/login");
    };
    let onboarding = service.returned(&query.state).await?;
    let onboarding = onboarding.filter(|o| o.account == account.id);
    let done = onboarding.map(|o| o.state);
    let code = query.code.parse().ok().and_then(ErrorCode::from_number);
    let (title, text) = match (done, code) {
        (Some(OnboardingState::Done), _) => (
            "Linked",
            "Your subscription is linked. Log in to a car to use it.",
        ),
        (Some(_), Some(ErrorCode::Aborted)) => {
            ("Not linked", "You did not agree. Nothing was linked.")
        }
        (Some(OnboardingState::Failed), _) | (Some(_), Some(_)) => (
            "Not linked",
            "The operator did not link the subscription. Please try again or ask the operator.",
        ),
        (Some(OnboardingState::Open), None) => (
            "Not linked yet",
            "The operator has not told us yet. Please look again in a minute.",
        ),
        (None, _) => (
            "Not linked",
            "This was not begun here. Please begin on your account page.",
        ),
    };
    Ok(shown(page::message(title, text)))
}

#[derive(Deserialize)]
pub(super) struct ToMsp {
    #[serde(default)]
    redirect_uri: String,
}

/// The MSP that owns a return URL; a refusal where none or several do: then nobody is sent anywhere (R-7.2.2-3).
fn owner(service: &Service, uri: &str) -> Result<(Arc<Msp>, RedirectUri), Refusal> {
    let agreed = service.agreed();
    let msps = agreed.msps.iter();
    let mut owners = msps.filter_map(|m| Some((Arc::clone(m), m.return_uris.check(uri).ok()?)));
    match (owners.next(), owners.next()) {
        (Some(found), None) => Ok(found),
        _ => Err(Refusal(
            StatusCode::BAD_REQUEST,
            "The page that sent you here is not known to us.",
        )),
    }
}

/// Onboarding that began at the MSP (§4.2, §7.1 second): the login, then the question.
pub(super) async fn touchpoint(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<ToMsp>, QueryRejection>,
) -> Page {
    let Query(query) = query?;
    let (msp, uri) = owner(&service, &query.redirect_uri)?;
    let visitor = match visitor(&service, &headers).await {
        Ok(visitor) => visitor,
        Err(refusal) => return back_with_error(&uri, refusal),
    };
    let Some((account, value)) = visitor else {
        let back = format!("/touchpoint?redirect_uri={}", percent_encode(uri.as_str()));
        return login_first(&back);
    };
    let csrf = csrf(&service, &value);
    let ver = msp.account_id_ver.as_deref();
    let html = page::ask_return(&account, (&msp.name, ver), uri.as_str(), &csrf);
    let target = shell_page::origin(uri.as_str());
    Ok(shell_page::answer(StatusCode::OK, html, &[target]))
}

/// A user is not left on a page of ours because we failed: they return to the MSP with 100 (§7.2.2). Whatever else is wrong
/// is for the user to mend here.
fn back_with_error(uri: &RedirectUri, refusal: Refusal) -> Page {
    match refusal.0 {
        StatusCode::SERVICE_UNAVAILABLE => see_other(&uri.with_error(ErrorCode::Content)),
        _ => Err(refusal),
    }
}

/// Returns to the MSP without an account id: the user can't sign in, or does not want to (§7.2.2).
pub(super) async fn leave(
    State(service): Cmp,
    query: Result<Query<ToMsp>, QueryRejection>,
) -> Page {
    let (_, uri) = owner(&service, &query?.0.redirect_uri)?;
    see_other(&uri.with_error(ErrorCode::Login))
}

#[derive(Deserialize)]
pub(super) struct Decision {
    csrf: String,
    redirect_uri: String,
    decision: String,
    ver: Option<String>,
}

/// The answer: back with an account id (§7.2.1), or with 102 (§7.2.2).
pub(super) async fn decide(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Decision>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let (msp, uri) = owner(&service, &form.redirect_uri)?;
    let account = match sender(&service, &headers, &form.csrf).await {
        Ok((account, _)) => account,
        Err(refusal) => return back_with_error(&uri, refusal),
    };
    if form.decision != "allow" {
        return see_other(&uri.with_error(ErrorCode::Aborted));
    }
    let (name, ver) = (msp.name.clone(), form.ver.as_deref());
    let (sid, state) = (Uuid::new_v4(), cookie::fresh());
    match service.issue(&account, &name, sid, state, ver).await {
        Ok(Some(id)) => see_other(&uri.with_account_id(&id)),
        Ok(None) => see_other(&uri.with_error(ErrorCode::Unavailable)),
        Err(error) => back_with_error(&uri, error.into()),
    }
}
