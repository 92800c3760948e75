//! Sign in by name and password.

use std::time::Instant;

use aid_serve::console::sign_in::{Asked, Shown, SignIn, checked, form_page, inside, random};
use aid_serve::console::{self, Answer, Trouble, token};
use aid_serve::http::Peer;
use aid_serve::metrics::Counter;
use aid_serve::page;
use aid_serve::password;
use aid_serve::slots::network;
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;

use super::{At, CONSOLE, Desk};
use crate::attempts::WINDOW;
use crate::core::desk::{SESSION_MS, begin_session};
use crate::msp::now_ms;
use crate::store::{StoreError, Tx};

static SIGN_INS: Counter = Counter::new(
    "aid_msp_console_sign_ins",
    "Sign-ins at the operator's console by result",
);

pub(super) async fn form(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    console::sign_in::form(&*desk, &headers, asked, None).await
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
    let look = store.read(async move |tx: Tx<'_>| tx.member(&wanted).await);
    let member = look.await.map_err(Trouble::database)?;
    // A name that nobody has costs the same time as a wrong password.
    let hash = member.as_ref().map(|m| m.password.clone());
    let fits = permit.verify(hash, given).await;
    drop(permit);
    let Some(member) = member.filter(|_| fits) else {
        return Ok(Judged::Wrong);
    };
    let cookie = random()?;
    let hash = token::hash(&cookie);
    let begun = store.decide(async move |tx: Tx<'_>| {
        let stored = tx.member(&member.name).await?;
        Ok::<_, StoreError>(begin_session(stored.as_ref(), &member, &hash, now_ms()))
    });
    if !begun.await.map_err(Trouble::database)? {
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
    let Form(mut form) = form?;
    let from = network(peer.addr.ip());
    if let Err(wait) = desk.addresses.take(&from, Instant::now()) {
        let text = "Too many attempts from your address. Try again later.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Trouble::Later(status, text.to_owned(), wait));
    }
    let cookie = checked(&*desk, &headers, &form)?;
    let name = form.name.trim().to_lowercase();
    let password = std::mem::take(&mut form.password);
    let (result, answer) = match judge(&desk, &name, password).await? {
        Judged::In(session) => {
            let seconds = SESSION_MS.unsigned_abs() / 1000;
            let answer = inside(&CONSOLE, &session, &form.next, seconds);
            ("accepted", answer)
        }
        Judged::Wrong => {
            let shown = Shown {
                name: &form.name,
                next: &form.next,
                problem: Some("The name or the password is wrong."),
                ..Shown::default()
            };
            let html = form_page(&*desk, &cookie, &shown);
            ("wrong", page::answer(StatusCode::UNAUTHORIZED, html, &[]))
        }
        Judged::Locked => {
            let text = "Too many attempts. Try again in some minutes.".to_owned();
            let locked = Trouble::Later(StatusCode::TOO_MANY_REQUESTS, text, WINDOW);
            ("locked", locked.into_response())
        }
        Judged::Busy(busy) => {
            let text = "Too many people sign in at the moment. Try again in a few seconds.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let busy = Trouble::Later(status, text.to_owned(), busy.retry_after);
            ("busy", busy.into_response())
        }
    };
    SIGN_INS.add(&[("result", result)]);
    if result != "accepted" {
        // What was typed as a name may be a password.
        tracing::warn!(result, from = %peer.addr.ip(), "sign-in at the console refused");
    }
    Ok(answer)
}
