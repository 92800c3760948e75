//! Where the CMP keeps everything: reads, and lists of changes that happen together or not at all.
//! The database is the truth (ARCHITECTURE §6). Called by the service, which decides between the two.

mod changes;
mod codes;
mod fleet;

mod look;
mod open;
mod portal;
mod read;
mod row;
mod turn;
mod work;

use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallState, CodeRequest, Federation, Happening, Hold,
    LoginCode, Onboarding, Order, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use std::future::Future;

pub use codes::{CodeKey, CodeRows};

pub use aid_store::{Database, LocationError};
pub use look::{AuditFilter, Work};
pub use open::{SqlStore, migrate};
pub use portal::SessionRow;
pub use turn::Turn;

/// The store did not do it; nothing of the change happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space.
    #[error("the disk of the database {0} is full; free some space, nothing was lost")]
    Full(String),
    /// Not there, not readable, or no database.
    #[error("cannot open the database {path}: {reason}; check path and permissions")]
    Open {
        /// The file.
        path: String,
        /// The driver's words.
        reason: String,
    },
    /// It exists already, such as a name that is taken.
    #[error("it is there already")]
    Taken,
    /// Anything else.
    #[error("the database failed: {0}")]
    Failed(String),
    /// A row that this version can't read.
    #[error(
        "the database holds {0}, which this version can't read; was it written by a newer one?"
    )]
    Unreadable(String),
}

/// A result of the store.
pub type Stored<T> = Result<T, StoreError>;

/// What the CMP needs from its database. One suite of tests runs against each implementation.
pub trait Store: Send + Sync + 'static {
    /// Whether other instances work on the same database.
    fn shared(&self) -> bool;
    /// Writes something, to find out whether changes can be committed now.
    fn check(&self) -> impl Future<Output = Stored<()>> + Send;
    /// Waits until nobody else decides, in this process or another.
    fn turn(&self) -> impl Future<Output = Stored<Turn>> + Send;
    /// Makes all changes that were decided in a turn in one transaction, on disk when it returns, and
    /// ends the turn.
    fn commit_in(
        &self,
        turn: Turn,
        changes: Vec<Change>,
    ) -> impl Future<Output = Stored<()>> + Send;
    /// Whether a profile belongs, or belonged, to some token of this MSP. One look, whatever the answer.
    fn known_to(&self, msp: &str, iccid: &Iccid) -> impl Future<Output = Stored<bool>> + Send;
    /// What was encrypted under this initialisation vector and key of this MSP: the digest.
    fn iv_used(
        &self,
        msp: &str,
        key_id: &str,
        iv: &str,
    ) -> impl Future<Output = Stored<Option<String>>> + Send;
    /// Makes all changes in one transaction, on disk when it returns; for those that depend on nothing
    /// that was loaded.
    fn commit(&self, changes: Vec<Change>) -> impl Future<Output = Stored<()>> + Send;
    /// A car.
    fn vehicle(&self, eid: Eid) -> impl Future<Output = Stored<Option<Vehicle>>> + Send;
    /// All cars.
    fn vehicles(&self) -> impl Future<Output = Stored<Vec<Vehicle>>> + Send;
    /// Cars that stopped taking part, or were bound to a certificate, since this time.
    fn barred_since(&self, since: u64) -> impl Future<Output = Stored<Vec<Eid>>> + Send;
    /// Cars in which the user is logged in.
    fn sessions(&self, of: AccountRef) -> impl Future<Output = Stored<Vec<Eid>>> + Send;
    /// The profiles in a car, of all federations; least recently used first.
    fn profiles_in(&self, eid: Eid) -> impl Future<Output = Stored<Vec<Profile>>> + Send;
    /// A login code as a user types it.
    fn login_code(&self, code: &str) -> impl Future<Output = Stored<Option<LoginCode>>> + Send;
    /// The login code of a car.
    fn login_code_of(&self, eid: Eid) -> impl Future<Output = Stored<Option<LoginCode>>> + Send;
    /// The portal sessions of a user, newest first, ended ones among them.
    fn portal_sessions(
        &self,
        of: AccountRef,
    ) -> impl Future<Output = Stored<Vec<SessionRow>>> + Send;
    /// A user's preferences by name.
    fn preferences(
        &self,
        of: AccountRef,
    ) -> impl Future<Output = Stored<Vec<(String, String)>>> + Send;
    /// A user by name.
    fn account_named(&self, name: &str) -> impl Future<Output = Stored<Option<Account>>> + Send;
    /// A user.
    fn account(&self, id: AccountRef) -> impl Future<Output = Stored<Option<Account>>> + Send;
    /// All users.
    fn accounts(&self) -> impl Future<Output = Stored<Vec<Account>>> + Send;
    /// Failed attempts at a key.
    fn attempts(&self, key: &str) -> impl Future<Output = Stored<Option<Attempts>>> + Send;
    /// Whether the user has logged in to the car.
    fn has_logged_in(
        &self,
        eid: Eid,
        account: AccountRef,
    ) -> impl Future<Output = Stored<bool>> + Send;
    /// A portal session by the hash of its cookie.
    fn session(&self, hash: &str) -> impl Future<Output = Stored<Option<PortalSession>>> + Send;
    /// An onboarding by its `sid`.
    fn onboarding(&self, sid: Id) -> impl Future<Output = Stored<Option<Onboarding>>> + Send;
    /// An onboarding by the value in its return URL.
    fn onboarding_returning(
        &self,
        state: &str,
    ) -> impl Future<Output = Stored<Option<Onboarding>>> + Send;
    /// A federation by MSP and token.
    fn federation(
        &self,
        msp: &str,
        token: MspToken,
    ) -> impl Future<Output = Stored<Option<Federation>>> + Send;
    /// A federation.
    fn federation_by_id(&self, id: Id) -> impl Future<Output = Stored<Option<Federation>>> + Send;
    /// The federations of a user, or all; oldest first.
    fn federations(
        &self,
        of: Option<AccountRef>,
    ) -> impl Future<Output = Stored<Vec<Federation>>> + Send;
    /// The profiles of a federation, or all; least recently used first.
    fn profiles(&self, of: Option<Id>) -> impl Future<Output = Stored<Vec<Profile>>> + Send;
    /// The profiles with this ICCID in whatever federation.
    fn profiles_with(&self, iccid: &Iccid) -> impl Future<Output = Stored<Vec<Profile>>> + Send;
    /// What calls of Send Activation Code of one MSP are about: as many reads for many as for one.
    fn codes(
        &self,
        msp: &str,
        client: &str,
        keys: &[&CodeKey],
    ) -> impl Future<Output = Stored<CodeRows>> + Send;
    /// A request by our id.
    fn request(&self, id: Id) -> impl Future<Output = Stored<Option<CodeRequest>>> + Send;
    /// The newest requests of a federation, newest first.
    fn requests(&self, federation: Id) -> impl Future<Output = Stored<Vec<CodeRequest>>> + Send;
    /// A request by the car's id.
    fn request_of_car(
        &self,
        eid: Eid,
        car_request: Id,
    ) -> impl Future<Output = Stored<Option<CodeRequest>>> + Send;
    /// The requests whose result the car has not journalled.
    fn undelivered(&self, eid: Eid) -> impl Future<Output = Stored<Vec<CodeRequest>>> + Send;
    /// The open requests whose time is over.
    fn overdue(&self, now: u64) -> impl Future<Output = Stored<Vec<CodeRequest>>> + Send;
    /// Whether this very report came already.
    fn has_report(&self, report: &Report) -> impl Future<Output = Stored<bool>> + Send;
    /// An order.
    fn order(&self, id: Id) -> impl Future<Output = Stored<Option<Order>>> + Send;
    /// Orders: of a car or all, open ones or all; oldest first.
    fn orders(
        &self,
        of: Option<Eid>,
        open: bool,
    ) -> impl Future<Output = Stored<Vec<Order>>> + Send;
    /// Open orders that were never sent, given since this time.
    fn unsent(&self, since: u64) -> impl Future<Output = Stored<Vec<Order>>> + Send;
    /// Calls that are due, the first of each lane only, at most `limit`. Where several instances share
    /// the database, they are this one's alone until `until`.
    fn claim(
        &self,
        who: &str,
        now: u64,
        until: u64,
        limit: u32,
    ) -> impl Future<Output = Stored<Vec<Call>>> + Send;
    /// When the next call is due.
    fn next_due(&self) -> impl Future<Output = Stored<Option<u64>>> + Send;
    /// Calls of this state, or all; oldest first.
    fn calls(&self, state: Option<CallState>) -> impl Future<Output = Stored<Vec<Call>>> + Send;
    /// A call.
    fn call(&self, id: Id) -> impl Future<Output = Stored<Option<Call>>> + Send;
    /// The newest call of a lane, closed ones too.
    fn newest_in_lane(
        &self,
        msp: &str,
        lane: &str,
    ) -> impl Future<Output = Stored<Option<Call>>> + Send;
    /// Whether a call for this token is due or was given up.
    fn has_calls(&self, msp: &str, token: MspToken) -> impl Future<Output = Stored<bool>> + Send;
    /// What happened to an order or a call, oldest first.
    fn history(&self, work: Id) -> impl Future<Output = Stored<Vec<Happening>>> + Send;
    /// The newest entries of the audit trail, oldest of them first.
    fn audits(&self, filter: &AuditFilter) -> impl Future<Output = Stored<Vec<Audit>>> + Send;
    /// What a user should know, newest first.
    fn notices(&self, account: AccountRef) -> impl Future<Output = Stored<Vec<UserNotice>>> + Send;
    /// Whether the user deleted his profile in this car and did not say that he wants another.
    fn hold(&self, federation: Id, eid: Eid) -> impl Future<Output = Stored<Option<Hold>>> + Send;
    /// The subscription that the user chose for this car, or for all others.
    fn preference(
        &self,
        account: AccountRef,
        eid: Option<Eid>,
    ) -> impl Future<Output = Stored<Option<Id>>> + Send;
    /// The users that logged in to a car.
    fn users_of(&self, eid: Eid) -> impl Future<Output = Stored<Vec<AccountRef>>> + Send;
    /// The cars that a user logged in to.
    fn cars_of(&self, account: AccountRef) -> impl Future<Output = Stored<Vec<Eid>>> + Send;
    /// The newest synchronisation of each federation, or of this one all; newest first.
    fn sync_runs(&self, of: Option<Id>) -> impl Future<Output = Stored<Vec<SyncRun>>> + Send;
    /// Results that no car has journalled and that were decided since this time.
    fn news(&self, since: u64) -> impl Future<Output = Stored<Vec<CodeRequest>>> + Send;
    /// How much is to be done.
    fn work(&self) -> impl Future<Output = Stored<Work>> + Send;
    /// The first answer to a call of AID1.
    fn answered(
        &self,
        client: &str,
        request_id: Id,
    ) -> impl Future<Output = Stored<Option<Answered>>> + Send;
}
