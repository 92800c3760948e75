//! Ties decisions to the store: load, decide and store on one transaction, then answer. Time is an argument.

mod desk;
mod es2;
mod es9;
mod upkeep;

pub use desk::{By, Desk, Placing};
pub use upkeep::upkeep;

use crate::core::{
    Change, Decided, Dp, Limits, MAX_SESSIONS, Order, Progress, Refusal, Step, TicketKey,
};
use crate::inventory::Inventory;
use crate::progress::Operators;
use crate::revocation::{self, Lists};
use crate::store::{Books, Store, StoreError, Stored};
use crate::template::Template;
use aid_rsp::crypto::OpCounts;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A running SM-DP+.
pub struct Service {
    dp: Dp,
    inventory: RwLock<Arc<Inventory>>,
    store: Store,
    limits: Limits,
    templates: Arc<[Template]>,
    /// Operators that are told of downloads.
    told: Option<Operators>,
    tickets: TicketKey,
    /// How many sessions of cards are stored, at most.
    sessions: AtomicU64,
    /// Operations that were logged already.
    logged: Mutex<OpCounts>,
    /// Revocation lists for LPAs.
    lists: RwLock<Lists>,
}

impl Service {
    /// Makes every profile of the inventory available that was not there before, and no other.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(
        dp: Dp,
        mut inventory: Inventory,
        store: Store,
        limits: Limits,
        now: u64,
    ) -> Result<Self, StoreError> {
        let taken = store.offer(inventory.stock(), now).await?;
        leave_out(&mut inventory, &taken);
        let tickets = store.ticket_key(TicketKey::random(&mut rng())).await?;
        let sessions = AtomicU64::new(store.count_sessions().await?);
        let logged = Mutex::new(dp.operations());
        Ok(Self {
            dp,
            inventory: RwLock::new(Arc::new(inventory)),
            store,
            limits,
            templates: Arc::new([]),
            told: None,
            tickets,
            sessions,
            logged,
            lists: RwLock::default(),
        })
    }

    /// The same with templates that make profiles on demand.
    #[must_use]
    pub fn with_templates(mut self, templates: Vec<Template>) -> Self {
        self.templates = templates.into();
        self
    }

    /// The same with operators that are told of the downloads of their orders.
    #[must_use]
    pub fn telling(mut self, operators: Option<Operators>) -> Self {
        self.told = operators;
        self
    }

    /// The server itself.
    #[must_use]
    pub const fn dp(&self) -> &Dp {
        &self.dp
    }

    /// Serves and applies the lists of these files from now on.
    pub fn revoke(&self, files: &revocation::Files) {
        self.dp.revoke(files.lists());
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = files.served();
    }

    /// The revocation list in the file of this name, DER.
    #[must_use]
    pub fn revocation_list(&self, name: &str) -> Option<Arc<[u8]>> {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        lists.get(name)
    }

    /// The inventory as it is now.
    #[must_use]
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(
            &self
                .inventory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Serves another inventory from now on; orders stay.
    ///
    /// # Errors
    /// The database fails: what is new can't be ordered yet.
    pub async fn renew(&self, mut inventory: Inventory, now: u64) -> Result<(), StoreError> {
        let stock = inventory.stock();
        // First, so that what can be ordered can be delivered.
        self.serve(inventory.clone());
        let taken = self.store.offer(stock, now).await?;
        if !taken.is_empty() {
            leave_out(&mut inventory, &taken);
            self.serve(inventory);
        }
        Ok(())
    }

    fn serve(&self, inventory: Inventory) {
        *self
            .inventory
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(inventory);
    }

    /// Is there room for one more session?
    fn check_room(&self) -> Result<(), Refusal> {
        if self.sessions.load(Ordering::Relaxed) < MAX_SESSIONS {
            return Ok(());
        }
        tracing::warn!(sessions = MAX_SESSIONS, "no room for a session");
        Err(Refusal::internal(
            "too many downloads at once, try again later",
        ))
    }

    /// Logs the cryptographic operations since the last call, for a bench that states the pure
    /// cryptographic cost of a story.
    pub fn log_operations(&self) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.dp.operations();
        let new = counts.since(*logged);
        *logged = counts;
        if new != OpCounts::default() {
            tracing::debug!(target: "figures", sign = new.sign, verify = new.verify, ecdh = new.ecdh, keygen = new.keygen, "cryptography");
        }
    }

    /// The change that tells the operator of an order, where that is wished.
    fn tell(told: Option<&Operators>, order: &Order, step: Step, now: u64) -> Option<Change> {
        let progress = Progress::of(order, step, now)?;
        let is_told = told.is_some_and(|told| told.has(&progress.operator));
        is_told.then(|| Change::Progress(Box::new(progress)))
    }

    /// Lets a decision be made and stored; its answer is given after that. See [`Store::decide`].
    async fn decide<T: Send + 'static>(
        &self,
        decide: impl for<'t> AsyncFn(Books<'t>) -> Stored<Decided<T>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let decided = self.store.decide(decide).await;
        self.decided(decided)
    }

    /// The answer of a decision that is stored, which the log gets too.
    #[allow(clippy::unused_self, reason = "as the other ways to an answer")]
    fn decided<T>(&self, decided: Stored<Decided<T>>) -> Result<T, Refusal> {
        let decided = decided.map_err(|e| internal(&e))?;
        for change in &decided.changes {
            if let Change::Order(order) = change {
                tracing::info!(iccid = %order.iccid, state = %order.state, eid = ?order.eid, "order");
            }
        }
        decided.result
    }

    /// The store, for lists.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

/// Leaves out the packages with these ICCIDs, and logs it.
fn leave_out(inventory: &mut Inventory, iccids: &BTreeSet<String>) {
    let before = inventory.broken().len();
    inventory.leave_out(iccids);
    for why in &inventory.broken()[before..] {
        tracing::error!(error = why, "left out of the inventory");
    }
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A failure of the database is ours, not the caller's; the log has the details.
fn internal(error: &StoreError) -> Refusal {
    tracing::error!(%error, "order not stored");
    Refusal::internal("the order could not be stored, try again later")
}
