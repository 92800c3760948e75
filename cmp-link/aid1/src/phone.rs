//! The phone number and its cipher (AID.02 §7.3): `Base64(encrypt(CC + NPA + SN))` beside a Base64 initialisation vector.
//!
//! The specification leaves the algorithm to the two parties. Ours fits its examples (12-byte vector, 16 bytes more than
//! the number): AES-256-GCM, no additional data. The number travels encrypted even inside TLS.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error_code::{ApiError, ErrorCode};

/// Bytes of the initialisation vector.
pub const IV_LENGTH: usize = 12;

/// A phone number: country code, area and subscriber number; 5 to 15 digits, no `+` (E.164, AID.02 §7.3).
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a touchpoint shows so that a customer tells two subscriptions apart: the last three digits.
    #[must_use]
    pub fn masked(&self) -> String {
        let hidden = self.0.len() - 3;
        format!("{}{}", "*".repeat(hidden), &self.0[hidden..])
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let ok = (5..=15).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit())
            && !text.starts_with('0');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(PhoneError::Number)
        }
    }
}

/// A phone number as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedPhone {
    /// Base64 of the ciphertext and its tag; member `phoneNumber`.
    pub phone_number: String,
    /// Base64 of the initialisation vector; member `iv`.
    pub iv: String,
}

/// Why a phone number or its key is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// The key is not 64 hexadecimal digits.
    #[error("phone_key must be 64 hexadecimal digits (AES-256), after ID: if it has a name")]
    Key,
    /// Not a number with its country code.
    #[error("a phone number is 5 to 15 digits, country code first, without +")]
    Number,
    /// Not Base64, or of a length that cannot be.
    #[error("phoneNumber or iv is not Base64 of the right length")]
    Encoding,
    /// Wrong key, changed text, or not encrypted at all.
    #[error("phoneNumber cannot be decrypted")]
    Decryption,
}

impl From<PhoneError> for ApiError {
    fn from(error: PhoneError) -> Self {
        Self::because(ErrorCode::Syntax, error)
    }
}

/// A cipher and its key, as two parties agreed them (AID.02 §7.3: bilateral).
pub trait PhoneCipher: fmt::Debug + Send + Sync {
    /// Names the key, not its value: an initialisation vector must not come twice under one id.
    fn id(&self) -> &str;

    /// Encrypts under an initialisation vector that must never be used twice with one key.
    ///
    /// # Errors
    /// [`PhoneError::Decryption`] if the cipher refuses, which it does not for such short texts.
    fn encrypt(
        &self,
        number: &PhoneNumber,
        iv: [u8; IV_LENGTH],
    ) -> Result<EncryptedPhone, PhoneError>;

    /// Decrypts and checks the number (R-7.3-8, R-7.3-11).
    ///
    /// # Errors
    /// [`PhoneError`]
    fn decrypt(&self, phone: &EncryptedPhone) -> Result<PhoneNumber, PhoneError>;
}

/// The key of one pair of parties, and those before it while it is replaced: the first encrypts, all
/// decrypt.
#[derive(Clone, Debug)]
pub struct PhoneKey(Vec<Arc<dyn PhoneCipher>>);

impl PhoneKey {
    /// AES-256-GCM with this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(vec![Arc::new(Aes256GcmKey::new(key))])
    }

    /// Other ciphers, at least one.
    ///
    /// # Errors
    /// [`PhoneError::Key`] if there is none.
    pub fn of(ciphers: Vec<Arc<dyn PhoneCipher>>) -> Result<Self, PhoneError> {
        if ciphers.is_empty() {
            Err(PhoneError::Key)
        } else {
            Ok(Self(ciphers))
        }
    }

    /// AES-256-GCM with several keys: 64 hexadecimal digits each, after `ID:` where the key has a name.
    ///
    /// # Errors
    /// [`PhoneError::Key`]
    pub fn several<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, PhoneError> {
        let keys = texts.map(|text| {
            let key: Aes256GcmKey = text.parse()?;
            Ok(Arc::new(key) as Arc<dyn PhoneCipher>)
        });
        Self::of(keys.collect::<Result<_, PhoneError>>()?)
    }

    /// Encrypts with the first key.
    ///
    /// # Errors
    /// As [`PhoneCipher::encrypt`].
    pub fn encrypt(
        &self,
        number: &PhoneNumber,
        iv: [u8; IV_LENGTH],
    ) -> Result<EncryptedPhone, PhoneError> {
        let first = self.0.first().ok_or(PhoneError::Key)?;
        first.encrypt(number, iv)
    }

    /// Decrypts with whichever key fits.
    ///
    /// # Errors
    /// As [`PhoneCipher::decrypt`], of the first key.
    pub fn decrypt(&self, phone: &EncryptedPhone) -> Result<PhoneNumber, PhoneError> {
        self.open(phone).map(|(_, number)| number)
    }

    /// Decrypts; yields the id of the key that fitted too.
    ///
    /// # Errors
    /// As [`PhoneKey::decrypt`].
    pub fn open(&self, phone: &EncryptedPhone) -> Result<(&str, PhoneNumber), PhoneError> {
        let mut error = PhoneError::Key;
        for cipher in self.0.iter().rev() {
            match cipher.decrypt(phone) {
                Ok(number) => return Ok((cipher.id(), number)),
                Err(e) => error = e,
            }
        }
        Err(error)
    }
}

impl FromStr for PhoneKey {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        Self::several(std::iter::once(text))
    }
}

/// AES-256-GCM, a vector of 12 bytes, no additional data.
pub struct Aes256GcmKey {
    key: Zeroizing<[u8; 32]>,
    id: String,
}

impl Aes256GcmKey {
    /// Takes the 32 bytes; the key is named after their SHA-256.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let print = Sha256::digest(key);
        let id = print.iter().take(4).map(|b| format!("{b:02x}")).collect();
        let key = Zeroizing::new(key);
        Self { key, id }
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.key).into())
    }
}

impl PhoneCipher for Aes256GcmKey {
    fn id(&self) -> &str {
        &self.id
    }

    fn encrypt(
        &self,
        number: &PhoneNumber,
        iv: [u8; IV_LENGTH],
    ) -> Result<EncryptedPhone, PhoneError> {
        let text = self
            .cipher()
            .encrypt(&Nonce::from(iv), number.as_str().as_bytes());
        let text = text.map_err(|_| PhoneError::Decryption)?;
        Ok(EncryptedPhone {
            phone_number: STANDARD.encode(text),
            iv: STANDARD.encode(iv),
        })
    }

    fn decrypt(&self, phone: &EncryptedPhone) -> Result<PhoneNumber, PhoneError> {
        let bytes = |text: &str| {
            if text.len() <= 64 {
                STANDARD.decode(text).ok()
            } else {
                None
            }
        };
        let iv: [u8; IV_LENGTH] = bytes(&phone.iv)
            .and_then(|iv| iv.try_into().ok())
            .ok_or(PhoneError::Encoding)?;
        let text = bytes(&phone.phone_number).ok_or(PhoneError::Encoding)?;
        let plain = self
            .cipher()
            .decrypt(&Nonce::from(iv), text.as_slice())
            .map_err(|_| PhoneError::Decryption)?;
        let plain = Zeroizing::new(plain);
        std::str::from_utf8(&plain)
            .map_err(|_| PhoneError::Number)?
            .parse()
    }
}

impl fmt::Debug for Aes256GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aes256GcmKey({})", self.id)
    }
}

impl FromStr for Aes256GcmKey {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let (id, text) = match text.split_once(':') {
            Some((id, text)) => (Some(id), text),
            None => (None, text),
        };
        let plain = |id: &str| {
            (1..=32).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if id.is_some_and(|id| !plain(id)) {
            return Err(PhoneError::Key);
        }
        let mut key = Zeroizing::new([0; 32]);
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PhoneError::Key);
        }
        for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let hex = std::str::from_utf8(pair).map_err(|_| PhoneError::Key)?;
            *byte = u8::from_str_radix(hex, 16).map_err(|_| PhoneError::Key)?;
        }
        let key = Self::new(*key);
        Ok(Self {
            id: id.map_or_else(|| key.id.clone(), str::to_owned),
            ..key
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PhoneKey {
        "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
            .parse()
            .unwrap()
    }

    // R-7.3-8, R-7.3-10
    #[test]
    fn a_number_comes_back_and_has_the_form_of_the_example() {
        let number: PhoneNumber = "919961345678".parse().unwrap();
        let sent = key().encrypt(&number, [7; 12]).unwrap();
        assert_eq!(
            (sent.phone_number.len(), sent.iv.len()),
            ("enjzI1TPN4Dtf10uAnpfitDxJzf7SBsXNEDzdA==".len(), 16)
        );
        assert_eq!(key().decrypt(&sent).unwrap(), number);
        assert_eq!(number.masked(), "*********678");
        assert!(!format!("{number:?} {:?}", key()).contains("9199"));
    }

    // R-7.3-10: a key has an id, and two are valid while one is replaced.
    #[test]
    fn keys_overlap_and_say_which_fitted() {
        let (old, new) = ("00".repeat(32), "2026-2:".to_owned() + &"11".repeat(32));
        let both = PhoneKey::several([new.as_str(), &old].into_iter()).unwrap();
        let number: PhoneNumber = "919961345678".parse().unwrap();
        let of_old = old
            .parse::<PhoneKey>()
            .unwrap()
            .encrypt(&number, [1; 12])
            .unwrap();
        assert_eq!(both.open(&of_old).unwrap(), ("66687aad", number.clone()));
        let of_new = both.encrypt(&number, [1; 12]).unwrap();
        assert_eq!(both.open(&of_new).unwrap(), ("2026-2", number));
        assert!(old.parse::<PhoneKey>().unwrap().decrypt(&of_new).is_err());
        assert!(!format!("{both:?}").contains("1111"));
        assert!(PhoneKey::of(Vec::new()).is_err());
        for bad in [
            ":".to_owned() + &old,
            "a b:".to_owned() + &old,
            old.clone() + ":x",
        ] {
            assert!(bad.parse::<PhoneKey>().is_err(), "{bad}");
        }
    }

    // Each limit at its edge.
    #[test]
    fn limits_hold_to_the_character() {
        for (digits, good) in [(4, false), (5, true), (15, true), (16, false)] {
            let text = "1".repeat(digits);
            assert_eq!(text.parse::<PhoneNumber>().is_ok(), good, "{digits}");
        }
        let shortest: PhoneNumber = "12345".parse().unwrap();
        assert_eq!(
            (shortest.masked().as_str(), shortest.as_str()),
            ("**345", "12345")
        );
        assert_eq!(format!("{shortest:?}"), "**345");
        for (length, good) in [(0, false), (1, true), (32, true), (33, false)] {
            let text = format!("{}:{}", "k".repeat(length), "1".repeat(64));
            assert_eq!(text.parse::<PhoneKey>().is_ok(), good, "{length}");
        }
        let named: Aes256GcmKey = format!("2026-2:{}", "ab".repeat(32)).parse().unwrap();
        assert_eq!(format!("{named:?}"), "Aes256GcmKey(2026-2)");
        // What is too long is not even decoded.
        let of_length = |length: usize| EncryptedPhone {
            phone_number: "A".repeat(length),
            iv: STANDARD.encode([7; 12]),
        };
        assert_eq!(key().decrypt(&of_length(64)), Err(PhoneError::Decryption));
        assert_eq!(key().decrypt(&of_length(68)), Err(PhoneError::Encoding));
    }

    // R-7.3-9, R-7.3-11
    #[test]
    fn tampering_wrong_keys_and_plain_numbers_are_refused() {
        let sent = key()
            .encrypt(&"4918974020143".parse().unwrap(), [7; 12])
            .unwrap();
        for bit in 0..8 {
            let mut bytes = STANDARD.decode(&sent.phone_number).unwrap();
            for at in 0..bytes.len() {
                bytes[at] ^= 1 << bit;
                let changed = EncryptedPhone {
                    phone_number: STANDARD.encode(&bytes),
                    ..sent.clone()
                };
                assert_eq!(key().decrypt(&changed), Err(PhoneError::Decryption));
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(
            PhoneKey::new([1; 32]).decrypt(&sent),
            Err(PhoneError::Decryption)
        );
        for (phone_number, iv) in [
            ("491897402014", sent.iv.as_str()),
            ("4918974020143", &sent.iv),
            ("", &sent.iv),
            (sent.phone_number.as_str(), ""),
            (&sent.phone_number, "AAAAAAAAAAAAAAAAAAAA"),
            (&sent.phone_number, "!"),
        ] {
            let phone = EncryptedPhone {
                phone_number: phone_number.into(),
                iv: iv.into(),
            };
            assert!(key().decrypt(&phone).is_err());
        }
        for text in [
            "+4918974020143",
            "49 1897",
            "49x1897",
            "",
            "0049189740",
            "1234567890123456",
            "４９１８９７",
        ] {
            assert_eq!(
                text.parse::<PhoneNumber>(),
                Err(PhoneError::Number),
                "{text}"
            );
            if text.is_ascii() {
                // Encrypted by a careless peer: decrypts, and is refused then.
                let bytes = Aes256GcmKey::new([1; 32])
                    .cipher()
                    .encrypt(&Nonce::from([1; 12]), text.as_bytes())
                    .unwrap();
                let phone = EncryptedPhone {
                    phone_number: STANDARD.encode(bytes),
                    iv: STANDARD.encode([1; 12]),
                };
                let key = PhoneKey::new([1; 32]);
                assert_eq!(key.decrypt(&phone), Err(PhoneError::Number));
            }
        }
        for bad in ["", "00", &"zz".repeat(32), &"0".repeat(65), &"é".repeat(32)] {
            assert!(bad.parse::<PhoneKey>().is_err());
        }
    }
}
