//! AID2 messages between car and CMP: postcard, at most 16 KiB, append-only enums (R-3.2-3, R-3.2-4).
//! Built and read by the core; the daemon carries the bytes over MQTT 5.

use crate::ids::{AccountRef, Iccid, Id, Secret};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version byte of the envelope.
pub const WIRE_VERSION: u8 = 1;
/// Largest message, bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// What every message is wrapped in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<B> {
    /// `WIRE_VERSION`.
    pub version: u8,
    /// Names this message; a repetition carries the same.
    pub message_id: Id,
    /// Names the transaction that it belongs to.
    pub correlation_id: Id,
    /// Counts the sender's messages.
    pub sequence: u64,
    /// Unix seconds after which it is void.
    pub expires_at: Option<u64>,
    /// The message.
    pub body: B,
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too long.
    #[error("an AID2 message has at most {MAX_MESSAGE} bytes, got {0}")]
    TooLong(usize),
    /// Another version.
    #[error("expected AID2 version {WIRE_VERSION}, got {0}")]
    Version(u8),
    /// Not postcard, or not one of the known messages.
    #[error("not an AID2 message: {0}")]
    Encoding(postcard::Error),
}

impl<B: Serialize + DeserializeOwned> Envelope<B> {
    /// The bytes on the wire.
    ///
    /// # Errors
    /// The message would be over the limit.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let bytes = postcard::to_allocvec(self).map_err(MessageError::Encoding)?;
        if bytes.len() > MAX_MESSAGE {
            Err(MessageError::TooLong(bytes.len()))
        } else {
            Ok(bytes)
        }
    }

    /// Parses a message that came over the wire.
    ///
    /// # Errors
    /// Too long, another version, or not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong(bytes.len()));
        }
        match bytes.first() {
            Some(&WIRE_VERSION) => postcard::from_bytes(bytes).map_err(MessageError::Encoding),
            first => Err(MessageError::Version(first.copied().unwrap_or(0))),
        }
    }
}

/// A profile as the car sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileState {
    /// The profile.
    pub iccid: Iccid,
    /// Its state on the card.
    pub state: Status,
    /// Whose it is, where the car knows.
    pub owner: Option<AccountRef>,
}

/// State of a profile, or a change of it (§7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// On the card, not enabled.
    Installed,
    /// Enabled.
    Enabled,
    /// Disabled.
    Disabled,
    /// Gone from the card.
    Deleted,
    /// Could not be installed.
    InstallationFailed,
}

/// Car to CMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    /// First message of a connection.
    Hello {
        /// Name and version of the agent.
        software: String,
        /// What is on the card.
        profiles: Vec<ProfileState>,
    },
    /// A user wants to log in.
    Login {
        /// Names the attempt.
        login_id: Id,
        /// User name.
        user: String,
        /// PIN for the car.
        pin: Secret,
    },
    /// The session of this account ended.
    Logout {
        /// The account.
        account: AccountRef,
    },
    /// This user has no OP here (§4.3 step 2).
    RequestActivationCode {
        /// Names the request; repetitions carry the same.
        request_id: Id,
        /// The account.
        account: AccountRef,
    },
    /// A profile changed (§4.3 step 11); repeated until `StatusAck`.
    Status {
        /// Counts the reports of this car, without a gap.
        report_seq: u64,
        /// The profile, where it is known (a failed installation may have none).
        iccid: Option<Iccid>,
        /// Its owner.
        account: Option<AccountRef>,
        /// What happened.
        status: Status,
        /// 0, or why an installation failed.
        code: u16,
    },
    /// What became of an order; repeated until `Ack` of a message whose id is the order's.
    OrderResult {
        /// The order.
        order_id: Id,
        /// What became of it.
        outcome: OrderOutcome,
    },
    /// The message is in the car's journal.
    Ack {
        /// The message.
        message_id: Id,
    },
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderOutcome {
    /// Executed.
    Done,
    /// There was nothing to do: no such profile here.
    NotFound,
    /// Can't be done.
    Failed {
        /// The card's or the agent's code.
        code: u16,
    },
}

/// CMP to car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    /// Answer to `Login`.
    LoginResult {
        /// The attempt.
        login_id: Id,
        /// Its result.
        outcome: LoginOutcome,
    },
    /// Answer to `RequestActivationCode` (§4.3 step 6).
    ActivationCode {
        /// The request.
        request_id: Id,
        /// The account.
        account: AccountRef,
        /// Code, later, or never.
        outcome: CodeOutcome,
    },
    /// Something to do.
    Order {
        /// Names the order; repetitions carry the same.
        order_id: Id,
        /// What.
        kind: OrderKind,
    },
    /// The CMP has the report.
    StatusAck {
        /// The report.
        report_seq: u64,
    },
    /// The CMP has the message.
    Ack {
        /// The message.
        message_id: Id,
    },
}

/// Result of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginOutcome {
    /// Welcome.
    Accepted {
        /// The account.
        account: AccountRef,
        /// Its AID User Profile.
        aup: Aup,
        /// This user's OPs on this EID.
        profiles: Vec<Iccid>,
    },
    /// No.
    Refused {
        /// Why, for the HMI.
        reason: String,
    },
}

/// AID User Profile (R-2-9): what the HMI shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aup {
    /// The user's name.
    pub display_name: String,
    /// The operator's name.
    pub msp_name: String,
    /// Phone number with digits masked.
    pub masked_number: String,
}

/// Answer to a request for a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeOutcome {
    /// Here it is.
    Code {
        /// SGP.22 §4.1 text.
        code: Secret,
        /// The profile behind it, where the MSP said so.
        iccid: Option<Iccid>,
    },
    /// It comes later.
    Pending,
    /// It does not come.
    Failed {
        /// Code of §5.5.
        code: u16,
        /// Why.
        reason: String,
    },
}

/// What the CMP orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// Delete a profile (§4.4, §4.5).
    Delete {
        /// The profile.
        iccid: Iccid,
    },
    /// Disable a profile, for the rest of the session.
    Disable {
        /// The profile.
        iccid: Iccid,
    },
    /// End the session of this account.
    Logout {
        /// The account.
        account: AccountRef,
    },
}
