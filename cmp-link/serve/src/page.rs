//! What the pages of both touchpoints have in common: frame, style sheet, cookies, protective headers (AID5, AID6).
//! Called by the page handlers of aid-cmp and aid-msp; the content of a page is theirs.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, REFERRER_POLICY,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

/// The style sheet of all pages, served at `/style.css`.
pub const STYLE: &str = "\
:root{color-scheme:light dark;font:1.05rem/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:36rem;padding:0 1rem 3rem;overflow-wrap:anywhere}
header{display:flex;justify-content:space-between;align-items:center;gap:1rem;padding:.75rem 0;border-bottom:1px solid #8886}
header a{font-weight:600;text-decoration:none;color:inherit}
header form{margin:0}header button{width:auto;min-height:2.5rem;margin:0;padding:.3rem .8rem}
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1rem 0 .25rem}
section.card{border:1px solid #8886;border-radius:.75rem;padding:.25rem 1rem 1rem;margin:1rem 0}section.card h2{margin-top:.75rem}
label{display:block;margin:1rem 0 .25rem}
label.choice{display:flex;gap:.75rem;align-items:flex-start;border:1px solid #8886;border-radius:.5rem;padding:.75rem;margin:.5rem 0}
label.choice input{width:auto;margin-top:.35rem}
input,button,a.button{font:inherit;width:100%;box-sizing:border-box;padding:.7rem;border-radius:.5rem;border:1px solid #767676}
button,a.button{display:block;margin-top:.75rem;min-height:2.75rem;cursor:pointer;text-align:center;text-decoration:none;color:inherit;background:#8882}
button.main,a.button.main{background:#0b57d0;color:#fff;border-color:#0b57d0}
button.danger{border-color:#b3261e;color:#b3261e;background:none}
@media(prefers-color-scheme:dark){button.danger{border-color:#f2b8b5;color:#f2b8b5}}
:focus-visible{outline:3px solid #f2a900;outline-offset:2px}
p.wrong,p.done{border-left:.3rem solid #b3261e;padding:.25rem .75rem;margin:1rem 0}p.done{border-color:#2e7d32}
.quiet{opacity:.75;font-size:.95rem}
.code{font:1.4rem/1.5 ui-monospace,monospace;letter-spacing:.1em}
ul.plain{list-style:none;padding:0;margin:0}ul.plain>li{border-top:1px solid #8884;padding:.75rem 0}
form.row{display:flex;gap:1rem;justify-content:space-between;align-items:center;margin:.5rem 0}
form.row button{width:auto;margin:0;min-height:2.5rem;padding:.3rem .8rem}
dl{margin:0}dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}
";

/// A whole page: `site` is whose it is, `corner` what stands beside that, such as a button to sign out.
#[must_use]
pub fn document(site: &str, title: &str, corner: &Markup, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – " (site) }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header { a href="/" { (site) } (corner) }
                main { h1 { (title) } (content) }
            }
        }
    }
    .into_string()
}

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

/// The style sheet as an answer.
#[must_use]
pub fn style() -> Response {
    let kind = (CONTENT_TYPE, "text/css; charset=utf-8");
    let mut response = ([kind, (CACHE_CONTROL, "max-age=3600")], STYLE).into_response();
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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

/// Nothing foreign, no frame, no cache, no referrer, no script. Browsers apply `form-action` to the redirect after a form
/// too, so its targets are in it.
pub fn protect(headers: &mut HeaderMap, targets: &[String]) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {}",
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
    fn markup_of_others_is_text_everywhere() {
        let attack = "\"'><script>alert(1)</script>";
        let content = html! { p { (attack) } (hidden("x", attack)) a title=(attack) { "y" } };
        let page = document(attack, attack, &html! {}, &content);
        assert!(
            !page.contains("<script") && !page.contains("\"'>"),
            "{page}"
        );
        // site and title twice each, and three times in the content
        assert_eq!(page.matches("&lt;script&gt;").count(), 7);
    }

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
