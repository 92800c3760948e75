//! Who gets to the page: the name of the host and the origin of each request, the token and the cookie.
//!
//! Any process of the car, and any page that a browser of the car shows, can send requests to a loopback port. The host
//! must be ours (a foreign name that leads here is an attack with DNS), what changes something must come from our page,
//! and nothing is shown without the cookie that a one-time token was exchanged for. At a unix socket the kernel says who
//! asks (`listen`), and no token is needed.

use crate::language::Language;
use crate::listen::Guest;
use crate::page;
use crate::routes::{Hmi, MAX_FORM};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the page may load, and where it may lead: nothing that is not ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Longest wait for a form.
const FORM: Duration = Duration::from_secs(5);

/// How browsers get in.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    /// At this loopback address, with a token.
    Loopback(SocketAddr),
    /// At a unix socket, by user id.
    Socket,
}

/// The value of the cookie of who asks.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(pub(crate) String);

impl Door {
    /// Names under which it is reached.
    fn hosts(&self) -> [String; 2] {
        match self {
            Self::Loopback(address) => {
                [address.to_string(), format!("localhost:{}", address.port())]
            }
            Self::Socket => ["localhost".to_owned(), "aid-hmi".to_owned()],
        }
    }

    /// Name of the cookie. Browsers send one to all ports of a host, so it has the port.
    fn cookie(&self) -> String {
        match self {
            Self::Loopback(address) => format!("aid_hmi_{}", address.port()),
            Self::Socket => "aid_hmi".to_owned(),
        }
    }

    /// The address that lets a browser in that has the token.
    pub(crate) fn address(&self, token: &str) -> Option<String> {
        match self {
            Self::Loopback(address) => Some(format!("http://{address}/?token={token}")),
            Self::Socket => None,
        }
    }
}

/// The value of a header; none where it is absent or there twice.
fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// Why a request is not looked at.
fn refusal(door: &Door, request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let host = one(headers, HOST).unwrap_or_default();
    if !door.hosts().iter().any(|own| own == host) {
        return Some("this host name is not the HMI's");
    }
    let own = format!("http://{host}");
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let origin = headers
        .contains_key(ORIGIN)
        .then(|| one(headers, ORIGIN).unwrap_or_default());
    if origin.is_some_and(|origin| origin != own) || (origin.is_none() && !asks) {
        return Some("this request does not come from the HMI's page");
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = matches!(site, Some(b"cross-site" | b"same-site"));
    // The start page is a file, and leads here with the token.
    let enters = request.uri().path() == "/" && token(request).is_some();
    (foreign && !(asks && enters)).then_some("this request comes from another page")
}

/// The token in the address.
fn token(request: &Request) -> Option<&str> {
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
}

/// The value of our cookie; none if it is there twice.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter();
    let pairs = all
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'));
    let mut found = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(n, _)| *n == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

/// The language of a request without a session.
pub(crate) fn language(hmi: &Hmi, headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    hmi.language
        .unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default()))
}

/// Lets requests through that may see the page; the answer gets protective headers in any case.
pub(crate) async fn guard(State(hmi): State<Hmi>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&hmi.door, &request) {
        Some(reason) => {
            tracing::warn!(reason, "request refused");
            (StatusCode::FORBIDDEN, reason).into_response()
        }
        None => enter(&hmi, request, next).await,
    };
    protect(response.headers_mut());
    response
}

/// The connection of a request is of the browser that was let in under this id.
fn let_in(request: &Request, id: &str) {
    if let Some(guest) = request.extensions().get::<Guest>() {
        guest.let_in(id);
    }
}

/// Reads the form at once: a place is not held by one that comes slowly or not at all.
async fn whole(request: Request) -> Result<Request, (StatusCode, &'static str)> {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(FORM, to_bytes(body, MAX_FORM)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, "this form is too large")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "this form took too long")),
    }
}

async fn enter(hmi: &Hmi, request: Request, next: Next) -> Response {
    let (now, name) = (Instant::now(), hmi.door.cookie());
    let known = cookie(request.headers(), &name)
        .filter(|value| hmi.sessions().of(value, now).is_some())
        .map(str::to_owned);
    if let Some(id) = &known {
        let_in(&request, id);
    }
    // Style and script hold nothing of anybody.
    if matches!(request.uri().path(), "/style.css" | "/hmi.js") {
        return next.run(request).await;
    }
    let language = language(hmi, request.headers());
    if request.method() == Method::GET
        && request.uri().path() == "/"
        && let Some(token) = token(&request)
    {
        let redeemed = hmi.sessions().redeem(token, now);
        return match redeemed {
            Ok(Some(id)) => {
                let_in(&request, &id);
                hmi.write_start_page();
                // No redirect: the next request has to come from our own page, or a browser that was led here from the
                // start page would keep the cookie to itself.
                let mut response = Html(page::entered(language)).into_response();
                set_cookie(&mut response, &name, &id);
                response
            }
            Ok(None) => {
                tracing::warn!("a browser came with a token that was used, or is not ours");
                let html = page::door(language, language.texts().door_used);
                (StatusCode::FORBIDDEN, Html(html)).into_response()
            }
            Err(error) => failed(&error),
        };
    }
    let begun = match (&known, &hmi.door) {
        (None, Door::Socket) => match hmi.sessions().begin(now) {
            Ok(id) => Some(id),
            Err(error) => return failed(&error),
        },
        _ => None,
    };
    let Some(visitor) = known.or_else(|| begun.clone()) else {
        let html = page::door(language, language.texts().door_text);
        return (StatusCode::FORBIDDEN, Html(html)).into_response();
    };
    let mut request = match whole(request).await {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    request.extensions_mut().insert(Visitor(visitor));
    let mut response = next.run(request).await;
    if let Some(id) = begun {
        set_cookie(&mut response, &name, &id);
    }
    response
}

fn failed(error: &getrandom::Error) -> Response {
    tracing::error!(%error, "no random bytes");
    let text = "the operating system has no random bytes; try again";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn set_cookie(response: &mut Response, name: &str, value: &str) {
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict");
    // Letters and digits.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not no-referrer: browsers would hide the origin of forms then, by which they are judged.
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
