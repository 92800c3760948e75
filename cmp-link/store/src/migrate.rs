//! The steps from an empty database to today's tables. Each is one transaction with the note that it was made, so a start
//! that is killed goes on where it was.

use crate::sqlite::store_error;
use crate::value::Value;
use crate::{StoreError, Stored, Tx};
use rusqlite::{Connection, OptionalExtension as _};

/// The text of a step.
#[derive(Debug, Clone, Copy)]
pub enum Sql {
    /// The same for both databases.
    Both(&'static str),
    /// One for each, where their types or what they can alter differ.
    Each {
        /// For SQLite. Foreign keys are not enforced inside it; what does not hold at its end is an error.
        sqlite: &'static str,
        /// For PostgreSQL.
        postgres: &'static str,
    },
}

/// A step. Once released it never changes.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its number; steps are made in the order of the list.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// What it does.
    pub sql: Sql,
}

/// All steps of a program's tables.
#[derive(Debug)]
pub struct Schema {
    steps: &'static [Step],
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_step \
     (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)";
/// Earlier releases noted their steps in the table of another library.
const EARLIER: &str = "INSERT INTO schema_step (version, name) SELECT version, description FROM _sqlx_migrations \
     WHERE success AND NOT EXISTS (SELECT 1 FROM schema_step)";
const NOTE: &str = "INSERT INTO schema_step (version, name) VALUES ($1, $2)";
const MADE: &str = "SELECT 1 FROM schema_step WHERE version = $1";
const VERSIONS: &str = "SELECT version FROM schema_step ORDER BY version";

impl Schema {
    /// Tables made by these steps.
    #[must_use]
    pub const fn new(steps: &'static [Step]) -> Self {
        Self { steps }
    }

    pub(crate) fn steps(&self) -> &'static [Step] {
        self.steps
    }

    fn unknown(&self, versions: &[i64]) -> Stored<()> {
        let known = |version: &i64| self.steps.iter().any(|step| step.version == *version);
        match versions.iter().find(|version| !known(version)) {
            Some(version) => Err(StoreError::Unreadable(format!("migration {version}"))),
            None => Ok(()),
        }
    }

    pub(crate) fn migrate_sqlite(&self, connection: &Connection, name: &str) -> Stored<()> {
        // Tables are made anew and filled from the old ones, in whatever order; can't be switched inside a transaction.
        let keys = |on: bool| connection.pragma_update(None, "foreign_keys", on);
        let failed = |error: rusqlite::Error| store_error(name, &error).1;
        keys(false).map_err(failed)?;
        let done = self.migrate_in(connection, name);
        if !connection.is_autocommit() {
            // An error means that it has rolled back by itself.
            let _ = connection.execute_batch("ROLLBACK");
        }
        keys(true).map_err(failed)?;
        done
    }

    fn migrate_in(&self, connection: &Connection, name: &str) -> Stored<()> {
        let failed = |error: rusqlite::Error| store_error(name, &error).1;
        let begin = || connection.execute_batch("BEGIN IMMEDIATE");
        let commit = || connection.execute_batch("COMMIT");
        let first = (|| {
            begin()?;
            connection.execute_batch(TABLE)?;
            let earlier = "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
            if connection
                .query_row(earlier, [], |_| Ok(()))
                .optional()?
                .is_some()
            {
                connection.execute(EARLIER, [])?;
            }
            commit()
        })();
        first.map_err(failed)?;
        let made = |version: i64| {
            connection
                .prepare_cached(&MADE.replace('$', "?"))?
                .exists([version])
        };
        for step in self.steps {
            let text = match step.sql {
                Sql::Both(text) | Sql::Each { sqlite: text, .. } => text,
            };
            let done = (|| {
                begin()?;
                // Now, inside: another process may have made it.
                if !made(step.version)? {
                    connection.execute_batch(text)?;
                    connection.execute(&NOTE.replace('$', "?"), (step.version, step.name))?;
                }
                Ok(())
            })();
            done.map_err(failed)?;
            self.keys_hold(connection, step).map_err(failed)??;
            commit().map_err(failed)?;
        }
        let versions = (|| {
            let mut statement = connection.prepare(VERSIONS)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()
        })();
        self.unknown(&versions.map_err(failed)?)
    }

    /// Whether every foreign key holds after a step.
    fn keys_hold(&self, connection: &Connection, step: &Step) -> rusqlite::Result<Stored<()>> {
        let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
        let broken = statement
            .query_row([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?))
            })
            .optional()?;
        Ok(match broken {
            None => Ok(()),
            Some((from, to)) => Err(StoreError::Failed(format!(
                "after migration {} ({}) a row of {from} refers to a row of {to} that is not there",
                step.version, step.name
            ))),
        })
    }

    /// Makes one step on a server, where other instances may start at the same time.
    pub(crate) async fn migrate_postgres(&self, tx: &Tx<'_>, step: &Step) -> Stored<()> {
        tx.script(TABLE).await?;
        // Until the end of the transaction; whoever comes second finds the step made.
        tx.script("LOCK TABLE schema_step IN ACCESS EXCLUSIVE MODE")
            .await?;
        let earlier = "SELECT 1 FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
        if tx.exists(earlier, &[]).await? {
            tx.script(EARLIER).await?;
        }
        if !tx.exists(MADE, &[Value::from(step.version)]).await? {
            match step.sql {
                Sql::Both(text) | Sql::Each { postgres: text, .. } => tx.script(text).await?,
            }
            let values = [Value::from(step.version), Value::from(step.name)];
            tx.run(NOTE, &values).await?;
        }
        Ok(())
    }

    pub(crate) async fn refuse_newer(&self, tx: &Tx<'_>) -> Stored<()> {
        let versions = tx.all(VERSIONS, &[], |row| row.number()).await?;
        self.unknown(&versions)
    }
}
