//! Connections that only read, each for one reader at a time.

use super::tx::Texts;
use super::{File, Prepared, SqliteTx, at_once, execute, store_error};
use crate::tx::{Broken, Connection as On, Tx};
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
    name: String,
    idle: Mutex<Vec<Reader>>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    texts: Texts,
}

impl Readers {
    pub(crate) fn open(file: &File) -> Stored<Self> {
        let readers = Self {
            file: file.clone(),
            name: file.name(),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(READERS)),
        };
        for _ in 0..READERS {
            let reader = readers.another()?;
            readers.idle().push(reader);
        }
        Ok(readers)
    }

    fn another(&self) -> Stored<Reader> {
        Ok(Reader {
            connection: self.file.reader()?,
            texts: Texts::default(),
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` on one state of the database; yields its result and how many reads it made.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<(T, u64)> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let done = readers.read_now(look);
            // Only now: it goes on reading where its caller has stopped waiting.
            drop(place);
            done
        });
        done.await
            .map_err(|error| StoreError::Failed(error.to_string()))?
    }

    fn read_now<T>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> Stored<(T, u64)> {
        let idle = self.idle().pop();
        let reader = idle.map_or_else(|| self.another(), Ok)?;
        let Reader { connection, texts } = &reader;
        let begun = execute(connection, "BEGIN");
        begun.map_err(|error| store_error(&self.name, &error).1)?;
        let down;
        let (value, reads) = {
            let statements = Prepared::new(connection, texts);
            let tx = Tx::new(On::Sqlite(SqliteTx::new(&statements, &self.name)));
            let value = at_once(look(&tx));
            down = matches!(tx.broken(), Some((Broken::Down, _)));
            (value, tx.reads.get())
        };
        // It has written nothing; only a connection that is surely out of its transaction is used again.
        let ended = execute(connection, "COMMIT").is_ok() && connection.is_autocommit();
        if ended && !down {
            self.idle().push(reader);
        }
        let text = "a reader waits for something else than the database";
        let value = value.ok_or_else(|| StoreError::Failed(text.into()))?;
        Ok((value?, reads))
    }

    /// Folds the write-ahead log into the database, so that the next transaction overwrites it from its beginning.
    pub(crate) fn rewind_log(&self) -> Stored<()> {
        let idle = self.idle().pop();
        let reader = idle.map_or_else(|| self.another(), Ok)?;
        let sql = "PRAGMA wal_checkpoint(RESTART)";
        let done = reader.connection.query_row(sql, [], |_| Ok(()));
        done.map_err(|error| store_error(&self.name, &error).1)?;
        self.idle().push(reader);
        Ok(())
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle().clear();
    }
}
