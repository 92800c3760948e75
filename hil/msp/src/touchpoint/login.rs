//! Logging in and out (AID.02 §4.1 [6]).

use aid_shell::{page, password};
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use super::session::Session;
use super::{
    COOKIE, Shared, expired, incomplete, keep, message, pages, sender, unavailable, under, visitor,
};
use crate::msp::now_ms;

/// The page that asks for name and password.
pub(super) fn login_page(
    shared: &Shared,
    name: &str,
    session: &Session,
    status: StatusCode,
    hint: Option<&str>,
) -> Response {
    let cmp = session
        .visit
        .as_ref()
        .and_then(|visit| shared.msp.cmp(&visit.cmp));
    let html = pages::login(
        &shared.msp.name,
        cmp.as_ref().map(|c| c.name.as_str()),
        &session.csrf,
        hint,
    );
    let back = session.visit.as_ref().and_then(|visit| visit.back.as_ref());
    let targets: Vec<_> = back.iter().map(|b| page::origin(b.as_str())).collect();
    under(name, status, html, &targets)
}

/// Where a customer begins who does not come from a CMP.
pub(super) async fn form(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if visitor(&shared, &headers).is_some() {
        return page::see_other("/");
    }
    match shared.sessions.begin(Session::default(), now_ms()) {
        Some((name, session)) => login_page(&shared, &name, &session, StatusCode::OK, None),
        None => message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Please try again in a minute.",
        ),
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
    if !shared.sessions.may_try(&form.user, now) {
        let hint = "Too many attempts. Please wait five minutes.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return login_page(&shared, &name, &session, status, Some(hint));
    }
    let hash = match shared.msp.store.password_of(&form.user).await {
        Ok(hash) => hash,
        Err(error) => return unavailable(&error),
    };
    let turn = shared.checks.acquire().await;
    // A name that nobody has costs the same time as a wrong password.
    let fits = password::verify(hash, form.password).await;
    drop(turn);
    let audit = |action| {
        shared
            .msp
            .store
            .audit(&form.user, action, "touchpoint", now)
    };
    if !fits {
        shared.sessions.note_failure(&form.user, now);
        if matches!(shared.msp.store.password_of(&form.user).await, Ok(Some(_)))
            && let Err(error) = audit("login failed").await
        {
            return unavailable(&error);
        }
        let hint = "User name or password is wrong.";
        return login_page(
            &shared,
            &name,
            &session,
            StatusCode::UNAUTHORIZED,
            Some(hint),
        );
    }
    if let Err(error) = audit("logged in").await {
        return unavailable(&error);
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
    let Some((name, _)) = shared.sessions.begin(session, now) else {
        return message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Please try again in a minute.",
        );
    };
    let mut response = page::see_other(to);
    keep(&mut response, &name);
    response
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
