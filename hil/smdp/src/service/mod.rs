//! Ties decisions to the store: load, decide and store on one transaction, then answer. Time is an argument.

mod es2;
mod es9;

use crate::core::{Change, Decided, Dp, Order, Refusal, Sessions};
use crate::inventory::Inventory;
use crate::store::{Books, Store, StoreError, Stored};
use aid_rsp::crypto::OpCounts;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A running SM-DP+.
pub struct Service {
    dp: Dp,
    inventory: Inventory,
    store: Store,
    sessions: Mutex<Sessions>,
    /// Operations that were logged already.
    logged: Mutex<OpCounts>,
}

impl Service {
    /// Makes every profile of the inventory available that was not there before, and no other.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(
        dp: Dp,
        inventory: Inventory,
        store: Store,
        now: u64,
    ) -> Result<Self, StoreError> {
        let profiles: Vec<_> = inventory
            .values()
            .map(|p| Order::available(p.iccid.clone(), p.profile_type.clone(), now))
            .collect();
        store.offer(profiles).await?;
        let logged = Mutex::new(dp.operations());
        Ok(Self {
            dp,
            inventory,
            store,
            sessions: Mutex::new(Sessions::default()),
            logged,
        })
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // A panic elsewhere leaves at worst a session too few.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Lets a decision be made and stored; its answer is given after that. See [`Store::decide`].
    async fn decide<T: Send + 'static>(
        &self,
        decide: impl for<'t> AsyncFn(Books<'t>) -> Stored<Decided<T>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let decided = self.store.decide(decide).await;
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

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A failure of the database is ours, not the caller's; the log has the details.
fn internal(error: &StoreError) -> Refusal {
    tracing::error!(%error, "order not stored");
    Refusal::internal("the order could not be stored, try again later")
}
