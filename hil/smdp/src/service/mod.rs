//! Ties decisions to the store: read, decide, store, then answer. Time is an argument.
//! Called by `web`; one instance per program.

mod es2;
mod es9;

use crate::core::{Dp, Refusal, Sessions};
use crate::inventory::Inventory;
use crate::store::{Store, StoreError};
use aid_rsp::crypto::OpCounts;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tries when another request changes the same order at the same time.
const TRIES: u32 = 5;

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
    /// Makes every profile of the inventory available that was not there before.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(
        dp: Dp,
        inventory: Inventory,
        store: Store,
        now: u64,
    ) -> Result<Self, StoreError> {
        let orders: Vec<_> = inventory
            .values()
            .map(|p| crate::core::Order::available(p.iccid.clone(), p.profile_type.clone(), now))
            .collect();
        store.add_profiles(&orders).await?;
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
