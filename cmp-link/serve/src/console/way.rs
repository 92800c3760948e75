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
/// Below which address deeds are.
const DEEDS: &str = "/console/do/";

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
/// it. So does the page of a deed whose form was sent: it is at the same address.
pub async fn remembered(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET || request.uri().path().starts_with(DEEDS);
    let asked = is_page
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

/// An address inside a query.
fn encoded(text: &str) -> String {
    percent(text, b"/-_.")
}

/// A text as one segment of a path, or as one value of a query (RFC 3986 §2.3).
#[must_use]
pub fn segment(text: &str) -> String {
    percent(text, b"-_.~")
}

fn percent(text: &str, plain: &[u8]) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
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
        assert_eq!(segment("a/b?c=\u{e4} ~"), "a%2Fb%3Fc%3D%C3%A4%20~");
    }
}
