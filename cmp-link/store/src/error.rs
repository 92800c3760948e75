//! Why the store did not do something.

/// The store did not do it. Nothing of the change is stored, with one exception: where the database fails or is lost at
/// the very commit, nobody knows. Then it is [`StoreError::Failed`] and its text says so, and the caller looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space.
    #[error("the disk of the database {0} is full; free some space, nothing was lost")]
    Full(String),
    /// Absent, unreadable, or no database.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        /// The file, or the server without its credentials.
        path: String,
        /// The driver's words.
        reason: String,
    },
    /// A unique value exists already, such as a name.
    #[error("it exists already")]
    Taken,
    /// Others kept changing the same rows; the caller may try again.
    #[error("the database is too busy with the same rows; try again")]
    Busy,
    /// Anything else.
    #[error("the database failed: {0}")]
    Failed(String),
    /// A newer version of the program has changed the tables, with this step.
    #[error(
        "the database was migrated by a newer version (step {0}), and this one changes nothing in it; start the newer \
         version, or restore a copy from before (docs/operations.md)"
    )]
    Newer(i64),
    /// A row that this version can't read.
    #[error(
        "the database holds {0}, which this version can't read; was it written by a newer one?"
    )]
    Unreadable(String),
}

/// A result of the store.
pub type Stored<T> = Result<T, StoreError>;
