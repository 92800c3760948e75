//! The account id: a JSON web token, HS256, that carries an onboarding from the CMP to the MSP (AID.02 §5.2).
//!
//! The CMP issues it and checks it when the MSP token arrives; the MSP verifies it before the user may consent. It names
//! no user: the CMP keeps which user a `sid` belongs to. Time is an argument, in seconds since 1970.
//! Strict where two parsers could disagree: one algorithm, two header members, no padding, no duplicate members.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error_code::{ApiError, ErrorCode};
use crate::strict_json;

/// Shortest secret, in bytes: RFC 7518 §3.2 demands the size of the hash for HS256.
pub const MIN_SECRET: usize = 32;

/// Longest account id that is looked at, in characters; it has to fit into a path segment.
pub const MAX_ACCOUNT_ID: usize = 2048;

/// Longest secret knowledge `ver`, in characters.
pub const MAX_VER: usize = 32;

/// The secret that one CMP and one MSP share for signing account ids (AID.02 §5.2).
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The secret is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "account_id_secret has {got} bytes; HS256 needs at least {MIN_SECRET} (AID.02 §5.2, RFC 7518 §3.2)"
)]
pub struct SecretTooShort {
    /// Length of what was given, in bytes.
    pub got: usize,
}

impl Secret {
    /// Takes the agreed secret.
    ///
    /// # Errors
    /// [`SecretTooShort`] below [`MIN_SECRET`] bytes.
    pub fn new(secret: &[u8]) -> Result<Self, SecretTooShort> {
        if secret.len() < MIN_SECRET {
            return Err(SecretTooShort { got: secret.len() });
        }
        Ok(Self(Zeroizing::new(secret.to_vec())))
    }

    fn mac(&self) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length, so this is always there.
        Hmac::new_from_slice(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl FromStr for Secret {
    type Err = SecretTooShort;

    fn from_str(text: &str) -> Result<Self, SecretTooShort> {
        Self::new(text.as_bytes())
    }
}

/// An account id as text; not necessarily a valid one. `Debug` hides the signature, which is what makes it usable.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
    /// The text, safe in a URL (AID.02 §5.2 NOTE).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for AccountId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({} characters)", self.0.len())
    }
}

/// What an account id says (AID.02 §5.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    /// `exp`: not valid at this second or later.
    pub exp: u64,
    /// `ver`: secret knowledge that the MSP verifies, such as the last four digits of the phone number.
    pub ver: Option<String>,
    /// `sid`: names the onboarding request.
    pub sid: Uuid,
    /// `iat`: the second in which it was issued.
    pub iat: u64,
}

impl Claims {
    /// Whether the user's answer is the secret knowledge; compares in constant time. `false` if there is none.
    #[must_use]
    pub fn ver_matches(&self, answer: &str) -> bool {
        self.ver
            .as_ref()
            .is_some_and(|ver| ver.as_bytes().ct_eq(answer.as_bytes()).into())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ver = self.ver.as_ref().map(|_| "<hidden>");
        f.debug_struct("Claims")
            .field("exp", &self.exp)
            .field("ver", &ver)
            .field("sid", &self.sid)
            .field("iat", &self.iat)
            .finish()
    }
}

/// What two parties agreed about their account ids, beyond AID.02 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Longest life of an account id, in seconds.
    pub max_lifetime: u64,
    /// How far `iat` may lie in the future, in seconds. Nothing is added to `exp`.
    pub skew: u64,
    /// Accept `exp` and `iat` as strings, as the example of AID.02 §7.1 has `exp`. RFC 7519 wants numbers.
    pub times_as_strings: bool,
    /// Refuse an account id without `ver`.
    pub ver_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_lifetime: 86_400,
            skew: 60,
            times_as_strings: false,
            ver_required: false,
        }
    }
}

/// Why an account id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountIdError {
    /// Not the three parts of a JSON web token, or longer than [`MAX_ACCOUNT_ID`].
    #[error("the account id is malformed: it is not a JSON web token")]
    Malformed,
    /// Bad base64url, another algorithm, further header members, or the MAC is wrong.
    #[error("the account id has an invalid header or signature")]
    Signature,
    /// `exp` has been reached.
    #[error("the account id has expired")]
    Expired,
    /// Signed, but a claim is missing, has the wrong form or breaks the policy; which one.
    #[error("the claim {0} of the account id is missing or not acceptable")]
    Claim(&'static str),
}

impl AccountIdError {
    /// The code of AID.02 §5.5.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Signature => ErrorCode::AccountIdSignature,
            Self::Expired => ErrorCode::AccountIdExpired,
            Self::Malformed | Self::Claim(_) => ErrorCode::AccountIdOther,
        }
    }
}

impl From<AccountIdError> for ApiError {
    fn from(error: AccountIdError) -> Self {
        Self::because(error.code(), error)
    }
}

/// Why an account id cannot be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The secret knowledge is empty, too long or not printable ASCII.
    #[error("the secret knowledge (ver) must be 1 to {MAX_VER} printable ASCII characters")]
    Ver,
}

/// Issues an account id that lives from `now` for `lifetime` seconds (AID.02 §5.2).
///
/// # Errors
/// [`IssueError`]
pub fn issue(
    secret: &Secret,
    sid: Uuid,
    ver: Option<&str>,
    now: u64,
    lifetime: u64,
) -> Result<AccountId, IssueError> {
    let mut payload = Map::new();
    payload.insert("exp".into(), json!(now.saturating_add(lifetime)));
    if let Some(ver) = ver {
        if !is_ver(ver) {
            return Err(IssueError::Ver);
        }
        payload.insert("ver".into(), json!(ver));
    }
    payload.insert("sid".into(), json!(sid.hyphenated().to_string()));
    payload.insert("iat".into(), json!(now));
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let mut text = format!(
        "{header}.{}",
        URL_SAFE_NO_PAD.encode(Value::Object(payload).to_string())
    );
    if let Some(mut mac) = secret.mac() {
        mac.update(text.as_bytes());
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    }
    Ok(AccountId(text))
}

/// Verifies an account id against the secrets of one pair of parties (two while one is being replaced) and its time.
///
/// Whether `sid` is known, still open and of this MSP is for the caller, who keeps them.
///
/// # Errors
/// [`AccountIdError`]; nothing of the text may be used then.
pub fn verify(
    text: &str,
    secrets: &[Secret],
    policy: &Policy,
    now: u64,
) -> Result<Claims, AccountIdError> {
    if text.len() > MAX_ACCOUNT_ID || text.split('.').count() != 3 {
        return Err(AccountIdError::Malformed);
    }
    let payload = verified_payload(text, secrets).ok_or(AccountIdError::Signature)?;
    let claims = strict_json::object(&payload).map_err(|_| AccountIdError::Claim("set"))?;
    check_claims(&claims, policy, now)
}

/// The payload if header and signature are right.
fn verified_payload(text: &str, secrets: &[Secret]) -> Option<Vec<u8>> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let header = strict_json::object(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    // Exactly the header of §5.2: no key inside it, no URL, no extension that we would have to understand.
    let plain = header.get("alg") == Some(&json!("HS256"))
        && header.get("typ").is_none_or(|typ| typ == "JWT")
        && header.keys().all(|name| name == "alg" || name == "typ");
    let signed_by = |secret: &Secret| {
        secret.mac().is_some_and(|mut mac| {
            mac.update(signed.as_bytes());
            mac.verify_slice(&signature).is_ok()
        })
    };
    // Every secret is tried, so the time does not say which one fitted.
    let fits = secrets.iter().filter(|secret| signed_by(secret)).count();
    (plain && fits > 0).then_some(payload)
}

fn check_claims(
    claims: &Map<String, Value>,
    policy: &Policy,
    now: u64,
) -> Result<Claims, AccountIdError> {
    let time = |name| {
        seconds(claims.get(name), policy.times_as_strings).ok_or(AccountIdError::Claim(name))
    };
    let exp = time("exp")?.ceil();
    if exp <= now as f64 {
        return Err(AccountIdError::Expired);
    }
    let iat = time("iat")?.floor();
    let latest_iat = now.saturating_add(policy.skew) as f64;
    if iat < 0.0 || iat > latest_iat {
        return Err(AccountIdError::Claim("iat"));
    }
    // With the limit of iat, this one limits exp too: to max_lifetime and skew from now.
    if exp - iat > policy.max_lifetime as f64 {
        return Err(AccountIdError::Claim("exp"));
    }
    if let Some(not_before) = claims.get("nbf") {
        let nbf = seconds(Some(not_before), false).ok_or(AccountIdError::Claim("nbf"))?;
        if nbf > latest_iat {
            return Err(AccountIdError::Claim("nbf"));
        }
    }
    let sid = claims
        .get("sid")
        .and_then(Value::as_str)
        .and_then(crate::headers::uuid);
    let ver = match claims.get("ver") {
        None if policy.ver_required => return Err(AccountIdError::Claim("ver")),
        None => None,
        Some(Value::String(ver)) if is_ver(ver) => Some(ver.clone()),
        // A number has lost its leading zeros: 0042 would become 42.
        Some(_) => return Err(AccountIdError::Claim("ver")),
    };
    Ok(Claims {
        exp: exp as u64,
        ver,
        sid: sid.ok_or(AccountIdError::Claim("sid"))?,
        iat: iat as u64,
    })
}

/// A NumericDate of RFC 7519: seconds since 1970, perhaps with a fraction.
fn seconds(value: Option<&Value>, strings: bool) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64().filter(|n| n.is_finite()),
        Value::String(text)
            if strings
                && (1..=12).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

fn is_ver(ver: &str) -> bool {
    (1..=MAX_VER).contains(&ver.len()) && ver.bytes().all(|b| b.is_ascii_graphic())
}
