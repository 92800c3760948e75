//! The HTTP headers of AID1 (AID.02 §5.1): written by the client, parsed by the server.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error_code::{ApiError, ErrorCode};

/// `CMP-request-id`: identifies a request; an idempotency key together with `client-id`. Both directions use this name.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("cmp-request-id");
/// `correlation-id`: identifies a transaction, such as a request for an activation code and its later answer.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("correlation-id");
/// `client-id`: the caller.
pub const CLIENT_ID: HeaderName = HeaderName::from_static("client-id");
/// `target-id`: the called party.
pub const TARGET_ID: HeaderName = HeaderName::from_static("target-id");
/// `api-key`
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Longest `client-id`, `target-id`, API key, user name or password, in characters.
pub const MAX_VALUE: usize = 128;

/// A UUID in its usual form only: 36 characters with hyphens, upper or lower case.
#[must_use]
pub fn uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 {
        Uuid::try_parse(text).ok()
    } else {
        None
    }
}

/// The name of a CMP or an MSP on AID1: `client-id` or `target-id`, `[A-Za-z0-9]+` (AID.02 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyId(String);

/// A text that names no party.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a client-id or target-id is 1 to {MAX_VALUE} letters and digits (AID.02 §5.1), got {got} characters"
)]
pub struct PartyIdError {
    /// Length of the text, in characters.
    pub got: usize,
}

impl PartyId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartyId {
    type Err = PartyIdError;

    fn from_str(text: &str) -> Result<Self, PartyIdError> {
        if is_key(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PartyIdError {
                got: text.chars().count(),
            })
        }
    }
}

impl TryFrom<String> for PartyId {
    type Error = PartyIdError;

    fn try_from(text: String) -> Result<Self, PartyIdError> {
        text.parse()
    }
}

impl From<PartyId> for String {
    fn from(id: PartyId) -> Self {
        id.0
    }
}

impl<'de> serde::Deserialize<'de> for PartyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for PartyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn is_key(text: &str) -> bool {
    (1..=MAX_VALUE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What a caller proves itself with, besides its certificate (AID.02 §5.1, §6).
#[derive(Clone)]
pub enum Credentials {
    /// The `api-key` header.
    ApiKey(Zeroizing<String>),
    /// Basic authentication: user name and password.
    Basic(Zeroizing<String>, Zeroizing<String>),
}

/// Credentials that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// An API key outside its alphabet.
    #[error("an API key is 1 to {MAX_VALUE} letters and digits (AID.02 §5.1), got {0} characters")]
    ApiKey(usize),
    /// A user name or password outside its alphabet.
    #[error(
        "a user name and a password have 1 to {MAX_VALUE} printable ASCII characters, the user name no colon"
    )]
    Basic,
}

impl Credentials {
    /// An API key.
    ///
    /// # Errors
    /// [`CredentialsError::ApiKey`]
    pub fn api_key(key: &str) -> Result<Self, CredentialsError> {
        if is_key(key) {
            Ok(Self::ApiKey(Zeroizing::new(key.to_owned())))
        } else {
            Err(CredentialsError::ApiKey(key.chars().count()))
        }
    }

    /// A user name and a password for basic authentication.
    ///
    /// # Errors
    /// [`CredentialsError::Basic`]
    pub fn basic(user: &str, password: &str) -> Result<Self, CredentialsError> {
        let printable = |s: &str| {
            (1..=MAX_VALUE).contains(&s.len()) && s.bytes().all(|b| (0x20..0x7f).contains(&b))
        };
        if printable(user) && printable(password) && !user.contains(':') {
            Ok(Self::Basic(
                Zeroizing::new(user.to_owned()),
                Zeroizing::new(password.to_owned()),
            ))
        } else {
            Err(CredentialsError::Basic)
        }
    }

    /// Whether the other credentials are the same; in constant time for texts of one length.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let same = |a: &str, b: &str| a.as_bytes().ct_eq(b.as_bytes());
        match (self, other) {
            (Self::ApiKey(a), Self::ApiKey(b)) => same(a, b).into(),
            (Self::Basic(ua, pa), Self::Basic(ub, pb)) => (same(ua, ub) & same(pa, pb)).into(),
            _ => false,
        }
    }

    fn write(&self, map: &mut HeaderMap) -> Option<()> {
        let (name, text) = match self {
            Self::ApiKey(key) => (API_KEY, Zeroizing::new(key.as_str().to_owned())),
            Self::Basic(user, password) => {
                let pair = Zeroizing::new(format!("{}:{}", user.as_str(), password.as_str()));
                (
                    AUTHORIZATION,
                    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))),
                )
            }
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        map.insert(name, value);
        Some(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(<hidden>)",
            Self::Basic(..) => "Basic(<hidden>)",
        })
    }
}

/// The headers of one request (AID.02 §5.1), without the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// `CMP-request-id`
    pub request_id: Uuid,
    /// `correlation-id`
    pub correlation_id: Uuid,
    /// `client-id`
    pub client_id: PartyId,
    /// `target-id`
    pub target_id: PartyId,
}

impl Headers {
    /// Reads the four mandatory headers. Each must be there once.
    ///
    /// # Errors
    /// Code 91 naming the header.
    pub fn parse(map: &HeaderMap) -> Result<Self, ApiError> {
        let id = |name: HeaderName| {
            one(map, &name)?.and_then(uuid).ok_or_else(|| {
                ApiError::because(
                    ErrorCode::Syntax,
                    format_args!("the header {name} must be a UUID"),
                )
            })
        };
        let party = |name: HeaderName| {
            one(map, &name)?
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| {
                    ApiError::because(
                        ErrorCode::Syntax,
                        format_args!("the header {name} must be letters and digits"),
                    )
                })
        };
        Ok(Self {
            request_id: id(REQUEST_ID)?,
            correlation_id: id(CORRELATION_ID)?,
            client_id: party(CLIENT_ID)?,
            target_id: party(TARGET_ID)?,
        })
    }

    /// The headers and credentials as they go onto the wire.
    #[must_use]
    pub fn to_map(&self, credentials: &Credentials) -> HeaderMap {
        let mut map = HeaderMap::new();
        let texts = [
            (REQUEST_ID, self.request_id.hyphenated().to_string()),
            (CORRELATION_ID, self.correlation_id.hyphenated().to_string()),
            (CLIENT_ID, self.client_id.to_string()),
            (TARGET_ID, self.target_id.to_string()),
        ];
        for (name, text) in texts {
            if let Ok(value) = HeaderValue::from_str(&text) {
                map.insert(name, value);
            }
        }
        // Credentials were checked when made, so they always fit into a header.
        let _ = credentials.write(&mut map);
        map
    }
}

/// Reads the credentials. An `Authorization` header beside an `api-key` is judged too, and so refused: one of the two is
/// used, the other omitted (AID.02 §5.1).
///
/// # Errors
/// Status 401, code 104.
pub fn credentials(map: &HeaderMap) -> Result<Credentials, ApiError> {
    let refused = || ApiError::new(ErrorCode::Unauthorized);
    let key = one(map, &API_KEY).map_err(|_| refused())?;
    let authorization = one(map, &AUTHORIZATION).map_err(|_| refused())?;
    match (key, authorization) {
        (Some(key), None) => Credentials::api_key(key).map_err(|_| refused()),
        (None, Some(text)) => basic(text).ok_or_else(refused),
        _ => Err(refused()),
    }
}

fn basic(text: &str) -> Option<Credentials> {
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 4 * MAX_VALUE {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim_start()).ok()?);
    let (user, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Credentials::basic(user, password).ok()
}

/// The value of a header that may be there once at most.
fn one<'a>(map: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = map.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(ApiError::because(
            ErrorCode::Syntax,
            format_args!("the header {name} is there twice"),
        ));
    }
    value
        .map(|value| {
            value.to_str().map_err(|_| {
                ApiError::because(
                    ErrorCode::Syntax,
                    format_args!("the header {name} is not ASCII"),
                )
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers {
            request_id: Uuid::from_u128(1),
            correlation_id: Uuid::from_u128(2),
            client_id: "dk3kdwkef1".parse().unwrap(),
            target_id: "gKl32ko4".parse().unwrap(),
        }
    }

    fn key() -> Credentials {
        Credentials::api_key("1234abcdefghij0123456789").unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let basic = Credentials::basic("cmp", "p:w d").unwrap();
        for given in [key(), basic] {
            let map = headers().to_map(&given);
            assert_eq!(Headers::parse(&map).unwrap(), headers());
            assert!(credentials(&map).unwrap().matches(&given));
        }
        assert!(!key().matches(&Credentials::api_key("1234abcdefghij0123456780").unwrap()));
        assert!(!format!("{:?}", key()).contains("1234"));
    }

    // R-5.1-1, R-5.1-2, R-5.1-7
    #[test]
    fn bad_headers_are_refused_by_name() {
        let uuid = "d534080b-9794-4351-88e7-8af9e079ca1e";
        let bad_ids = [
            "",
            "d534080b97944351 88e7",
            &uuid.replace('-', ""),
            &format!("{{{uuid}}}"),
            &format!("urn:uuid:{uuid}"),
        ];
        let long = "a".repeat(10_000);
        let bad_parties = ["", "a b", "a-b", "é", &long];
        for (names, values) in [
            ([REQUEST_ID, CORRELATION_ID], &bad_ids),
            ([CLIENT_ID, TARGET_ID], &bad_parties),
        ] {
            for name in names {
                for bad in values {
                    let mut map = headers().to_map(&key());
                    map.insert(
                        name.clone(),
                        HeaderValue::from_bytes(bad.as_bytes()).unwrap(),
                    );
                    let refusal = Headers::parse(&map).unwrap_err();
                    assert_eq!(refusal.code, ErrorCode::Syntax);
                    assert!(refusal.text.contains(name.as_str()));
                }
                let mut map = headers().to_map(&key());
                let again = map.get(&name).unwrap().clone();
                map.append(name.clone(), again);
                assert!(Headers::parse(&map).unwrap_err().text.contains("twice"));
                map.remove(&name);
                assert!(Headers::parse(&map).is_err());
            }
        }
    }

    // R-5.1-3
    #[test]
    fn two_kinds_of_credentials_are_refused() {
        let mut map = headers().to_map(&key());
        map.insert(AUTHORIZATION, HeaderValue::from_static("Basic Y21wOnB3"));
        assert_eq!(credentials(&map).unwrap_err().status, 401);
        map.remove(API_KEY);
        assert!(credentials(&map).is_ok());
        for bad in ["Bearer x", "Basic", "Basic ???", "Basic Y21w", ""] {
            map.insert(AUTHORIZATION, HeaderValue::from_static(bad));
            assert_eq!(
                credentials(&map).unwrap_err().code,
                ErrorCode::Unauthorized,
                "{bad}"
            );
        }
        map.remove(AUTHORIZATION);
        assert!(credentials(&map).is_err());
    }
}
