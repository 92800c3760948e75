//! How peers of revision 1 read and write messages: the types and the envelope of the first release, frozen. Never changed.

use aid_id::{AccountRef, Iccid, Id, Secret};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileState {
    pub iccid: Iccid,
    pub state: Status,
    pub owner: Option<AccountRef>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    Installed,
    Enabled,
    Disabled,
    Deleted,
    InstallationFailed,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    Hello {
        software: String,
        profiles: Vec<ProfileState>,
    },
    Login {
        login_id: Id,
        user: String,
        pin: Secret,
    },
    Logout {
        account: AccountRef,
    },
    RequestActivationCode {
        request_id: Id,
        account: AccountRef,
    },
    Status {
        report_seq: u64,
        iccid: Option<Iccid>,
        account: Option<AccountRef>,
        status: Status,
        code: u16,
    },
    OrderResult {
        order_id: Id,
        outcome: OrderOutcome,
    },
    Ack {
        message_id: Id,
    },
    LoginByCode {
        login_id: Id,
    },
    CardFull {
        request_id: Id,
        account: AccountRef,
    },
    RequestAgain {
        request_id: Id,
        account: AccountRef,
    },
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderOutcome {
    Done,
    NotFound,
    Failed { code: u16 },
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    LoginResult {
        login_id: Id,
        outcome: LoginOutcome,
    },
    ActivationCode {
        request_id: Id,
        account: AccountRef,
        outcome: CodeOutcome,
    },
    Order {
        order_id: Id,
        kind: OrderKind,
    },
    StatusAck {
        report_seq: u64,
    },
    Ack {
        message_id: Id,
    },
    LoginCode {
        login_id: Id,
        code: String,
        url: String,
        expires_in: u32,
    },
    UserProfile {
        account: AccountRef,
        profile: UserProfile,
    },
    Space {
        request_id: Id,
        granted: bool,
    },
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginOutcome {
    Accepted {
        account: AccountRef,
        aup: Aup,
        profiles: Vec<Iccid>,
    },
    Refused {
        reason: String,
    },
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aup {
    pub display_name: String,
    pub msp_name: String,
    pub masked_number: String,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CodeOutcome {
    Code { code: Secret, iccid: Option<Iccid> },
    Pending,
    Failed { code: u16, reason: String },
    Ask,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    Delete { iccid: Iccid },
    Disable { iccid: Iccid },
    Logout { account: AccountRef },
    DeleteAll,
    Erase { account: AccountRef },
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserProfile {
    pub display_name: String,
    pub subscriptions: Vec<SubscriptionView>,
    pub preferences: Vec<(String, String)>,
}
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubscriptionView {
    pub msp_name: String,
    pub icon: String,
    pub label: String,
    pub masked_number: String,
    pub suspended: bool,
}

pub const WIRE_VERSION: u8 = 1;
pub const MAX_MESSAGE: usize = 16 * 1024;
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<B> {
    pub version: u8,
    pub message_id: Id,
    pub correlation_id: Id,
    pub sequence: u64,
    pub expires_at: Option<u64>,
    pub body: B,
}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("an AID2 message has at most {MAX_MESSAGE} bytes, got {0}")]
    TooLong(usize),
    #[error("expected AID2 version {WIRE_VERSION}, got {0}")]
    Version(u8),
    #[error("not an AID2 message: {0}")]
    Encoding(postcard::Error),
    #[error("{0} bytes follow the AID2 message")]
    Trailing(usize),
}

impl<B: Serialize + DeserializeOwned> Envelope<B> {
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        let bytes = postcard::to_allocvec(self).map_err(MessageError::Encoding)?;
        if bytes.len() > MAX_MESSAGE {
            Err(MessageError::TooLong(bytes.len()))
        } else {
            Ok(bytes)
        }
    }
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong(bytes.len()));
        }
        match bytes.first() {
            Some(&WIRE_VERSION) => match postcard::take_from_bytes(bytes) {
                Ok((envelope, [])) => Ok(envelope),
                Ok((_, rest)) => Err(MessageError::Trailing(rest.len())),
                Err(error) => Err(MessageError::Encoding(error)),
            },
            first => Err(MessageError::Version(first.copied().unwrap_or(0))),
        }
    }
}

include!("samples.rs");
