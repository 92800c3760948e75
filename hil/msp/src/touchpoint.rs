//! The MSP touchpoint (AID5): a customer comes from a CMP with an account id, or begins here; logs in, consents, and has
//! the accounts linked; sees what is linked and ends it (AID.02 §4.1, §4.2, §4.4.2, §7.1; docs/wire/touchpoint.md).
//!
//! The account id is verified before anything is shown and again before it is used. Browsers are sent nowhere but to
//! agreed addresses.

mod account;
mod arrive;
mod attempts;
mod consent;
mod link;
mod login;
mod pages;
mod session;

use std::sync::Arc;

use aid_serve::page;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};

use crate::msp::{Msp, now_ms};
use crate::store::StoreError;
use attempts::Attempts;
use session::{LIFE_MS, Session, Sessions};

/// Largest form, bytes.
const MAX_FORM: usize = 8 * 1024;
/// The session cookie.
const COOKIE: &str = "__Host-aid-msp";

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    msp: Msp,
    sessions: Arc<Sessions>,
    attempts: Arc<Attempts>,
}

/// Forms that cost the hash of a password: limited by the address that they come from.
pub(crate) const GUESSES: &[&str] = &["/login"];

/// The pages.
pub(crate) fn router(msp: Msp) -> Router {
    let shared = Shared {
        msp,
        sessions: Arc::default(),
        attempts: Arc::default(),
    };
    let nothing = || async { message(StatusCode::NOT_FOUND, "There is no such page.") };
    let not_so = || async { message(StatusCode::METHOD_NOT_ALLOWED, "That is not possible here.") };
    Router::new()
        .route("/", get(account::overview))
        .route("/authorize", get(arrive::authorize))
        .route("/return", get(arrive::returned))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/consent", get(consent::form).post(consent::decide))
        .route("/connect", post(arrive::connect))
        .route("/end", get(account::ask_end).post(account::end))
        .merge(pages::assets())
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(shared)
}

/// What a visitor sees who has sent too many forms.
pub(crate) fn too_many(_: &HeaderMap, wait: std::time::Duration) -> Response {
    let seconds = aid_serve::limit::retry_after(wait);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let text = format!("Too many attempts. Please try again in {seconds} {unit}.");
    message(StatusCode::TOO_MANY_REQUESTS, &text)
}

/// One sentence as a page.
fn message(status: StatusCode, text: &str) -> Response {
    page::answer(status, pages::message(text), &[])
}

/// The session is over, or the form was not of this page.
fn expired() -> Response {
    message(
        StatusCode::FORBIDDEN,
        "This page has expired. Please start again.",
    )
}

fn incomplete() -> Response {
    message(
        StatusCode::BAD_REQUEST,
        "The form was not complete. Please go back and try again.",
    )
}

fn unavailable(error: &StoreError) -> Response {
    tracing::error!(%error, "touchpoint");
    message(
        StatusCode::SERVICE_UNAVAILABLE,
        "This does not work at the moment. Please try again in a minute.",
    )
}

/// A page under a session, whose cookie goes with it.
fn under(session: &str, status: StatusCode, html: String, targets: &[String]) -> Response {
    let mut response = page::answer(status, html, targets);
    keep(&mut response, session);
    response
}

fn keep(response: &mut Response, session: &str) {
    let seconds = u64::try_from(LIFE_MS / 1000).ok();
    page::set_cookie(response, COOKIE, Some(session), seconds);
}

/// The session of somebody who has logged in, for showing a page, and their name.
fn visitor(shared: &Shared, headers: &HeaderMap) -> Option<(String, Session, String)> {
    let name = page::cookie(headers, COOKIE)?;
    let session = shared.sessions.look(&name, now_ms())?;
    let user = session.user.clone()?;
    Some((name, session, user))
}

/// The session of somebody who has logged in and sent a form, once: the form's value is used up.
fn sender(shared: &Shared, headers: &HeaderMap, csrf: &str) -> Option<(String, Session, String)> {
    let name = page::cookie(headers, COOKIE)?;
    let session = shared.sessions.use_up(&name, csrf, now_ms())?;
    let user = session.user.clone()?;
    Some((name, session, user))
}
