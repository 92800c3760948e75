//! Linking a subscription: the question, the way to the MSP and back (§4.1, §7.1), and onboarding that begins at the MSP
//! (§4.2, §7.2).

use super::cookie;
use super::frame::{Inside, Tab, Visit, not_found};
use super::{Cmp, Page, Refusal, login_first, see_other, sender, shell_page, visitor};
use crate::config::Msp;
use crate::service::Service;
use crate::store::StoreError;
use aid_aid1::check_code::check_code;
use aid_aid1::error_code::ErrorCode;
use aid_aid1::redirect::{RedirectUri, percent_encode};
use aid_cmp_core::model::OnboardingState;
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

/// The MSP that is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    msp: String,
}

fn not_offered() -> Refusal {
    not_found("refused-operator")
}

/// The field for what the MSP asks about the user (§5.2).
fn knowledge(visit: &Visit<'_>, ver: Option<&str>, error: Option<&str>) -> Markup {
    html! {
        @if let Some(question) = ver {
            @let label = visit.words.with("operator-asks", &[("question", question.into())]);
            (Field { error, max: 64, ..Field::new("ver", &label) }.render())
        }
    }
}

/// Whose account it is.
fn account_line(visit: &Visit<'_>) -> Markup {
    let account = &visit.account;
    html! { dt { (visit.say("account")) } dd { (account.display_name) " (" (account.name) ")" } }
}

/// The question before a user leaves for the MSP; `error` is what is wrong with what the MSP asked.
fn question(
    visit: &Visit<'_>,
    msp: &Msp,
    sid: Uuid,
    error: Option<&str>,
) -> axum::response::Response {
    let operator = [("operator", msp.name.as_str().into())];
    let content = html! {
        p { (visit.words.with("link-question", &operator)) }
        section.card {
            dl {
                (account_line(visit))
                dt { (visit.say("check-code")) } dd.code { (check_code(sid)) }
            }
            p.quiet { (visit.words.with("check-code-hint", &operator)) }
        }
        form method="post" action="/link" {
            (visit.token()) (hidden("msp", &msp.name)) (hidden("sid", &sid.to_string()))
            (knowledge(visit, msp.account_id_ver.as_deref(), error))
            p.actions {
                button.main { (visit.words.with("link-go", &operator)) }
                a.button href="/subscriptions" { (visit.say("not-now")) }
            }
        }
    };
    let status = match error {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    visit.show(&Inside {
        status,
        targets: &[shell_page::origin(&msp.touchpoint)],
        ..Inside::form(Tab::Subscriptions, &visit.say("link-page-title"), content)
    })
}

/// Names the account before the user leaves for the MSP, with a code that the MSP's page should show too (R-4.1-7).
pub(super) async fn ask(
    State(service): Cmp,
    headers: HeaderMap,
    query: Result<Query<Which>, QueryRejection>,
) -> Page {
    let Query(Which { msp }) = query?;
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first(&format!("/link?msp={}", percent_encode(&msp)));
    };
    let msp = service.msp(&msp).ok_or_else(not_offered)?;
    Ok(question(&visit, &msp, Uuid::new_v4(), None))
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
    let visit = sender(&service, &headers, &form.csrf).await?;
    let sid = form.sid.unwrap_or_else(Uuid::new_v4);
    match service
        .link(&visit.account, &form.msp, sid, form.ver.as_deref())
        .await
    {
        Ok(Some(url)) => see_other(&url),
        Ok(None) => {
            let msp = service.msp(&form.msp).ok_or_else(not_offered)?;
            let error = visit.say("wrong-ver");
            Ok(question(&visit, &msp, sid, Some(&error)))
        }
        // The page was sent twice: each link has a number of its own.
        Err(StoreError::Taken) => Err(Refusal(StatusCode::CONFLICT, "refused-twice")),
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
    let Some(visit) = visitor(&service, &headers).await? else {
        return see_other("/login");
    };
    let onboarding = service.returned(&query.state).await?;
    let onboarding = onboarding.filter(|o| o.account == visit.account.id);
    let done = onboarding.map(|o| o.state);
    let code = query.code.parse().ok().and_then(ErrorCode::from_number);
    let (title, text) = match (done, code) {
        (Some(OnboardingState::Done), _) => ("linked-title", "linked"),
        (Some(_), Some(ErrorCode::Aborted)) => ("linked-not-title", "linked-aborted"),
        (Some(OnboardingState::Failed), _) | (Some(_), Some(_)) => {
            ("linked-not-title", "linked-failed")
        }
        (Some(OnboardingState::Open), None) => ("linked-open-title", "linked-open"),
        (None, _) => ("linked-not-title", "linked-unknown"),
    };
    if text != "linked-open" {
        return visit.message(Tab::Subscriptions, title, &visit.say(text));
    }
    let content = html! {
        p { (visit.say(text)) }
        // The same address once more: whether it worked is known from the operator meanwhile.
        p.actions { a.button.main href="" { (visit.say("look-again")) } a.button href="/" { (visit.say("to-home")) } }
    };
    Ok(visit.show(&Inside::form(
        Tab::Subscriptions,
        &visit.say(title),
        content,
    )))
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
        _ => Err(Refusal(StatusCode::BAD_REQUEST, "refused-sender")),
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
    let Some(visit) = visitor else {
        let back = format!("/touchpoint?redirect_uri={}", percent_encode(uri.as_str()));
        return login_first(&back);
    };
    let operator = [("operator", msp.name.as_str().into())];
    let content = html! {
        p { (visit.words.with("return-question", &operator)) }
        section.card { dl { (account_line(&visit)) } }
        p { (visit.words.with("return-warning", &operator)) }
        form method="post" action="/touchpoint" {
            (visit.token()) (hidden("redirect_uri", uri.as_str()))
            (knowledge(&visit, msp.account_id_ver.as_deref(), None))
            p.actions {
                button.main name="decision" value="allow" { (visit.words.with("return-yes", &operator)) }
                button name="decision" value="deny" formnovalidate { (visit.say("return-no")) }
            }
        }
    };
    let title = visit.words.with("return-title", &operator);
    Ok(visit.show(&Inside {
        targets: &[shell_page::origin(uri.as_str())],
        ..Inside::form(Tab::Subscriptions, &title, content)
    }))
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
        Ok(visit) => visit.account,
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
