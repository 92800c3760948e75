//! The user portal (AID6) as HTTPS pages: sign in, link a subscription, choose which one serves, see and delete profiles,
//! unlink, approve a login that a car shows a code for, password, PIN and sessions (§4.1, §4.2, §4.4.1, §4.5).
//! No script; every form has a token; cookies are `__Host-`.

mod account;
mod car;
mod cookie;
mod link;
mod login;
mod page;
mod settings;

use crate::service::Service;
use crate::store::StoreError;
use aid_cmp_core::model::Account;
use aid_serve::limit::retry_after;
use aid_serve::page as shell_page;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use cookie::SESSION;
use maud::Markup;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Largest form, bytes.
const MAX_FORM: usize = 16 * 1024;
/// Forms that cost the hash of a password, or that judge a secret: limited by the address that they come from.
pub const GUESSES: &[&str] = &["/login", "/register", "/password", "/pin", "/car"];
/// Whose pages these are.
const SITE: &str = "My cars";

/// A page instead of an answer, for whatever goes wrong.
struct Refusal(StatusCode, &'static str);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a page failed");
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "This does not work at the moment. Please try again later.",
        )
    }
}

impl From<FormRejection> for Refusal {
    fn from(_: FormRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, "The form was not complete.")
    }
}

impl From<QueryRejection> for Refusal {
    fn from(_: QueryRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, "The address is not complete.")
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let page = page::message("Not possible", self.1);
        shell_page::answer(self.0, page, &[])
    }
}

type Page = Result<Response, Refusal>;
type Cmp = State<Arc<Service>>;

/// The pages.
pub fn router(service: Arc<Service>) -> Router {
    let nothing = || async { Refusal(StatusCode::NOT_FOUND, "There is no such page.") };
    let not_so = || async { Refusal(StatusCode::METHOD_NOT_ALLOWED, "That is not possible here.") };
    Router::new()
        .route("/", get(account::account))
        .merge(page::assets())
        .route("/login", get(login::form).post(login::login))
        .route("/register", get(login::register_form).post(login::register))
        .route("/logout", post(login::logout))
        .route("/link", get(link::ask).post(link::link))
        .route("/linked", get(link::linked))
        .route("/touchpoint", get(link::touchpoint).post(link::decide))
        .route("/touchpoint/leave", get(link::leave))
        .route("/unlink", post(account::unlink))
        .route("/delete", post(account::delete))
        .route("/serve", post(account::serve))
        .route("/again", post(account::again))
        .route("/dismiss", post(account::dismiss))
        .route("/car", get(car::form).post(car::judge))
        .route("/car/logout", post(car::log_out))
        .route("/settings", get(settings::page))
        .route("/password", post(settings::password))
        .route("/pin", post(settings::pin))
        .route("/sessions", post(settings::sessions))
        .route("/preference", post(settings::preference))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(from_fn(without_nul))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(service)
}

/// Refuses U+0000, wherever it stands in an address or a form: no text has it, and not every database stores it.
async fn without_nul(request: Request, next: Next) -> Response {
    const REFUSAL: Refusal = Refusal(
        StatusCode::BAD_REQUEST,
        "The form has a character that is not allowed.",
    );
    let has_nul = |text: &[u8]| text.contains(&0) || text.windows(3).any(|w| w == b"%00");
    if has_nul(request.uri().to_string().as_bytes()) {
        return REFUSAL.into_response();
    }
    let (parts, body) = request.into_parts();
    match to_bytes(body, MAX_FORM).await {
        Ok(bytes) if has_nul(&bytes) => REFUSAL.into_response(),
        Ok(bytes) => next.run(Request::from_parts(parts, bytes.into())).await,
        Err(_) => Refusal(StatusCode::PAYLOAD_TOO_LARGE, "The form was too large.").into_response(),
    }
}

fn shown(page: String) -> Response {
    shell_page::answer(StatusCode::OK, page, &[])
}

fn see_other(to: &str) -> Page {
    if HeaderValue::from_str(to).is_err() {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "The address is not usable.",
        ));
    }
    Ok(shell_page::see_other(to))
}

/// Who is signed in, and their cookie.
async fn visitor(
    service: &Arc<Service>,
    headers: &HeaderMap,
) -> Result<Option<(Account, String)>, Refusal> {
    let Some(value) = cookie::read(headers, SESSION) else {
        return Ok(None);
    };
    let account = service.signed_in(&value).await?;
    Ok(account.map(|account| (account, value)))
}

/// Who sent a form, after its token was checked.
async fn sender(
    service: &Arc<Service>,
    headers: &HeaderMap,
    csrf: &str,
) -> Result<(Account, String), Refusal> {
    let Some((account, value)) = visitor(service, headers).await? else {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "Please sign in first."));
    };
    if cookie::token_fits(&service.config.pin_key, &value, csrf) {
        Ok((account, value))
    } else {
        Err(Refusal(
            StatusCode::FORBIDDEN,
            "The page was too old. Please load it again.",
        ))
    }
}

/// What a visitor sees who has sent too many forms.
pub fn too_many(_: &HeaderMap, wait: Duration) -> Response {
    let seconds = retry_after(wait);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let text = format!("Please try again in {seconds} {unit}.");
    with_status(
        StatusCode::TOO_MANY_REQUESTS,
        page::message("Too many attempts", &text),
    )
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

/// What follows a form: back to a page, with a line that says what was done.
#[derive(Deserialize)]
struct DoneQuery {
    #[serde(default)]
    done: String,
}

/// The line for a page's `done`; only words that are ours.
fn done_line(word: &str) -> Option<&'static str> {
    Some(match word {
        "unlinked" => {
            "The subscription is no longer linked. Its profiles are removed from your cars."
        }
        "deleted" => "The profile is removed as soon as the car has a connection.",
        "logged-out" => {
            "You are logged out of that car. It ends your session as soon as it has a connection."
        }
        "serves" => "Your choice is saved. It counts from the next login in a car.",
        "again" => "The next login in that car loads your profile again.",
        "password" => "Your password is changed. All other sessions have ended.",
        "pin" => "Your PIN is changed.",
        "preference" => "Your preference is saved. Your cars know it.",
        "sessions" => "All other sessions have ended.",
        _ => return None,
    })
}

/// A page of somebody who is signed in.
fn inside(title: &str, csrf: &str, content: &Markup) -> String {
    page::inside(title, csrf, content)
}

/// What a page answers where nobody is signed in: the login, and then this page.
fn login_first(next: &str) -> Page {
    let next = aid_aid1::redirect::percent_encode(next);
    see_other(&format!("/login?next={next}"))
}

/// What is said where too many passwords are looked at in this moment.
const BUSY: &str = "Too many people sign in at the moment. Please try again in a few seconds.";

/// An answer that says when to try again (RFC 9110 §10.2.3).
fn try_again(mut answer: Response, wait: Duration) -> Response {
    let seconds = HeaderValue::from(retry_after(wait));
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

/// An answer with a page under a status.
fn with_status(status: StatusCode, page: String) -> Response {
    shell_page::answer(status, page, &[]).into_response()
}
