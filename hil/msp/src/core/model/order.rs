//! Requests for activation codes and what became of them (AID.02 §7.7).

use aid_aid1::body::{ActivationCodeResponse, ProfileType};
use aid_aid1::headers::PartyId;
use aid_id::{ActivationCode, Eid, Iccid, MspToken};
use uuid::Uuid;

use super::words;

words! {
    /// How an answer travels.
    Delivery {
        /// In the answer to the request.
        Sync = "sync",
        /// By Send Activation Code.
        Async = "async",
    }
}

words! {
    /// Where an order stands.
    OrderState {
        /// Being worked on, or to be retried.
        Open = "open",
        /// There is a code.
        Done = "done",
        /// There is none; the same request again is tried again.
        Failed = "failed",
    }
}

/// What a CMP asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcRequest {
    /// Who asks.
    pub(crate) client_id: PartyId,
    /// `activationCodeRequestID`
    pub(crate) request_id: Uuid,
    /// For whom.
    pub(crate) msp_token: MspToken,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
    /// For which eUICC.
    pub(crate) eid: Eid,
    /// What the CMP offers for a swap.
    pub(crate) replace_iccid: Option<Iccid>,
}

/// A request with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// What was asked.
    pub(crate) request: AcRequest,
    /// How the answer travels.
    pub(crate) delivery: Delivery,
    /// Where it stands.
    pub(crate) state: OrderState,
    /// The profile, from its reservation at the SM-DP+ on.
    pub(crate) iccid: Option<Iccid>,
    /// The code.
    pub(crate) activation_code: Option<ActivationCode>,
    /// The profile that was given up for it.
    pub(crate) swapped: Option<Iccid>,
    /// Why there is no code.
    pub(crate) error: Option<String>,
    /// When it came, ms since 1970.
    pub(crate) created_at: i64,
    /// Until when the caller that waits for a synchronous answer keeps others from working on it, ms since 1970.
    pub(crate) leased_until: i64,
}

impl Order {
    /// The code, once there is one.
    #[must_use]
    pub(crate) fn response(&self) -> Option<ActivationCodeResponse> {
        Some(ActivationCodeResponse {
            iccid: self.iccid.clone(),
            activation_code: self.activation_code.clone()?,
            profile_type: ProfileType::Personal,
            swapped_iccid: self.swapped.clone(),
        })
    }

    /// Whether its answer has to be sent by Send Activation Code and was not yet.
    #[must_use]
    pub(crate) fn is_owed(&self) -> bool {
        self.state == OrderState::Open && self.delivery == Delivery::Async
    }
}

/// A profile that was ordered at the SM-DP+.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    /// The profile.
    pub(crate) iccid: Iccid,
    /// Where to download it.
    pub(crate) activation_code: ActivationCode,
}
