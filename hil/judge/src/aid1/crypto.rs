//! The two ciphers of AID1, written from the specification and not with the code of the parts that are judged: account
//! ids (AID.02 §5.2) and phone numbers (§7.3).

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Bytes of the initialisation vector.
const IV: usize = 12;

/// The key of phone numbers: AES-256-GCM.
#[derive(Clone)]
pub(crate) struct NumberKey([u8; 32]);

impl NumberKey {
    /// 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// Another key, which fits nothing.
    pub(crate) fn other(&self) -> Self {
        Self(self.0.map(|byte| !byte))
    }

    /// `phoneNumber` and `iv` of this text under this vector.
    pub(crate) fn encrypt(&self, text: &str, random: [u8; 16]) -> (String, String) {
        let mut iv = [0; IV];
        iv.copy_from_slice(&random[..IV]);
        let cipher = Aes256Gcm::new((&self.0).into());
        // AES-GCM encrypts any text of this length.
        let text = cipher.encrypt(&Nonce::from(iv), text.as_bytes());
        (
            STANDARD.encode(text.unwrap_or_default()),
            STANDARD.encode(iv),
        )
    }

    /// The text, if it is one under this key.
    pub(crate) fn decrypt(&self, number: &str, iv: &str) -> Result<String, String> {
        let decoded = |text: &str, what: &str| {
            let bytes = STANDARD.decode(text);
            bytes.map_err(|e| format!("{what} is not Base64 ({e})"))
        };
        let iv = decoded(iv, "iv")?;
        let iv: [u8; IV] = iv
            .try_into()
            .map_err(|iv: Vec<u8>| format!("iv has {} bytes, AES-GCM wants {IV}", iv.len()))?;
        let bytes = decoded(number, "phoneNumber")?;
        let cipher = Aes256Gcm::new((&self.0).into());
        let text = cipher.decrypt(&Nonce::from(iv), bytes.as_slice());
        let text =
            text.map_err(|_| "phoneNumber can't be decrypted with the agreed key".to_owned())?;
        String::from_utf8(text).map_err(|_| "the decrypted number is no text".to_owned())
    }
}

/// The header of account ids.
pub(crate) const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn mac(secret: &[u8], signed: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return Vec::new();
    };
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// An account id with this header and payload.
pub(crate) fn sign(secret: &[u8], header: &str, payload: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(&payload.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(mac(secret, &signed));
    format!("{signed}.{signature}")
}

/// The parts of an account id.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// JOSE header.
    pub(crate) header: Value,
    /// Claims.
    pub(crate) claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    /// Reads it without believing it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it has not the three parts of a JSON web token".to_owned());
        };
        let json = |part: &str, what: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part);
            let bytes = bytes.map_err(|e| format!("its {what} is not base64url ({e})"))?;
            serde_json::from_slice(&bytes).map_err(|e| format!("its {what} is not JSON ({e})"))
        };
        let bytes = URL_SAFE_NO_PAD.decode(signature);
        Ok(Self {
            header: json(header, "header")?,
            claims: json(claims, "payload")?,
            signed: format!("{header}.{claims}"),
            signature: bytes.map_err(|e| format!("its signature is not base64url ({e})"))?,
        })
    }

    /// Whether the signature is HMAC-SHA256 with this secret.
    pub(crate) fn is_signed_with(&self, secret: &[u8]) -> bool {
        mac(secret, &self.signed) == self.signature
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    // RFC 7515 A.1: an independent known answer.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let token = Token::read(text).unwrap();
        assert!(token.is_signed_with(&key));
        assert!(!token.is_signed_with(b"other"));
        let own = sign(b"secret", HEADER, &serde_json::json!({"a": 1}));
        assert!(Token::read(&own).unwrap().is_signed_with(b"secret"));
        for broken in ["", "a.b", "a.b.c", "....", "é.é.é"] {
            assert!(Token::read(broken).is_err());
        }
    }

    #[test]
    fn a_number_comes_back() {
        let key = NumberKey::parse(&"0a".repeat(32)).unwrap();
        let (number, iv) = key.encrypt("491701234567", [7; 16]);
        assert_eq!(iv.len(), 16);
        assert_eq!(key.decrypt(&number, &iv).unwrap(), "491701234567");
        assert!(key.other().decrypt(&number, &iv).is_err());
        assert!(key.decrypt(&number, "AAAA").is_err());
        assert!(NumberKey::parse("xyz").is_none());
    }
}
