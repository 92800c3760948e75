//! The way in and out. Who has the right password or certificate is the server's to judge.

use super::{Answer, Console, Seat, Staff, Trouble, token, way};
use crate::page::{self, Field, Page, hidden};
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use std::sync::Arc;

/// What the sign-in form says.
#[derive(Deserialize)]
pub struct SignIn {
    csrf: String,
    /// Who wants in.
    #[serde(default)]
    pub name: String,
    /// What they typed.
    #[serde(default)]
    pub password: String,
    /// `yes`: by the client certificate instead.
    #[serde(default)]
    pub certificate: String,
    /// Where to go on.
    #[serde(default)]
    pub next: String,
}

// What was typed is in no log.
impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
pub struct Onward {
    #[serde(default)]
    next: String,
}

/// The sign-in page asked for, as the router has it.
pub type Asked = Result<Query<Onward>, QueryRejection>;

/// A form with nothing but its token.
#[derive(Debug, Deserialize)]
pub struct Plain {
    csrf: String,
}

/// What stands on the sign-in page.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shown<'a> {
    /// The name that was typed before.
    pub name: &'a str,
    /// Where to go on.
    pub next: &'a str,
    /// The member whose certificate the browser has shown.
    pub certified: Option<&'a str>,
    /// What was wrong with the last attempt.
    pub problem: Option<&'a str>,
}

/// The sign-in page for the browser that has this cookie of [`Console::login`].
pub fn form_page<D: Staff>(desk: &D, cookie: &str, shown: &Shown<'_>) -> String {
    let (console, csrf) = (desk.console(), token::token(desk.key(), cookie));
    let next = way::on(shown.next);
    let mut field = Field::new("name", "Name");
    field.value = shown.name;
    field.autocomplete = "username";
    let content = html! {
        @if let Some(problem) = shown.problem { p.note.bad role="alert" { (problem) } }
        @if let Some(member) = shown.certified {
            form method="post" action=(way::SIGN_IN) {
                (hidden("csrf", &csrf)) (hidden("next", next)) (hidden("certificate", "yes"))
                div.actions { button.main { "Sign in as " (member) " with your certificate" } }
            }
        }
        form method="post" action=(way::SIGN_IN) {
            (hidden("csrf", &csrf)) (hidden("next", next))
            (field.render())
            (Field::password("password", "Password", "current-password").render())
            div.actions { button.main { "Sign in" } }
        }
        p.quiet { "An administrator gives access: " (console.access) }
    };
    console.document(&Page {
        title: "Sign in to the console",
        content,
        narrow: true,
        ..Page::default()
    })
}

/// The sign-in page, with a cookie where the browser has none; whoever is signed in goes on.
///
/// # Errors
/// The address is not complete, or the machine has no randomness.
pub async fn form<D: Staff>(
    desk: &D,
    headers: &HeaderMap,
    asked: Asked,
    certified: Option<&str>,
) -> Answer {
    let Query(onward) = asked?;
    if Seat::of(desk, headers).await.is_ok() {
        return Ok(page::see_other(way::on(&onward.next)));
    }
    let cookie = match token::read(headers, desk.console().login) {
        Some(cookie) => cookie,
        None => random()?,
    };
    let shown = Shown {
        next: &onward.next,
        certified,
        ..Shown::default()
    };
    let html = form_page(desk, &cookie, &shown);
    let mut answer = page::answer(StatusCode::OK, html, &[]);
    page::set_cookie(&mut answer, desk.console().login, Some(&cookie), None);
    Ok(answer)
}

/// A value for a cookie.
///
/// # Errors
/// The machine has no randomness.
pub fn random() -> Result<String, Trouble> {
    token::random().map_err(|_| {
        let text = "The server has no randomness. Try again in a moment.";
        Trouble::said(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

/// The cookie of the sign-in page that this form was on.
///
/// # Errors
/// It was on no page of this browser.
pub fn checked<D: Staff>(desk: &D, headers: &HeaderMap, form: &SignIn) -> Result<String, Trouble> {
    let cookie = token::read(headers, desk.console().login);
    let fits = |cookie: &String| token::token_fits(desk.key(), cookie, &form.csrf);
    cookie.filter(fits).ok_or_else(Trouble::too_old)
}

/// In, for so many seconds: another cookie than before, so that nobody who knew that one is in, too.
#[must_use]
pub fn inside(console: &Console, session: &str, next: &str, seconds: u64) -> Response {
    let mut answer = page::see_other(way::on(next));
    page::set_cookie(&mut answer, console.session, Some(session), Some(seconds));
    page::set_cookie(&mut answer, console.login, None, None);
    answer
}

/// Ends the session.
///
/// # Errors
/// Nobody is signed in, the form's token is another's, or the server's.
pub async fn sign_out<D: Staff>(
    State(desk): State<Arc<D>>,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    Seat::sent(&*desk, &headers, &form.csrf).await?;
    let session = desk.console().session;
    if let Some(cookie) = token::read(&headers, session) {
        desk.leave(&cookie).await?;
    }
    let mut answer = page::see_other(way::SIGN_IN);
    page::set_cookie(&mut answer, session, None, None);
    Ok(answer)
}
