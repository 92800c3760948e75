//! Orders, bindings and notifications in SQL. Everything that changes goes through [`Store::decide`].

mod books;
mod made;
mod outbox;
mod read;
mod schema;
mod sessions;
mod upkeep;
mod write;

pub use aid_store::{StoreError, Stored};
pub use books::Books;
pub use made::{Keys, KeysPlace, Which};
pub use outbox::Due;
pub use read::NoticePlace;
pub use upkeep::{Gone, Pruned, Retention};

use crate::core::{Decided, Order, Stock, StoredSession, TicketKey, restock};
use aid_rsp::es10::TransactionId;
use aid_store::{Database, Options};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// A stored notification, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredNotice {
    /// The card.
    pub eid: String,
    /// Counts the card's notifications.
    pub seq_number: u64,
    /// The profile.
    pub iccid: Option<String>,
    /// What happened.
    pub outcome: String,
    /// Unix seconds.
    pub received_at: u64,
}

/// An order with what the inventory says of its profile, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The order.
    pub order: Order,
    /// File of the first package with this ICCID, without extension.
    pub file: String,
    /// Profile name.
    pub name: String,
    /// Whether the inventory has the profile.
    pub in_inventory: bool,
}

/// The database, a SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(aid_store::Store);

impl Store {
    /// Opens the database, creating it where there is none, and migrates it.
    ///
    /// # Errors
    /// Not writable, no database, full, or written by a newer version.
    pub async fn open(path: &Path) -> Stored<Self> {
        let database = Database::from(path);
        let store = aid_store::Store::open(&database, &schema::SCHEMA, Options::default()).await?;
        Ok(Self(store))
    }

    /// Lets a decision load what it needs, decide, and stores what it wants changed, all on one transaction; yields the
    /// decision when it is on disk. `decide` may be run several times, so it has no effects of its own, and it waits for
    /// nothing but the books.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored.
    pub async fn decide<T: Send + 'static>(
        &self,
        decide: impl for<'t> AsyncFn(Books<'t>) -> Stored<Decided<T>> + Send + 'static,
    ) -> Stored<Decided<T>> {
        let made = self.0.change(async move |tx| {
            let decided = decide(Books::new(tx)).await?;
            for change in &decided.changes {
                write::write(tx, change).await?;
            }
            Ok(decided)
        });
        made.await
    }

    /// Names the profiles that can be delivered from now on; known ones keep their orders. Yields the ICCIDs of packages
    /// that are left out because a template has made a profile with the same one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored.
    pub async fn offer(&self, stock: Vec<Stock>, now: u64) -> Stored<BTreeSet<String>> {
        let stored =
            self.decide(async move |books| Ok(restock(&stock, &books.known().await?, now)));
        Ok(stored.await?.result.unwrap_or_default())
    }

    /// What is stored of a session, where it has still time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session(&self, id: &TransactionId, now: u64) -> Stored<Option<StoredSession>> {
        let id = *id;
        let look = self
            .0
            .read(async move |tx| sessions::session(tx, &id, now).await);
        look.await
    }

    /// How many sessions are stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_sessions(&self) -> Stored<u64> {
        self.0.read(async |tx| sessions::count(tx).await).await
    }

    /// The secret that transaction ids are made with: `new` from now on, where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ticket_key(&self, new: TicketKey) -> Stored<TicketKey> {
        let made = self.0.change(async move |tx| sessions::key(tx, &new).await);
        made.await
    }

    /// Grows the database's log once, for a process that will commit often; see [`aid_store::Store::reserve_log`].
    ///
    /// # Errors
    /// Not writable, or full. Nothing but time is lost.
    pub async fn reserve_log(&self) -> Stored<()> {
        self.0.reserve_log().await
    }

    /// Writes something, to find out whether the database can be written now.
    ///
    /// # Errors
    /// Not writable, or full.
    pub async fn check(&self) -> Stored<()> {
        self.0.check().await
    }

    /// Ends all connections and folds the write-ahead log into the database; does nothing while a clone is in use.
    pub async fn close(self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests;
