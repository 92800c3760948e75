//! Where the CMP keeps everything. The database is the truth (ARCHITECTURE §6).
//!
//! [`Store::decide`] is the only way to change anything: a decision loads what it needs on a transaction, yields a list of
//! changes, and those are written on the same transaction. PostgreSQL makes decisions side by side, so a decision locks
//! whoever it is about before it reads ([`Tx::lock`]); a change whose lock is not held is a defect and refused on both
//! databases.

mod certificate;
mod desk;
mod look;
mod presence;
mod read;
mod remove;
mod row;
mod schema;
mod work;
mod write;

use aid_cmp_core::change::{Behind, Change, Lock};
use aid_cmp_core::model::Call;
use aid_id::{AccountRef, Id};
use aid_store::Options;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub use aid_store::{Database, LocationError, StoreError, Stored};
pub use desk::{FAILING, LOCKING, Unheard};
pub use look::{
    AuditFilter, Bar, Claim, Contact, DueLane, Erased, Instance, Presence, SessionRow, Work,
};
pub use presence::LEASE;
pub use remove::Kept;

/// The CMP's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(aid_store::Store);

/// A transaction: what a decision, a page or a command reads.
#[derive(Debug)]
pub struct Tx<'a> {
    tx: &'a aid_store::Tx<'a>,
    locks: RefCell<BTreeSet<Lock>>,
    /// The users of the federations and onboardings that were read. They never change.
    owners: RefCell<BTreeMap<Id, AccountRef>>,
}

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// Not reachable, not writable, no database, full, or written by a newer version.
    pub async fn open(database: impl Into<Database>) -> Stored<Self> {
        let options = Options::default();
        let store = aid_store::Store::open(&database.into(), &schema::SCHEMA, options).await?;
        Ok(Self(store))
    }

    /// Copies a SQLite database into a new file, see [`aid_store::Store::copy`].
    ///
    /// # Errors
    /// As there.
    pub async fn copy(database: &aid_store::Database, to: &std::path::Path) -> Stored<()> {
        aid_store::Store::copy(database, to).await
    }

    /// Loads, decides and stores, in one transaction; yields what `decide` yields beside its changes when they are on
    /// disk. `decide` may be run several times: it has no effects, and waits for nothing but its transaction.
    ///
    /// # Errors
    /// That of `decide`, or the database failed; nothing is stored then.
    pub async fn decide<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<(Vec<Change>, T), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let whole = async move |tx: &aid_store::Tx<'_>| {
            let tx = Tx::new(tx);
            let (changes, value) = decide(&tx).await?;
            tx.apply(changes).await?;
            Ok(value)
        };
        self.0.change_together(whole).await
    }

    /// Reads one state of the database, for a page or a report. Nothing is decided on it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let whole = async move |tx: &aid_store::Tx<'_>| look(&Tx::new(tx)).await;
        self.0.read(whole).await
    }

    /// Calls of one MSP and kind that are due, the first of each lane only; they are this instance's alone for a time. What
    /// it claimed before and has not answered is among them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim(&self, claim: Claim) -> Stored<Vec<Call>> {
        self.0
            .change(async move |tx| work::claim(tx, &claim).await)
            .await
    }

    /// Lets the claims of `who` on calls that are not answered last until `until`. What another instance has claimed
    /// meanwhile stays with that one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn renew(&self, who: String, until: u64) -> Stored<()> {
        self.0
            .change(async move |tx| work::renew(tx, &who, until).await)
            .await
    }

    /// Ends the claims of `who` on calls that are not answered, so that others need not wait for the end of a claim.
    ///
    /// # Errors
    /// The database failed.
    pub async fn release(&self, who: String) -> Stored<()> {
        self.0
            .change(async move |tx| work::release(tx, &who).await)
            .await
    }

    /// Removes what is old at this time: answers after a week, closed calls, notices, reports and results of
    /// synchronisations after 90 days, sessions and onboardings without a result after their end. A limited number at a
    /// time, so that others get their turn; `kept` is where the last call has left off. Yields whether there may be more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn prune(&self, now: u64, kept: &mut Kept) -> Stored<bool> {
        let from = kept.clone();
        let pruned = self
            .0
            .change(async move |tx| remove::prune(tx, now, &from).await);
        let (more, next) = pruned.await?;
        *kept = next;
        Ok(more)
    }

    /// Notes that an instance runs; yields false where its row was gone, so that what it had stored of its cars is, too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn beat(&self, instance: Instance, now: u64) -> Stored<bool> {
        self.0
            .change(async move |tx| presence::beat(tx, &instance, now).await)
            .await
    }

    /// Stores the connections of cars to an instance. In the order of their EIDs, so that instances which store the same
    /// cars wait for each other.
    ///
    /// # Errors
    /// The database failed; none of them is stored.
    pub async fn contacts(&self, instance: Id, contacts: Vec<Contact>) -> Stored<()> {
        self.0
            .change(async move |tx| presence::contacts(tx, instance, &contacts).await)
            .await
    }

    /// Disconnects the cars of instances that are gone: of those whose lease has ended at `now`, or of all but `but`. A
    /// limited number at a time; yields whether there may be more.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_gone(&self, now: u64, all_but: Option<Id>) -> Stored<bool> {
        self.0
            .change(async move |tx| presence::end_gone(tx, now, all_but).await)
            .await
    }

    /// Events that one address outside is sent now, oldest first, at most `limit`; nobody else sends them before `until`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_events(
        &self,
        webhook: Id,
        now: u64,
        until: u64,
        limit: u32,
    ) -> Stored<Vec<Unheard>> {
        self.0
            .change(async move |tx| desk::claim(tx, webhook, now, until, limit).await)
            .await
    }

    /// Removes the row of an instance that ends and has stored the end of all its connections.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_instance(&self, id: Id) -> Stored<()> {
        self.0
            .change(async move |tx| presence::forget(tx, id).await)
            .await
    }

    /// Whether other instances may work on the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    /// Writes something, to find out whether changes can be stored now.
    ///
    /// # Errors
    /// They can't.
    pub async fn check(&self) -> Stored<()> {
        self.0.check().await
    }

    /// Makes commits cheaper, for a process that will make many; see [`aid_store::Store::reserve_log`].
    ///
    /// # Errors
    /// Not writable, or full. Nothing but time is lost.
    pub async fn reserve_log(&self) -> Stored<()> {
        self.0.reserve_log().await
    }

    /// Reads since the store was opened. What a caller may not tell apart must cost the same number.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.0.reads()
    }

    /// How much SQLite's statements had to look at so far, see [`aid_store::Store::steps`].
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps()
    }

    /// Empties SQLite's write-ahead log, see [`aid_store::Store::empty_log`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn empty_log(&self) -> Stored<bool> {
        self.0.empty_log().await
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub async fn close(self) {
        self.0.close().await;
    }
}

impl<'a> Tx<'a> {
    fn new(tx: &'a aid_store::Tx<'a>) -> Self {
        Self {
            tx,
            locks: RefCell::default(),
            owners: RefCell::default(),
        }
    }

    /// Notes whose a federation or an onboarding is.
    fn owned(&self, id: Id, account: AccountRef) {
        self.owners.borrow_mut().insert(id, account);
    }

    /// Whether the lock that a change needs is held.
    fn is_locked(&self, change: &Change) -> bool {
        let lock = match change.behind() {
            Behind::Nothing => return true,
            Behind::Lock(lock) => lock,
            Behind::Federation(id) | Behind::Onboarding(id) => {
                match self.owners.borrow().get(&id) {
                    Some(account) => Lock::Account(*account),
                    None => return false,
                }
            }
        };
        self.locks.borrow().contains(&lock)
    }

    /// Locks a subject until the end of the transaction. What was read of it before may be old: read it afterwards.
    /// Several are locked in their order, so that two decisions seldom wait for each other.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lock(&self, lock: Lock) -> Stored<()> {
        if self.locks.borrow().contains(&lock) {
            return Ok(());
        }
        self.reserve(&lock).await;
        read::lock(self.tx, &lock).await?;
        self.locks.borrow_mut().insert(lock);
        Ok(())
    }

    /// Waits for the other decisions of the same transaction that have this lock.
    async fn reserve(&self, lock: &Lock) {
        let key = match lock {
            Lock::Account(id) => [b"a".as_slice(), &id.0].concat(),
            Lock::Vehicle(eid) => [b"v".as_slice(), eid.as_str().as_bytes()].concat(),
            Lock::Profile(iccid) => [b"p".as_slice(), iccid.as_str().as_bytes()].concat(),
            Lock::Attempts(key) => [b"t".as_slice(), key.as_bytes()].concat(),
        };
        self.tx.hold(&key).await;
    }

    async fn apply(&self, changes: Vec<Change>) -> Stored<()> {
        for change in &changes {
            match change {
                Change::AddFederation(f) => self.owned(f.id, f.account),
                Change::AddOnboarding(o) => self.owned(o.sid, o.account),
                _ => {}
            }
            if !self.is_locked(change) {
                let what = change.behind();
                let text = format!("a decision changes what it has not locked: {what:?}");
                return Err(StoreError::Failed(text));
            }
        }
        let statements: Vec<_> = changes.into_iter().flat_map(write::statements).collect();
        self.tx.write(&statements).await
    }
}
