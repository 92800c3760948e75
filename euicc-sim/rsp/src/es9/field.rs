//! Bounded JSON fields of ES2+ and ES9+: base64, hexadecimal digits, text. SGP.22 §6.5.2.
//!
//! A field that is too long fails before it is decoded. Encodings whose meaning is clear are read: base64 with white
//! space, without padding or in the alphabet for URLs, digits with white space around them.

use alloc::{string::String, vec::Vec};
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{Engine, engine::DecodePaddingMode};
use core::fmt;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Reads with or without padding, and whatever the unused bits at the end are: the bytes are the same.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes as base64 (RFC 4648 §4), at most `MAX` of them. Written with padding and without line breaks.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Base64<const MAX: usize>(Vec<u8>);

/// 1 to `MAX` bytes as hexadecimal digits; upper case when written.
#[derive(Clone, PartialEq, Eq)]
pub struct Hex<const MAX: usize>(Vec<u8>);

/// Text of at most `MAX` bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text<const MAX: usize>(String);

/// Text that is never printed, only its length.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<const MAX: usize>(Text<MAX>);

impl<const MAX: usize> Secret<MAX> {
    /// Takes text; `None` when it is too long or has control characters.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Text::new(text).map(Self)
    }

    /// The text: handle with care.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl<const MAX: usize> fmt::Debug for Secret<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} characters>", self.0.as_str().chars().count())
    }
}

impl<const MAX: usize> Base64<MAX> {
    /// Takes bytes; `None` when there are more than `MAX`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> Hex<MAX> {
    /// Takes bytes; `None` when there are none, or more than `MAX`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=MAX)
            .contains(&bytes.len())
            .then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Text<MAX> {
    /// Takes text; `None` when it is too long or has control characters.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= MAX && !text.chars().any(char::is_control)).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

struct StrVisitor<F> {
    what: &'static str,
    max: usize,
    read: F,
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for StrVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of at most {} bytes", self.what, self.max)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let (what, max) = (self.what, self.max);
        (self.read)(text)
            .ok_or_else(|| E::custom(format_args!("not {what} of at most {max} bytes")))
    }
}

/// Decodes base64 of at most `max` bytes; white space does not count.
fn decode(text: &str, max: usize) -> Option<Vec<u8>> {
    let limit = max.div_ceil(3) * 4;
    let plain = |b: u8| !b.is_ascii_whitespace() && !matches!(b, b'-' | b'_');
    if text.bytes().all(plain) {
        return (text.len() <= limit)
            .then(|| LENIENT.decode(text).ok())
            .flatten();
    }
    let mut digits = Vec::with_capacity(text.len().min(limit));
    for digit in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        if digits.len() == limit {
            return None;
        }
        digits.push(match digit {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        });
    }
    LENIENT.decode(digits).ok()
}

fn from_hex(text: &str, max: usize) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if text.is_empty() || text.len() > 2 * max || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16).map(|d| d as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

impl<'de, const MAX: usize> Deserialize<'de> for Base64<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| decode(text, MAX).and_then(Self::new);
        deserializer.deserialize_str(StrVisitor {
            what: "base64",
            max: MAX,
            read,
        })
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Hex<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StrVisitor {
            what: "hexadecimal digits",
            max: MAX,
            read: |text: &str| from_hex(text, MAX).map(Self),
        })
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(StrVisitor {
            what: "text",
            max: MAX,
            read: |text: &str| Self::new(text),
        })
    }
}

impl<const MAX: usize> Serialize for Base64<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<const MAX: usize> Serialize for Hex<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Display for Hex<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02X}"))
    }
}

impl<const MAX: usize> fmt::Debug for Hex<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const MAX: usize> fmt::Debug for Base64<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> AsRef<str> for Text<MAX> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
