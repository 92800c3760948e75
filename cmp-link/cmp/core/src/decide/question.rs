//! What an MSP is asked about profiles (§4.6, §7.10), as it is kept in the outbox.
//! Called for swaps, support and synchronisation.

use super::Context;
use crate::model::{Call, CallKind, Federation};
use aid_id::Iccid;

/// Why the MSP is asked for the status of profiles (§7.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether it still has the candidate of a swap.
    Candidate(Iccid),
    /// One profile, for support.
    One(Iccid),
    /// All.
    All,
}

impl Question {
    /// The stored text.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Candidate(iccid) => format!("candidate {iccid}"),
            Self::One(iccid) => format!("one {iccid}"),
            Self::All => "all".into(),
        }
    }

    /// The question of a stored text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "all" => Some(Self::All),
            Some(("candidate", iccid)) => Some(Self::Candidate(iccid.parse().ok()?)),
            Some(("one", iccid)) => Some(Self::One(iccid.parse().ok()?)),
            _ => None,
        }
    }

    /// The profile that it is about.
    #[must_use]
    pub fn iccid(&self) -> Option<&Iccid> {
        match self {
            Self::Candidate(iccid) | Self::One(iccid) => Some(iccid),
            Self::All => None,
        }
    }
}

/// A call that asks for the status of profiles.
#[must_use]
pub fn query(context: &Context, federation: &Federation, question: &Question) -> Call {
    let lane = format!("query/{}", federation.token);
    Call {
        body: question.to_text(),
        ..context.call(federation, CallKind::Query, lane)
    }
}
