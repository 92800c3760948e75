//! Revisions of AID2: which messages a peer understands (docs/wire/aid2.md, *Revisions*).
//!
//! The version byte of the envelope says how a message is read and stays 1. A revision adds messages at the end of
//! `Up` and `Down`, and kinds at the end of the enums inside them; neither peer sends a message of a revision that the other did not announce. The car announces with
//! a token in `Hello`, which older CMPs take for a part of the name; the CMP answers with `Welcome`.

use crate::message::{Down, OrderKind, Up};
use alloc::{format, string::String};

/// Newest revision that this crate knows.
pub const REVISION: u8 = FLEET_REVISION;
/// Revision of peers that announce none.
pub const FIRST_REVISION: u8 = 1;
/// First revision with `Session`, `NumberedLogin` and `Welcome`.
pub const SESSION_REVISION: u8 = 2;
/// First revision with orders that name the account of a profile.
pub const ACCOUNT_REVISION: u8 = 3;
/// First revision with logins without a connection, the factory reset and certificates that are renewed.
pub const FLEET_REVISION: u8 = 4;

/// Begins the token that announces a revision.
const TOKEN: &str = "AID2/";

/// The text of `Hello` for this software: its name, and the newest revision.
#[must_use]
pub fn announce(software: &str) -> String {
    format!("{software} {TOKEN}{REVISION}")
}

/// The revision that the text of a `Hello` announces. A token that is malformed announces none.
#[must_use]
pub fn announced(software: &str) -> u8 {
    let last = software.rsplit(' ').next().unwrap_or_default();
    let number = last.strip_prefix(TOKEN).and_then(|n| n.parse().ok());
    number
        .filter(|n| *n > FIRST_REVISION)
        .unwrap_or(FIRST_REVISION)
}

impl Up {
    /// The revision since which this message is known.
    #[must_use]
    pub fn revision(&self) -> u8 {
        match self {
            Self::Hello { .. }
            | Self::Login { .. }
            | Self::Logout { .. }
            | Self::RequestActivationCode { .. }
            | Self::Status { .. }
            | Self::OrderResult { .. }
            | Self::Ack { .. }
            | Self::LoginByCode { .. }
            | Self::CardFull { .. }
            | Self::RequestAgain { .. } => FIRST_REVISION,
            Self::Session { .. } | Self::NumberedLogin { .. } => SESSION_REVISION,
            Self::RenewCertificate { .. }
            | Self::OfflineSession { .. }
            | Self::FactoryReset { .. } => FLEET_REVISION,
        }
    }
}

impl Down {
    /// The revision since which this message is known.
    #[must_use]
    pub fn revision(&self) -> u8 {
        match self {
            Self::LoginResult { .. }
            | Self::ActivationCode { .. }
            | Self::StatusAck { .. }
            | Self::Ack { .. }
            | Self::LoginCode { .. }
            | Self::UserProfile { .. }
            | Self::Space { .. } => FIRST_REVISION,
            Self::Order { kind, .. } => kind.revision(),
            Self::Welcome { .. } => SESSION_REVISION,
            Self::Certificate { .. } | Self::Verifier { .. } | Self::Revoke { .. } => {
                FLEET_REVISION
            }
        }
    }
}

impl Down {
    /// The message as a peer of this revision understands it: what it says without what came later. `None`: such a peer
    /// does not know it at all.
    #[must_use]
    pub fn for_revision(self, revision: u8) -> Option<Self> {
        let message = match self {
            Self::Order {
                order_id,
                kind: OrderKind::DeleteOf { iccid, .. },
            } if revision < ACCOUNT_REVISION => Self::Order {
                order_id,
                kind: OrderKind::Delete { iccid },
            },
            other => other,
        };
        (message.revision() <= revision).then_some(message)
    }
}

impl OrderKind {
    /// The revision since which this kind of order is known.
    #[must_use]
    pub fn revision(&self) -> u8 {
        match self {
            Self::Delete { .. }
            | Self::Disable { .. }
            | Self::Logout { .. }
            | Self::DeleteAll
            | Self::Erase { .. } => FIRST_REVISION,
            Self::DeleteOf { .. } => ACCOUNT_REVISION,
            Self::FactoryReset => FLEET_REVISION,
        }
    }
}
