//! The way to the sign-in and on: whoever is not signed in any more comes back to the page that they wanted.

use crate::page;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;

/// Where the console begins.
pub const HOME: &str = "/console";
/// Where people sign in.
pub const SIGN_IN: &str = "/console/login";

/// Where to go on after the sign-in: a page of the console, whatever the address says.
#[must_use]
pub fn on(next: &str) -> &str {
    let is_ours = next == HOME
        || next
            .strip_prefix(HOME)
            .is_some_and(|rest| rest.starts_with(['/', '?']));
    let is_plain = next
        .bytes()
        .all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    match is_ours && is_plain && !next.starts_with(SIGN_IN) && next.len() <= 512 {
        true => next,
        false => HOME,
    }
}

/// Sends a browser to the sign-in by [`SIGN_IN`]; a page that was asked for stands in the address, so that it comes after
/// it.
pub async fn remembered(request: Request, next: Next) -> Response {
    let asked = (request.method() == Method::GET)
        .then(|| request.uri().path_and_query().map(ToString::to_string))
        .flatten();
    let answer = next.run(request).await;
    let leads = answer.headers().get(header::LOCATION);
    let is_sent = leads.is_some_and(|to| to.as_bytes() == SIGN_IN.as_bytes());
    match asked.filter(|asked| is_sent && on(asked) != HOME) {
        Some(asked) => page::see_other(&format!("{SIGN_IN}?next={}", encoded(&asked))),
        None => answer,
    }
}

/// A text inside a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                all.push(char::from(byte));
            }
            _ => all.push_str(&format!("%{byte:02X}")),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_on_is_inside_the_console() {
        for ours in [
            "/console",
            "/console/orders?state=open",
            "/console/users/a%20b",
        ] {
            assert_eq!(on(ours), ours);
        }
        for foreign in [
            "",
            "//evil.example",
            "https://evil.example/console",
            "/console.evil.example",
            "/console/\\evil.example",
            "/console/ x",
            "/console/\u{e4}",
            "/console/login?next=/console",
            "/",
        ] {
            assert_eq!(on(foreign), HOME, "{foreign}");
        }
        assert_eq!(on(&format!("/console/{}", "x".repeat(600))), HOME);
        assert_eq!(
            encoded("/console/orders?a=b&c"),
            "/console/orders%3Fa%3Db%26c"
        );
    }
}
