//! Calls the other party: an MSP the five operations of the CMP, a CMP the four of the MSP (AID.02 chapter 7).
//!
//! One request, one answer; nothing is retried here, because only the caller knows what is stored. Mutual TLS, key or
//! password, time limit and bound of the answer come from [`Settings`].
//!
//! Between the parties stand proxies and gateways, which answer in their own way. So an answer of another 2xx status
//! counts if it has the shape of a success, only a refusal in the words of §5.5 is the peer's own, and
//! [`CallError::is_transient`] says of everything else that the call is worth repeating.

mod carrier;
mod http;

use std::marker::PhantomData;
use std::time::Duration;

use ::http::StatusCode;
use aid_id::{Iccid, MspToken};
use uuid::Uuid;

use crate::body::{
    Iccids, NotifyTokenInvalid, ProfileStatuses, RequestActivationCode, SendActivationCode,
    SendCsimStatus, SendMspToken, SendProfileInformation, UpdateSubscriptionInfo,
};
use crate::contract::Contract;
use crate::deviation::Deviations;
use crate::error_code::ErrorBody;
use crate::headers::{Credentials, PartyId};
use crate::operation::{
    Answer as _, Api, CmpOperation, MspOperation, Operation, RequestInvalidate,
    RequestProfileStatus,
};

use http::Http;

pub use crate::operation::Activation;
pub use crate::received::Received;
pub use carrier::{Carried, Carrier};

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
    /// Where the called party's tolerated deviations are counted.
    pub deviations: Deviations,
    /// Which ICCIDs the called party may name.
    pub iccids: Iccids,
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
        operation: &'static Contract,
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
        operation: &'static Contract,
        /// What is wrong with it.
        reason: String,
        /// The code that a server would use for such a body, such as 47 for a bad activation code.
        code: Option<crate::error_code::ErrorCode>,
    },
}

impl CallError {
    /// Whether the same call can succeed later. Only a clear refusal is final: a body of §5.5 under a status that the
    /// operation has for what is wrong with a request ([`Contract::refuses`]). Lines, time-outs, answers
    /// that can't be read, redirections, and whatever else a proxy or a configuration can cause, may pass.
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
                !code.is_some_and(|code| operation.refuses(*status, code))
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

/// A client of one side's API: one party that calls another. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client<A> {
    http: Http,
    api: PhantomData<A>,
}

/// An MSP's client of a CMP (Annex B.1).
pub type CmpClient = Client<CmpOperation>;

/// A CMP's client of an MSP (Annex B.2).
pub type MspClient = Client<MspOperation>;

impl<A: Api> Client<A> {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// [`CallError::Settings`]
    pub fn new(settings: Settings) -> Result<Self, CallError> {
        let (http, api) = (Http::new(settings)?, PhantomData);
        Ok(Self { http, api })
    }

    /// Where the called party's tolerated deviations are counted.
    #[must_use]
    pub fn deviations(&self) -> &Deviations {
        self.http.deviations()
    }

    /// Calls an operation: the type of the request says which.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn call<O: Operation<Api = A>>(
        &self,
        call: Call,
        variable: &O::Variable,
        request: &O,
    ) -> Result<O::Answer, CallError> {
        let operation = O::CONTRACT;
        let mut path = operation.path.with(&variable.to_string());
        if let Some(query) = request.query() {
            path.push('?');
            path.push_str(&query);
        }
        let sent = self.http.exchange(operation, &path, call, request.body());
        let received = sent.await?;
        if !received.status.is_success() {
            return Err(received.unexpected(operation));
        }
        match O::Answer::read(operation, &received) {
            Ok((answer, status)) => {
                let tolerated = received.tolerated(operation, status);
                self.http.deviations().note_all(tolerated);
                Ok(answer)
            }
            Err(error) => Err(received.unusable(operation, &error)),
        }
    }
}

/// [`Client::call`] by the name of the operation, for those whose path has a token.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident: $operation:ident,)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`CallError`]
        pub async fn $name(
            &self,
            call: Call,
            token: MspToken,
            body: &$operation,
        ) -> Result<<$operation as Operation>::Answer, CallError> {
            self.call(call, &token, body).await
        }
    )+};
}

impl CmpClient {
    /// Send MSP Token (AID.02 §7.3). The account id must be one that was verified.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn send_msp_token(
        &self,
        call: Call,
        id: &(impl AsRef<str> + ?Sized + Sync),
        body: &SendMspToken,
    ) -> Result<(), CallError> {
        self.call(call, id.as_ref(), body).await
    }

    calls! {
        /// Notify MSP Token Invalid (AID.02 §7.4).
        notify_token_invalid: NotifyTokenInvalid,
        /// Send Profile Information (AID.02 §7.5).
        send_profile_information: SendProfileInformation,
        /// Update Subscription Info (AID.02 §7.6).
        update_subscription_info: UpdateSubscriptionInfo,
        /// Send Activation Code (AID.02 §7.7.2.1).
        send_activation_code: SendActivationCode,
    }
}

impl MspClient {
    calls! {
        /// Request Activation Code (AID.02 §7.7).
        request_activation_code: RequestActivationCode,
        /// Send CSIM Status (AID.02 §7.8).
        send_csim_status: SendCsimStatus,
    }

    /// Request Invalidate MSP Token (AID.02 §7.9).
    ///
    /// # Errors
    /// [`CallError`]; a refusal with 404 ends a retry as 204 does (R-7.9-4).
    pub async fn request_invalidate(&self, call: Call, token: MspToken) -> Result<(), CallError> {
        self.call(call, &token, &RequestInvalidate).await
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
        let iccid = iccid.cloned();
        self.call(call, &token, &RequestProfileStatus { iccid })
            .await
    }
}
