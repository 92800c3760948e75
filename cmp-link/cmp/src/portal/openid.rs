//! Sign-in with the identity provider of the configuration, and the identities of an account.

use super::cookie;
use super::frame::{Visit, message};
use super::login::{begin_session, local};
use super::{Cmp, Page, Plain, Refusal, see_other, sender, shell_page, visitor, words};
use crate::openid::{Attempt, Provider};
use crate::service::{Changed, Entered, now};
use aid_cmp_core::model::Identity;
use aid_serve::page::hidden;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use maud::{Markup, html};
use serde::Deserialize;

/// Cookie of a sign-in that is under way: its secrets follow from it.
const ATTEMPT: &str = "__Host-aid-openid";
/// How long one may take, seconds.
const LIFE: u64 = 600;
/// What the way on begins with where an identity is added to the account that is signed in.
const LINK: &str = "link:";

const NO_PROVIDER: Refusal = Refusal(StatusCode::NOT_FOUND, "refused-provider");

/// Where to go after the sign-in.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// Sends a browser to the provider.
async fn send(service: &Cmp, provider: &Provider, next: &str) -> Page {
    let value = cookie::fresh();
    let attempt = Attempt::new(&service.config.pin_key, &value, next);
    let url = match provider.authorize(&attempt).await {
        Ok(url) => url,
        Err(error) => {
            tracing::error!(%error, "OpenID Connect");
            return Err(Refusal(StatusCode::BAD_GATEWAY, "refused-provider-down"));
        }
    };
    let mut answer = see_other(&url)?;
    shell_page::set_cookie(&mut answer, ATTEMPT, Some(&value), Some(LIFE));
    Ok(answer)
}

/// Begins a sign-in.
pub(super) async fn begin(
    service: Cmp,
    headers: HeaderMap,
    query: Result<Query<Next>, QueryRejection>,
) -> Page {
    let next = query.map(|Query(q)| q.next).unwrap_or_default();
    let provider = service.config.openid.as_ref().ok_or(NO_PROVIDER)?;
    if visitor(&service, &headers).await?.is_some() {
        return see_other(local(&next));
    }
    send(&service, provider, local(&next)).await
}

/// Begins the adding of an identity to the account that is signed in.
pub(super) async fn link(
    service: Cmp,
    headers: HeaderMap,
    form: Result<Form<Plain>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let provider = service.config.openid.as_ref().ok_or(NO_PROVIDER)?;
    // Ends in this session only: another one here meanwhile would get a foreign identity.
    let next = format!("{LINK}{}", visit.csrf);
    send(&service, provider, &next).await
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Returned {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

/// Where the provider sends the browser back.
pub(super) async fn returned(
    service: Cmp,
    headers: HeaderMap,
    query: Result<Query<Returned>, QueryRejection>,
) -> Page {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let provider = service.config.openid.as_ref().ok_or(NO_PROVIDER)?;
    let mut answer = end(&service, &headers, provider, &query)
        .await
        .unwrap_or_else(Refusal::into_response);
    // Whatever came of it: this attempt is used up.
    shell_page::set_cookie(&mut answer, ATTEMPT, None, None);
    Ok(answer)
}

async fn end(service: &Cmp, headers: &HeaderMap, provider: &Provider, query: &Returned) -> Page {
    const NOT_BEGUN: Refusal = Refusal(StatusCode::BAD_REQUEST, "refused-not-begun");
    let value = cookie::read(headers, ATTEMPT).ok_or(NOT_BEGUN)?;
    let key = &service.config.pin_key;
    let (attempt, next) = Attempt::returned(key, &value, &query.state).ok_or(NOT_BEGUN)?;
    if !query.error.is_empty() || query.code.is_empty() {
        return Err(Refusal(StatusCode::OK, "refused-at-provider"));
    }
    let claims = match provider.redeem(&attempt, &query.code, now() / 1000).await {
        Ok(claims) => claims,
        Err(error) => {
            tracing::warn!(%error, "sign-in by OpenID Connect refused");
            return Err(Refusal(StatusCode::BAD_GATEWAY, "refused-by-provider"));
        }
    };
    if let Some(token) = next.strip_prefix(LINK) {
        let visit = sender(service, headers, token).await?;
        return match service.add_identity(visit.account.id, &claims).await? {
            Changed::Done => see_other("/settings?done=identity"),
            Changed::Unusable(why) => Err(Refusal(StatusCode::CONFLICT, why)),
            _ => Err(NOT_BEGUN),
        };
    }
    match service.enter(&claims, provider.registers()).await? {
        Entered::Welcome(cookie) => begin_session(service, headers, &cookie, &next).await,
        Entered::Unknown => {
            let words = words(service, headers);
            let text = words.with(
                "openid-unknown",
                &[("provider", provider.name().to_owned().into())],
            );
            let html = message(service, words, &words.say("refused"), &text);
            Ok(shell_page::answer(StatusCode::FORBIDDEN, html, &[]))
        }
        Entered::Full => Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "register-full")),
    }
}

/// The identities of an account, in the settings.
pub(super) async fn section(
    visit: &Visit<'_>,
    provider: &Provider,
    identities: &[Identity],
) -> Markup {
    let name = [("provider", provider.name().to_owned().into())];
    html! {
        section.card {
            h2 { (provider.name()) }
            @if identities.is_empty() { p.quiet { (visit.words.with("identities-none", &name)) } }
            @for one in identities {
                p { (visit.words.rich("identity-since", &[("when", visit.words.ago(one.since))])) }
                form.actions method="post" action="/openid/unlink" {
                    (visit.token()) (hidden("issuer", &one.issuer)) (hidden("subject", &one.subject))
                    button { (visit.words.with("identity-remove", &name)) }
                }
            }
            @if identities.is_empty() {
                form.actions method="post" action="/openid/link" {
                    (visit.token())
                    button { (visit.words.with("identity-add", &name)) }
                }
            }
        }
    }
}

/// Where the form of [`section`] ends besides our own pages.
pub(super) async fn targets(visit: &Visit<'_>) -> Vec<String> {
    match &visit.service.config.openid {
        Some(provider) => provider.origin().await.into_iter().collect(),
        None => Vec::new(),
    }
}

#[derive(Deserialize)]
pub(super) struct UnlinkForm {
    csrf: String,
    issuer: String,
    subject: String,
}

pub(super) async fn unlink(
    State(service): Cmp,
    headers: HeaderMap,
    form: Result<Form<UnlinkForm>, FormRejection>,
) -> Page {
    let Form(form) = form?;
    let visit = sender(&service, &headers, &form.csrf).await?;
    let removed = service.remove_identity(visit.account.id, &form.issuer, &form.subject);
    match removed.await? {
        Changed::Done => see_other("/settings?done=identity-removed"),
        Changed::Unusable(why) => Err(Refusal(StatusCode::CONFLICT, why)),
        _ => Err(Refusal(StatusCode::NOT_FOUND, "refused-provider")),
    }
}
