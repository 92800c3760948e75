//! Onboardings: which customer an msp_token stands for, and towards which CMP (AID.02 §4.1, §5.3).

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use uuid::Uuid;

use super::words;

words! {
    /// Where an onboarding stands.
    OnboardingState {
        /// Send MSP Token was not confirmed yet. If the CMP uses the token all the same, it has it.
        Pending = "pending",
        /// The CMP has confirmed.
        Active = "active",
        /// The CMP has refused.
        Refused = "refused",
        /// Withdrawn by one of the two sides; kept because statuses still use the token (§4.4).
        Invalidated = "invalidated",
    }
}

impl OnboardingState {
    /// Whether the token may be used for everything.
    #[must_use]
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Active)
    }
}

/// An onboarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Onboarding {
    /// Names the customer towards this CMP.
    pub(crate) msp_token: MspToken,
    /// The CMP.
    pub(crate) client_id: PartyId,
    /// The customer.
    pub(crate) user: String,
    /// The customer's subscription; empty in old rows: the first.
    pub(crate) subscription: String,
    /// `sid` of the account id.
    pub(crate) sid: Uuid,
    /// Where it stands.
    pub(crate) state: OnboardingState,
    /// When it began, ms since 1970.
    pub(crate) created_at: i64,
    /// When the state last changed, ms since 1970.
    pub(crate) changed_at: i64,
}
