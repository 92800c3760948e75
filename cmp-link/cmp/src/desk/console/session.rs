//! Who is signed in at the console: a cookie that scripts do not see, and a token in every form, which is the HMAC of the
//! cookie, so that nothing has to be kept for it.

use aid_serve::page;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Cookie of a session.
pub(super) const SESSION: &str = "__Host-aid-desk";
/// Cookie of the sign-in page, so that nobody else signs a browser in.
pub(super) const LOGIN: &str = "__Host-aid-desk-login";

/// A random value.
pub(super) fn fresh() -> String {
    let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!("{}{}", a.simple(), b.simple())
}

/// The value that the browser sent; none if it sent two, or one that is not ours.
pub(super) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = page::cookie(headers, name);
    value.filter(|value| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn mac(key: &[u8; 32], value: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(b"console form");
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
