//! Who is signed in at the console: a cookie that scripts do not see, and a token in every form, which is the HMAC of the
//! cookie, so that nothing has to be kept for it.

use crate::page;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// A random value of 256 bits, hexadecimal.
///
/// # Errors
/// The machine has no randomness.
pub fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// What is stored of a cookie. Cookies are random, so that a plain hash says nothing of them.
#[must_use]
pub fn hash(cookie: &str) -> String {
    hex::encode(Sha256::digest(cookie.as_bytes()))
}

/// The value that the browser sent; none if it sent two, or one that is not ours.
#[must_use]
pub fn read(headers: &HeaderMap, name: &str) -> Option<String> {
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
#[must_use]
pub fn token(key: &[u8; 32], value: &str) -> String {
    mac(key, value).map_or_else(String::new, |mac| hex::encode(mac.finalize().into_bytes()))
}

/// Whether a form's token is right.
#[must_use]
pub fn token_fits(key: &[u8; 32], value: &str, token: &str) -> bool {
    let bytes = hex::decode(token).unwrap_or_default();
    mac(key, value).is_some_and(|mac| mac.verify_slice(&bytes).is_ok())
}
