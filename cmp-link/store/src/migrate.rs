//! The steps from an empty database to today's tables. Each is one transaction with the note that it was made, so a start
//! that is killed goes on where it was.

use crate::sqlite::{File, begin, numbered, store_error};
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
    /// Its number, higher than that of the step before it in the list; steps are made in this order.
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
    by_index: bool,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_step \
     (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)";
/// Earlier releases noted their steps in the table of another library.
const EARLIER: &str = "INSERT INTO schema_step (version, name) SELECT version, description FROM _sqlx_migrations \
     WHERE success AND NOT EXISTS (SELECT 1 FROM schema_step)";
const NOTE: &str = "INSERT INTO schema_step (version, name) VALUES ($1, $2)";
const IS_TABLE: &str = "SELECT 1 FROM information_schema.tables \
     WHERE table_schema = current_schema() AND table_name = $1";
/// What a store writes to see whether it can, see [`crate::Store::check`].
const CHECK_TABLE: &str = "CREATE TABLE IF NOT EXISTS write_check \
     (id INTEGER PRIMARY KEY, count BIGINT NOT NULL, filler TEXT NOT NULL)";
const MADE: &str = "SELECT 1 FROM schema_step WHERE version = $1";
const VERSIONS: &str = "SELECT version FROM schema_step ORDER BY version";

impl Schema {
    /// Tables made by these steps.
    ///
    /// # Panics
    /// The numbers of the steps do not ascend: while compiling, for a `static`.
    #[must_use]
    pub const fn new(steps: &'static [Step]) -> Self {
        let mut rest = steps;
        while let [step, later @ ..] = rest {
            if let [next, ..] = later {
                assert!(
                    step.version < next.version,
                    "the numbers of migration steps ascend"
                );
            }
            rest = later;
        }
        Self {
            steps,
            by_index: false,
        }
    }

    /// The tables grow without end, so every statement finds its rows by a key or an index. Debug builds refuse, on
    /// SQLite, a statement that would read a whole table or index, and say which. One that may has the reason in its
    /// text: `/* reads all: … */`.
    #[must_use]
    pub const fn by_index(self) -> Self {
        Self {
            by_index: true,
            ..self
        }
    }

    pub(crate) fn is_by_index(&self) -> bool {
        self.by_index
    }

    pub(crate) fn steps(&self) -> &'static [Step] {
        self.steps
    }

    fn unknown(&self, versions: &[i64]) -> Stored<()> {
        let known = |version: &i64| self.steps.iter().any(|step| step.version == *version);
        match versions.iter().find(|version| !known(version)) {
            Some(version) => Err(StoreError::Newer(*version)),
            None => Ok(()),
        }
    }

    pub(crate) fn migrate_sqlite(&self, connection: &Connection, file: &File) -> Stored<()> {
        let failed = |error: rusqlite::Error| store_error(file, &error).1;
        // Usually there is nothing to do; then another process that writes need not be waited for.
        if self.is_current(connection).map_err(failed)?? {
            return Ok(());
        }
        // Tables are made anew and filled from the old ones, in whatever order; can't be switched inside a transaction.
        let keys = |on: bool| connection.pragma_update(None, "foreign_keys", on);
        keys(false).map_err(failed)?;
        let done = self.migrate_in(connection, file);
        if !connection.is_autocommit() {
            // An error means that it has rolled back by itself.
            let _ = connection.execute_batch("ROLLBACK");
        }
        keys(true).map_err(failed)?;
        done
    }

    /// Whether all steps are made. An error where there are others, of a newer version.
    fn is_current(&self, connection: &Connection) -> rusqlite::Result<Stored<bool>> {
        let ours =
            "SELECT COUNT(*) = 2 FROM sqlite_schema WHERE name IN ('schema_step', 'write_check')";
        if !connection.query_row(ours, [], |row| row.get(0))? {
            return Ok(Ok(false));
        }
        let versions = sqlite_versions(connection)?;
        let made = |step: &Step| versions.contains(&step.version);
        Ok(self
            .unknown(&versions)
            .map(|()| self.steps.iter().all(made)))
    }

    fn migrate_in(&self, connection: &Connection, file: &File) -> Stored<()> {
        let failed = |error: rusqlite::Error| store_error(file, &error).1;
        let begin = || begin(connection, file).map_err(|(_, error)| error);
        let commit = || connection.execute_batch("COMMIT").map_err(failed);
        begin()?;
        let versions = (|| {
            connection.execute_batch(TABLE)?;
            connection.execute_batch(CHECK_TABLE)?;
            let earlier = "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'";
            if connection.prepare(earlier)?.exists([])? {
                connection.execute(EARLIER, [])?;
            }
            sqlite_versions(connection)
        })();
        // Before anything of it is changed.
        self.unknown(&versions.map_err(failed)?)?;
        commit()?;
        for step in self.steps {
            let text = match step.sql {
                Sql::Both(text) | Sql::Each { sqlite: text, .. } => text,
            };
            begin()?;
            let made_now = (|| {
                // Asked inside the transaction: another process may have made it.
                let mut made = connection.prepare(&numbered(MADE))?;
                if made.exists([step.version])? {
                    return Ok(false);
                }
                connection.execute_batch(text)?;
                connection.execute(&numbered(NOTE), (step.version, step.name))?;
                Ok(true)
            })();
            if made_now.map_err(failed)? {
                self.keys_hold(connection, step).map_err(failed)??;
            }
            commit()?;
        }
        Ok(())
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

    /// Makes the tables that note the steps, on a server where other instances may start at the same time, and takes
    /// the notes of earlier releases over. Refuses a database of a newer version, before anything of it is changed.
    pub(crate) async fn prepare_postgres(&self, tx: &Tx<'_>) -> Stored<()> {
        // Two that make the same table at once fail, and begin again.
        for (name, text) in [("schema_step", TABLE), ("write_check", CHECK_TABLE)] {
            if !tx.exists(IS_TABLE, &[Value::from(name)]).await? {
                tx.script(text).await?;
            }
        }
        if tx
            .exists(IS_TABLE, &[Value::from("_sqlx_migrations")])
            .await?
        {
            tx.script(EARLIER).await?;
        }
        let versions = tx.all(VERSIONS, &[], |row| row.number()).await?;
        self.unknown(&versions)
    }

    /// Makes one step on a server. It is noted first: another instance that wants to note the same waits at the note
    /// until this one is committed, fails as it is not the only one, begins again and finds the step made.
    pub(crate) async fn migrate_postgres(&self, tx: &Tx<'_>, step: &Step) -> Stored<()> {
        if tx.exists(MADE, &[Value::from(step.version)]).await? {
            return Ok(());
        }
        let values = [Value::from(step.version), Value::from(step.name)];
        tx.run(NOTE, &values).await?;
        match step.sql {
            Sql::Both(text) | Sql::Each { postgres: text, .. } => tx.script(text).await,
        }
    }
}

fn sqlite_versions(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare(VERSIONS)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}
