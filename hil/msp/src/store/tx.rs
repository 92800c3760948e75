//! A transaction as the rest of the program sees it: the reads of `read` and `views`, and nothing that writes.

use aid_store::{Fields, Value};

use super::Stored;

/// A transaction. Nothing changes between its reads and its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tx<'t>(&'t aid_store::Tx<'t>);

impl<'t> Tx<'t> {
    pub(super) fn new(tx: &'t aid_store::Tx<'t>) -> Self {
        Self(tx)
    }

    pub(super) async fn all<T>(
        self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        self.0.all(sql, values, read).await
    }

    pub(super) async fn first<T>(
        self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Option<T>> {
        self.0.first(sql, values, read).await
    }

    pub(super) async fn exists(self, sql: &'static str, values: &[Value<'_>]) -> Stored<bool> {
        self.0.exists(sql, values).await
    }
}

/// A number that is 0 for no, another for yes.
pub(super) fn flag(row: &mut Fields<'_>) -> Stored<bool> {
    Ok(row.number::<i64>()? != 0)
}
