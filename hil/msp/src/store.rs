//! What the MSP must not forget: the database of `aid-store` in one SQLite file, every commit on disk before anyone acts
//! on it.
//!
//! [`Store::decide`] is the only way to change anything: it loads, lets `core` decide, writes and commits. [`Tx`] has the
//! reads, `write` the changes. Several processes may have the file open: `serve` and the command line.

mod misbehaviour;
mod page;
mod read;
mod tx;
mod views;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aid_store::{Database, Options, Schema, Sql, Step};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::core::Decision;

pub(crate) use aid_store::{StoreError, Stored};
pub(crate) use page::{Page, Place};
pub(crate) use read::outbox::Lane;
pub(crate) use tx::Tx;
pub(crate) use views::Target;
pub(crate) use write::Write;

/// Pause before a write is tried again that has to succeed at last, such as after a full disk.
pub(crate) const STORE_AGAIN: Duration = Duration::from_secs(1);

/// The steps from an empty database to today's tables. aid-msp keeps them in SQLite only.
static SCHEMA: Schema = Schema::new(&STEPS).by_index();

const STEPS: [Step; 6] = [
    step(1, "start", include_str!("../migrations/0001_start.sql")),
    step(
        2,
        "misbehave",
        include_str!("../migrations/0002_misbehave.sql"),
    ),
    step(
        3,
        "subscriptions",
        include_str!("../migrations/0003_subscriptions.sql"),
    ),
    step(4, "leases", include_str!("../migrations/0004_leases.sql")),
    step(10, "upkeep", include_str!("../migrations/0010_upkeep.sql")),
    step(11, "desk", include_str!("../migrations/0011_desk.sql")),
];

const fn step(version: i64, name: &'static str, sql: &'static str) -> Step {
    let sql = Sql::Both(sql);
    Step { version, name, sql }
}

/// The database. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Store(Arc<RwLock<Option<aid_store::Store>>>);

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, is no database, or a newer version has written it.
    pub(crate) async fn open(path: &Path) -> Stored<Self> {
        let file = Database::from(path);
        let open = aid_store::Store::open(&file, &SCHEMA, Options::default()).await?;
        Ok(Self(Arc::new(RwLock::new(Some(open)))))
    }

    /// The open database; [`Store::close`] waits until it is let go.
    async fn opened(&self) -> Stored<RwLockReadGuard<'_, aid_store::Store>> {
        let open = RwLockReadGuard::try_map(self.0.read().await, Option::as_ref);
        open.map_err(|_| StoreError::Failed("it is closed".into()))
    }

    /// Writes something, to find out whether the database can be written now.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) async fn check(&self) -> Stored<()> {
        self.opened().await?.check().await
    }

    /// Waits for what has begun, ends all connections and folds the write-ahead log into the database.
    pub(crate) async fn close(&self) {
        if let Some(open) = self.0.write().await.take() {
            open.close().await;
        }
    }

    /// Makes commits cheaper, for a process that will make many; see [`aid_store::Store::reserve_log`].
    ///
    /// # Errors
    /// The database fails. Nothing but time is lost.
    pub(crate) async fn reserve_log(&self) -> Stored<()> {
        self.opened().await?.reserve_log().await
    }

    /// Changes what is stored, in one transaction that no other decision can come between: `decide` loads what the
    /// decision stands on and yields it, its changes are written and committed. Only then the outcome is there to be
    /// acted on.
    ///
    /// `decide` may be run several times, and waits for nothing but its transaction.
    ///
    /// # Errors
    /// The database fails; then nothing has changed.
    pub(crate) async fn decide<T, C>(
        &self,
        decide: impl for<'t> AsyncFn(Tx<'t>) -> Stored<Decision<T, C>> + Send + 'static,
    ) -> Stored<T>
    where
        T: Send + 'static,
        C: Write + 'static,
    {
        let open = self.opened().await?;
        let decided = open.change(async move |tx| {
            let Decision { changes, outcome } = decide(Tx::new(tx)).await?;
            let mut statements = Vec::new();
            for change in changes {
                change.write(&mut statements);
            }
            tx.write(&statements).await?;
            Ok(outcome)
        });
        decided.await
    }

    /// Changes what is stored by a decision that stands on nothing.
    ///
    /// # Errors
    /// As [`Store::decide`].
    pub(crate) async fn put<C>(&self, decision: Decision<(), C>) -> Stored<()>
    where
        C: Write + Clone + 'static,
    {
        self.decide(async move |_| Ok(decision.clone())).await
    }

    /// Reads one state of the database, for what is shown. What a decision stands on is read by [`Store::decide`].
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let open = self.opened().await?;
        open.read(async move |tx| look(Tx::new(tx)).await).await
    }
}

#[cfg(test)]
mod tests;
