//! The portal's cookies and the tokens of its forms: a token is the HMAC of the cookie, so nothing
//! has to be kept for it.
//! Used by the portal's handlers.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Cookie of a session.
pub(super) const SESSION: &str = "__Host-aid-session";
/// Cookie of the login page.
pub(super) const LOGIN: &str = "__Host-aid-login";

/// A random value.
pub(super) fn fresh() -> String {
    let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!("{}{}", a.simple(), b.simple())
}

/// The value that the browser sent; none if it sent two, or one that is not ours.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = aid_serve::page::cookie(headers, name);
    value.filter(|value| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn mac(key: &[u8; 32], value: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(b"portal form");
    mac.update(value.as_bytes());
    Some(mac)
}

/// The token of forms on pages under this cookie.
pub(super) fn token(key: &[u8; 32], value: &str) -> String {
    mac(key, value).map_or_else(String::new, |mac| hex::encode(mac.finalize().into_bytes()))
}

/// Whether a form's token is right.
pub(super) fn token_fits(key: &[u8; 32], value: &str, token: &str) -> bool {
    let bytes = hex::decode(token).unwrap_or_default();
    mac(key, value).is_some_and(|mac| mac.verify_slice(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;

    #[test]
    fn tokens_belong_to_one_cookie() {
        let (a, b) = (fresh(), fresh());
        let key = [7; 32];
        assert!(token_fits(&key, &a, &token(&key, &a)));
        assert!(!token_fits(&key, &b, &token(&key, &a)));
        assert!(!token_fits(&[8; 32], &a, &token(&key, &a)));
        assert!(!token_fits(&key, &a, ""));
    }

    #[test]
    fn one_cookie_is_read_and_two_are_not() {
        let value = fresh();
        let mut headers = HeaderMap::new();
        let line = format!("x=1; {SESSION}={value}");
        headers.insert(header::COOKIE, line.parse().unwrap());
        assert_eq!(read(&headers, SESSION), Some(value));
        assert_eq!(read(&headers, LOGIN), None);
        headers.append(
            header::COOKIE,
            format!("{SESSION}={}", fresh()).parse().unwrap(),
        );
        assert_eq!(read(&headers, SESSION), None);
    }
}
