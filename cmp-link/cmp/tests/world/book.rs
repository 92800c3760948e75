//! A store as tests use it: each read a method, and commits of changes that nothing was decided on.
#![allow(dead_code, unreachable_pub, reason = "not every test uses everything")]

use aid_cmp::store::{AuditFilter, Database, SessionRow, Store, StoreError, Stored, Tx, Work};
use aid_cmp_core::change::{Behind, Change};
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallState, CodeRequest, Federation, Happening, Hold,
    LoginCode, Onboarding, Order, PortalSession, Profile, Report, SyncRun, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, Id, MspToken};

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

    pub async fn claim(&self, who: &str, now: u64, until: u64, limit: u32) -> Stored<Vec<Call>> {
        self.0.claim(who.to_owned(), now, until, limit).await
    }

    pub async fn renew(&self, who: &str, until: u64) -> Stored<()> {
        self.0.renew(who.to_owned(), until).await
    }

    pub async fn release(&self, who: &str) -> Stored<()> {
        self.0.release(who.to_owned()).await
    }

    /// Removes all that is old.
    pub async fn prune(&self, now: u64) -> Stored<()> {
        while self.0.prune(now).await? {}
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
        vehicles(;) -> Vec<Vehicle>;
        barred_since(; since: u64) -> Vec<Eid>;
        sessions(; of: AccountRef) -> Vec<Eid>;
        profiles_in(; eid: Eid) -> Vec<Profile>;
        login_code(code: &str;) -> Option<LoginCode>;
        login_code_of(; eid: Eid) -> Option<LoginCode>;
        portal_sessions(; of: AccountRef) -> Vec<SessionRow>;
        preferences(; of: AccountRef) -> Vec<(String, String)>;
        account_named(name: &str;) -> Option<Account>;
        account(; id: AccountRef) -> Option<Account>;
        accounts(;) -> Vec<Account>;
        forgotten(; limit: u32) -> Vec<AccountRef>;
        attempts(key: &str;) -> Option<Attempts>;
        has_logged_in(; eid: Eid, account: AccountRef) -> bool;
        session(hash: &str;) -> Option<PortalSession>;
        onboarding(; sid: Id) -> Option<Onboarding>;
        onboarding_returning(state: &str;) -> Option<Onboarding>;
        federation(msp: &str; token: MspToken) -> Option<Federation>;
        federation_by_id(; id: Id) -> Option<Federation>;
        federations(; of: Option<AccountRef>) -> Vec<Federation>;
        sync_due(; before: u64, latest: u64, after: Option<(u64, Id)>, limit: u32) -> Vec<(u64, Federation)>;
        purge_due(; before: u64, after: Option<(u64, Id)>, limit: u32) -> Vec<Federation>;
        profiles(; of: Option<Id>) -> Vec<Profile>;
        profiles_with(iccid: &Iccid;) -> Vec<Profile>;
        request(; id: Id) -> Option<CodeRequest>;
        requests(; federation: Id) -> Vec<CodeRequest>;
        request_of_car(; eid: Eid, car_request: Id) -> Option<CodeRequest>;
        undelivered(; eid: Eid) -> Vec<CodeRequest>;
        overdue(; now: u64, limit: u32) -> Vec<CodeRequest>;
        has_report(report: &Report;) -> bool;
        order(; id: Id) -> Option<Order>;
        orders(; of: Option<Eid>, open: bool) -> Vec<Order>;
        unsent(; since: u64) -> Vec<Order>;
        next_due(;) -> Option<u64>;
        calls(; state: Option<CallState>) -> Vec<Call>;
        call(; id: Id) -> Option<Call>;
        newest_in_lane(msp: &str, lane: &str;) -> Option<Call>;
        has_calls(msp: &str; token: MspToken) -> bool;
        history(; work: Id) -> Vec<Happening>;
        audits(filter: &AuditFilter;) -> Vec<Audit>;
        notices(; account: AccountRef) -> Vec<UserNotice>;
        hold(; federation: Id, eid: Eid) -> Option<Hold>;
        preference(; account: AccountRef, eid: Option<Eid>) -> Option<Id>;
        users_of(; eid: Eid) -> Vec<AccountRef>;
        cars_of(; account: AccountRef) -> Vec<Eid>;
        sync_runs(; of: Option<Id>) -> Vec<SyncRun>;
        news(; since: u64) -> Vec<CodeRequest>;
        work(;) -> Work;
        answered(client: &str; request_id: Id) -> Option<Answered>;
    }
}
