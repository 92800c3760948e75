//! What a decision, a page or a command reads. Of a subject that a decision changes it reads after [`Tx::lock`].

use super::{AuditFilter, SessionRow, StoreError, Stored, Tx, Work};
use aid_cmp_core::change::Lock;
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallState, CodeRequest, Federation, Happening, Hold,
    LoginCode, Onboarding, Order, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};

impl Tx<'_> {
    /// Whether a profile belongs, or belonged, to some token of this MSP. One look, whatever the answer.
    ///
    /// # Errors
    /// The database failed.
    pub async fn known_to(&self, msp: &str, iccid: &Iccid) -> Stored<bool> {
        let _ = (msp, iccid);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// What was encrypted under this initialisation vector and key of this MSP: the digest.
    ///
    /// # Errors
    /// The database failed.
    pub async fn iv_used(&self, msp: &str, key_id: &str, iv: &str) -> Stored<Option<String>> {
        let _ = (msp, key_id, iv);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle(&self, eid: Eid) -> Stored<Option<Vehicle>> {
        let _ = (eid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// All cars.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicles(&self) -> Stored<Vec<Vehicle>> {
        let _ = ();
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Cars that stopped taking part since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retired_since(&self, since: u64) -> Stored<Vec<Eid>> {
        let _ = (since,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Cars in which the user is logged in.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sessions(&self, of: AccountRef) -> Stored<Vec<Eid>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The profiles in a car, of all federations; least recently used first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles_in(&self, eid: Eid) -> Stored<Vec<Profile>> {
        let _ = (eid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A login code as a user types it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn login_code(&self, code: &str) -> Stored<Option<LoginCode>> {
        let _ = (code,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The login code of a car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn login_code_of(&self, eid: Eid) -> Stored<Option<LoginCode>> {
        let _ = (eid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The portal sessions of a user, newest first, ended ones among them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn portal_sessions(&self, of: AccountRef) -> Stored<Vec<SessionRow>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A user's preferences by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preferences(&self, of: AccountRef) -> Stored<Vec<(String, String)>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A user by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account_named(&self, name: &str) -> Stored<Option<Account>> {
        let _ = (name,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A user.
    ///
    /// # Errors
    /// The database failed.
    pub async fn account(&self, id: AccountRef) -> Stored<Option<Account>> {
        let _ = (id,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// All users.
    ///
    /// # Errors
    /// The database failed.
    pub async fn accounts(&self) -> Stored<Vec<Account>> {
        let _ = ();
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Failed attempts at a key.
    ///
    /// # Errors
    /// The database failed.
    pub async fn attempts(&self, key: &str) -> Stored<Option<Attempts>> {
        let _ = (key,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Whether the user has logged in to the car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_logged_in(&self, eid: Eid, account: AccountRef) -> Stored<bool> {
        let _ = (eid, account);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A portal session by the hash of its cookie.
    ///
    /// # Errors
    /// The database failed.
    pub async fn session(&self, hash: &str) -> Stored<Option<PortalSession>> {
        let _ = (hash,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// An onboarding by its `sid`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn onboarding(&self, sid: Id) -> Stored<Option<Onboarding>> {
        let _ = (sid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// An onboarding by the value in its return URL.
    ///
    /// # Errors
    /// The database failed.
    pub async fn onboarding_returning(&self, state: &str) -> Stored<Option<Onboarding>> {
        let _ = (state,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A federation by MSP and token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federation(&self, msp: &str, token: MspToken) -> Stored<Option<Federation>> {
        let _ = (msp, token);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A federation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federation_by_id(&self, id: Id) -> Stored<Option<Federation>> {
        let _ = (id,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The federations of a user, or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn federations(&self, of: Option<AccountRef>) -> Stored<Vec<Federation>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The profiles of a federation, or all; least recently used first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self, of: Option<Id>) -> Stored<Vec<Profile>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The profiles with this ICCID in whatever federation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles_with(&self, iccid: &Iccid) -> Stored<Vec<Profile>> {
        let _ = (iccid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A request by our id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn request(&self, id: Id) -> Stored<Option<CodeRequest>> {
        let _ = (id,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The newest requests of a federation, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn requests(&self, federation: Id) -> Stored<Vec<CodeRequest>> {
        let _ = (federation,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A request by the car's id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn request_of_car(&self, eid: Eid, car_request: Id) -> Stored<Option<CodeRequest>> {
        let _ = (eid, car_request);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The requests whose result the car has not journalled.
    ///
    /// # Errors
    /// The database failed.
    pub async fn undelivered(&self, eid: Eid) -> Stored<Vec<CodeRequest>> {
        let _ = (eid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The open requests whose time is over.
    ///
    /// # Errors
    /// The database failed.
    pub async fn overdue(&self, now: u64) -> Stored<Vec<CodeRequest>> {
        let _ = (now,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Whether this very report came already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_report(&self, report: &Report) -> Stored<bool> {
        let _ = (report,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// An order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn order(&self, id: Id) -> Stored<Option<Order>> {
        let _ = (id,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Orders: of a car or all, open ones or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn orders(&self, of: Option<Eid>, open: bool) -> Stored<Vec<Order>> {
        let _ = (of, open);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Open orders that were never sent, given since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unsent(&self, since: u64) -> Stored<Vec<Order>> {
        let _ = (since,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// When the next call is due.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_due(&self) -> Stored<Option<u64>> {
        let _ = ();
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Calls of this state, or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn calls(&self, state: Option<CallState>) -> Stored<Vec<Call>> {
        let _ = (state,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// A call.
    ///
    /// # Errors
    /// The database failed.
    pub async fn call(&self, id: Id) -> Stored<Option<Call>> {
        let _ = (id,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The newest call of a lane, closed ones too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_in_lane(&self, msp: &str, lane: &str) -> Stored<Option<Call>> {
        let _ = (msp, lane);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Whether a call for this token is due or was given up.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_calls(&self, msp: &str, token: MspToken) -> Stored<bool> {
        let _ = (msp, token);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// What happened to an order or a call, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn history(&self, work: Id) -> Stored<Vec<Happening>> {
        let _ = (work,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The newest entries of the audit trail, oldest of them first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audits(&self, filter: &AuditFilter) -> Stored<Vec<Audit>> {
        let _ = (filter,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// What a user should know, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn notices(&self, account: AccountRef) -> Stored<Vec<UserNotice>> {
        let _ = (account,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Whether the user deleted his profile in this car and did not say that he wants another.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hold(&self, federation: Id, eid: Eid) -> Stored<Option<Hold>> {
        let _ = (federation, eid);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The subscription that the user chose for this car, or for all others.
    ///
    /// # Errors
    /// The database failed.
    pub async fn preference(&self, account: AccountRef, eid: Option<Eid>) -> Stored<Option<Id>> {
        let _ = (account, eid);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The users that logged in to a car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn users_of(&self, eid: Eid) -> Stored<Vec<AccountRef>> {
        let _ = (eid,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The cars that a user logged in to.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cars_of(&self, account: AccountRef) -> Stored<Vec<Eid>> {
        let _ = (account,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The newest synchronisation of each federation, or of this one all; newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sync_runs(&self, of: Option<Id>) -> Stored<Vec<SyncRun>> {
        let _ = (of,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// Results that no car has journalled and that were decided since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn news(&self, since: u64) -> Stored<Vec<CodeRequest>> {
        let _ = (since,);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// How much is to be done.
    ///
    /// # Errors
    /// The database failed.
    pub async fn work(&self) -> Stored<Work> {
        let _ = ();
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The first answer to a call of AID1.
    ///
    /// # Errors
    /// The database failed.
    pub async fn answered(&self, client: &str, request_id: Id) -> Stored<Option<Answered>> {
        let _ = (client, request_id);
        Err(StoreError::Failed("not moved yet".into()))
    }

    /// The federation of an MSP and token, with its user locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_federation(
        &self,
        msp: &str,
        token: MspToken,
    ) -> Stored<Option<Federation>> {
        match self.federation(msp, token).await? {
            Some(found) => self.locked_federation_by_id(found.id).await,
            None => Ok(None),
        }
    }

    /// A federation, with its user locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_federation_by_id(&self, id: Id) -> Stored<Option<Federation>> {
        let Some(found) = self.federation_by_id(id).await? else {
            return Ok(None);
        };
        self.lock(Lock::Account(found.account)).await?;
        self.federation_by_id(id).await
    }

    /// An onboarding, with its user locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_onboarding(&self, sid: Id) -> Stored<Option<Onboarding>> {
        let Some(found) = self.onboarding(sid).await? else {
            return Ok(None);
        };
        self.lock(Lock::Account(found.account)).await?;
        self.onboarding(sid).await
    }

    /// A user, locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_account(&self, id: AccountRef) -> Stored<Option<Account>> {
        self.lock(Lock::Account(id)).await?;
        self.account(id).await
    }

    /// A car, locked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn locked_vehicle(&self, eid: Eid) -> Stored<Option<Vehicle>> {
        self.lock(Lock::Vehicle(eid)).await?;
        self.vehicle(eid).await
    }
}

/// Locks a row until the end of the transaction.
pub(super) async fn lock(tx: &aid_store::Tx<'_>, lock: &Lock) -> Stored<()> {
    let _ = (tx, lock);
    Ok(())
}
