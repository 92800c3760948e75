//! Calls the other party: an MSP the five operations of the CMP, a CMP the four of the MSP (AID.02 chapter 7).
//!
//! One request, one answer; nothing is retried here, because only the caller knows what is stored. Mutual TLS, key or
//! password, time limit and bound of the answer come from [`Settings`].
//!
//! Between the parties stand proxies and gateways, which answer in their own way. So an answer of another 2xx status
//! counts if it has the shape of a success, only a refusal in the words of §5.5 is the peer's own, and
//! [`CallError::is_transient`] says of everything else that the call is worth repeating.

mod http;

use std::time::Duration;

use ::http::{Method, StatusCode};
use aid_id::{Iccid, MspToken};
use uuid::Uuid;

use crate::account_id::AccountId;
use crate::body::{
    ActivationCodeResponse, Body as _, NotifyTokenInvalid, ProfileStatuses, RequestActivationCode,
    SendActivationCode, SendCsimStatus, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use crate::contract;
use crate::error_code::ErrorBody;
use crate::headers::{Credentials, PartyId};

use http::Http;

/// Time limit of a call, unless set: more than the three seconds that AID.02 §7.7.1 allows a synchronous answer.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How one party reaches another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the operations are, such as `https://msp.example:8443`; an optional path goes before theirs.
    pub base_url: String,
    /// Trust anchor and our client certificate (AID.02 §6). Made with the ring provider.
    pub tls: rustls::ClientConfig,
    /// What the called party knows us as: `client-id`.
    pub own_id: PartyId,
    /// The called party: `target-id`.
    pub target_id: PartyId,
    /// What we prove ourselves with there.
    pub credentials: Credentials,
    /// Limit for the whole call.
    pub timeout: Duration,
}

/// The two ids of a call (AID.02 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// `CMP-request-id`: keep it for a retry of the same call.
    pub request_id: Uuid,
    /// `correlation-id`: the transaction.
    pub correlation_id: Uuid,
}

impl Call {
    /// A new call in a new transaction.
    #[must_use]
    pub fn new() -> Self {
        Self::within(Uuid::new_v4())
    }

    /// A new call in a known transaction.
    #[must_use]
    pub fn within(correlation_id: Uuid) -> Self {
        Self {
            request_id: Uuid::new_v4(),
            correlation_id,
        }
    }
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The settings cannot work.
    #[error("the AID1 client cannot be set up: {0}")]
    Settings(String),
    /// No connection, or TLS refused one side.
    #[error("cannot reach {url}: {reason}")]
    Connect {
        /// The party's base URL.
        url: String,
        /// What the connector says.
        reason: String,
    },
    /// No answer in time. The peer may have acted.
    #[error("{url} did not answer within {seconds} s")]
    Timeout {
        /// The party's base URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection broke before the answer was complete. The peer may have acted.
    #[error("the connection to {url} broke: {reason}")]
    Broken {
        /// The party's base URL.
        url: String,
        /// What the connection says.
        reason: String,
    },
    /// The peer refused.
    #[error("{operation} was refused with {status}, {}", .body.as_ref().map_or_else(|| format!("not in the words of the contract: {note}"), |b| format!("code {b}")))]
    Refused {
        /// The operation.
        operation: &'static str,
        /// HTTP status, not 2xx.
        status: StatusCode,
        /// Body of §5.5, if the peer sent one.
        body: Option<ErrorBody>,
        /// What the body is, if it is not that of §5.5: for the log.
        note: String,
        /// How long the peer wants us to wait (`Retry-After`, RFC 9110 §10.2.3), as it said it: not bounded.
        retry_after: Option<Duration>,
    },
    /// A status or a body that the contract does not have: the peer's, or a proxy's. The peer may have acted.
    #[error("{operation} got an answer outside the contract: {reason}")]
    Contract {
        /// The operation.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
        /// The code that a server would use for such a body, such as 47 for a bad activation code.
        code: Option<crate::error_code::ErrorCode>,
    },
}

impl CallError {
    /// Whether the same call can succeed later. Only a clear refusal is final: a body of §5.5 under a status that the
    /// operation has for what is wrong with a request ([`contract::Operation::refuses`]). Lines, time-outs, answers
    /// that can't be read, redirections, and whatever else a proxy or a configuration can cause, may pass.
    ///
    /// [`contract::Operation::refuses`]: crate::contract::Operation::refuses
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Contract { .. } => true,
            Self::Refused {
                operation,
                status,
                body,
                ..
            } => {
                let code = body.as_ref().and_then(|body| body.code.parse().ok());
                let operation = contract::named(operation);
                !operation
                    .zip(code)
                    .is_some_and(|(operation, code)| operation.refuses(*status, code))
            }
            Self::Settings(_) => false,
        }
    }

    /// How long the peer wants us to wait before the next attempt, at most `longest`.
    #[must_use]
    pub fn retry_after(&self, longest: Duration) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => retry_after.map(|wait| wait.min(longest)),
            _ => None,
        }
    }

    /// The refusal's status and body, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<(StatusCode, Option<&ErrorBody>)> {
        match self {
            Self::Refused { status, body, .. } => Some((*status, body.as_ref())),
            _ => None,
        }
    }
}

/// The answer to Request Activation Code (AID.02 §7.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// 200: the code is here (§7.7.1).
    Now(ActivationCodeResponse),
    /// 201: it comes by Send Activation Code (§7.7.2).
    Later,
}

/// An MSP's client of a CMP (Annex B.1). Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct CmpClient(Http);

impl CmpClient {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// [`CallError::Settings`]
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        Http::new(settings).map(Self)
    }

    /// Send MSP Token (AID.02 §7.3).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_msp_token(
        &self,
        call: Call,
        id: &AccountId,
        body: &SendMspToken,
    ) -> Result<(), CallError> {
        self.send_msp_token_text(call, id.as_str(), body).await
    }

    /// Send MSP Token for an account id that came as text; it must be one that was verified.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_msp_token_text(
        &self,
        call: Call,
        id: &str,
        body: &SendMspToken,
    ) -> Result<(), CallError> {
        let path = format!(
            "/cesim/msp/v1/users/{}",
            crate::redirect::percent_encode(id)
        );
        self.0
            .send(
                "Send MSP Token",
                Method::POST,
                &path,
                call,
                Some(body.to_bytes()),
                StatusCode::CREATED,
            )
            .await
    }

    /// Notify MSP Token Invalid (AID.02 §7.4).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn notify_token_invalid(
        &self,
        call: Call,
        token: MspToken,
        body: &NotifyTokenInvalid,
    ) -> Result<(), CallError> {
        let path = format!("/cesim/msp/v1/users/{token}/invalidate");
        let done = StatusCode::NO_CONTENT;
        self.0
            .send(
                "Notify MSP Token Invalid",
                Method::POST,
                &path,
                call,
                Some(body.to_bytes()),
                done,
            )
            .await
    }

    /// Send Profile Information (AID.02 §7.5).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_profile_information(
        &self,
        call: Call,
        token: MspToken,
        body: &SendProfileInformation,
    ) -> Result<(), CallError> {
        let path = format!("/cesim/msp/v1/users/{token}/profiles");
        self.0
            .send(
                "Send Profile Information",
                Method::POST,
                &path,
                call,
                Some(body.to_bytes()),
                StatusCode::OK,
            )
            .await
    }

    /// Update Subscription Info (AID.02 §7.6).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn update_subscription_info(
        &self,
        call: Call,
        token: MspToken,
        body: &UpdateSubscriptionInfo,
    ) -> Result<(), CallError> {
        let path = format!("/cesim/msp/v1/subscriptions/{token}");
        let done = StatusCode::CREATED;
        self.0
            .send(
                "Update Subscription Info",
                Method::PATCH,
                &path,
                call,
                Some(body.to_bytes()),
                done,
            )
            .await
    }

    /// Send Activation Code (AID.02 §7.7.2.1).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_activation_code(
        &self,
        call: Call,
        token: MspToken,
        body: &SendActivationCode,
    ) -> Result<(), CallError> {
        let path = format!("/cesim/msp/v1/activation-codes/{token}");
        self.0
            .send(
                "Send Activation Code",
                Method::POST,
                &path,
                call,
                Some(body.to_bytes()),
                StatusCode::OK,
            )
            .await
    }
}

/// A CMP's client of an MSP (Annex B.2). Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct MspClient(Http);

impl MspClient {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// [`CallError::Settings`]
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        Http::new(settings).map(Self)
    }

    /// Request Activation Code (AID.02 §7.7).
    ///
    /// # Errors
    /// [`CallError`]; 423 is a refusal because of the EID.
    pub async fn request_activation_code(
        &self,
        call: Call,
        token: MspToken,
        body: &RequestActivationCode,
    ) -> Result<Activation, CallError> {
        let operation = "Request Activation Code";
        let path = format!("/v1/activation-code-requests/{token}");
        let answer = self
            .0
            .exchange(operation, Method::POST, &path, call, Some(body.to_bytes()))
            .await?;
        if !answer.status.is_success() {
            return Err(answer.unexpected(operation));
        }
        // A code counts under whatever 2xx it comes: it is not sent a second time.
        let unusable = match ActivationCodeResponse::parse(&answer.body) {
            Ok(code) => {
                answer.note_status(operation, StatusCode::OK);
                return Ok(Activation::Now(code));
            }
            Err(error) => error,
        };
        let accepted =
            answer.status == StatusCode::CREATED && !answer.is_page() && !answer.is_refusal()
                || answer.status != StatusCode::OK && answer.is_empty();
        if accepted {
            answer.note_status(operation, StatusCode::CREATED);
            Ok(Activation::Later)
        } else {
            Err(answer.unusable(operation, &unusable))
        }
    }

    /// Send CSIM Status (AID.02 §7.8).
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_csim_status(
        &self,
        call: Call,
        token: MspToken,
        body: &SendCsimStatus,
    ) -> Result<(), CallError> {
        let path = format!("/v1/statuses/{token}");
        self.0
            .send(
                "Send CSIM Status",
                Method::POST,
                &path,
                call,
                Some(body.to_bytes()),
                StatusCode::CREATED,
            )
            .await
    }

    /// Request Invalidate MSP Token (AID.02 §7.9).
    ///
    /// # Errors
    /// [`CallError`]; a refusal with 404 ends a retry as 204 does (R-7.9-4).
    pub async fn request_invalidate(&self, call: Call, token: MspToken) -> Result<(), CallError> {
        let path = format!("/v1/users/{token}");
        self.0
            .send(
                "Request Invalidate MSP Token",
                Method::DELETE,
                &path,
                call,
                None,
                StatusCode::NO_CONTENT,
            )
            .await
    }

    /// Request Profile Status (AID.02 §7.10): of one profile or of all.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn request_profile_status(
        &self,
        call: Call,
        token: MspToken,
        iccid: Option<&Iccid>,
    ) -> Result<ProfileStatuses, CallError> {
        let operation = "Request Profile Status";
        let query = iccid
            .map(|iccid| format!("?iccid={iccid}"))
            .unwrap_or_default();
        let path = format!("/v1/profiles/status/{token}{query}");
        let answer = self
            .0
            .exchange(operation, Method::GET, &path, call, None)
            .await?;
        if !answer.status.is_success() {
            return Err(answer.unexpected(operation));
        }
        let list = ProfileStatuses::parse(&answer.body)
            .map_err(|error| answer.unusable(operation, &error))?;
        answer.note_status(operation, StatusCode::OK);
        Ok(list)
    }
}
