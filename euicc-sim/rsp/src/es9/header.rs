//! Headers of requests and responses of ES2+ and ES9+, and the execution status: SGP.22 §5.2.6, §6.5.1.
//!
//! The codes of a refusal decide what is done next. So they are read whatever the texts beside them are: too long, with
//! line breaks, numbers, or missing.

use super::Text;
use alloc::string::{String, ToString as _};
use core::fmt;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Header of a request (ES2+ demands it, ES9+ of v2 has none).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestHeader {
    /// Who calls.
    pub function_requester_identifier: Text<128>,
    /// Which call: the same one in a retry.
    pub function_call_identifier: Text<128>,
}

/// Header of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseHeader {
    /// What became of the call.
    pub function_execution_status: FunctionExecutionStatus,
}

/// FunctionExecutionStatus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionExecutionStatus {
    /// The status.
    pub status: ExecutionStatus,
    /// Why, unless executed successfully.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "data_or_none"
    )]
    pub status_code_data: Option<StatusCodeData>,
}

/// Status of SGP.22 §5.2.6. Read in any case, and with any character between its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ExecutionStatus {
    /// Done.
    #[serde(rename = "Executed-Success")]
    Success,
    /// Done, with a remark.
    #[serde(rename = "Executed-WithWarning")]
    WithWarning,
    /// Not done.
    #[serde(rename = "Failed")]
    Failed,
    /// Not done in time.
    #[serde(rename = "Expired")]
    Expired,
}

impl<'de> Deserialize<'de> for ExecutionStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Text<64> = lenient(deserializer)?;
        let letters = |c: &char| c.is_ascii_alphabetic();
        let word: String = text.as_str().chars().filter(letters).collect();
        match word.to_ascii_lowercase().as_str() {
            "executedsuccess" => Ok(Self::Success),
            "executedwithwarning" => Ok(Self::WithWarning),
            "failed" => Ok(Self::Failed),
            "expired" => Ok(Self::Expired),
            _ => Err(D::Error::custom(format_args!(
                "unknown execution status {text:?}"
            ))),
        }
    }
}

/// Reads what may be a text: numbers as their digits, anything else as nothing. Control characters become spaces, and
/// what is longer than `MAX` bytes is cut off.
fn lenient<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Text<MAX>, D::Error> {
    deserializer.deserialize_any(AnyText)
}

/// The same where the member may be missing: nothing in it counts as missing.
fn lenient_option<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Text<MAX>>, D::Error> {
    let text: Text<MAX> = lenient(deserializer)?;
    Ok((!text.as_str().is_empty()).then_some(text))
}

struct AnyText<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for AnyText<MAX> {
    type Value = Text<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let mut line = String::new();
        for c in text.trim().chars() {
            let c = if c.is_control() { ' ' } else { c };
            if line.len() + c.len_utf8() > MAX {
                break;
            }
            line.push(c);
        }
        Ok(Text::new(line).unwrap_or_default())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

/// Codes, or none where something else than an object stands in their place.
fn data_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<StatusCodeData>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Data {
        Codes(StatusCodeData),
        Other(IgnoredAny),
    }
    Ok(match Data::deserialize(deserializer)? {
        Data::Codes(data) => Some(data),
        Data::Other(IgnoredAny) => None,
    })
}

/// Subject and reason codes of SGP.22 §5.2.6.1, §5.2.6.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCodeData {
    /// Which entity or object, e.g. `8.1.1` (EID); empty where the peer left it out.
    #[serde(default, deserialize_with = "lenient")]
    pub subject_code: Text<32>,
    /// What about it, e.g. `3.8` (refused); empty where the peer left it out.
    #[serde(default, deserialize_with = "lenient")]
    pub reason_code: Text<32>,
    /// The object itself, for people.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient_option"
    )]
    pub subject_identifier: Option<Text<256>>,
    /// The reason, for people.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient_option"
    )]
    pub message: Option<Text<1024>>,
}

impl ResponseHeader {
    /// Executed-Success.
    #[must_use]
    pub const fn success() -> Self {
        Self {
            function_execution_status: FunctionExecutionStatus {
                status: ExecutionStatus::Success,
                status_code_data: None,
            },
        }
    }

    /// Failed, with codes; texts that are too long are left out.
    #[must_use]
    pub fn failed(subject: &str, reason: &str, identifier: Option<&str>, message: &str) -> Self {
        Self {
            function_execution_status: FunctionExecutionStatus {
                status: ExecutionStatus::Failed,
                status_code_data: Some(StatusCodeData {
                    subject_code: Text::new(subject).unwrap_or_default(),
                    reason_code: Text::new(reason).unwrap_or_default(),
                    subject_identifier: identifier.and_then(Text::new),
                    message: Text::new(message),
                }),
            },
        }
    }

    /// Was the function executed?
    #[must_use]
    pub const fn is_executed(&self) -> bool {
        matches!(
            self.function_execution_status.status,
            ExecutionStatus::Success | ExecutionStatus::WithWarning
        )
    }
}

impl fmt::Display for FunctionExecutionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            ExecutionStatus::Success => "Executed-Success",
            ExecutionStatus::WithWarning => "Executed-WithWarning",
            ExecutionStatus::Failed => "Failed",
            ExecutionStatus::Expired => "Expired",
        };
        f.write_str(status)?;
        if let Some(data) = &self.status_code_data {
            write!(
                f,
                ", subject {}, reason {}",
                data.subject_code, data.reason_code
            )?;
            if let Some(message) = &data.message {
                write!(f, ": {message}")?;
            }
        }
        Ok(())
    }
}
