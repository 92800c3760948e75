//! A store as tests use it: each read a method, and commits of changes that nothing was decided on.
#![allow(dead_code, unreachable_pub, reason = "not every test uses everything")]

use aid_cmp::store::{
    AuditFilter, Bar, Claim, Database, DueLane, Erased, Kept, SessionRow, Store, StoreError,
    Stored, Tx, Work,
};
use aid_cmp_core::change::{Behind, Change};
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallState, CodeRequest, Federation, Happening, Hold,
    LoginCode, Onboarding, Order, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle,
    Verifier,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};
use std::ops::RangeInclusive;

/// All orders of a car or of all, oldest first.
pub async fn orders(tx: &Tx<'_>, of: Option<Eid>, open: bool) -> Stored<Vec<Order>> {
    let orders = tx.orders(of, open, None, u32::MAX).await?;
    Ok(orders.into_iter().map(|(_, order)| order).collect())
}

/// All calls of this state, oldest first.
pub async fn calls(tx: &Tx<'_>, state: CallState) -> Stored<Vec<Call>> {
    let calls = tx.calls(state, None, u32::MAX).await?;
    Ok(calls.into_iter().map(|(_, call)| call).collect())
}

#[derive(Debug, Clone)]
pub struct Book(pub Store);

/// Methods that make one read each. What is taken by reference comes before what is copied.
macro_rules! reads {
    ($($name:ident($($by_ref:ident: &$ref_type:ty),*; $($value:ident: $type:ty),*) -> $out:ty;)*) => {
        $(
            pub async fn $name(&self, $($by_ref: &$ref_type,)* $($value: $type),*) -> Stored<$out> {
                $(let $by_ref = $by_ref.to_owned();)*
                let look = async move |tx: &Tx<'_>| tx.$name($(&$by_ref,)* $($value),*).await;
                self.0.read(look).await
            }
        )*
    };
}

impl Book {
    pub fn of(store: Store) -> Self {
        Self(store)
    }

    pub async fn open(database: impl Into<Database>) -> Stored<Self> {
        Store::open(database).await.map(Self)
    }

    /// Locks what each change needs, and stores them.
    pub async fn commit(&self, changes: Vec<Change>) -> Stored<()> {
        let decide = async move |tx: &Tx<'_>| {
            for change in &changes {
                match change.behind() {
                    Behind::Nothing => {}
                    Behind::Lock(lock) => tx.lock(lock).await?,
                    Behind::Federation(id) => {
                        tx.locked_federation_by_id(id).await?;
                    }
                    Behind::Onboarding(sid) => {
                        tx.locked_onboarding(sid).await?;
                    }
                }
            }
            Ok::<_, StoreError>((changes.clone(), ()))
        };
        self.0.decide(decide).await
    }

    /// Claims calls of all MSPs and kinds, at most `limit` of each.
    pub async fn claim(&self, who: &str, now: u64, until: u64, limit: u32) -> Stored<Vec<Call>> {
        let lanes = self.0.read(async move |tx| tx.due_lanes(now).await);
        let mut claimed = Vec::new();
        for DueLane { msp, kind, .. } in lanes.await? {
            let who = who.to_owned();
            let claim = Claim {
                who,
                msp,
                kind,
                now,
                until,
                limit,
            };
            claimed.extend(self.0.claim(claim).await?);
        }
        Ok(claimed)
    }

    /// When the next call of all can be claimed.
    pub async fn next_due(&self, now: u64) -> Stored<Option<u64>> {
        let lanes = self.0.read(async move |tx| tx.due_lanes(now).await);
        Ok(lanes.await?.into_iter().filter_map(|lane| lane.next).min())
    }

    /// All orders of a car or of all.
    pub async fn orders(&self, of: Option<Eid>, open: bool) -> Stored<Vec<Order>> {
        self.0
            .read(async move |tx| orders(tx, of, open).await)
            .await
    }

    /// All calls of this state.
    pub async fn calls(&self, state: CallState) -> Stored<Vec<Call>> {
        self.0.read(async move |tx| calls(tx, state).await).await
    }

    /// All calls, oldest first.
    pub async fn all_calls(&self) -> Stored<Vec<Call>> {
        let look = async |tx: &Tx<'_>| {
            let mut all = Vec::new();
            for state in [
                CallState::Due,
                CallState::Dead,
                CallState::Done,
                CallState::Dropped,
            ] {
                all.extend(tx.calls(state, None, u32::MAX).await?);
            }
            all.sort_by_key(|(position, _)| *position);
            Ok(all.into_iter().map(|(_, call)| call).collect())
        };
        self.0.read(look).await
    }

    /// The newest so many entries of the audit trail.
    pub async fn audits(&self, filter: &AuditFilter, limit: u32) -> Stored<Vec<Audit>> {
        let filter = filter.clone();
        let newest = self
            .0
            .read(async move |tx| tx.newest_audits(&filter, limit).await);
        Ok(newest.await?.into_iter().map(|(_, audit)| audit).collect())
    }

    pub async fn all_profiles(&self, limit: u32) -> Stored<Vec<Profile>> {
        self.0
            .read(async move |tx| tx.all_profiles(None, limit).await)
            .await
    }

    pub async fn accounts(&self) -> Stored<Vec<Account>> {
        self.0.read(async |tx| tx.accounts(None, 1000).await).await
    }

    pub async fn erased(&self) -> Stored<Vec<Erased>> {
        self.0.read(async |tx| tx.erased(None, 1000).await).await
    }

    pub async fn synced(
        &self,
        msp: &str,
        within: RangeInclusive<u64>,
    ) -> Stored<Vec<(u64, Federation)>> {
        let msp = msp.to_owned();
        let synced = async move |tx: &Tx<'_>| tx.synced(&msp, within, None, 1000).await;
        self.0.read(synced).await
    }

    pub async fn renew(&self, who: &str, until: u64) -> Stored<()> {
        self.0.renew(who.to_owned(), until).await
    }

    pub async fn release(&self, who: &str) -> Stored<()> {
        self.0.release(who.to_owned()).await
    }

    /// Removes all that is old.
    pub async fn prune(&self, now: u64) -> Stored<()> {
        let mut kept = Kept::default();
        while self.0.prune(now, &mut kept).await? {}
        Ok(())
    }

    pub fn looks(&self) -> u64 {
        self.0.looks()
    }

    pub async fn check(&self) -> Stored<()> {
        self.0.check().await
    }

    pub async fn close(self) {
        self.0.close().await;
    }

    reads! {
        known_to(msp: &str, iccid: &Iccid;) -> bool;
        iv_used(msp: &str, key_id: &str, iv: &str;) -> Option<String>;
        vehicle(; eid: Eid) -> Option<Vehicle>;
        vehicles(; after: Option<Eid>, limit: u32) -> Vec<Vehicle>;
        barred(; bar: Bar, since: u64, after: Option<(u64, Eid)>, limit: u32) -> Vec<(u64, Eid)>;
        waited_for(; first: Eid, last: Eid) -> Vec<Eid>;
        sessions(; of: AccountRef) -> Vec<Eid>;
        profiles_in(; eid: Eid) -> Vec<Profile>;
        login_code(code: &str;) -> Option<LoginCode>;
        login_code_of(; eid: Eid) -> Option<LoginCode>;
        portal_sessions(; of: AccountRef) -> Vec<SessionRow>;
        preferences(; of: AccountRef) -> Vec<(String, String)>;
        account_named(name: &str;) -> Option<Account>;
        account(; id: AccountRef) -> Option<Account>;
        attempts(key: &str;) -> Option<Attempts>;
        verifier(; eid: Eid, account: AccountRef) -> Option<Verifier>;
        revoked_verifiers(; eid: Eid) -> Vec<Verifier>;
        verifiers_revoked(; since: u64, after: Option<Verifier>, limit: u32) -> Vec<Verifier>;
        has_logged_in(; eid: Eid, account: AccountRef) -> bool;
        session(hash: &str;) -> Option<PortalSession>;
        onboarding(; sid: Id) -> Option<Onboarding>;
        onboarding_returning(state: &str;) -> Option<Onboarding>;
        federation(msp: &str; token: MspToken) -> Option<Federation>;
        federation_by_id(; id: Id) -> Option<Federation>;
        federations(; of: AccountRef) -> Vec<Federation>;
        all_federations(; after: Option<Id>, limit: u32) -> Vec<Federation>;
        open_questions(msp: &str; limit: u32) -> u32;
        purge_due(; before: u64, after: Option<(u64, Id)>, limit: u32) -> Vec<Federation>;
        profiles(; of: Id) -> Vec<Profile>;
        profiles_with(iccid: &Iccid;) -> Vec<Profile>;
        request(; id: Id) -> Option<CodeRequest>;
        requests(; federation: Id) -> Vec<CodeRequest>;
        request_of_car(; eid: Eid, car_request: Id) -> Option<CodeRequest>;
        undelivered(; eid: Eid) -> Vec<CodeRequest>;
        overdue(; now: u64, after: Option<(u64, Id)>, limit: u32) -> Vec<CodeRequest>;
        overlong(; now: u64, limit: u32) -> Vec<CodeRequest>;
        has_report(report: &Report;) -> bool;
        order(; id: Id) -> Option<Order>;
        open_orders(; of: Eid) -> Vec<Order>;
        unsent(; since: u64, after: Option<(u64, u64)>, limit: u32) -> Vec<(u64, Order)>;
        overdue_orders(; before: u64) -> u64;
        call(; id: Id) -> Option<Call>;
        newest_in_lane(msp: &str, lane: &str;) -> Option<Call>;
        has_calls(msp: &str; token: MspToken) -> bool;
        history(; work: Id) -> Vec<Happening>;
        notices(; account: AccountRef) -> Vec<UserNotice>;
        hold(; federation: Id, eid: Eid) -> Option<Hold>;
        preference(; account: AccountRef, eid: Option<Eid>) -> Option<Id>;
        users_of(; eid: Eid) -> Vec<AccountRef>;
        cars_of(; account: AccountRef) -> Vec<Eid>;
        sync_runs(; of: Id) -> Vec<SyncRun>;
        newest_sync_run(; of: Id) -> Option<SyncRun>;
        vehicle_with_vin(vin: &str; but: Eid) -> Option<Vehicle>;
        news(; since: u64, after: Option<(u64, Id)>, limit: u32) -> Vec<CodeRequest>;
        work(;) -> Work;
        answered(client: &str; request_id: Id) -> Option<Answered>;
    }
}
