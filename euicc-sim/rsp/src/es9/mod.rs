//! ES9+ in JSON: SGP.22 §5.6, §6.5.2. Feature `json`. Base64 carries DER, hexadecimal digits the
//! TransactionID; every field has a limit.

mod field;
mod header;
mod messages;

pub use field::{Base64, Hex, Secret, Text};
pub use header::{
    ExecutionStatus, FunctionExecutionStatus, RequestHeader, ResponseHeader, StatusCodeData,
};
pub use messages::{
    AuthenticateClientOk, AuthenticateClientRequest, CancelSessionRequest, Empty,
    GetBoundProfilePackageOk, GetBoundProfilePackageRequest, HandleNotificationRequest,
    InitiateAuthenticationOk, InitiateAuthenticationRequest, Response,
};

use core::fmt;
use serde::{Serialize, de::DeserializeOwned};

/// Value of the header `X-Admin-Protocol` (SGP.22 §6.2): the version spoken here.
pub const ADMIN_PROTOCOL: &str = "gsma/rsp/v2.4.0";

/// Media type of messages, in both directions.
pub const CONTENT_TYPE: &str = "application/json";

/// Largest response body of ES9+, bytes: a BPP of 1 MiB in base64.
pub const MAX_RESPONSE: usize = 1_500_000;

/// A function of ES9+ or ES2+: its path, and what a successful answer adds to the header.
pub trait Function: Serialize + DeserializeOwned + fmt::Debug {
    /// Path on the server.
    const PATH: &'static str;
    /// Fields of the answer beside the header.
    type Output: Serialize + DeserializeOwned + fmt::Debug;
}

#[cfg(test)]
mod tests;
