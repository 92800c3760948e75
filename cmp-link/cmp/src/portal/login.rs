//! Signing in, registering, signing out (§4.1 step 1).

use super::cookie::{self, LOGIN, SESSION};
use super::frame::{self, outside, wrong};
use super::{Cmp, Page, Plain, Refusal, see_other, sender, shell_page, try_again, visitor, words};
use crate::service::{Changed, SignIn};
use aid_id::Secret;
use aid_serve::page::{Field, hidden};
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use std::time::Duration;

/// Where to go after the login.
#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// A path of ours, or the account page.
pub(super) fn local(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if next.starts_with('/') && !next.starts_with("//") && plain && next.len() <= 4096 {
        next
    } else {
        "/"
    }
}

/// What is wrong with a form.
#[derive(Debug, Clone, Copy, Default)]
struct Problem<'a> {
    /// With the form as a whole.
    whole: Option<&'a str>,
    /// With a field, by its name.
    field: Option<(&'a str, &'a str)>,
}

impl<'a> Problem<'a> {
    fn of(&self, name: &str) -> Option<&'a str> {
        self.field.filter(|(n, _)| *n == name).map(|(_, text)| text)
    }
}

/// The login page. What was typed as the name stays; whether a name or its password is wrong is not said.
fn login_page(
    service: &Cmp,
    headers: &HeaderMap,
    status: StatusCode,
    (next, name): (&str, &str),
    problem: Problem<'_>,
) -> Response {
    let words = words(service, headers);
    let value = cookie::fresh();
    let csrf = cookie::token(&service.config.pin_key, &value);
    let portal = &service.config.file.portal;
    let next = local(next);
    let (name_label, password) = (words.say("sign-in-name"), words.say("password"));
    let encoded = aid_aid1::redirect::percent_encode(next);
    let content = html! {
        (wrong(problem.whole))
        form method="post" action="/login" {
            (hidden("csrf", &csrf)) (hidden("next", next))
            (Field { value: name, autocomplete: "username", error: problem.of("name"), ..Field::new("name", &name_label) }.render())
            (Field { error: problem.of("password"), ..Field::password("password", &password, "current-password") }.render())
            p.actions { button.main { (words.say("sign-in")) } }
        }
        @if let Some(provider) = &service.config.openid {
            p.actions {
                a.button href={ "/openid?next=" (encoded) } {
                    (words.with("sign-in-with", &[("provider", provider.name().to_owned().into())]))
                }
            }
        }
        p.actions {
            @if portal.open_registration { a.button href="/register" { (words.say("register")) } }
            a.button href="/forgotten" { (words.say("forgotten")) }
        }
        // A visitor whom an MSP sent here can return to it (AID.02 §7.2.2).
        @if let Some(query) = next.strip_prefix("/touchpoint?") {
            p.actions { a.button href=(format!("/touchpoint/leave?{query}")) { (words.say("leave")) } }
        }
    };
    let html = outside(service, words, &words.say("sign-in"), content);
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
    let typed = (next.as_str(), "");
    Ok(login_page(
        &service,
        &headers,
        StatusCode::OK,
        typed,
        Problem::default(),
    ))
}

/// Whether a form comes from the page that has this browser's login cookie.
fn from_our_page(service: &Cmp, headers: &HeaderMap, csrf: &str) -> bool {
    let before = cookie::read(headers, LOGIN).unwrap_or_default();
    !before.is_empty() && cookie::token_fits(&service.config.pin_key, &before, csrf)
}

/// Gives a browser its session; the one that it had before ends.
pub(super) async fn begin_session(
    service: &Cmp,
    headers: &HeaderMap,
    cookie: &Secret,
    next: &str,
) -> Page {
    let browser = headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok());
    service
        .session_began(cookie.expose(), browser.unwrap_or_default())
        .await?;
    if let Some(before) = cookie::read(headers, SESSION) {
        service.sign_out(&before).await?;
    }
    let mut answer = see_other(local(next))?;
    shell_page::set_cookie(&mut answer, SESSION, Some(cookie.expose()), None);
    shell_page::set_cookie(&mut answer, LOGIN, None, None);
    Ok(answer)
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
    let words = words(&service, &headers);
    let typed = (form.next.as_str(), form.name.as_str());
    let page = |status, problem| login_page(&service, &headers, status, typed, problem);
    let whole = |text| Problem {
        whole: Some(text),
        ..Problem::default()
    };
    if !from_our_page(&service, &headers, &form.csrf) {
        // Sent twice: the first one signed this browser in.
        if visitor(&service, &headers).await?.is_some() {
            return see_other(local(&form.next));
        }
        let text = words.say("refused-old");
        return Ok(page(StatusCode::FORBIDDEN, whole(&text)));
    }
    Ok(match service.sign_in(&form.name, &form.password).await? {
        SignIn::Welcome(value) => {
            return begin_session(&service, &headers, &value, &form.next).await;
        }
        SignIn::Wrong => {
            let text = words.say("wrong-sign-in");
            let problem = Problem {
                field: Some(("password", &text)),
                ..Problem::default()
            };
            page(StatusCode::UNAUTHORIZED, problem)
        }
        SignIn::Locked(minutes) => {
            let text = words.with("locked", &[("minutes", minutes.into())]);
            page(StatusCode::UNAUTHORIZED, whole(&text))
        }
        SignIn::Busy(busy) => {
            let text = words.say("busy");
            let answer = page(StatusCode::SERVICE_UNAVAILABLE, whole(&text));
            try_again(answer, busy.retry_after)
        }
    })
}

pub(super) async fn logout(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Page {
    let visit = sender(&service, &headers, &form?.0.csrf).await?;
    service.sign_out(&visit.cookie).await?;
    let mut answer = see_other("/login")?;
    shell_page::set_cookie(&mut answer, SESSION, None, None);
    Ok(answer)
}

/// What was typed on the page that makes an account.
#[derive(Debug, Clone, Copy, Default)]
struct Typed<'a> {
    name: &'a str,
    display_name: &'a str,
}

fn register_page(
    service: &Cmp,
    headers: &HeaderMap,
    status: StatusCode,
    typed: Typed<'_>,
    problem: Problem<'_>,
) -> Page {
    if !service.config.file.portal.open_registration {
        return Err(Refusal(StatusCode::NOT_FOUND, "refused-registration"));
    }
    let words = words(service, headers);
    let value = cookie::fresh();
    let csrf = cookie::token(&service.config.pin_key, &value);
    let labels = ["register-name", "shown-name", "password"].map(|id| words.say(id));
    let [name, shown, password] = &labels;
    let (name_hint, shown_hint) = (
        words.say("register-name-hint"),
        words.say("shown-name-hint"),
    );
    let hint = words.say("password-hint");
    let content = html! {
        (wrong(problem.whole))
        form method="post" action="/register" {
            (hidden("csrf", &csrf))
            (Field {
                value: typed.name, hint: &name_hint, autocomplete: "username", error: problem.of("name"), ..Field::new("name", name)
            }.render())
            (Field {
                value: typed.display_name, hint: &shown_hint, autocomplete: "nickname", max: 64, error: problem.of("display_name"),
                ..Field::new("display_name", shown)
            }.render())
            (Field { hint: &hint, error: problem.of("password"), ..Field::password("password", password, "new-password") }.render())
            p.actions {
                button.main { (words.say("register-yes")) }
                a.button href="/login" { (words.say("register-have")) }
            }
        }
    };
    let html = outside(service, words, &words.say("register"), content);
    let mut answer = shell_page::answer(status, html, &[]);
    shell_page::set_cookie(&mut answer, LOGIN, Some(&value), None);
    Ok(answer)
}

pub(super) async fn register_form(service: Cmp, headers: HeaderMap) -> Page {
    let (typed, none) = (Typed::default(), Problem::default());
    register_page(&service, &headers, StatusCode::OK, typed, none)
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
    let words = words(&service, &headers);
    let typed = Typed {
        name: &form.name,
        display_name: &form.display_name,
    };
    let page = |status, problem| register_page(&service, &headers, status, typed, problem);
    let whole = |text| Problem {
        whole: Some(text),
        ..Problem::default()
    };
    if !service.config.file.portal.open_registration
        || !from_our_page(&service, &headers, &form.csrf)
    {
        return page(StatusCode::FORBIDDEN, whole(&words.say("refused-old")));
    }
    match service
        .register(&form.name, &form.display_name, &form.password)
        .await?
    {
        Changed::Done => see_other("/welcome"),
        Changed::Unusable(why) => {
            let field = if why.starts_with("wrong-password") {
                "password"
            } else {
                "name"
            };
            let problem = Problem {
                field: Some((field, &words.say(why))),
                ..Problem::default()
            };
            page(StatusCode::UNPROCESSABLE_ENTITY, problem)
        }
        Changed::Busy(busy) => {
            let answer = page(StatusCode::SERVICE_UNAVAILABLE, whole(&words.say("busy")))?;
            Ok(try_again(answer, busy.retry_after))
        }
        Changed::Full(wait) => {
            let text = words.say("register-full");
            let answer = page(StatusCode::TOO_MANY_REQUESTS, whole(&text))?;
            Ok(try_again(answer, Duration::from_millis(wait)))
        }
        Changed::Wrong | Changed::Locked(_) => page(StatusCode::FORBIDDEN, Problem::default()),
    }
}

/// A page with a few sentences and the way to the sign-in.
fn notice(service: &Cmp, headers: &HeaderMap, title: &str, text: &str) -> Response {
    let words = words(service, headers);
    let content = html! {
        p { (words.say(text)) }
        p.actions { a.button.main href="/login" { (words.say("sign-in")) } }
    };
    let html = frame::outside(service, words, &words.say(title), content);
    shell_page::answer(StatusCode::OK, html, &[])
}

/// After an account was made.
pub(super) async fn welcome(service: Cmp, headers: HeaderMap) -> Response {
    notice(&service, &headers, "welcome-title", "welcome")
}

/// After an account was deleted.
pub(super) async fn goodbye(service: Cmp, headers: HeaderMap) -> Response {
    notice(&service, &headers, "goodbye-title", "goodbye")
}

/// How somebody gets in again who has forgotten their password: the operator sets another
/// (`aid-cmp user set-password`, which ends all sessions).
pub(super) async fn forgotten(service: Cmp, headers: HeaderMap) -> Response {
    notice(&service, &headers, "forgotten-title", "forgotten-how")
}
