//! The user portal (AID6) as HTTPS pages: sign in, link a subscription, choose which one serves, see and name cars, see and
//! delete profiles, unlink, approve a login that a car shows a code for, account and sessions (§4.1, §4.2, §4.4.1, §4.5).
//!
//! Every page works without scripts. A page that asks is a GET; a form that does something is a POST, has a token, and is
//! answered with a redirect. Cookies are `__Host-`.

mod account;
mod car;
mod cars;
mod cookie;
mod device;
mod frame;
mod home;
mod link;
mod login;
mod openid;
mod preferences;
mod settings;
mod subscriptions;

use crate::service::{Service, now};
use crate::store::StoreError;
use aid_cmp_core::model::Account;
use aid_serve::http::Peer;
use aid_serve::limit::{Limiter, retry_after};
use aid_serve::page::colour::Colour;
use aid_serve::page::{self as shell_page, Words};
use aid_serve::slots::network;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use cookie::SESSION;
use frame::Visit;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest form, bytes.
const MAX_FORM: usize = 16 * 1024;
/// Forms that cost the hash of a password, or that judge a secret: limited by the address that they come from.
pub const GUESSES: &[&str] = &[
    "/login",
    "/register",
    "/password",
    "/pin",
    "/car",
    "/delete-account",
    "/openid/link",
];
/// Whose pages these are, where the configuration says nothing.
pub const NAME: &str = "My cars";
/// Their colour, where the configuration says nothing.
pub const COLOUR: Colour = Colour([0x0b, 0x57, 0xd0]);
/// The texts of the pages, in the order of `Language::ALL`.
pub const TABLES: [&str; 2] = [include_str!("portal/en.ftl"), include_str!("portal/de.ftl")];

/// A page instead of an answer, for whatever goes wrong: status and id of the text.
#[derive(Debug, Clone, Copy)]
struct Refusal(StatusCode, &'static str);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a page failed");
        Self(StatusCode::SERVICE_UNAVAILABLE, "refused-unavailable")
    }
}

impl From<FormRejection> for Refusal {
    fn from(_: FormRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, "refused-form")
    }
}

impl From<QueryRejection> for Refusal {
    fn from(_: QueryRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, "refused-address")
    }
}

impl From<PathRejection> for Refusal {
    fn from(_: PathRejection) -> Self {
        Self(StatusCode::NOT_FOUND, "refused-page")
    }
}

impl axum::response::IntoResponse for Refusal {
    /// Without its page, which [`dressed`] makes: that knows the reader's language.
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

type Page = Result<Response, Refusal>;
type Cmp = State<Arc<Service>>;

/// A sign-in by the identity provider: each costs calls to it, and is limited as guesses are, though it is a GET.
fn provider_doors(service: &Arc<Service>) -> Router<Arc<Service>> {
    let limiter = Arc::new(Limiter::new(service.config.file.limits.login));
    let page = too_many(Arc::clone(service));
    let limited = move |request: Request, next: Next| {
        let (limiter, page) = (Arc::clone(&limiter), page.clone());
        async move {
            let peer = request.extensions().get::<Peer>();
            let from = peer.map(|peer| network(peer.addr.ip()));
            match from.map_or(Ok(()), |from| limiter.take(&from, Instant::now())) {
                Ok(()) => next.run(request).await,
                Err(wait) => {
                    let mut answer = page(request.headers(), wait);
                    let seconds = HeaderValue::from(retry_after(wait));
                    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
                    answer
                }
            }
        }
    };
    Router::new()
        .route("/openid", get(openid::begin))
        .route("/openid/return", get(openid::returned))
        .route_layer(from_fn(limited))
}

/// The pages.
pub fn router(service: Arc<Service>) -> Router {
    let nothing = || async { Refusal(StatusCode::NOT_FOUND, "refused-page") };
    let not_so = || async { Refusal(StatusCode::METHOD_NOT_ALLOWED, "refused-method") };
    Router::new()
        .route("/", get(home::home))
        .route("/events", get(home::events))
        .route("/cars", get(cars::list))
        .route("/cars/{eid}", get(cars::one))
        .route("/cars/name", post(cars::name))
        .route("/delete", get(cars::ask_delete).post(cars::delete))
        .route("/again", post(cars::again))
        .route("/car/logout", get(cars::ask_log_out).post(cars::log_out))
        .route("/car", get(car::form).post(car::judge))
        .route("/car/confirm", get(car::confirm))
        .route("/car/done", get(car::done))
        .route("/subscriptions", get(subscriptions::list))
        .route(
            "/unlink",
            get(subscriptions::ask_unlink).post(subscriptions::unlink),
        )
        .route("/serve", post(subscriptions::serve))
        .route("/dismiss", post(home::dismiss))
        .route("/link", get(link::ask).post(link::link))
        .route("/linked", get(link::linked))
        .route("/touchpoint", get(link::touchpoint).post(link::decide))
        .route("/touchpoint/leave", get(link::leave))
        .route("/login", get(login::form).post(login::login))
        .route("/register", get(login::register_form).post(login::register))
        .route("/welcome", get(login::welcome))
        .route("/goodbye", get(login::goodbye))
        .route("/forgotten", get(login::forgotten))
        .route("/logout", post(login::logout))
        .merge(provider_doors(&service))
        .route("/openid/link", post(openid::link))
        .route("/openid/unlink", post(openid::unlink))
        .route("/settings", get(settings::overview))
        .route("/name", get(settings::name_form).post(settings::name))
        .route(
            "/password",
            get(settings::password_form).post(settings::password),
        )
        .route("/pin", get(settings::pin_form).post(settings::pin))
        .route("/preference", get(preferences::form).post(preferences::one))
        .route("/preferences", post(preferences::all))
        .route(
            "/sessions",
            get(account::sessions_page).post(account::end_others),
        )
        .route("/sessions/end", post(account::end_one))
        .route("/export", get(account::export))
        .route(
            "/delete-account",
            get(account::ask_delete).post(account::delete),
        )
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn(without_nul))
        .layer(from_fn_with_state(Arc::clone(&service), dressed))
        .merge(service.config.site.assets())
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(service)
}

/// What a visitor sees who has sent too many forms.
pub fn too_many(service: Arc<Service>) -> impl Fn(&HeaderMap, Duration) -> Response + Clone {
    move |headers, wait| {
        let words = words(&service, headers);
        let seconds = retry_after(wait);
        let text = words.with("too-many", &[("seconds", seconds.into())]);
        let html = frame::message(&service, words, &words.say("too-many-title"), &text);
        shell_page::answer(StatusCode::TOO_MANY_REQUESTS, html, &[])
    }
}

/// Refuses U+0000, wherever it stands in an address or a form: no text has it, and not every database stores it.
async fn without_nul(request: Request, next: Next) -> Response {
    const REFUSAL: Refusal = Refusal(StatusCode::BAD_REQUEST, "refused-character");
    let has_nul = |text: &[u8]| text.contains(&0) || text.windows(3).any(|w| w == b"%00");
    if has_nul(request.uri().to_string().as_bytes()) {
        return REFUSAL.into_response();
    }
    let (parts, body) = request.into_parts();
    match to_bytes(body, MAX_FORM).await {
        Ok(bytes) if has_nul(&bytes) => REFUSAL.into_response(),
        Ok(bytes) => next.run(Request::from_parts(parts, bytes.into())).await,
        Err(_) => Refusal(StatusCode::PAYLOAD_TOO_LARGE, "refused-size").into_response(),
    }
}

/// Gives refusals their page, in the reader's language.
async fn dressed(State(service): Cmp, request: Request, next: Next) -> Response {
    let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let Some(Refusal(status, id)) = response.extensions().get::<Refusal>().copied() else {
        return response;
    };
    let words = words(&service, &headers);
    let html = match status {
        StatusCode::UNAUTHORIZED => frame::session_over(&service, words, after_sign_in(&path)),
        _ => frame::message(&service, words, &words.say("refused"), &words.say(id)),
    };
    shell_page::answer(status, html, &[])
}

/// The page on which somebody goes on whose session had ended when they sent a form to this path.
fn after_sign_in(path: &str) -> &str {
    match path {
        "/password" | "/pin" | "/preference" | "/sessions" | "/name" | "/car" => path,
        "/preferences" => "/preference",
        "/sessions/end" => "/sessions",
        "/delete-account" | "/export" | "/openid/link" | "/openid/unlink" => "/settings",
        "/unlink" | "/serve" | "/link" => "/subscriptions",
        "/delete" | "/again" | "/car/logout" | "/cars/name" => "/cars",
        _ => "/",
    }
}

/// The texts for this reader, now.
fn words<'a>(service: &'a Service, headers: &HeaderMap) -> Words<'a> {
    service.config.site.words(headers, now())
}

fn see_other(to: &str) -> Page {
    if HeaderValue::from_str(to).is_err() {
        return Err(Refusal(StatusCode::BAD_REQUEST, "refused-way"));
    }
    Ok(shell_page::see_other(to))
}

/// Who is signed in; none if nobody is.
async fn visitor<'a>(
    service: &'a Arc<Service>,
    headers: &HeaderMap,
) -> Result<Option<Visit<'a>>, Refusal> {
    let Some(cookie) = cookie::read(headers, SESSION) else {
        return Ok(None);
    };
    let account: Option<Account> = service.signed_in(&cookie).await?;
    Ok(account.map(|account| Visit {
        csrf: csrf(service, &cookie),
        words: words(service, headers),
        service,
        account,
        cookie,
    }))
}

/// Who sent a form, after its token was checked.
async fn sender<'a>(
    service: &'a Arc<Service>,
    headers: &HeaderMap,
    csrf: &str,
) -> Result<Visit<'a>, Refusal> {
    let Some(visit) = visitor(service, headers).await? else {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "refused-session"));
    };
    if cookie::token_fits(&service.config.pin_key, &visit.cookie, csrf) {
        Ok(visit)
    } else {
        Err(Refusal(StatusCode::FORBIDDEN, "refused-old"))
    }
}

/// The token of forms under a cookie.
fn csrf(service: &Service, value: &str) -> String {
    cookie::token(&service.config.pin_key, value)
}

/// A form with nothing but its token.
#[derive(Deserialize)]
struct Plain {
    csrf: String,
}

/// What follows a form: a page with a line that says what was done.
#[derive(Debug, Default, Deserialize)]
struct DoneQuery {
    #[serde(default)]
    done: String,
}

impl DoneQuery {
    /// The id of the line's text; only words that are ours.
    fn line(&self) -> Option<&'static str> {
        Some(match self.done.as_str() {
            "unlinked" => "done-unlinked",
            "deleted" => "done-deleted",
            "logged-out" => "done-logged-out",
            "serves" => "done-serves",
            "again" => "done-again",
            "password" => "done-password",
            "pin" => "done-pin",
            "preference" => "done-preference",
            "sessions" => "done-sessions",
            "session" => "done-session",
            "name" => "done-name",
            "car" => "done-car",
            "identity" => "done-identity",
            "identity-removed" => "done-identity-removed",
            _ => return None,
        })
    }
}

type Done = Result<axum::extract::Query<DoneQuery>, QueryRejection>;

fn done_line(query: Done) -> Option<&'static str> {
    query.ok().and_then(|query| query.0.line())
}

/// What a page answers where nobody is signed in: the login, and then this page.
fn login_first(next: &str) -> Page {
    let next = aid_aid1::redirect::percent_encode(next);
    see_other(&format!("/login?next={next}"))
}

/// An answer that says when to try again (RFC 9110 §10.2.3).
fn try_again(mut answer: Response, wait: Duration) -> Response {
    let seconds = HeaderValue::from(retry_after(wait));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_serve::page::Texts;

    #[test]
    fn both_languages_have_every_text() {
        assert_eq!(Texts::problems(TABLES), Vec::<String>::new());
    }
}
