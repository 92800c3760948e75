//! Sign in and out, by name and password.

use std::time::{Duration, Instant};

use aid_serve::console::{token, way};
use aid_serve::http::Peer;
use aid_serve::limit::retry_after;
use aid_serve::metrics::Counter;
use aid_serve::page::{self, Field, Page, hidden};
use aid_serve::password;
use aid_serve::slots::network;
use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use serde::Deserialize;

use super::{Answer, At, Desk, LOGIN, SESSION, Seat, Trouble, document};
use crate::attempts::WINDOW;
use crate::core::desk::{SESSION_MS, begin_session, end_session};
use crate::msp::now_ms;
use crate::store::{StoreError, Tx};

static SIGN_INS: Counter = Counter::new(
    "aid_msp_console_sign_ins",
    "Sign-ins at the operator's console by result",
);

/// What the sign-in form says.
#[derive(Deserialize)]
pub(super) struct SignIn {
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// Where to go on.
#[derive(Default, Deserialize)]
pub(super) struct Onward {
    #[serde(default)]
    next: String,
}

/// A form with nothing but its token.
#[derive(Deserialize)]
pub(super) struct Plain {
    csrf: String,
}

/// The sign-in page; `problem` says what was wrong with the last attempt.
fn form_page(csrf: &str, (name, next): (&str, &str), problem: Option<&str>) -> String {
    let mut field = Field::new("name", "Name");
    field.value = name;
    field.autocomplete = "username";
    let content = html! {
        @if let Some(problem) = problem { p.note.bad role="alert" { (problem) } }
        form method="post" action="/console/login" {
            (hidden("csrf", csrf)) (hidden("next", next))
            (field.render())
            (Field::password("password", "Password", "current-password").render())
            div.actions { button.main { "Sign in" } }
        }
        p.quiet { "An administrator gives access: aid-msp member add NAME --role ROLE" }
    };
    document(&Page {
        title: "Sign in to the console",
        content,
        narrow: true,
        ..Page::default()
    })
}

fn without_randomness() -> Trouble {
    let text = "The server has no randomness. Try again in a moment.";
    Trouble::said(StatusCode::SERVICE_UNAVAILABLE, text)
}

pub(super) async fn form(
    State(desk): At,
    headers: HeaderMap,
    onward: Result<Query<Onward>, QueryRejection>,
) -> Answer {
    let Query(onward) = onward?;
    let next = way::on(&onward.next);
    if Seat::of(&desk, &headers).await.is_ok() {
        return Ok(page::see_other(next));
    }
    let cookie = match token::read(&headers, LOGIN) {
        Some(cookie) => cookie,
        None => token::random().map_err(|_| without_randomness())?,
    };
    let html = form_page(&token::token(&desk.key, &cookie), ("", next), None);
    let mut answer = page::answer(StatusCode::OK, html, &[]);
    page::set_cookie(&mut answer, LOGIN, Some(&cookie), None);
    Ok(answer)
}

/// How a sign-in was judged.
enum Judged {
    /// The cookie of the session.
    In(String),
    /// The password is wrong, or nobody has this name.
    Wrong,
    /// Too many attempts; the password was not looked at.
    Locked,
    /// Too many others are being judged; the attempt does not count.
    Busy(password::Busy),
}

/// Judges a password. The attempt is charged before, whether or not anybody has this name.
async fn judge(desk: &Desk, name: &str, given: String) -> Result<Judged, Trouble> {
    let store = &desk.msp.store;
    if !desk.attempts.is_open(name, now_ms()) {
        return Ok(Judged::Locked);
    }
    let mut permit = match password::permit().await {
        Ok(permit) => permit,
        Err(busy) => return Ok(Judged::Busy(busy)),
    };
    if desk.attempts.charge(name, now_ms()).is_none() {
        return Ok(Judged::Locked);
    }
    let wanted = name.to_owned();
    let member = store
        .read(async move |tx: Tx<'_>| tx.member(&wanted).await)
        .await?;
    // A name that nobody has costs the same time as a wrong password.
    let hash = member.as_ref().map(|m| m.password.clone());
    let fits = permit.verify(hash, given).await;
    drop(permit);
    let Some(member) = member.filter(|_| fits) else {
        return Ok(Judged::Wrong);
    };
    let cookie = token::random().map_err(|_| without_randomness())?;
    let hash = token::hash(&cookie);
    let begun = store.decide(async move |tx: Tx<'_>| {
        let stored = tx.member(&member.name).await?;
        Ok::<_, StoreError>(begin_session(stored.as_ref(), &member, &hash, now_ms()))
    });
    if !begun.await? {
        return Ok(Judged::Wrong);
    }
    desk.attempts.refund(name);
    Ok(Judged::In(cookie))
}

pub(super) async fn sign_in(
    State(desk): At,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    if let Err(wait) = desk
        .addresses
        .take(&network(peer.addr.ip()), Instant::now())
    {
        let text = "Too many attempts from your address. Try again later.";
        return Ok(later(wait, StatusCode::TOO_MANY_REQUESTS, text));
    }
    let cookie = token::read(&headers, LOGIN);
    let cookie = cookie.filter(|cookie| token::token_fits(&desk.key, cookie, &form.csrf));
    let cookie = cookie.ok_or_else(Trouble::too_old)?;
    let name = form.name.trim().to_lowercase();
    let (result, answer) = match judge(&desk, &name, form.password).await? {
        Judged::In(session) => ("accepted", inside(&session, &form.next)),
        Judged::Wrong => {
            let wrong = Some("The name or the password is wrong.");
            let csrf = token::token(&desk.key, &cookie);
            let html = form_page(&csrf, (&form.name, way::on(&form.next)), wrong);
            ("wrong", page::answer(StatusCode::UNAUTHORIZED, html, &[]))
        }
        Judged::Locked => {
            let text = "Too many attempts. Try again in some minutes.";
            let answer = later(WINDOW, StatusCode::TOO_MANY_REQUESTS, text);
            ("locked", answer)
        }
        Judged::Busy(busy) => {
            let text = "Too many people sign in at the moment. Try again in a few seconds.";
            let answer = later(busy.retry_after, StatusCode::SERVICE_UNAVAILABLE, text);
            ("busy", answer)
        }
    };
    SIGN_INS.add(&[("result", result)]);
    if result != "accepted" {
        // What was typed as a name may be a password.
        tracing::warn!(result, from = %peer.addr.ip(), "sign-in at the console refused");
    }
    Ok(answer)
}

/// A refusal that says when to come again.
fn later(wait: Duration, status: StatusCode, text: &str) -> Response {
    let mut answer = Trouble::said(status, text).into_response();
    let seconds = HeaderValue::from(retry_after(wait));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

/// In: another cookie than before, so that nobody who knew that one is in, too.
fn inside(session: &str, next: &str) -> Response {
    let mut answer = page::see_other(way::on(next));
    let seconds = SESSION_MS.unsigned_abs() / 1000;
    page::set_cookie(&mut answer, SESSION, Some(session), Some(seconds));
    page::set_cookie(&mut answer, LOGIN, None, None);
    answer
}

pub(super) async fn sign_out(
    State(desk): At,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    Seat::sent(&desk, &headers, &form.csrf).await?;
    if let Some(cookie) = token::read(&headers, SESSION) {
        let ended = end_session(&token::hash(&cookie));
        desk.msp.store.put(ended).await?;
    }
    let mut answer = page::see_other("/console/login");
    page::set_cookie(&mut answer, SESSION, None, None);
    Ok(answer)
}
