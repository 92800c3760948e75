//! What the pages of all servers have in common: frame, style sheet, script, theme, texts, cookies, protective headers
//! (AID5, AID6). The content of a page is the server's.

pub mod colour;
pub mod field;
pub mod language;
pub mod live;
pub mod site;
pub mod theme;
mod time;

pub use field::Field;
pub use language::{Language, Texts, Words};
pub use site::{Item, Page, Site};
pub use time::{rfc3339, utc};

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

/// A hidden field of a form.
#[must_use]
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// The answer with a page in it. `targets` are the origins besides our own that a form of the page may end at.
#[must_use]
pub fn answer(status: StatusCode, html: String, targets: &[String]) -> Response {
    let mut response = (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    protect(response.headers_mut(), targets);
    response
}

/// Sends a browser on with 303. The address must have been checked.
#[must_use]
pub fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    put(response.headers_mut(), LOCATION, to);
    protect(response.headers_mut(), &[]);
    response
}

/// Nothing foreign, no frame, no cache, no referrer, no script but our file. Browsers apply `form-action` to the redirect after a form
/// too, so its targets are in it.
pub fn protect(headers: &mut HeaderMap, targets: &[String]) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; frame-ancestors 'none'; form-action 'self' {}",
        targets.join(" ")
    );
    put(headers, CONTENT_SECURITY_POLICY, policy.trim_end());
    for (name, value) in [
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            STRICT_TRANSPORT_SECURITY,
            "max-age=31536000; includeSubDomains",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The origin of an absolute URL, as a target of forms: `https://host:port`, or `scheme:` of an app.
#[must_use]
pub fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    if !scheme.eq_ignore_ascii_case("https") {
        return format!("{scheme}:");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{scheme}://{}", &rest[..end])
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // What comes from outside was checked to be printable ASCII.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// The value of a cookie; none if it is there twice. Call it with a `__Host-` name: browsers demand Secure and Path=/ then,
/// and refuse a Domain.
#[must_use]
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        for pair in line.to_str().ok()?.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if key == name && found.replace(value.to_owned()).is_some() {
                return None;
            }
        }
    }
    found
}

/// Gives the browser a cookie that scripts and other sites' forms do not see; it ends with the browser, or after
/// `seconds`. None removes it.
pub fn set_cookie(response: &mut Response, name: &str, value: Option<&str>, seconds: Option<u64>) {
    let age = match (value, seconds) {
        (None, _) => "; Max-Age=0".to_owned(),
        (Some(_), Some(seconds)) => format!("; Max-Age={seconds}"),
        (Some(_), None) => String::new(),
    };
    let value = value.unwrap_or_default();
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_a_policy_takes() {
        for (url, origin) in [
            ("https://cmp.example/a?b#c", "https://cmp.example"),
            ("https://cmp.example:8443?x", "https://cmp.example:8443"),
            ("carapp://back/here", "carapp:"),
            ("nothing", ""),
        ] {
            assert_eq!(super::origin(url), origin);
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=1; __Host-x=2; junk"));
        assert_eq!(cookie(&headers, "__Host-x").as_deref(), Some("2"));
        assert_eq!(cookie(&headers, "b"), None);
        headers.append(COOKIE, HeaderValue::from_static("__Host-x=3"));
        assert_eq!(cookie(&headers, "__Host-x"), None);
    }

    #[test]
    fn answers_are_protected() {
        let mut response = answer(StatusCode::OK, String::new(), &["https://b.example".into()]);
        set_cookie(&mut response, "__Host-x", Some("1"), Some(60));
        let headers = response.headers();
        let text = |name: &str| headers[name].to_str().unwrap_or_default().to_owned();
        assert!(text("content-security-policy").ends_with("form-action 'self' https://b.example"));
        assert!(text("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(text("referrer-policy"), "no-referrer");
        assert_eq!(
            text("set-cookie"),
            "__Host-x=1; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
        );
    }
}
