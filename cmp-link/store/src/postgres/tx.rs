//! Statements on a transaction of a server.

use super::url::chain;
use crate::tx::{Broken, Statement};
use crate::{StoreError, Value};
use deadpool_postgres::Transaction;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

type Done<T> = Result<T, (Broken, StoreError)>;
type Executing<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + 'a>>;

/// A transaction of a server.
pub(crate) struct PostgresTx<'a> {
    transaction: &'a Transaction<'a>,
    name: &'a str,
}

impl std::fmt::Debug for PostgresTx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresTx").finish_non_exhaustive()
    }
}

/// Our error for the driver's, about the database of this name.
pub(crate) fn store_error(name: &str, error: &tokio_postgres::Error) -> (Broken, StoreError) {
    let other = || StoreError::Failed(chain(error));
    let Some(code) = error.code() else {
        // Without a code it is the connection that failed, or one of our values does not fit its column.
        let ours = error.source().is_some_and(|cause| !cause.is::<io::Error>());
        return match ours && !error.is_closed() {
            true => (Broken::Failed, other()),
            false => (Broken::Down, other()),
        };
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            (Broken::Conflict, StoreError::Busy)
        }
        SqlState::UNIQUE_VIOLATION => (Broken::Constraint, StoreError::Taken),
        SqlState::FOREIGN_KEY_VIOLATION => (Broken::Constraint, other()),
        SqlState::DISK_FULL => (Broken::Down, StoreError::Full(name.to_owned())),
        // The server stops, starts or crashed.
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IO_ERROR
        // It is a standby now: another one of the hosts has become the primary.
        | SqlState::READ_ONLY_SQL_TRANSACTION
        // A prepared statement of this connection is gone, or its tables have changed since.
        | SqlState::INVALID_SQL_STATEMENT_NAME
        | SqlState::FEATURE_NOT_SUPPORTED => (Broken::Down, other()),
        _ if code.code().starts_with("08") => (Broken::Down, other()),
        _ => (Broken::Failed, other()),
    }
}

fn borrowed<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    let as_dyn = |value: &'v Value<'_>| value as &(dyn ToSql + Sync);
    values.iter().map(as_dyn).collect()
}

impl<'a> PostgresTx<'a> {
    pub(crate) fn new(transaction: &'a Transaction<'a>, name: &'a str) -> Self {
        Self { transaction, name }
    }

    /// A statement is about to be sent.
    fn begins() {
        #[cfg(test)]
        crate::faults::statement();
    }

    fn judged<T>(&self, done: Result<T, tokio_postgres::Error>) -> Done<T> {
        done.map_err(|error| store_error(self.name, &error))
    }

    pub(crate) async fn query(&self, sql: &str, values: &[Value<'_>]) -> Done<Vec<Row>> {
        Self::begins();
        let done = async {
            let statement = self.transaction.prepare_cached(sql).await?;
            self.transaction.query(&statement, &borrowed(values)).await
        };
        self.judged(done.await)
    }

    pub(crate) async fn run(&self, sql: &str, values: &[Value<'_>]) -> Done<u64> {
        Self::begins();
        let done = async {
            let statement = self.transaction.prepare_cached(sql).await?;
            self.transaction
                .execute(&statement, &borrowed(values))
                .await
        };
        self.judged(done.await)
    }

    /// All of them are on their way before the first is answered; the server keeps their order.
    pub(crate) async fn write(&self, statements: &[Statement]) -> Done<()> {
        Self::begins();
        let done = async {
            let mut prepared = Vec::with_capacity(statements.len());
            for statement in statements {
                prepared.push(self.transaction.prepare_cached(statement.sql).await?);
            }
            let mut waiting: Vec<Executing<'_>> = Vec::with_capacity(statements.len());
            for (statement, prepared) in statements.iter().zip(&prepared) {
                waiting.push(Box::pin(async move {
                    let values = borrowed(&statement.values);
                    self.transaction.execute(prepared, &values).await
                }));
            }
            futures_util::future::try_join_all(waiting).await
        };
        self.judged(done.await.map(|_| ()))
    }

    pub(crate) async fn script(&self, sql: &str) -> Done<()> {
        Self::begins();
        self.judged(self.transaction.batch_execute(sql).await)
    }
}
