//! A transaction as the rest of the program sees it: the reads of `read` and `views`, and nothing that writes.

use std::pin::Pin;

use aid_store::writer::Transaction;
use sqlx::Row as _;
use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;

use super::{StoreError, Stored};
use crate::core::Decision;

/// A decision that is being loaded and made on a transaction.
pub(crate) type Deciding<'t, T, C> =
    Pin<Box<dyn Future<Output = Stored<Decision<T, C>>> + Send + 't>>;

/// A statement.
pub(super) type Sql = Query<'static, Any, AnyArguments>;

/// A transaction, or a connection that only reads.
#[derive(Debug)]
pub(crate) struct Tx(Inner);

#[derive(Debug)]
enum Inner {
    /// Nothing changes between its reads and its end.
    Writing(Transaction),
    /// Each read sees what is committed then.
    Reading(PoolConnection<Any>),
}

impl Tx {
    pub(super) fn writing(transaction: Transaction) -> Self {
        Self(Inner::Writing(transaction))
    }

    pub(super) fn reading(connection: PoolConnection<Any>) -> Self {
        Self(Inner::Reading(connection))
    }

    pub(super) async fn commit(self) -> Stored<()> {
        match self.0 {
            Inner::Writing(transaction) => Ok(transaction.commit().await?),
            Inner::Reading(_) => Err(StoreError::ReadOnly),
        }
    }

    pub(super) async fn all(&mut self, sql: Sql) -> Stored<Vec<AnyRow>> {
        Ok(match &mut self.0 {
            Inner::Writing(transaction) => sql.fetch_all(transaction).await?,
            Inner::Reading(connection) => sql.fetch_all(&mut **connection).await?,
        })
    }

    pub(super) async fn one(&mut self, sql: Sql) -> Stored<Option<AnyRow>> {
        Ok(match &mut self.0 {
            Inner::Writing(transaction) => sql.fetch_optional(transaction).await?,
            Inner::Reading(connection) => sql.fetch_optional(&mut **connection).await?,
        })
    }

    /// Runs a statement that changes something: in a decision only.
    pub(super) async fn run(&mut self, sql: Sql) -> Stored<()> {
        match &mut self.0 {
            Inner::Writing(transaction) => {
                sql.execute(transaction).await?;
                Ok(())
            }
            Inner::Reading(_) => Err(StoreError::ReadOnly),
        }
    }
}

/// A text column.
pub(super) fn text(row: &AnyRow, column: &str) -> Stored<String> {
    Ok(row.try_get(column)?)
}

/// A text column that may be NULL.
pub(super) fn optional(row: &AnyRow, column: &str) -> Stored<Option<String>> {
    Ok(row.try_get(column)?)
}

/// A number column.
pub(super) fn number(row: &AnyRow, column: &str) -> Stored<i64> {
    Ok(row.try_get(column)?)
}

/// A text column with a form of its own.
pub(super) fn parsed<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Stored<T> {
    let value = text(row, column)?;
    value
        .parse()
        .map_err(|_| StoreError::Value { column, value })
}

/// A text column with a form of its own that may be NULL.
pub(super) fn parsed_optional<T: std::str::FromStr>(
    row: &AnyRow,
    column: &'static str,
) -> Stored<Option<T>> {
    optional(row, column)?
        .map(|value| {
            value
                .parse()
                .map_err(|_| StoreError::Value { column, value })
        })
        .transpose()
}
