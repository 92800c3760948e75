//! Statements on a transaction of a server.

use super::burst::Burst;
use super::url::chain;
use super::wave::Asked;
use crate::tx::{Broken, Statement};
use crate::{StoreError, Value};
use deadpool_postgres::ClientWrapper;
use std::error::Error as _;
use std::io;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

type Done<T> = Result<T, (Broken, StoreError)>;

/// A transaction of a server.
pub(crate) struct PostgresTx<'a>(On<'a>);

#[derive(Clone, Copy)]
enum On<'a> {
    Own {
        client: &'a ClientWrapper,
        name: &'a str,
    },
    Shared {
        burst: &'a Burst,
        number: usize,
    },
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
        SqlState::LOCK_NOT_AVAILABLE => (Broken::Locked, StoreError::Busy),
        SqlState::UNIQUE_VIOLATION => (Broken::Constraint, StoreError::Taken),
        SqlState::FOREIGN_KEY_VIOLATION
        // Another instance that starts at the same time has just made the same table.
        | SqlState::DUPLICATE_OBJECT
        | SqlState::DUPLICATE_TABLE => (Broken::Constraint, other()),
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

fn owned(sql: &'static str, values: &[Value<'_>]) -> Statement {
    let values = values.iter().map(Value::to_static).collect();
    Statement { sql, values }
}

fn borrowed<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    let as_dyn = |value: &'v Value<'_>| value as &(dyn ToSql + Sync);
    values.iter().map(as_dyn).collect()
}

impl<'a> PostgresTx<'a> {
    /// One that reads, on a connection of its own.
    pub(super) fn reader(client: &'a ClientWrapper, name: &'a str) -> Self {
        Self(On::Own { client, name })
    }

    /// That of a decision among those that share a transaction.
    pub(super) fn member(burst: &'a Burst, number: usize) -> Self {
        Self(On::Shared { burst, number })
    }

    /// A statement is about to be sent.
    fn begins() {
        #[cfg(test)]
        crate::faults::statement();
    }

    pub(crate) async fn query(&self, sql: &'static str, values: &[Value<'_>]) -> Done<Vec<Row>> {
        Self::begins();
        match self.0 {
            On::Own { client, name } => {
                let done = async {
                    let statement = client.prepare_cached(sql).await?;
                    client.query(&statement, &borrowed(values)).await
                };
                done.await.map_err(|error| store_error(name, &error))
            }
            On::Shared { burst, .. } => {
                let answer = burst.ask(Asked::Query(owned(sql, values))).await?;
                Ok(answer.rows)
            }
        }
    }

    pub(crate) async fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Done<u64> {
        Self::begins();
        match self.0 {
            On::Own { client, name } => {
                let done = async {
                    let statement = client.prepare_cached(sql).await?;
                    client.execute(&statement, &borrowed(values)).await
                };
                done.await.map_err(|error| store_error(name, &error))
            }
            On::Shared { burst, .. } => {
                let answer = burst.ask(Asked::Run(owned(sql, values))).await?;
                Ok(answer.count)
            }
        }
    }

    /// All of them are on their way before the first is answered; the server keeps their order.
    pub(crate) async fn write(&self, statements: &[Statement]) -> Done<()> {
        Self::begins();
        match self.0 {
            // It can't, and the server says so at the first.
            On::Own { .. } => {
                for statement in statements {
                    self.run(statement.sql, &statement.values).await?;
                }
                Ok(())
            }
            On::Shared { burst, .. } => {
                let asked = Asked::Write(statements.to_vec());
                burst.ask(asked).await.map(|_| ())
            }
        }
    }

    pub(crate) async fn script(&self, sql: &str) -> Done<()> {
        Self::begins();
        match self.0 {
            On::Own { client, name } => {
                let done = client.batch_execute(sql).await;
                done.map_err(|error| store_error(name, &error))
            }
            On::Shared { burst, .. } => {
                let asked = Asked::Script(sql.to_owned());
                burst.ask(asked).await.map(|_| ())
            }
        }
    }

    /// Waits until no other decision of the same transaction holds this, and holds it until this one ends.
    pub(crate) async fn hold(&self, key: &[u8]) {
        if let On::Shared { burst, number } = self.0 {
            burst.hold(number, key).await;
        }
    }
}
