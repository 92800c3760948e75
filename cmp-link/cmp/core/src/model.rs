//! What the CMP keeps: vehicles, accounts, federations, profiles, requests, orders, the outbox.
//! AID.02 §4 as the CMP sees it. Read by `decide`, stored by `store`; times are Unix milliseconds.

use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::EncryptedPhone;
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken, Secret};
use aid_wire::Status;
use std::borrow::Cow;

/// An enum that is stored as text.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The stored text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            /// The value of a stored text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

mod certificate;
mod desk;
mod fleet;
mod work;

pub use certificate::{Issued, VehicleCertificate};
pub use desk::{ApiKey, Member, Role, Webhook};
pub use fleet::{LoginCode, LoginCodeState, SessionMark};
pub use work::{Answered, Call, CallKind, CallState, Happening, Order, OrderState};

/// A car that takes part, named by its eUICC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vehicle {
    /// The eUICC.
    pub eid: Eid,
    /// When it was added.
    pub added_at: u64,
    /// When it last connected.
    pub last_seen: Option<u64>,
    /// Name and version of its agent.
    pub software: Option<String>,
    /// The profiles that it said are on its card, as JSON for support.
    pub card: Option<String>,
    /// SHA-256 of the only certificate that is accepted, hexadecimal; none: any of the gateway's CA
    /// that names the EID.
    pub certificate: Option<String>,
    /// SHA-256 of the certificate that is accepted beside it until the car has used this one: it was issued for the car's
    /// own request.
    pub next_certificate: Option<String>,
    /// Who is logged in, as far as is known.
    pub session: Option<AccountRef>,
    /// What is known of the numbers of its sessions.
    pub mark: SessionMark,
    /// The vehicle identification number, where the operator gave one.
    pub vin: Option<String>,
    /// When it was cut off; then it may not connect any more.
    pub retired_at: Option<u64>,
    /// Why it was cut off.
    pub retired_reason: Option<String>,
    /// The eUICC that took this one's place in the car (A.4, exchanged unit).
    pub replaced_by: Option<Eid>,
}

impl Vehicle {
    /// A car that takes part from now on.
    #[must_use]
    pub fn new(eid: Eid, added_at: u64) -> Self {
        Self {
            eid,
            added_at,
            last_seen: None,
            software: None,
            card: None,
            certificate: None,
            next_certificate: None,
            session: None,
            mark: SessionMark::default(),
            vin: None,
            retired_at: None,
            retired_reason: None,
            replaced_by: None,
        }
    }
}

/// A user account of the CMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The reference that cars and tables use.
    pub id: AccountRef,
    /// What the user types.
    pub name: String,
    /// What the HMI shows.
    pub display_name: String,
    /// Argon2 hash of the portal's password, in PHC form.
    pub password: Secret,
    /// HMAC-SHA256 of the car PIN, hexadecimal; none while the user has no PIN.
    pub pin_mac: Option<String>,
    /// When it was made.
    pub created_at: u64,
}

/// What lets a user in to a car while it has no connection, as the car was granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifier {
    /// The car.
    pub eid: Eid,
    /// The user.
    pub account: AccountRef,
    /// Names it.
    pub id: Id,
    /// When it ends, Unix milliseconds.
    pub expires_at: u64,
    /// Since when it is void, Unix milliseconds; the car has not acknowledged that yet.
    pub revoked_at: Option<u64>,
}

/// Failed attempts at one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// How many since `since`.
    pub count: u32,
    /// Begin of the window.
    pub since: u64,
    /// The login that was counted last: its repetition is not counted again.
    pub last: Option<Id>,
}

text_enum! {
    /// How far an onboarding is (§4.1).
    OnboardingState {
        /// The user is at the MSP.
        Open = "open",
        /// The token came.
        Done = "done",
        /// The MSP or the user said no.
        Failed = "failed",
    }
}

/// An onboarding, from the redirect to the MSP until its token comes (§4.1 steps 3 to 14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onboarding {
    /// `sid` of the account id.
    pub sid: Id,
    /// The MSP's configured name.
    pub msp: String,
    /// Who is onboarded.
    pub account: AccountRef,
    /// How far it is.
    pub state: OnboardingState,
    /// One-time value in the URL that the MSP redirects back to.
    pub return_state: String,
    /// The token, once it came.
    pub token: Option<MspToken>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub created_at: u64,
    /// When the account id ends.
    pub expires_at: u64,
}

/// A CMP account and an MSP account that belong together (§4.1 end a).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// Ours; a second onboarding of the same people is another one (A.3).
    pub id: Id,
    /// The MSP's configured name.
    pub msp: String,
    /// The MSP's name for its customer; unique per MSP only (R-5.3-2).
    pub token: MspToken,
    /// The CMP account.
    pub account: AccountRef,
    /// The phone number as it came; it is decrypted to be shown masked, and not stored plain.
    pub phone: EncryptedPhone,
    /// Kind of the subscription.
    pub kind: SubscriptionType,
    /// For reports (§7.3).
    pub customer_group: Option<String>,
    /// Begin.
    pub since: u64,
    /// End, after which the token yields no code but still serves for reports (R-4.4.1-6).
    pub ended_at: Option<u64>,
    /// Why it ended, for support.
    pub ended_reason: Option<String>,
}

text_enum! {
    /// Where a profile stands, as far as the CMP knows.
    ProfileStatus {
        /// Its code was given; nothing was heard since.
        Prepared = "prepared",
        /// On the card.
        Installed = "installed",
        /// Enabled.
        Enabled = "enabled",
        /// Disabled.
        Disabled = "disabled",
        /// Could not be installed.
        Failed = "installation_failed",
        /// Gone.
        Deleted = "deleted",
        /// On a card that nobody reaches any more: its unit was exchanged, or its car retired.
        Lost = "lost",
    }
}

impl ProfileStatus {
    /// Whether a card that can be reached may have it.
    #[must_use]
    pub fn may_be_on_card(self) -> bool {
        !matches!(self, Self::Deleted | Self::Failed | Self::Lost)
    }
}

impl From<Status> for ProfileStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Installed => Self::Installed,
            Status::Enabled => Self::Enabled,
            Status::Disabled => Self::Disabled,
            Status::Deleted => Self::Deleted,
            Status::InstallationFailed => Self::Failed,
        }
    }
}

text_enum! {
    /// What the MSP says of a profile (§7.5).
    MspVerdict {
        /// Usable.
        Valid = "valid",
        /// Blocked for a time.
        Suspended = "suspended",
        /// Dead for good.
        Invalid = "invalid",
        /// Replaced by another (§4.3.1): the MSP freed it.
        Swapped = "swapped",
        /// The MSP did not list it when it was asked (§4.6). Deletes nothing by itself.
        Orphaned = "orphaned",
    }
}

impl MspVerdict {
    /// Whether the MSP gave it up for good.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Invalid | Self::Swapped)
    }
}

/// An operational profile of a federation in a car.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The profile.
    pub iccid: Iccid,
    /// The federation of account and subscription that it belongs to.
    pub federation: Id,
    /// The eUICC that it is on.
    pub eid: Eid,
    /// What the car says.
    pub status: ProfileStatus,
    /// What the MSP says.
    pub verdict: MspVerdict,
    /// When it was last enabled or installed; the least recent one is offered for a swap (§4.3.1).
    pub last_used: u64,
    /// When its code came.
    pub created_at: u64,
}

text_enum! {
    /// How far a request for an activation code is (§4.3 steps 2 to 6).
    RequestState {
        /// Stored; the MSP was not heard.
        New = "new",
        /// The MSP said 201: the code comes later.
        Accepted = "accepted",
        /// The code is here.
        Answered = "answered",
        /// The car used the code, well or badly.
        Used = "used",
        /// There is no code.
        Failed = "failed",
        /// The code did not come in time.
        Expired = "expired",
    }
}

impl RequestState {
    /// Whether a code may still come.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::New | Self::Accepted)
    }
}

/// A request for an activation code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRequest {
    /// `activationCodeRequestID`.
    pub id: Id,
    /// The car's name for it.
    pub car_request: Id,
    /// The car.
    pub eid: Eid,
    /// The user.
    pub account: AccountRef,
    /// Whose subscription.
    pub federation: Id,
    /// One value from the request to the last status (R-5.1-2).
    pub correlation: Id,
    /// The profile offered for a swap.
    pub replace_iccid: Option<Iccid>,
    /// How far it is.
    pub state: RequestState,
    /// The code.
    pub code: Option<Secret>,
    /// The profile behind it, where the MSP said so.
    pub iccid: Option<Iccid>,
    /// The profile that the MSP took for it.
    pub swapped: Option<Iccid>,
    /// Code of §5.5 of a failure.
    pub error_code: Option<u16>,
    /// Text of a failure.
    pub error: Option<String>,
    /// When the car asked.
    pub created_at: u64,
    /// When waiting ends.
    pub expires_at: u64,
    /// When the car said that it has the result in its journal.
    pub delivered_at: Option<u64>,
    /// When its state last changed.
    pub changed_at: u64,
}

/// A status report of a car (§7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The car.
    pub eid: Eid,
    /// Its count.
    pub seq: u64,
    /// The profile.
    pub iccid: Option<Iccid>,
    /// Its owner.
    pub account: Option<AccountRef>,
    /// What happened.
    pub status: Status,
    /// 0, or why an installation failed.
    pub code: u16,
    /// When it came.
    pub received_at: u64,
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Time, milliseconds since 1970.
    pub at: u64,
    /// Who: an MSP, a car, a user's reference, the operator.
    pub actor: String,
    /// The action, such as `vehicle retired`.
    pub action: Cow<'static, str>,
    /// On what; no secrets, no names of people.
    pub detail: String,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

text_enum! {
    /// What a user is told (portal, and the HMI where it fits).
    NoticeKind {
        /// The MSP ended the subscription's link (R-4.4.2-7).
        UnlinkedByMsp = "unlinked-by-msp",
        /// The MSP blocked a profile for a time (R-4.7-4).
        Suspended = "suspended",
        /// The MSP lifted the block.
        Resumed = "resumed",
        /// The MSP declared a profile dead; it is deleted.
        Invalid = "invalid",
        /// A profile makes place for another user's, because the car's eUICC is full (R-A.4-3).
        CardFull = "card-full",
        /// The profiles of a car are deleted or lost: end of a rental, workshop, exchanged unit (A.4).
        CarCleared = "car-cleared",
        /// The MSP does not know the link any more (§7.7); whether it still exists is being asked.
        Doubtful = "doubtful",
    }
}

/// Something that a user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNotice {
    /// Names it.
    pub id: Id,
    /// Who is told.
    pub account: AccountRef,
    /// When it happened.
    pub at: u64,
    /// The event that the notice is about.
    pub kind: NoticeKind,
    /// The MSP, the reason it gave, the profile: for the page.
    pub detail: String,
}

/// The MSP said that it does not know the token of a link any more, when it was asked for an activation code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The link.
    pub federation: Id,
    /// Since when.
    pub since: u64,
    /// What it said: 20 or 21 of §5.5.
    pub code: u16,
}

/// Since when an MSP says of a profile what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The profile.
    pub iccid: Iccid,
    /// The federation of account and subscription that it belongs to.
    pub federation: Id,
    /// Since when.
    pub since: u64,
    /// Why, in the MSP's words.
    pub reason: Option<String>,
}

/// How often an MSP did something otherwise than AID.02 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviated {
    /// The MSP.
    pub msp: String,
    /// What it did.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_at: u64,
    /// The last time.
    pub last_at: u64,
}

/// Who a user is at an identity provider (OpenID Connect Core §2: `iss` and `sub`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The user there; never given to another user.
    pub subject: String,
    /// The user here.
    pub account: AccountRef,
    /// Since when, Unix milliseconds.
    pub since: u64,
}

/// A user deleted their profile in a car: none comes back until they ask for it (R-4.5-10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The onboarding.
    pub federation: Id,
    /// The car.
    pub eid: Eid,
    /// Since when.
    pub since: u64,
}

/// What one status synchronisation found (§4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRun {
    /// Names it; the `CMP-request-id` of its call.
    pub id: Id,
    /// Whose profiles.
    pub federation: Id,
    /// Time, milliseconds since 1970.
    pub at: u64,
    /// `agreed`, `repaired`, `differs`, `suspicious` or `failed`.
    pub outcome: String,
    /// The differences, a JSON array.
    pub findings: String,
}

/// A session of the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalSession {
    /// SHA-256 of the cookie, hexadecimal.
    pub token_hash: String,
    /// The account that is signed in.
    pub account: AccountRef,
    /// Until when.
    pub expires_at: u64,
}
