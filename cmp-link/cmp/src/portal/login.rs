//! Signing in, registering, signing out (§4.1 step 1).

use super::cookie::{self, LOGIN, SESSION};
use super::{
    BUSY, Cmp, Page, Plain, Refusal, page, see_other, sender, shell_page, try_again, visitor,
};
use crate::service::{Changed, SignIn};
use aid_id::Secret;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use std::time::Duration;

/// Where to go after the login.
#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// A path of ours, or the account page.
fn local(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if next.starts_with('/') && !next.starts_with("//") && plain && next.len() <= 4096 {
        next
    } else {
        "/"
    }
}

/// What is wrong, if anything is.
type Wrong<'a> = Option<&'a str>;

fn login_page(service: &Cmp, status: StatusCode, next: &str, wrong: Wrong<'_>) -> Response {
    let value = cookie::fresh();
    let csrf = cookie::token(&service.config.pin_key, &value);
    let open = service.config.file.portal.open_registration;
    let html = page::login(&csrf, local(next), wrong, open);
    let mut answer = shell_page::answer(status, html, &[]);
    shell_page::set_cookie(&mut answer, LOGIN, Some(&value), None);
    answer
}

pub(super) async fn form(
    service: Cmp,
    headers: HeaderMap,
    query: Result<Query<Next>, QueryRejection>,
) -> Page {
    let Query(Next { next }) = query?;
    if visitor(&service, &headers).await?.is_some() {
        return see_other(local(&next));
    }
    Ok(login_page(&service, StatusCode::OK, &next, None))
}

/// Whether a form comes from the page that has this browser's login cookie.
fn from_our_page(service: &Cmp, headers: &HeaderMap, csrf: &str) -> bool {
    let before = cookie::read(headers, LOGIN).unwrap_or_default();
    !before.is_empty() && cookie::token_fits(&service.config.pin_key, &before, csrf)
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    csrf: String,
    #[serde(default)]
    next: String,
    name: String,
    password: Secret,
}

pub(super) async fn login(
    service: Cmp,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    if !from_our_page(&service, &headers, &form.csrf) {
        let text = "The page was too old. Please try again.";
        return Ok(login_page(
            &service,
            StatusCode::FORBIDDEN,
            &form.next,
            Some(text),
        ));
    }
    let text = match service.sign_in(&form.name, &form.password).await? {
        SignIn::Welcome(value) => {
            let browser = headers
                .get(header::USER_AGENT)
                .and_then(|v| v.to_str().ok());
            service
                .session_began(value.expose(), browser.unwrap_or_default())
                .await?;
            // Whose session this browser had before, it ends.
            if let Some(before) = cookie::read(&headers, SESSION) {
                service.sign_out(&before).await?;
            }
            let mut answer = see_other(local(&form.next))?;
            shell_page::set_cookie(&mut answer, SESSION, Some(value.expose()), None);
            shell_page::set_cookie(&mut answer, LOGIN, None, None);
            return Ok(answer);
        }
        SignIn::Wrong => "Name or password is wrong.".to_owned(),
        SignIn::Locked(minutes) => format!("Too many attempts. Try again in {minutes} minutes."),
        SignIn::Busy(busy) => {
            let unavailable = StatusCode::SERVICE_UNAVAILABLE;
            let page = login_page(&service, unavailable, &form.next, Some(BUSY));
            return Ok(try_again(page, busy.retry_after));
        }
    };
    Ok(login_page(
        &service,
        StatusCode::UNAUTHORIZED,
        &form.next,
        Some(&text),
    ))
}

pub(super) async fn logout(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Page {
    let (_, value) = sender(&service, &headers, &form?.0.csrf).await?;
    service.sign_out(&value).await?;
    let mut answer = see_other("/login")?;
    shell_page::set_cookie(&mut answer, SESSION, None, None);
    Ok(answer)
}

fn register_page(service: &Cmp, status: StatusCode, wrong: Wrong<'_>) -> Page {
    if !service.config.file.portal.open_registration {
        let text = "Accounts are made by our customer care.";
        return Err(Refusal(StatusCode::NOT_FOUND, text));
    }
    let value = cookie::fresh();
    let csrf = cookie::token(&service.config.pin_key, &value);
    let mut answer = shell_page::answer(status, page::register(&csrf, wrong), &[]);
    shell_page::set_cookie(&mut answer, LOGIN, Some(&value), None);
    Ok(answer)
}

pub(super) async fn register_form(service: Cmp) -> Page {
    register_page(&service, StatusCode::OK, None)
}

#[derive(Deserialize)]
pub(super) struct RegisterForm {
    csrf: String,
    name: String,
    display_name: String,
    password: Secret,
}

pub(super) async fn register(
    service: Cmp,
    headers: HeaderMap,
    form: Result<Form<RegisterForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    if !service.config.file.portal.open_registration
        || !from_our_page(&service, &headers, &form.csrf)
    {
        let text = "The page was too old. Please try again.";
        return register_page(&service, StatusCode::FORBIDDEN, Some(text));
    }
    match service
        .register(&form.name, &form.display_name, &form.password)
        .await?
    {
        Changed::Done => {
            let text = "Your account is there. Please sign in.";
            let mut answer = login_page(&service, StatusCode::OK, "/", None);
            let html = page::message("Welcome", text);
            *answer.body_mut() = axum::body::Body::from(html);
            Ok(answer)
        }
        Changed::Unusable(why) => {
            register_page(&service, StatusCode::UNPROCESSABLE_ENTITY, Some(why))
        }
        Changed::Busy(busy) => {
            let page = register_page(&service, StatusCode::SERVICE_UNAVAILABLE, Some(BUSY))?;
            Ok(try_again(page, busy.retry_after))
        }
        Changed::Full(wait) => {
            let text = "Too many accounts are being made at the moment. Please try again later.";
            let page = register_page(&service, StatusCode::TOO_MANY_REQUESTS, Some(text))?;
            Ok(try_again(page, Duration::from_millis(wait)))
        }
        Changed::Wrong | Changed::Locked(_) => register_page(&service, StatusCode::FORBIDDEN, None),
    }
}
