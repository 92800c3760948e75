//! Sign in by name and password, or by a client certificate that TLS has verified.

use super::{At, CONSOLE, Desk};
use crate::service::{NotIn, SESSION_MS};
use aid_id::Secret;
use aid_serve::console::sign_in::{Asked, Shown, SignIn, checked, form_page, inside};
use aid_serve::console::{self, Answer, Trouble};
use aid_serve::http::Peer;
use aid_serve::page;
use aid_serve::slots::network;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::time::Instant;

/// The member whose certificate the browser has shown.
async fn certified(desk: &Desk, peer: &Peer) -> Result<Option<String>, Trouble> {
    if !peer.is_certified() {
        return Ok(None);
    }
    let hash = hex::encode(peer.fingerprint);
    let member = desk.service.member_with(&hash).await;
    Ok(member.map_err(Trouble::database)?.map(|m| m.name))
}

pub(super) async fn form(
    State(desk): At,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    asked: Asked,
) -> Answer {
    let member = certified(&desk, &peer).await?;
    console::sign_in::form(&*desk, &headers, asked, member.as_deref()).await
}

fn let_in(session: &str, next: &str) -> Response {
    inside(&CONSOLE, session, next, SESSION_MS / 1000)
}

pub(super) async fn sign_in(
    State(desk): At,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Answer {
    let Form(mut form) = form?;
    let from = network(peer.addr.ip());
    if let Err(wait) = desk.wrong.take(&from, Instant::now()) {
        let text = "Too many attempts from your address. Try again later.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Trouble::Later(status, text.to_owned(), wait));
    }
    let cookie = checked(&*desk, &headers, &form)?;
    if form.certificate == "yes" && peer.is_certified() {
        let hash = hex::encode(peer.fingerprint);
        let session = desk.service.sign_in_certificate(&hash).await;
        let session = session.map_err(Trouble::database)?;
        let nobody = "Your certificate is nobody's at the console.";
        let session = session.ok_or_else(|| Trouble::said(StatusCode::FORBIDDEN, nobody))?;
        return Ok(let_in(&session, &form.next));
    }
    let secret = Secret::new(std::mem::take(&mut form.password));
    let judged = desk.service.sign_in_member(&form.name, &secret).await;
    let problem = match judged.map_err(Trouble::database)? {
        Ok(session) => return Ok(let_in(&session, &form.next)),
        Err(NotIn::Wrong) => "The name or the password is wrong.".to_owned(),
        Err(NotIn::Locked(minutes)) => {
            format!("Too many attempts. Try again in {minutes} minutes.")
        }
        Err(NotIn::Busy(busy)) => {
            let text = "Too many people sign in at the moment. Try again in a few seconds.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Trouble::Later(status, text.to_owned(), busy.retry_after));
        }
    };
    let member = certified(&desk, &peer).await?;
    let shown = Shown {
        name: &form.name,
        next: &form.next,
        certified: member.as_deref(),
        problem: Some(&problem),
    };
    let html = form_page(&*desk, &cookie, &shown);
    Ok(page::answer(StatusCode::UNAUTHORIZED, html, &[]))
}
