//! Calls that were decided on and have to reach the other side, however often it takes.

use aid_aid1::headers::PartyId;
use aid_id::{Eid, Iccid, MspToken};
use uuid::Uuid;

use super::words;

words! {
    /// What is to be called.
    Kind {
        /// AID.02 §7.3. The body is the account id, a line break, and the JSON.
        SendMspToken = "send-msp-token",
        /// AID.02 §7.4
        NotifyTokenInvalid = "notify-token-invalid",
        /// AID.02 §7.5
        SendProfileInformation = "send-profile-information",
        /// AID.02 §7.6
        UpdateSubscriptionInfo = "update-subscription-info",
        /// AID.02 §7.7.2.1
        SendActivationCode = "send-activation-code",
        /// ES2+.CancelOrder (SGP.22 §5.3.3). The body is the ICCID, a space, and the EID; of earlier
        /// versions the ICCID alone.
        CancelOrder = "cancel-order",
    }
}

words! {
    /// Where a job stands.
    JobState {
        /// To be sent, also again.
        Waiting = "waiting",
        /// The other side has accepted it.
        Done = "done",
        /// The other side has refused it, or it was given up.
        Dead = "dead",
    }
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The CMP.
    pub(crate) client_id: PartyId,
    /// What to call.
    pub(crate) kind: Kind,
    /// The customer.
    pub(crate) msp_token: MspToken,
    /// `CMP-request-id`, the same on each attempt.
    pub(crate) request_id: Uuid,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
    /// JSON, or what the kind says.
    pub(crate) body: String,
}

impl Job {
    /// Body of a [`Kind::CancelOrder`].
    pub(crate) fn cancel_body(iccid: &Iccid, eid: &Eid) -> String {
        format!("{} {}", iccid.as_str(), eid.as_str())
    }

    /// ICCID and EID of the order that a [`Kind::CancelOrder`] cancels.
    pub(crate) fn to_cancel(&self) -> (&str, Option<&str>) {
        match self.body.split_once(' ') {
            Some((iccid, eid)) => (iccid, Some(eid)),
            None => (&self.body, None),
        }
    }
}

/// A job with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    /// Order in which jobs were decided on.
    pub(crate) id: i64,
    /// The call.
    pub(crate) job: Job,
    /// Where it stands.
    pub(crate) state: JobState,
    /// Attempts so far.
    pub(crate) attempts: i64,
    /// Not before, ms since 1970.
    pub(crate) next_at: i64,
    /// When it was decided on, ms since 1970.
    pub(crate) created_at: i64,
    /// Why the last attempt failed.
    pub(crate) last_error: String,
}
