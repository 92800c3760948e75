//! The nine operations of both APIs as the hub sees them: who calls them, and how each is delivered.

use aid_aid1::contract::Contract;
use aid_aid1::operation::{Api as _, CmpOperation, MspOperation};

use super::party::Role;

/// An operation of either API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    /// Served by CMPs, called by MSPs (Annex B.1).
    Cmp(CmpOperation),
    /// Served by MSPs, called by CMPs (Annex B.2).
    Msp(MspOperation),
}

/// How a call of an operation travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Carried on at once; the caller gets the target's own answer, and nothing is stored. The caller waits for what the
    /// answer says: an activation code, the states of profiles; or whether the MSP has noted a status, which CMPs queue and
    /// repeat by themselves (§7.8).
    Through,
    /// As [`Delivery::Through`], and the answer is stored for repetitions: Send MSP Token, whose refusals the MSP has to
    /// act on.
    Answered,
    /// Stored before it is carried on. Where the target is away, the hub accepts the call in its place and delivers it
    /// later.
    Kept,
}

impl Operation {
    /// All nine.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let cmp = CmpOperation::ALL.iter().copied().map(Self::Cmp);
        cmp.chain(MspOperation::ALL.iter().copied().map(Self::Msp))
    }

    /// The operation at a path, and the text where the variable is. The paths of the two APIs differ.
    #[must_use]
    pub(crate) fn at(path: &str) -> Option<(Self, &str)> {
        let cmp = CmpOperation::at(path).map(|(found, variable)| (Self::Cmp(found), variable));
        cmp.or_else(|| MspOperation::at(path).map(|(found, variable)| (Self::Msp(found), variable)))
    }

    /// The operation with this `operationId`.
    #[must_use]
    pub(crate) fn by_id(id: &str) -> Option<Self> {
        Self::all().find(|operation| operation.contract().id == id)
    }

    /// What Annex B says of it.
    #[must_use]
    pub(crate) fn contract(self) -> &'static Contract {
        match self {
            Self::Cmp(operation) => operation.contract(),
            Self::Msp(operation) => operation.contract(),
        }
    }

    /// Who calls it.
    #[must_use]
    pub(crate) fn caller(self) -> Role {
        match self {
            Self::Cmp(_) => Role::Msp,
            Self::Msp(_) => Role::Cmp,
        }
    }

    /// How it is delivered.
    #[must_use]
    pub(crate) fn delivery(self) -> Delivery {
        match self {
            Self::Msp(
                MspOperation::RequestActivationCode
                | MspOperation::RequestProfileStatus
                | MspOperation::SendCsimStatus,
            ) => Delivery::Through,
            Self::Cmp(CmpOperation::SendMspToken) => Delivery::Answered,
            Self::Cmp(
                CmpOperation::SendActivationCode
                | CmpOperation::UpdateSubscriptionInfo
                | CmpOperation::NotifyTokenInvalid
                | CmpOperation::SendProfileInformation,
            )
            | Self::Msp(MspOperation::RequestInvalidate) => Delivery::Kept,
        }
    }

    /// Whether its answer is bound to the three seconds of §7.7.1.
    #[must_use]
    pub(crate) fn is_synchronous(self) -> bool {
        self == Self::Msp(MspOperation::RequestActivationCode)
    }

    /// Whether its success makes a token one of its pair (§7.3).
    #[must_use]
    pub(crate) fn introduces_token(self) -> bool {
        self == Self::Cmp(CmpOperation::SendMspToken)
    }

    /// Whether its success ends a token (§7.4, §7.9).
    #[must_use]
    pub(crate) fn ends_token(self) -> bool {
        matches!(
            self,
            Self::Cmp(CmpOperation::NotifyTokenInvalid)
                | Self::Msp(MspOperation::RequestInvalidate)
        )
    }
}
