//! Sign in and out: by name and password, or by a client certificate that TLS has verified.

use super::{Answer, At, LOGIN, SESSION, Seat, Trouble, document};
use crate::service::{NotIn, SESSION_MS};
use aid_id::Secret;
use aid_serve::console::{token, way};
use aid_serve::http::Peer;
use aid_serve::limit::retry_after;
use aid_serve::page::{self, Field, Page, hidden};
use aid_serve::slots::network;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{ConnectInfo, Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// What the sign-in form says.
#[derive(Deserialize)]
pub(super) struct SignIn {
    csrf: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    certificate: String,
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

/// The sign-in page; `problem` says what was wrong with the last try.
fn form_page(
    csrf: &str,
    (name, next): (&str, &str),
    certified: Option<&str>,
    problem: Option<&str>,
) -> String {
    let mut field = Field::new("name", "Name");
    field.value = name;
    field.autocomplete = "username";
    let content = html! {
        @if let Some(problem) = problem { p.note.bad role="alert" { (problem) } }
        @if let Some(member) = certified {
            form method="post" action="/console/login" {
                (hidden("csrf", csrf)) (hidden("next", next)) (hidden("certificate", "yes"))
                div.actions { button.main { "Sign in as " (member) " with your certificate" } }
            }
        }
        form method="post" action="/console/login" {
            (hidden("csrf", csrf)) (hidden("next", next))
            (field.render())
            (Field::password("password", "Password", "current-password").render())
            div.actions { button.main { "Sign in" } }
        }
        p.quiet { "An administrator gives access: aid-cmp member add NAME --role ROLE" }
    };
    document(&Page {
        title: "Sign in to the console",
        content,
        narrow: true,
        ..Page::default()
    })
}

/// The member whose certificate the browser has shown.
async fn certified(desk: &super::Desk, peer: &Peer) -> Result<Option<String>, Trouble> {
    if !peer.is_certified() {
        return Ok(None);
    }
    let hash = hex::encode(peer.fingerprint);
    Ok(desk.service.member_with(&hash).await?.map(|m| m.name))
}

pub(super) async fn form(
    State(desk): At,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    onward: Result<Query<Onward>, QueryRejection>,
) -> Answer {
    let Query(onward) = onward?;
    let next = way::on(&onward.next);
    if Seat::of(&desk, &headers).await.is_ok() {
        return Ok(page::see_other(next));
    }
    let member = certified(&desk, &peer).await?;
    let cookie = match token::read(&headers, LOGIN) {
        Some(cookie) => cookie,
        None => token::random().map_err(|_| {
            let text = "The server has no randomness. Try again in a moment.";
            Trouble::Said(StatusCode::SERVICE_UNAVAILABLE, text)
        })?,
    };
    let csrf = token::token(&desk.service.config.pin_key, &cookie);
    let html = form_page(&csrf, ("", next), member.as_deref(), None);
    let mut answer = page::answer(StatusCode::OK, html, &[]);
    page::set_cookie(&mut answer, LOGIN, Some(&cookie), None);
    Ok(answer)
}

pub(super) async fn sign_in(
    State(desk): At,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    let from = network(peer.addr.ip());
    if let Err(wait) = desk.wrong.take(&from, Instant::now()) {
        let text = "Too many attempts from your address. Try again later.";
        return Ok(later(wait, StatusCode::TOO_MANY_REQUESTS, text));
    }
    let key = &desk.service.config.pin_key;
    let cookie = token::read(&headers, LOGIN);
    let cookie = cookie.filter(|cookie| token::token_fits(key, cookie, &form.csrf));
    let Some(cookie) = cookie else {
        let text = "The page was too old. Load it again.";
        return Err(Trouble::Said(StatusCode::FORBIDDEN, text));
    };
    if form.certificate == "yes" && peer.is_certified() {
        let hash = hex::encode(peer.fingerprint);
        return match desk.service.sign_in_certificate(&hash).await? {
            Some(session) => Ok(inside(&session, &form.next)),
            None => Err(Trouble::Said(
                StatusCode::FORBIDDEN,
                "Your certificate is nobody's at the console.",
            )),
        };
    }
    let secret = Secret::new(form.password);
    let problem = match desk.service.sign_in_member(&form.name, &secret).await? {
        Ok(session) => return Ok(inside(&session, &form.next)),
        Err(NotIn::Wrong) => "The name or the password is wrong.".to_owned(),
        Err(NotIn::Locked(minutes)) => {
            format!("Too many attempts. Try again in {minutes} minutes.")
        }
        Err(NotIn::Busy(busy)) => {
            let text = "Too many people sign in at the moment. Try again in a few seconds.";
            return Ok(later(
                busy.retry_after,
                StatusCode::SERVICE_UNAVAILABLE,
                text,
            ));
        }
    };
    let member = certified(&desk, &peer).await?;
    let csrf = token::token(key, &cookie);
    let html = form_page(
        &csrf,
        (&form.name, way::on(&form.next)),
        member.as_deref(),
        Some(&problem),
    );
    Ok(page::answer(StatusCode::UNAUTHORIZED, html, &[]))
}

/// A refusal that says when to come again.
fn later(wait: Duration, status: StatusCode, text: &'static str) -> Response {
    let mut answer = Trouble::Said(status, text).into_response();
    let seconds = HeaderValue::from(retry_after(wait));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

/// In: another cookie than before, so that nobody who knew that one is in, too.
fn inside(session: &str, next: &str) -> Response {
    let mut answer = page::see_other(way::on(next));
    page::set_cookie(&mut answer, SESSION, Some(session), Some(SESSION_MS / 1000));
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
        desk.service.leave_desk(&cookie).await?;
    }
    let mut answer = page::see_other("/console/login");
    page::set_cookie(&mut answer, SESSION, None, None);
    Ok(answer)
}
