//! ID tokens: signature (RFC 7515, RS256 and ES256) and claims (OpenID Connect Core §3.1.3.7). Verified with ring, which
//! TLS uses as well.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Longest token, bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// How far clocks may be apart, seconds.
const SKEW: u64 = 120;
/// Longest subject (Core §2), bytes.
const MAX_SUBJECT: usize = 255;

/// Why a token is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of three parts that can be read.
    #[error("malformed")]
    Malformed,
    /// It is signed otherwise than by RS256 or ES256.
    #[error("signed with an algorithm that is not accepted")]
    Algorithm,
    /// None of the provider's keys has signed it, by its `kid`.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the signature is wrong")]
    Signature,
    /// It is of another provider.
    #[error("of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("for another client")]
    Audience,
    /// It is of another sign-in.
    #[error("of another sign-in (nonce)")]
    Nonce,
    /// It has expired, or is of the future.
    #[error("expired, or of the future")]
    Time,
    /// The subject is empty or too long.
    #[error("the subject can't be used")]
    Subject,
}

/// A public key of a provider (RFC 7517).
#[derive(Debug, Clone, Deserialize)]
pub struct Key {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

/// Whom a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `preferred_username`; proves nothing.
    pub name: Option<String>,
    /// `given_name` or `name`; proves nothing.
    pub shown: Option<String>,
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// What it calls us.
    pub client_id: &'a str,
    /// Of this sign-in.
    pub nonce: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Body {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: f64,
    iat: f64,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    given_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

/// Whom a token vouches for, if one of these keys has signed it and it says what is expected.
///
/// # Errors
/// [`TokenError`]
pub fn verify(token: &str, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, TokenError> {
    let malformed = |()| TokenError::Malformed;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, body, signature] = parts[..] else {
        return Err(TokenError::Malformed);
    };
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let signed = &token[..header.len() + 1 + body.len()];
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| ());
    let header: Header = serde_json::from_slice(&decode(header).map_err(malformed)?)
        .map_err(|_| TokenError::Malformed)?;
    let signature = decode(signature).map_err(malformed)?;
    check_signature(&header, signed.as_bytes(), &signature, keys)?;
    // Nothing of the body is looked at before.
    let body: Body = serde_json::from_slice(&decode(body).map_err(malformed)?)
        .map_err(|_| TokenError::Malformed)?;
    check_claims(&body, expected)?;
    Ok(Claims {
        issuer: body.iss,
        subject: body.sub,
        name: body.preferred_username,
        shown: body.given_name.or(body.name),
    })
}

fn check_signature(
    header: &Header,
    signed: &[u8],
    signature: &[u8],
    keys: &[Key],
) -> Result<(), TokenError> {
    let kind = match header.alg.as_str() {
        "RS256" => "RSA",
        "ES256" => "EC",
        // "none" and HS256 among them, whose "key" everybody has.
        _ => return Err(TokenError::Algorithm),
    };
    let usable = |key: &&Key| {
        key.kty == kind
            && key.purpose.as_deref().is_none_or(|p| p == "sig")
            && header
                .kid
                .as_ref()
                .is_none_or(|kid| key.kid.as_ref() == Some(kid))
    };
    let mut known = false;
    for key in keys.iter().filter(usable) {
        known = true;
        if key.has_signed(signed, signature) {
            return Ok(());
        }
    }
    Err(match known {
        true => TokenError::Signature,
        false => TokenError::UnknownKey,
    })
}

impl Key {
    fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        let decode = |text: &Option<String>| {
            let text = text.as_deref()?;
            URL_SAFE_NO_PAD.decode(text).ok()
        };
        if self.kty == "RSA" {
            let Some((n, e)) = decode(&self.n).zip(decode(&self.e)) else {
                return false;
            };
            let key = RsaPublicKeyComponents { n, e };
            return key
                .verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
                .is_ok();
        }
        let (Some(x), Some(y), Some("P-256")) =
            (decode(&self.x), decode(&self.y), self.crv.as_deref())
        else {
            return false;
        };
        let point = [&[4][..], &x, &y].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(signed, signature).is_ok()
    }
}

fn check_claims(body: &Body, expected: &Expected<'_>) -> Result<(), TokenError> {
    use subtle::ConstantTimeEq as _;
    if body.iss != expected.issuer {
        return Err(TokenError::Issuer);
    }
    let is_ours = match &body.aud {
        Audience::One(one) => one == expected.client_id,
        // Of several it says which of them asked (Core §3.1.3.7, 4 and 5).
        Audience::Many(many) => {
            many.iter().any(|one| one == expected.client_id)
                && (many.len() == 1 || body.azp.as_deref() == Some(expected.client_id))
        }
    };
    if !is_ours
        || body
            .azp
            .as_deref()
            .is_some_and(|azp| azp != expected.client_id)
    {
        return Err(TokenError::Audience);
    }
    let nonce = body.nonce.as_deref().unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(TokenError::Nonce);
    }
    // Whole seconds are exact in a double for longer than anybody needs.
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let (now, skew) = (expected.now as f64, SKEW as f64);
    let lives = body.exp > now - skew && body.iat < now + skew;
    if !lives {
        return Err(TokenError::Time);
    }
    if body.sub.is_empty() || body.sub.len() > MAX_SUBJECT || body.sub.contains('\0') {
        return Err(TokenError::Subject);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};

    struct Signer(EcdsaKeyPair, SystemRandom);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
            Self(pair, random)
        }

        fn key(&self, kid: &str) -> Key {
            let point = self.0.public_key().as_ref();
            let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
            let key = json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": part(1..33), "y": part(33..65)});
            serde_json::from_value(key).unwrap()
        }

        fn sign(&self, header: &Value, body: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(body));
            let signature = self.0.sign(&self.1, signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    const EXPECTED: Expected<'static> = Expected {
        issuer: "https://id.example",
        client_id: "aid",
        nonce: "n",
        now: 1_000_000,
    };

    fn body() -> Value {
        json!({"iss": "https://id.example", "sub": "42", "aud": "aid", "exp": 1_000_300, "iat": 999_999, "nonce": "n",
            "preferred_username": "eva", "given_name": "Eva"})
    }

    #[test]
    fn a_token_must_be_signed_by_the_provider_for_us_for_this_sign_in_and_now() {
        let signer = Signer::new();
        let keys = [signer.key("a")];
        let header = json!({"alg": "ES256", "kid": "a"});
        let claims = verify(&signer.sign(&header, &body()), &keys, &EXPECTED).unwrap();
        assert_eq!(
            (claims.subject.as_str(), claims.name.as_deref()),
            ("42", Some("eva"))
        );
        for (name, value, error) in [
            ("iss", json!("https://id.example/"), TokenError::Issuer),
            ("aud", json!("other"), TokenError::Audience),
            ("aud", json!(["aid", "other"]), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("azp", json!("other"), TokenError::Audience),
            ("nonce", json!("m"), TokenError::Nonce),
            ("nonce", Value::Null, TokenError::Nonce),
            ("exp", json!(999_000), TokenError::Time),
            ("iat", json!(2_000_000), TokenError::Time),
            ("sub", json!(""), TokenError::Subject),
            ("sub", json!("x".repeat(256)), TokenError::Subject),
            ("sub", json!(7), TokenError::Malformed),
        ] {
            let mut wrong = body();
            wrong[name] = value;
            let token = signer.sign(&header, &wrong);
            assert_eq!(verify(&token, &keys, &EXPECTED), Err(error), "{wrong}");
        }
        let mut several = body();
        several["aud"] = json!(["aid", "other"]);
        several["azp"] = json!("aid");
        assert!(verify(&signer.sign(&header, &several), &keys, &EXPECTED).is_ok());
    }

    #[test]
    fn only_the_providers_keys_and_algorithms_count() {
        let (signer, other) = (Signer::new(), Signer::new());
        let keys = [signer.key("a"), other.key("b")];
        let sign = |who: &Signer, header: Value| who.sign(&header, &body());
        for (token, error) in [
            (sign(&signer, json!({"alg": "none"})), TokenError::Algorithm),
            (
                sign(&signer, json!({"alg": "HS256", "kid": "a"})),
                TokenError::Algorithm,
            ),
            (
                sign(&signer, json!({"alg": "RS256", "kid": "a"})),
                TokenError::UnknownKey,
            ),
            (
                sign(&signer, json!({"alg": "ES256", "kid": "c"})),
                TokenError::UnknownKey,
            ),
            (
                sign(&other, json!({"alg": "ES256", "kid": "a"})),
                TokenError::Signature,
            ),
            ("a.b".into(), TokenError::Malformed),
            (
                format!("{}.x", sign(&signer, json!({"alg": "ES256"}))),
                TokenError::Malformed,
            ),
            ("x".repeat(MAX_TOKEN + 1), TokenError::Malformed),
        ] {
            assert_eq!(verify(&token, &keys, &EXPECTED), Err(error), "{token}");
        }
        // Without a `kid` any of its keys may have signed.
        assert!(verify(&sign(&other, json!({"alg": "ES256"})), &keys, &EXPECTED).is_ok());
        let token = sign(&signer, json!({"alg": "ES256", "kid": "a"}));
        let (rest, signature) = token.rsplit_once('.').unwrap();
        for bad in ["", "AAAA", &signature[..80]] {
            let cut = format!("{rest}.{bad}");
            assert_eq!(verify(&cut, &keys, &EXPECTED), Err(TokenError::Signature));
        }
    }
}
