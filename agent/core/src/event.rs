//! The core's ports as data: events in, effects out, timers with their reasons.
//! Times are `BootMs`: a parked TCU suspends, and the boot clock goes on.
//! Spoken by the daemon's shell and by simulations.

use aid_id::{AccountRef, Iccid, Id, Secret};
use aid_wire::{Aup, Down, Up, UserProfile};
use alloc::{string::String, vec::Vec};

/// CLOCK_BOOTTIME in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct BootMs(pub u64);

impl BootMs {
    /// This time plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Why the core wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The CMP did not answer a login.
    Login,
    /// A failed card operation is tried again.
    Card,
    /// A failed download is tried again.
    Download,
    /// Notifications to the SM-DP+ are tried again.
    Notifications,
    /// A `Hello` that was not answered is sent again.
    Hello,
    /// Reports and results without an acknowledgement are sent again.
    Resend,
    /// The car has been parked for so long that the session ends.
    Parked,
    /// A call was reported so long ago that it counts as over.
    Call,
    /// A login is judged without the CMP, a PIN is forgotten, or the time is noted.
    Offline,
    /// A factory reset that failed goes on.
    Reset,
}

/// A profile on the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardProfile {
    /// The profile.
    pub iccid: Iccid,
    /// True when enabled.
    pub enabled: bool,
}

/// Why a card operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EuiccError {
    /// SGP.22 result or subject/reason in short; 0 where there is none.
    pub code: u16,
    /// One sentence.
    pub text: String,
    /// True when another try can't succeed (the SM-DP+ or the card refused).
    pub permanent: bool,
    /// True when the profile did not fit into the card's memory.
    pub full: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// First event: ask the card what is on it.
    Boot,
    /// The connection to the CMP stands, subscription included.
    LinkUp,
    /// It does not.
    LinkDown,
    /// A user wants to log in at the HMI.
    Login {
        /// A fresh random id.
        login_id: Id,
        /// User name.
        user: String,
        /// PIN.
        pin: Secret,
    },
    /// A user wants to log in by a code that the HMI shows and that they approve on a page.
    LoginByCode {
        /// A fresh random id.
        login_id: Id,
    },
    /// The user logged out or parked (§4.3 step 12).
    Logout,
    /// The user who is logged in deletes their own OP at the HMI (AID7, A.4).
    DeleteOwn {
        /// The profile; one of somebody else is left alone.
        iccid: Iccid,
    },
    /// The user answered the question of `Notice::AskProvision` with yes.
    Provision,
    /// The modem reports that a call, an emergency call among them, begins or is over: no profile is
    /// enabled or disabled meanwhile. A call that is not reported again within four hours counts as over.
    Call {
        /// True from the first ring or dialled digit on.
        active: bool,
    },
    /// The ignition was switched on or off: the session ends a grace time after it was switched off.
    Ignition {
        /// True when it is on.
        on: bool,
    },
    /// A message of the CMP.
    Inbound {
        /// Its envelope's message id.
        message_id: Id,
        /// The message.
        body: Down,
    },
    /// The records of `Effect::Persist` are on disk.
    Persisted {
        /// Ticket of the effect.
        ticket: u64,
    },
    /// They may not be: the agent ends the session, disables what is enabled without the journal, and
    /// waits for `JournalRestored`.
    PersistFailed {
        /// One sentence.
        text: String,
    },
    /// The state of `Agent::unsaved` is on disk, as a snapshot: the journal works again.
    JournalRestored,
    /// `Effect::HashPin` was carried out.
    PinHashed {
        /// Number of the effect.
        op: u64,
        /// The hash; `None` where it can't be computed.
        hash: Option<[u8; 32]>,
    },
    /// Whoever holds the car has it wiped for resale.
    FactoryReset {
        /// A fresh random id.
        reset_id: Id,
    },
    /// `Effect::Erase` was carried out, or failed, in one sentence.
    Erased {
        /// Its result.
        result: Result<(), String>,
    },
    /// The car has keys and a certificate again.
    SetUp,
    /// A card operation ended.
    EuiccDone {
        /// Number of the effect.
        op: u64,
        /// Its result.
        result: Result<(), EuiccError>,
        /// The profile list as read after it; `None` when that failed.
        profiles: Option<Vec<CardProfile>>,
    },
}

/// What the card is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EuiccOp {
    /// Read the profile list.
    List,
    /// Download and install.
    Download {
        /// The activation code.
        code: Secret,
    },
    /// Enable.
    Enable {
        /// The profile.
        iccid: Iccid,
    },
    /// Disable.
    Disable {
        /// The profile.
        iccid: Iccid,
    },
    /// Delete.
    Delete {
        /// The profile.
        iccid: Iccid,
    },
    /// Deliver pending notifications to their SM-DP+ in sequence order.
    Notifications,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Append to the journal, then say `Event::Persisted`.
    Persist {
        /// Comes back in `Persisted`.
        ticket: u64,
        /// A postcard list of `Record`.
        bytes: Vec<u8>,
    },
    /// Send to the CMP.
    Send {
        /// Fixed message id where a repetition must be recognised; else the shell draws one.
        message_id: Option<Id>,
        /// The message.
        body: Up,
    },
    /// Acknowledge a message of the CMP: it is in the journal, or needs no place there.
    AckInbound {
        /// The message.
        message_id: Id,
    },
    /// Run a card operation, re-read the profile list, then say `Event::EuiccDone`.
    Euicc {
        /// Comes back in `EuiccDone`.
        op: u64,
        /// The operation.
        what: EuiccOp,
    },
    /// Hash a PIN with a memory-hard function, salted, and mixed with a secret of the car, then say `Event::PinHashed`. The
    /// same PIN, salt and name yield the same hash.
    HashPin {
        /// Comes back in `PinHashed`.
        op: u64,
        /// The salt.
        salt: Id,
        /// Name of the user.
        user: String,
        /// Their PIN.
        pin: Secret,
    },
    /// Write this snapshot in place of the journal and overwrite what was there, remove all that was kept aside, then remove
    /// the secret of the car, its keys and its certificate; then say `Event::Erased`. What is gone already is no failure.
    Erase {
        /// The state that is left.
        state: Vec<u8>,
    },
    /// Tell the HMI.
    Notify(Notice),
}

/// Who or what ended a login that nobody got in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginEnd {
    /// The CMP refused it.
    Refused,
    /// The CMP did not answer in time.
    NoAnswer,
    /// Another login or a logout took its place.
    Replaced,
    /// The agent's journal can't be written: nobody can be logged in.
    JournalFailed,
    /// Without a connection the car itself refused it.
    Offline,
    /// The car is being reset, or was.
    Reset,
}

/// What the HMI is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The link to the CMP stands.
    LinkUp,
    /// It does not.
    LinkDown,
    /// A login was accepted.
    LoginAccepted {
        /// The attempt.
        login_id: Id,
        /// The account.
        account: AccountRef,
        /// What the HMI shows.
        aup: Aup,
        /// Without a connection: the CMP does not know of it yet.
        offline: bool,
    },
    /// A login was refused or got no answer.
    LoginRefused {
        /// The attempt.
        login_id: Id,
        /// Who or what ended it.
        cause: LoginEnd,
        /// Why, in words.
        reason: String,
    },
    /// What the HMI shows for a login by code, until it is approved.
    LoginCode {
        /// The attempt.
        login_id: Id,
        /// The code.
        code: String,
        /// Where the user enters it.
        url: String,
        /// Life of the code, seconds.
        expires_in: u32,
    },
    /// The AID User Profile of who is logged in came or changed (R-2-9).
    UserProfile(UserProfile),
    /// The user deleted their OP here: ask whether they want another (R-4.5-10).
    AskProvision,
    /// The card is full; the CMP was asked to make space (A.4).
    CardFull,
    /// A session ended.
    LoggedOut {
        /// The account.
        account: AccountRef,
    },
    /// A code was requested.
    CodeRequested,
    /// The code comes later.
    CodePending,
    /// A code came and is downloaded.
    CodeReceived,
    /// A code was refused: nobody asked, or it was used before (R-4.3-8).
    CodeRefused,
    /// No code will come.
    CodeFailed {
        /// Code of §5.5.
        code: u16,
        /// The reason, for a person.
        reason: String,
    },
    /// A profile was installed.
    Installed(Iccid),
    /// A profile could not be installed.
    InstallationFailed {
        /// Code of the card or server.
        code: u16,
        /// The reason, for a person.
        text: String,
    },
    /// A profile was enabled.
    Enabled(Iccid),
    /// A profile was disabled.
    Disabled(Iccid),
    /// A profile was deleted.
    Deleted(Iccid),
    /// The CMP has a report.
    Reported(u64),
    /// The card's notifications are delivered.
    NotificationsDelivered,
    /// The car was reset: no user data and no keys are left.
    FactoryReset,
    /// Something failed; what is open is tried again.
    Error {
        /// One sentence.
        text: String,
    },
}
