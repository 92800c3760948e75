//! Statements on a transaction of a server.

use super::url::chain;
use crate::tx::{Broken, Statement};
use crate::{StoreError, Value};
use deadpool_postgres::Transaction;
use std::future::Future;
use std::pin::Pin;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

type Done<T> = Result<T, (Broken, StoreError)>;

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
        return (Broken::Failed, other());
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            (Broken::Conflict, StoreError::Busy)
        }
        SqlState::UNIQUE_VIOLATION => (Broken::Constraint, StoreError::Taken),
        SqlState::FOREIGN_KEY_VIOLATION => (Broken::Constraint, other()),
        SqlState::DISK_FULL => (Broken::Failed, StoreError::Full(name.to_owned())),
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

    fn judged<T>(&self, done: Result<T, tokio_postgres::Error>) -> Done<T> {
        done.map_err(|error| store_error(self.name, &error))
    }

    pub(crate) async fn query(&self, sql: &str, values: &[Value<'_>]) -> Done<Vec<Row>> {
        let done = async {
            let statement = self.transaction.prepare_cached(sql).await?;
            self.transaction.query(&statement, &borrowed(values)).await
        };
        self.judged(done.await)
    }

    pub(crate) async fn run(&self, sql: &str, values: &[Value<'_>]) -> Done<u64> {
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
        let done = async {
            let mut prepared = Vec::with_capacity(statements.len());
            for statement in statements {
                prepared.push(self.transaction.prepare_cached(statement.sql).await?);
            }
            let mut waiting: Vec<
                Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>>>>,
            > = Vec::with_capacity(statements.len());
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
        self.judged(self.transaction.batch_execute(sql).await)
    }
}
