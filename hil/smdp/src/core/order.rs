//! One profile's order and its life: SGP.22 §3.1.6.
//! Changed by ES2+ functions and by downloads; stored by `store` under its ICCID.

use super::Refusal;
use super::bind::Binding;
use aid_rsp::es10::TransactionId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Profile state (SGP.22 §3.1.6), and `Deleted` for what the card reported as removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// In the inventory, not ordered.
    Available,
    /// Reserved without an EID.
    Allocated,
    /// Reserved for an EID.
    Linked,
    /// Has a MatchingID.
    Confirmed,
    /// May be downloaded.
    Released,
    /// A BPP was given out.
    Downloaded,
    /// The card reported success.
    Installed,
    /// The card reported that it deleted the profile.
    Deleted,
    /// Failed; the operator has to cancel the order.
    Error,
    /// Can't be ordered any more.
    Unavailable,
}

impl OrderState {
    /// As stored and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Allocated => "allocated",
            Self::Linked => "linked",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Downloaded => "downloaded",
            Self::Installed => "installed",
            Self::Deleted => "deleted",
            Self::Error => "error",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An order. A profile that nobody ordered has one too, in state `Available`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The profile.
    pub iccid: String,
    /// Its type.
    pub profile_type: String,
    /// Where it stands.
    pub state: OrderState,
    /// The only eUICC that gets it, once known.
    pub eid: Option<String>,
    /// MatchingID, once confirmed; empty: found by EID alone.
    pub matching_id: Option<String>,
    /// SHA-256 of the Confirmation Code in hexadecimal digits, where one is needed.
    pub confirmation_code: Option<String>,
    /// Wrong Confirmation Codes so far.
    pub code_failures: u32,
    /// BPPs given out so far.
    pub attempts: u32,
    /// Keys of the BPP, until the card has reported.
    pub binding: Option<Binding>,
    /// Who ordered: the name of the operator. Nobody else may touch the order.
    #[serde(default)]
    pub operator: Option<String>,
    /// functionRequesterIdentifier and functionCallIdentifier of DownloadOrder.
    pub call: Option<String>,
    /// What the card or a limit said, when it failed.
    pub last_error: Option<String>,
    /// How often this profile was ordered: tells this order from an earlier one of the same
    /// ICCID, whose sessions and notifications may still arrive.
    #[serde(default)]
    pub life: u64,
    /// Sessions in which this order's BPP was given out, the newest last; at most
    /// [`Limits::attempts`](super::Limits). `None`: stored by a version that did not keep them,
    /// so that every session of this ICCID counts.
    #[serde(default)]
    pub sessions: Option<Vec<String>>,
    /// seqNumber of the newest installation that the card reported for one of `sessions`.
    #[serde(default)]
    pub installed_seq: Option<u64>,
    /// seqNumber of the newest deletion that the card reported since a BPP was given out. It may
    /// arrive before the installation's report, and it may be an earlier order's.
    #[serde(default)]
    pub deleted_seq: Option<u64>,
    /// Did the operator link the order to `eid` (DownloadOrder, ConfirmOrder)? Otherwise the first card that came did.
    #[serde(default)]
    pub is_linked: bool,
    /// From when on it can't be downloaded any more, unix seconds; `None`: never.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// File of the package that was ordered. `None`: ordered at an earlier version, which kept it of further packages of
    /// an ICCID only; the first one is delivered.
    #[serde(default)]
    pub package: Option<String>,
    /// Unix seconds.
    pub changed_at: u64,
}

impl Order {
    /// A profile that nobody has ordered.
    #[must_use]
    pub const fn available(iccid: String, profile_type: String, now: u64) -> Self {
        Self {
            iccid,
            profile_type,
            state: OrderState::Available,
            eid: None,
            matching_id: None,
            confirmation_code: None,
            code_failures: 0,
            attempts: 0,
            binding: None,
            operator: None,
            call: None,
            last_error: None,
            life: 0,
            sessions: Some(Vec::new()),
            installed_seq: None,
            deleted_seq: None,
            is_linked: false,
            expires_at: None,
            package: None,
            changed_at: now,
        }
    }

    /// The next life of a profile whose order is over: nothing of the earlier order stays.
    pub(super) fn anew(&self, now: u64) -> Self {
        Self {
            life: self.life.saturating_add(1),
            ..Self::available(self.iccid.clone(), self.profile_type.clone(), now)
        }
    }

    /// Notes that this session gave out the BPP.
    pub(super) fn bound_by(&mut self, id: &TransactionId) {
        if let Some(sessions) = &mut self.sessions {
            let id = id.to_string();
            sessions.retain(|known| *known != id);
            sessions.push(id);
        }
    }

    /// Did this session give out a BPP of this very order?
    pub(super) fn is_bound_by(&self, id: &TransactionId) -> bool {
        self.sessions
            .as_ref()
            .is_none_or(|sessions| sessions.contains(&id.to_string()))
    }

    /// Is this session known to have given out a BPP of this order?
    pub(super) fn knows_session(&self, id: &TransactionId) -> bool {
        let id = id.to_string();
        self.sessions
            .as_ref()
            .is_some_and(|sessions| sessions.contains(&id))
    }

    /// The session that gave out the newest BPP, where that is known.
    pub(super) fn newest_session(&self) -> Option<&str> {
        self.sessions.as_ref()?.last().map(String::as_str)
    }

    /// May this operator touch the order (SGP.22 §5.3: 8.2.1/1.2 otherwise)?
    ///
    /// # Errors
    /// Another operator ordered it.
    pub fn check_operator(&self, operator: &str) -> Result<(), Refusal> {
        match &self.operator {
            Some(own) if own != operator => Err(Refusal::iccid_not_allowed(format!(
                "profile {} was ordered by another operator than {operator:?}",
                self.iccid
            ))),
            _ => Ok(()),
        }
    }

    /// Can it no longer be downloaded because its time is over? What a card has, it keeps.
    #[must_use]
    pub fn is_expired(&self, now: u64) -> bool {
        let may_be_downloaded = matches!(
            self.state,
            OrderState::Allocated
                | OrderState::Linked
                | OrderState::Confirmed
                | OrderState::Released
                | OrderState::Downloaded
        );
        may_be_downloaded && self.expires_at.is_some_and(|end| end <= now)
    }

    /// Enters a state.
    pub fn enter(&mut self, state: OrderState, now: u64) {
        self.state = state;
        self.changed_at = now;
    }

    /// Ends the order with an error; the operator can cancel it.
    pub fn fail(&mut self, why: impl Into<String>, now: u64) {
        self.binding = None;
        self.last_error = Some(why.into());
        self.enter(OrderState::Error, now);
    }
}
