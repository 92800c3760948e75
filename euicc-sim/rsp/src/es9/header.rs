//! Headers of requests and responses, and the execution status: SGP.22 §5.2.6, §6.5.1.
//! Called by the messages of ES2+ and ES9+.

use super::Text;
use core::fmt;
use serde::{Deserialize, Serialize};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code_data: Option<StatusCodeData>,
}

/// Status of SGP.22 §5.2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Subject and reason codes of SGP.22 §5.2.6.1, §5.2.6.2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCodeData {
    /// Which entity or object, e.g. `8.1.1` (EID).
    pub subject_code: Text<32>,
    /// What about it, e.g. `3.8` (refused).
    pub reason_code: Text<32>,
    /// The object itself, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_identifier: Option<Text<256>>,
    /// The reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
