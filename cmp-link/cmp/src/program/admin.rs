//! Prints what an operator asks and does on the command line: a table on a terminal, `key=value` elsewhere, JSON for
//! scripts. The deeds themselves are in `operator`.

use crate::operator::{Listed, Operator, Refusal, account, id_text};
use crate::store::{Store, Tx};
use aid_cli::cli::Failure;
use aid_cli::irreversible::Irreversible;
use aid_cli::list::{List, PageArgs, show};
use serde_json::{Value, json};

pub(super) struct Admin<'a> {
    pub(super) operator: Operator<'a>,
    pub(super) json: bool,
    /// Irreversible commands do not ask.
    pub(super) yes: bool,
    /// Irreversible commands say what they would do, and do nothing.
    pub(super) dry_run: bool,
}

impl Admin<'_> {
    pub(super) fn store(&self) -> &Store {
        self.operator.store
    }

    /// Prints the row that came of a deed or question.
    pub(super) fn show(&self, row: Result<Value, Refusal>) -> Result<(), Failure> {
        show(row?, self.json)
    }

    /// Asks before something that can't be taken back: `what` says it in one sentence. False: it must not be done, because
    /// this is a dry run.
    ///
    /// # Errors
    /// The answer is no, or nobody can be asked.
    pub(super) fn confirm(&self, what: &str) -> Result<bool, Failure> {
        let asked = Irreversible {
            yes: self.yes,
            dry_run: self.dry_run,
        };
        match asked.confirm(what)? {
            Some(row) => show(row, self.json).map(|()| false),
            None => Ok(true),
        }
    }

    /// Prints a list in pages ([`List::paged`]).
    pub(super) async fn list(
        &self,
        columns: &[&str],
        page: &PageArgs,
        read: impl AsyncFn(Option<String>, u32) -> Result<Vec<Listed>, Refusal>,
    ) -> Result<(), Failure> {
        List::new(columns, self.json).paged(page, read).await
    }

    /// Removes the ended links of which nothing is left to do; says of the others what is.
    pub(super) async fn purge(&self) -> Result<(), Failure> {
        let (mut after, mut list) = (None, List::new(&["federation", "purged"], self.json));
        loop {
            let read = async move |tx: &Tx<'_>| tx.purge_due(u64::MAX, after, PURGED).await;
            let ended = self.store().read(read).await?;
            after = ended.last().map(|f| (f.ended_at.unwrap_or_default(), f.id));
            if after.is_none() {
                return list.end();
            }
            for id in ended.into_iter().map(|f| f.id) {
                let kept = self.operator.purge(id).await?;
                list.print(vec![json!({
                    "federation": id_text(id), "purged": kept.is_none(), "kept_because": kept,
                })])?;
            }
        }
    }

    /// The name of a user as it is stored, where there is one.
    pub(super) async fn user_name(&self, name: &str) -> Result<String, Failure> {
        let name = name.to_owned();
        let look = async move |tx: &Tx<'_>| Ok(account(tx, &name).await?.name);
        Ok(self.operator.look(look).await?)
    }
}

/// Ended links that are read at once.
const PURGED: u32 = 100;
