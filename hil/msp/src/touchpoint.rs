//! The MSP touchpoint (AID5): a customer comes from a CMP with an account id, or begins here; logs in, consents, and has
//! the accounts linked; sees what is linked and ends it (AID.02 §4.1, §4.2, §4.4.2, §7.1; docs/wire/touchpoint.md).
//!
//! The account id is verified before anything is shown and again before it is used. Browsers are sent nowhere but to
//! agreed addresses.

mod account;
mod arrive;
mod consent;
mod link;
mod login;
mod pages;
mod reach;
mod session;

use std::sync::Arc;
use std::time::Duration;

use aid_serve::page;
use aid_serve::page::colour::Colour;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::attempts::Attempts;
use crate::msp::{Msp, now_ms};
use crate::store::StoreError;
use pages::Front;
pub(crate) use pages::TABLES;
use session::{LIFE_MS, Session, Sessions};

/// Largest form, bytes.
const MAX_FORM: usize = 8 * 1024;
/// The colour of the pages, where the configuration says nothing: not that of `aid-cmp`'s.
pub(crate) const COLOUR: Colour = Colour([0x8a, 0x1c, 0x5b]);
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
    let nothing = || async { message(StatusCode::NOT_FOUND, "refused-page") };
    let not_so = || async { message(StatusCode::METHOD_NOT_ALLOWED, "refused-method") };
    Router::new()
        .route("/", get(account::overview))
        .route("/authorize", get(arrive::authorize))
        .route("/return", get(arrive::returned))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/consent", get(consent::form).post(consent::decide))
        .route("/connect", post(arrive::connect))
        .route("/end", get(account::ask_end).post(account::end))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn_with_state(shared.clone(), dressed))
        .merge(shared.msp.site.assets())
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(shared)
}

/// What a visitor sees who has sent too many forms.
pub(crate) fn too_many(msp: Msp) -> impl Fn(&HeaderMap, Duration) -> Response + Clone {
    move |headers, wait| {
        let front = front(&msp, headers, None);
        let seconds = aid_serve::limit::retry_after(wait);
        let text = front.words.with("too-many", &[("seconds", seconds.into())]);
        let html = pages::message(&front, &front.say("too-many-title"), &text);
        page::answer(StatusCode::TOO_MANY_REQUESTS, html, &[])
    }
}

/// What all pages for this reader have; `csrf` is the token of a customer who is signed in.
fn front<'a>(msp: &'a Msp, headers: &HeaderMap, csrf: Option<&'a str>) -> Front<'a> {
    let now = u64::try_from(now_ms()).unwrap_or_default();
    Front {
        site: &msp.site,
        words: msp.site.words(headers, now),
        csrf,
    }
}

/// One sentence in place of an answer: status and id of the text.
#[derive(Debug, Clone, Copy)]
struct Note(StatusCode, &'static str);

/// One sentence as a page, which [`dressed`] makes: that knows the reader.
fn message(status: StatusCode, text: &'static str) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Note(status, text));
    response
}

/// Gives sentences their page, in the reader's language, with the button to sign out for who is signed in.
async fn dressed(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    let mut response = next.run(request).await;
    let Some(Note(status, text)) = response.extensions_mut().remove::<Note>() else {
        return response;
    };
    let name = page::cookie(&headers, COOKIE);
    let csrf = name.and_then(|name| shared.sessions.token(&name, now_ms()));
    let front = front(&shared.msp, &headers, csrf.as_deref());
    let html = pages::message(&front, &front.say("refused"), &front.say(text));
    page::answer(status, html, &[])
}

/// The session is over, or the form was not of this page.
fn expired() -> Response {
    message(StatusCode::FORBIDDEN, "refused-expired")
}

fn incomplete() -> Response {
    message(StatusCode::BAD_REQUEST, "refused-form")
}

fn unavailable(error: &StoreError) -> Response {
    tracing::error!(%error, "touchpoint");
    message(StatusCode::SERVICE_UNAVAILABLE, "refused-unavailable")
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
