//! The account as a whole: where its user is signed in, a copy of its data, its end.

use super::cookie::SESSION;
use super::frame::{Inside, Tab, Visit, wrong};
use super::settings::browser_words;
use super::{
    Cmp, Done, Page, Plain, done_line, login_first, see_other, sender, shell_page, try_again,
    visitor,
};
use crate::password;
use crate::service::Changed;
use aid_id::Secret;
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use maud::{Markup, html};
use serde::Deserialize;
use std::time::Duration;

pub(super) async fn sessions_page(State(service): Cmp, headers: HeaderMap, done: Done) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/sessions");
    };
    let sessions = service.own_sessions(&visit.account, &visit.cookie).await?;
    let content = html! {
        p { (visit.say("sessions-hint")) }
        ul.plain.card {
            @for (session, this) in &sessions {
                @let browser = browser_words(&visit, session.browser.as_deref().unwrap_or_default());
                li {
                    div.row {
                        div {
                            strong { (browser) }
                            @if *this { " " span.chip.good { (visit.say("session-this")) } }
                            @if session.created_at > 0 {
                                p.quiet { (visit.words.rich("session-since", &[("when", visit.words.ago(session.created_at))])) }
                            }
                        }
                        @if !this {
                            form method="post" action="/sessions/end" {
                                (visit.token()) (hidden("session", &session.token_hash))
                                button { (visit.words.with("session-end", &[("browser", browser.clone().into())])) }
                            }
                        }
                    }
                }
            }
        }
        @if sessions.len() > 1 {
            form.actions method="post" action="/sessions" { (visit.token()) button { (visit.say("sessions-end-others")) } }
        }
        p.actions { a.button href="/settings" { (visit.say("to-settings")) } }
    };
    Ok(visit.show(&Inside {
        done: done_line(done),
        ..Inside::form(Tab::Settings, &visit.say("settings-sessions"), content)
    }))
}

pub(super) async fn end_others(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Page {
    let visit = sender(&service, &headers, &form?.0.csrf).await?;
    service
        .end_other_sessions(&visit.account, &visit.cookie)
        .await?;
    see_other("/sessions?done=sessions")
}

#[derive(Deserialize)]
pub(super) struct EndForm {
    csrf: String,
    /// As the page names it: the hash of a cookie, with which nobody signs in.
    session: String,
}

pub(super) async fn end_one(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<EndForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    service.end_session(&visit.account, &form.session).await?;
    see_other("/sessions?done=session")
}

/// A copy of everything that is kept about the user, as a file.
pub(super) async fn export(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/settings");
    };
    let data = service.export(&visit.account).await?;
    let mut answer = format!("{data:#}\n").into_response();
    shell_page::protect(answer.headers_mut(), &[]);
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_DISPOSITION, "attachment; filename=\"my-data.json\""),
    ] {
        answer
            .headers_mut()
            .insert(name, axum::http::HeaderValue::from_static(value));
    }
    Ok(answer)
}

fn delete_page(visit: &Visit<'_>, whole: Option<&str>, error: Option<&str>) -> Markup {
    let without = password::is_none(&visit.account.password);
    let (label, name) = (visit.say("password"), visit.say("own-name"));
    let hint = visit.account.name.as_str();
    let field = match without {
        true => Field {
            hint,
            error,
            ..Field::new("password", &name)
        },
        false => Field {
            error,
            ..Field::password("password", &label, "current-password")
        },
    };
    html! {
        (wrong(whole))
        div.note.warn { p { strong { (visit.say("delete-account-warning")) } } }
        ul {
            li { (visit.say("delete-account-links")) }
            li { (visit.say("delete-account-cars")) }
            li { (visit.say("delete-account-contract")) }
        }
        p { a href="/export" { (visit.say("delete-account-export")) } }
        form method="post" action="/delete-account" {
            (visit.token())
            (field.render())
            p.actions {
                button.danger { (visit.say("delete-account")) }
                a.button href="/settings" { (visit.say("keep")) }
            }
        }
    }
}

pub(super) async fn ask_delete(State(service): Cmp, headers: HeaderMap) -> Page {
    let Some(visit) = visitor(&service, &headers).await? else {
        return login_first("/settings");
    };
    let content = delete_page(&visit, None, None);
    Ok(visit.show(&Inside::form(
        Tab::Settings,
        &visit.say("settings-delete"),
        content,
    )))
}

#[derive(Deserialize)]
pub(super) struct DeleteForm {
    csrf: String,
    /// Of an account without a password the name.
    password: Secret,
}

pub(super) async fn delete(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<DeleteForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let deleted = service
        .delete_account(&visit.account, &form.password)
        .await?;
    let (status, whole, error, wait) = match deleted {
        Changed::Done => {
            let mut answer = see_other("/goodbye")?;
            shell_page::set_cookie(&mut answer, SESSION, None, None);
            return Ok(answer);
        }
        Changed::Wrong => (
            StatusCode::UNAUTHORIZED,
            None,
            Some(visit.say("wrong-present-password")),
            None,
        ),
        Changed::Unusable(why) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            None,
            Some(visit.say(why)),
            None,
        ),
        Changed::Locked(minutes) => {
            let text = visit.words.with("locked", &[("minutes", minutes.into())]);
            let wait = Duration::from_secs(minutes.saturating_mul(60));
            (StatusCode::TOO_MANY_REQUESTS, Some(text), None, Some(wait))
        }
        Changed::Busy(busy) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(visit.say("busy")),
            None,
            Some(busy.retry_after),
        ),
        Changed::Full(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(visit.say("busy")),
            None,
            None,
        ),
    };
    let content = delete_page(&visit, whole.as_deref(), error.as_deref());
    let answer = visit.show(&Inside {
        status,
        ..Inside::form(Tab::Settings, &visit.say("settings-delete"), content)
    });
    Ok(match wait {
        Some(wait) => try_again(answer, wait),
        None => answer,
    })
}
