//! Where a browser may be sent: the agreed domains and URL schemes of AID.02 §7.1, and what is appended (§7.2).
//!
//! An account id leaks to whatever is let through here, so the grammar is narrower than any parser's: ASCII, one reading,
//! nothing that two parsers split differently. The text that was checked is the text that is sent; nothing is rewritten.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use crate::account_id::AccountId;
use crate::error_code::{ApiError, ErrorCode};

/// Longest URI, in characters.
pub const MAX_URI: usize = 2048;

/// Why a URI is no target of a redirect. There must be no redirect at all then (R-7.2.2-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Empty or longer than [`MAX_URI`].
    #[error("redirect_uri must have 1 to {MAX_URI} characters")]
    Length,
    /// A character that is not allowed in a URI, a bad percent escape, or an escaped control character.
    #[error("redirect_uri has a character that a URI must not have")]
    Character,
    /// No scheme followed by `://`.
    #[error("redirect_uri is not absolute")]
    NotAbsolute,
    /// A bad host, port, or user information.
    #[error("redirect_uri has no plain host name")]
    Authority,
    /// A fragment: what is appended would end up in it.
    #[error("redirect_uri must not have a fragment")]
    Fragment,
    /// `id`, `code` or `error` is there already.
    #[error("redirect_uri must not have a member id, code or error")]
    Reserved,
    /// Acceptable, but not on the list.
    #[error("redirect_uri is not one of the agreed domains")]
    NotAgreed,
}

/// One agreed target: `https://host`, `https://*.domain`, with `:port` where it is not 443 and a path where exactly that
/// path is agreed; or `scheme://` for an app (§7.1, CMP direction).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A web page.
    Https {
        /// Lower-case host, or the domain after `*.`.
        host: String,
        /// Whether any host below `host` is meant, and not `host` itself.
        wildcard: bool,
        /// Port.
        port: u16,
        /// The one agreed path; any if absent.
        path: Option<String>,
    },
    /// An app with its own URL scheme, in lower case.
    Scheme(String),
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no agreed redirect: write https://host, https://*.domain, https://host:port/exact/path or scheme:// (AID.02 §7.1)"
)]
pub struct PatternError {
    /// What was given.
    pub text: String,
}

/// Schemes that a browser acts on by itself, or that are not encrypted: never a target.
const NEVER: [&str; 19] = [
    "about",
    "blob",
    "chrome",
    "content",
    "data",
    "feed",
    "file",
    "filesystem",
    "ftp",
    "http",
    "intent",
    "javascript",
    "jar",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
    "wss",
    "https",
];

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError {
            text: crate::error_code::clean(text, 200),
        };
        let (scheme, rest) = split_scheme(text).ok_or_else(wrong)?;
        if scheme != "https" {
            let app = rest.is_empty() && !NEVER.contains(&scheme.as_str());
            return if app {
                Ok(Self::Scheme(scheme))
            } else {
                Err(wrong())
            };
        }
        let (wildcard, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority).ok_or_else(wrong)?;
        let plain = path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'*' | b'\\'));
        // "*.com" would agree with everybody.
        if !plain || (wildcard && !host.contains('.')) {
            return Err(wrong());
        }
        let path = (!path.is_empty()).then(|| path.to_owned());
        Ok(Self::Https {
            host,
            wildcard,
            port,
            path,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) => write!(f, "{scheme}://"),
            Self::Https {
                host,
                wildcard,
                port,
                path,
            } => {
                let star = if *wildcard { "*." } else { "" };
                write!(
                    f,
                    "https://{star}{host}:{port}{}",
                    path.as_deref().unwrap_or_default()
                )
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The agreed targets of one party.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Pattern>);

impl AllowList {
    /// The list; an empty one refuses everything.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// Checks a redirect URI, already percent-decoded once by the query parser.
    ///
    /// # Errors
    /// [`RedirectError`]: show a page, never redirect.
    pub fn check(&self, uri: &str) -> Result<RedirectUri, RedirectError> {
        let parts = Parts::parse(uri)?;
        if self.0.iter().any(|pattern| parts.fits(pattern)) {
            Ok(RedirectUri(uri.to_owned()))
        } else {
            Err(RedirectError::NotAgreed)
        }
    }
}

/// A redirect URI that was found on an [`AllowList`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// The URI as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With the account id appended: back to the MSP after success (AID.02 §7.2.1).
    #[must_use]
    pub fn with_account_id(&self, id: &AccountId) -> String {
        self.with(&[("id", id.as_str())])
    }

    /// With code and text appended: back after a failure (AID.02 §7.2.2).
    #[must_use]
    pub fn with_error(&self, code: ErrorCode) -> String {
        let text = ApiError::new(code).text;
        self.with(&[("code", &code.to_string()), ("error", &text)])
    }

    fn with(&self, members: &[(&str, &str)]) -> String {
        let mut text = self.0.clone();
        for (name, value) in members {
            match text.find('?') {
                None => text.push('?'),
                Some(at) if at + 1 == text.len() => {}
                Some(_) if text.ends_with('&') => {}
                Some(_) => text.push('&'),
            }
            text.push_str(name);
            text.push('=');
            text.push_str(&percent_encode(value));
        }
        text
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 §2.3: for a value in a query.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing into a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The URL that sends a browser to the MSP touchpoint: `{touchpoint}?id=...&redirect_uri=...` (AID.02 §7.1).
#[must_use]
pub fn to_msp_touchpoint(touchpoint: &str, id: &AccountId, redirect_uri: &str) -> String {
    let separator = if touchpoint.contains('?') { '&' } else { '?' };
    format!(
        "{touchpoint}{separator}id={}&redirect_uri={}",
        id.as_str(),
        percent_encode(redirect_uri)
    )
}

/// A URI taken apart by the narrow grammar.
struct Parts<'a> {
    scheme: String,
    host: String,
    port: u16,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(uri: &'a str) -> Result<Self, RedirectError> {
        if !(1..=MAX_URI).contains(&uri.len()) {
            return Err(RedirectError::Length);
        }
        if !uri.bytes().all(is_uri_byte) || !escapes_are_harmless(uri) {
            return Err(RedirectError::Character);
        }
        let (scheme, rest) = split_scheme(uri).ok_or(RedirectError::NotAbsolute)?;
        if uri.contains('#') {
            return Err(RedirectError::Fragment);
        }
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, ""), |(rest, query)| (rest, query));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let reserved = |member: &str| {
            let name = member.split('=').next().unwrap_or_default();
            matches!(
                percent_decode(name).to_ascii_lowercase().trim(),
                "id" | "code" | "error"
            )
        };
        // Some parsers separate by semicolons too.
        if query.split(['&', ';']).any(reserved) {
            return Err(RedirectError::Reserved);
        }
        let (host, port) = if scheme == "https" {
            host_and_port(authority).ok_or(RedirectError::Authority)?
        } else if authority.contains(['@', ':', '%']) {
            return Err(RedirectError::Authority);
        } else {
            (authority.to_ascii_lowercase(), 0)
        };
        Ok(Self {
            scheme,
            host,
            port,
            path,
        })
    }

    fn fits(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Scheme(scheme) => self.scheme == *scheme,
            Pattern::Https {
                host,
                wildcard,
                port,
                path,
            } => {
                let host_fits = if *wildcard {
                    self.host
                        .strip_suffix(host.as_str())
                        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
                } else {
                    self.host == *host
                };
                self.scheme == "https"
                    && host_fits
                    && self.port == *port
                    && path.as_deref().is_none_or(|path| path == self.path)
            }
        }
    }
}

/// The scheme in lower case and what follows `://`.
fn split_scheme(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let word = scheme
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (word && scheme.starts_with(|c: char| c.is_ascii_alphabetic()))
        .then(|| (scheme.to_ascii_lowercase(), rest))
}

/// A host name in lower case and a port, 443 unless written. No user information, no IPv6, no trailing dot.
fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.split_once(':') {
        None => (authority, 443),
        Some((host, port)) => {
            let digits = (1..=5).contains(&port.len())
                && port.bytes().all(|b| b.is_ascii_digit())
                && !port.starts_with('0');
            (host, digits.then(|| port.parse().ok()).flatten()?)
        }
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (host.len() <= 253 && host.split('.').all(label)).then(|| (host.to_ascii_lowercase(), port))
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

/// Every `%` begins an escape, and none stands for a control character or a backslash.
fn escapes_are_harmless(uri: &str) -> bool {
    uri.split('%').skip(1).all(|rest| {
        let byte = rest
            .get(..2)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        byte.and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .is_some_and(|b| b >= 0x20 && b != 0x7f && b != b'\\')
    })
}

/// The text with its escapes resolved; the caller has checked them.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.bytes().next() {
        let escape = (c == b'%').then(|| rest.get(1..3)).flatten();
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            None => {
                out.push(c);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
