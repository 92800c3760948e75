//! JSON as AID1 accepts it: bounded in size and depth, and no member twice.
//!
//! Two parsers that disagree about a duplicate member are how one side checks a value and the other acts on another, so
//! duplicates are refused (R-B-5). Unknown members are ignored: Annex B leaves its schemas open.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error_code::{ApiError, ErrorCode};

/// Largest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Deepest nesting of objects and arrays.
pub const MAX_DEPTH: usize = 16;

/// Why a text is not acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nothing there.
    #[error("the body is empty; send a JSON object")]
    Empty,
    /// Larger than [`MAX_BODY`].
    #[error("the body has {0} bytes; at most {MAX_BODY} are read")]
    TooLarge(usize),
    /// A number that no double can hold, such as 1e400: readers take it for infinity, which JSON writes as null.
    #[error("a number is out of range, which is as good as null")]
    OutOfRange,
    /// Not JSON, nested too deeply or a member twice; the parser's words.
    #[error("not acceptable JSON: {0}")]
    Syntax(String),
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        let code = match error {
            JsonError::Empty | JsonError::OutOfRange => ErrorCode::BodyEmptyOrNull,
            _ => ErrorCode::Syntax,
        };
        let refusal = Self::because(code, &error);
        match error {
            JsonError::TooLarge(_) => refusal.with_status(http::StatusCode::PAYLOAD_TOO_LARGE),
            _ => refusal,
        }
    }
}

/// Reads one JSON value strictly.
///
/// # Errors
/// [`JsonError`]; no part of the text is used then.
pub fn value(text: &[u8]) -> Result<Value, JsonError> {
    if text.len() > MAX_BODY {
        return Err(JsonError::TooLarge(text.len()));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonError::Empty);
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: MAX_DEPTH }
        .deserialize(&mut reader)
        .map_err(|e| syntax(&e))?;
    reader.end().map_err(|e| syntax(&e))?;
    Ok(value)
}

/// Reads one JSON object strictly.
///
/// # Errors
/// [`JsonError`]
pub fn object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match value(text)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonError::NotAnObject),
    }
}

fn syntax(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    // The parser has no other way of telling it; a test notices if its words change.
    if text.starts_with(OUT_OF_RANGE) {
        return JsonError::OutOfRange;
    }
    JsonError::Syntax(crate::error_code::clean(&text, 200))
}

/// The parser's words for a number that no double can hold.
const OUT_OF_RANGE: &str = "number out of range";

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.depth
            .checked_sub(1)
            .map(|depth| Self { depth })
            .ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom(OUT_OF_RANGE))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if map.contains_key(&name) {
                return Err(de::Error::custom(format_args!(
                    "the member {name:?} is there twice"
                )));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-B-5
    #[test]
    fn duplicates_depth_and_size_are_refused() {
        assert!(
            matches!(object(br#"{"a":1,"a":2}"#), Err(JsonError::Syntax(t)) if t.contains("twice"))
        );
        assert!(matches!(
            object(br#"{"a":{"b":1,"\u0062":2}}"#),
            Err(JsonError::Syntax(_))
        ));
        assert!(object(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).is_ok());
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(value(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(value(deep(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(value(deep(30_000).as_bytes()).is_err());
        assert!(matches!(
            value(&vec![b' '; MAX_BODY + 1]),
            Err(JsonError::TooLarge(_))
        ));
        for bad in [
            "{",
            "{}x",
            "{'a':1}",
            "\"\u{1}\"",
            "nul",
            "{\"a\":01}",
            "[1,]",
        ] {
            assert!(
                matches!(value(bad.as_bytes()), Err(JsonError::Syntax(_))),
                "{bad}"
            );
        }
        assert!(value(b"\"\xff\"").is_err());
        assert_eq!(object(b" \n"), Err(JsonError::Empty));
        for huge in ["1e400", "-1e400", r#"{"a":[1e999]}"#] {
            assert_eq!(value(huge.as_bytes()), Err(JsonError::OutOfRange), "{huge}");
        }
        assert!(value(b"1e308").is_ok() && value(b"1e-400").is_ok());
        assert_eq!(
            ApiError::from(JsonError::OutOfRange).code,
            ErrorCode::BodyEmptyOrNull
        );
        assert_eq!(object(b"[]"), Err(JsonError::NotAnObject));
        assert_eq!(
            ApiError::from(JsonError::Empty).code,
            ErrorCode::BodyEmptyOrNull
        );
        assert_eq!(ApiError::from(JsonError::TooLarge(99_999)).status, 413);
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_it_accepts(text in "[\\[\\]{}:,\"a0-9 .e-]{0,40}") {
            if let Ok(ours) = value(text.as_bytes()) {
                proptest::prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
