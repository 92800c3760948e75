//! Logging in and out (AID.02 §4.1 [6]).

use aid_serve::http::Peer;
use aid_serve::limit::retry_after;
use aid_serve::metrics::Counter;
use aid_serve::{page, password};
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;

use super::pages::Where;
use super::session::Session;
use super::{
    COOKIE, Shared, expired, front, incomplete, keep, message, pages, sender, unavailable, under,
};
use crate::attempts::{MAX_ATTEMPTS, WINDOW};
use crate::core::account::audit;
use crate::msp::now_ms;
use crate::store::{StoreError, Tx};

static LOGINS: Counter = Counter::new("aid_msp_logins", "Logins of customers by result");

/// The page that asks for name and password.
pub(super) fn login_page(
    shared: &Shared,
    name: &str,
    headers: &HeaderMap,
    session: &Session,
    (status, user): (StatusCode, &str),
    wrong: Option<(Where, &str)>,
) -> Response {
    let cmp = session
        .visit
        .as_ref()
        .and_then(|visit| shared.msp.cmp(&visit.cmp));
    let front = front(&shared.msp, headers, None);
    let wrong = wrong.map(|(place, id)| (place, front.say(id)));
    let html = pages::login(
        &front,
        cmp.as_ref().map(|c| c.name.as_str()),
        &session.csrf,
        user,
        wrong.as_ref().map(|(place, text)| (*place, text.as_str())),
    );
    let back = session.visit.as_ref().and_then(|visit| visit.back.as_ref());
    let targets: Vec<_> = back.iter().map(|b| page::origin(b.as_str())).collect();
    under(name, status, html, &targets)
}

/// Where a customer logs in: one whom a CMP sent, from [`authorize`](super::arrive::authorize), or one who came by
/// themselves.
pub(super) async fn form(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let now = now_ms();
    if let Some(name) = page::cookie(&headers, COOKIE)
        && let Some(session) = shared.sessions.look(&name, now)
    {
        if session.user.is_some() {
            return page::see_other("/");
        }
        // Sent by a CMP, or back after a look elsewhere: it goes on.
        return login_page(
            &shared,
            &name,
            &headers,
            &session,
            (StatusCode::OK, ""),
            None,
        );
    }
    match shared
        .sessions
        .begin(Session::default(), peer.addr.ip(), now)
    {
        Some((name, session)) => login_page(
            &shared,
            &name,
            &headers,
            &session,
            (StatusCode::OK, ""),
            None,
        ),
        None => message(StatusCode::SERVICE_UNAVAILABLE, "refused-minute"),
    }
}

/// The login form.
#[derive(Deserialize)]
pub(super) struct Login {
    user: String,
    password: String,
    csrf: String,
}

pub(super) async fn login(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<Login>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return incomplete();
    };
    let now = now_ms();
    let Some(name) = page::cookie(&headers, COOKIE) else {
        return expired();
    };
    let Some(session) = shared.sessions.use_up(&name, &form.csrf, now) else {
        return expired();
    };
    match judge(&shared, &form.user, form.password).await {
        Ok(Judged::Fits) => {}
        Ok(refused) => {
            let page = |status, wrong| {
                let typed = (status, form.user.as_str());
                login_page(&shared, &name, &headers, &session, typed, Some(wrong))
            };
            return refusal(&refused, page);
        }
        Err(error) => return unavailable(&error),
    }
    // A new name for the session, so that whoever knew the old one has nothing.
    shared.sessions.end(&name);
    let to = if session.visit.is_some() {
        "/consent"
    } else {
        "/"
    };
    let session = Session {
        user: Some(form.user),
        ..session
    };
    let Some((name, _)) = shared.sessions.begin(session, peer.addr.ip(), now) else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "refused-minute");
    };
    let mut response = page::see_other(to);
    keep(&mut response, &name);
    response
}

/// How a login was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Fits,
    /// The password is wrong, or nobody has this name.
    Wrong,
    /// Too many attempts; the password was not looked at.
    Locked,
    /// Nor was it here: too many others are. It does not count.
    Busy(password::Busy),
}

/// Judges a password; the attempt is charged before. Log, metrics and audit trail see how it ended.
async fn judge(shared: &Shared, user: &str, given: String) -> Result<Judged, StoreError> {
    let locked = || {
        LOGINS.add(&[("result", "locked")]);
        tracing::warn!("login refused: too many attempts at this name");
        Ok(Judged::Locked)
    };
    // Who is locked out waits for no place among those who are judged.
    if !shared.attempts.is_open(user, now_ms()) {
        return locked();
    }
    let mut permit = match password::permit().await {
        Ok(permit) => permit,
        Err(busy) => {
            LOGINS.add(&[("result", "busy")]);
            return Ok(Judged::Busy(busy));
        }
    };
    let Some(charged) = shared.attempts.charge(user, now_ms()) else {
        return locked();
    };
    let hash = {
        let user = user.to_owned();
        let read = async move |tx: Tx<'_>| tx.password_of(&user).await;
        shared.msp.store.read(read).await?
    };
    let known = hash.is_some();
    // A name that nobody has costs the same time as a wrong password.
    let fits = permit.verify(hash, given).await;
    drop(permit);
    let store = &shared.msp.store;
    let audit = |action| store.put(audit(user, action, "touchpoint", now_ms()));
    if fits {
        shared.attempts.refund(user);
        audit("logged in").await?;
        LOGINS.add(&[("result", "accepted")]);
        return Ok(Judged::Fits);
    }
    if !known {
        LOGINS.add(&[("result", "unknown")]);
        tracing::warn!("login refused: nobody has this name");
        return Ok(Judged::Wrong);
    }
    LOGINS.add(&[("result", "wrong")]);
    tracing::warn!(user, charged, "login refused: wrong password");
    audit("login failed").await?;
    if charged >= MAX_ATTEMPTS {
        tracing::warn!(user, "too many wrong passwords: the customer is locked");
        audit("customer locked").await?;
    }
    Ok(Judged::Wrong)
}

/// The page again, with what is wrong.
fn refusal(
    judged: &Judged,
    page: impl FnOnce(StatusCode, (Where, &'static str)) -> Response,
) -> Response {
    let (status, hint) = match judged {
        Judged::Locked => (StatusCode::TOO_MANY_REQUESTS, (Where::Form, "locked")),
        Judged::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, (Where::Form, "busy")),
        Judged::Fits | Judged::Wrong => {
            (StatusCode::UNAUTHORIZED, (Where::Password, "wrong-sign-in"))
        }
    };
    let mut page = page(status, hint);
    let wait = match judged {
        Judged::Busy(busy) => Some(busy.retry_after),
        Judged::Locked => Some(WINDOW),
        Judged::Fits | Judged::Wrong => None,
    };
    if let Some(wait) = wait {
        let seconds = HeaderValue::from(retry_after(wait));
        page.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    page
}

/// A form with nothing but its value.
#[derive(Deserialize)]
pub(super) struct Plain {
    csrf: String,
}

pub(super) async fn logout(
    State(shared): State<Shared>,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return incomplete();
    };
    let Some((name, _, _)) = sender(&shared, &headers, &form.csrf) else {
        return expired();
    };
    shared.sessions.end(&name);
    let mut response = page::see_other("/login");
    page::set_cookie(&mut response, COOKIE, None, None);
    response
}
