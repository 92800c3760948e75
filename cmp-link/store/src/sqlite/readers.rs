//! Connections that only read, each for one reader at a time.

use super::tx::Texts;
use super::{File, SqliteTx, at_once, store_error};
use crate::tx::{Connection as On, Tx};
use crate::{StoreError, Stored};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Readers at a time.
const READERS: usize = 4;

/// The readers of a file. As long as they are open, SQLite's side files exist, so that another connection can be opened
/// where a full disk has no room for new files.
#[derive(Debug)]
pub(crate) struct Readers {
    file: File,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

impl Readers {
    pub(crate) fn open(file: &File) -> Stored<Self> {
        let idle = (0..READERS).map(|_| file.reader()).collect::<Stored<_>>()?;
        Ok(Self {
            file: file.clone(),
            idle: Mutex::new(idle),
            places: Semaphore::new(READERS),
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` on one state of the database; yields its result and how many reads it made.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<(T, u64)> {
        let _place = self.places.acquire().await;
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || readers.read_now(look)).await;
        done.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    fn read_now<T>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> Stored<(T, u64)> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| self.file.reader(), Ok)?;
        let name = self.file.name();
        let failed = |error: &rusqlite::Error| store_error(&name, error).1;
        connection.execute_batch("BEGIN").map_err(|e| failed(&e))?;
        let texts = Texts::default();
        let (value, reads) = {
            let tx = Tx::new(On::Sqlite(SqliteTx::new(&connection, &texts, &name)));
            let value = at_once(look(&tx));
            (value, tx.reads.get())
        };
        // It has written nothing; only a connection that is surely out of its transaction is used again.
        if connection.execute_batch("COMMIT").is_ok() && connection.is_autocommit() {
            self.idle().push(connection);
        }
        let waits =
            || StoreError::Failed("a reader waits for something else than the database".into());
        Ok((value.ok_or_else(waits)??, reads))
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle().clear();
    }
}
