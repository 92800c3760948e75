//! Parties and pairs: read as a whole, changed as a whole, so that what is stored is always a directory without
//! contradictions.

use std::collections::BTreeMap;

use aid_aid1::headers::PartyId;
use aid_store::{Fields, StoreError, Tx, params};
use serde::de::DeserializeOwned;

use super::audit::{AuditRow, note};
use super::{Store, Stored};
use crate::core::directory::Directory;
use crate::core::pair::{Pair, PairId};
use crate::core::party::PartyRecord;

/// All parties and pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Book {
    /// Changes with each change.
    pub(crate) revision: i64,
    pub(crate) parties: BTreeMap<PartyId, PartyRecord>,
    pub(crate) pairs: BTreeMap<PairId, Pair>,
}

/// A change of the book: who makes it, what, and why.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// See [`AuditRow::actor`].
    pub(crate) actor: String,
    /// Such as `party added`.
    pub(crate) action: &'static str,
    /// The party or pair.
    pub(crate) subject: String,
    /// May be empty.
    pub(crate) reason: String,
    /// ms since 1970
    pub(crate) at: i64,
}

/// Why the book was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// The change makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Book {
    /// The directory of it.
    ///
    /// # Errors
    /// What is ambiguous or missing.
    pub(crate) fn directory(&self) -> Result<Directory, String> {
        let (parties, pairs) = (self.parties.values(), self.pairs.values());
        Directory::new(parties.cloned().collect(), pairs.cloned().collect())
    }
}

fn record<T: DeserializeOwned>(row: &mut Fields<'_>) -> Stored<T> {
    let text = row.text()?;
    serde_json::from_str(&text)
        .map_err(|error| StoreError::Unreadable(format!("a party or a pair ({error})")))
}

async fn load(tx: &Tx<'_>) -> Stored<Book> {
    let sql = "SELECT revision FROM directory WHERE id = 1";
    let revision = tx.first(sql, &[], |row| row.number()).await?;
    let parties = "SELECT record FROM party /* reads all: the directory is used as a whole */";
    let parties: Vec<PartyRecord> = tx.all(parties, &[], record).await?;
    let pairs = "SELECT record FROM pair /* reads all: the directory is used as a whole */";
    let pairs: Vec<Pair> = tx.all(pairs, &[], record).await?;
    Ok(Book {
        revision: revision.unwrap_or_default(),
        parties: parties
            .into_iter()
            .map(|party| (party.id.clone(), party))
            .collect(),
        pairs: pairs.into_iter().map(|pair| (pair.id(), pair)).collect(),
    })
}

impl Store {
    /// All parties and pairs.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn book(&self) -> Stored<Book> {
        self.0.read(async |tx: &Tx<'_>| load(tx).await).await
    }

    /// The number that changes with each change.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn revision(&self) -> Stored<i64> {
        let look = async |tx: &Tx<'_>| {
            let sql = "SELECT revision FROM directory WHERE id = 1";
            Ok(tx
                .first(sql, &[], |row| row.number())
                .await?
                .unwrap_or_default())
        };
        self.0.read(look).await
    }

    /// Changes the book, with an entry of the audit trail. `change` may be called several times. What it makes of the book
    /// is stored if it is a directory without contradictions.
    ///
    /// # Errors
    /// The change makes no sense, or the database failed; nothing is changed.
    pub(crate) async fn edit<T: Send + 'static>(
        &self,
        edit: Edit,
        change: impl Fn(&mut Book) -> Result<T, String> + Send + 'static,
    ) -> Result<T, EditError> {
        let whole = async move |tx: &Tx<'_>| {
            // First, so that two changes at once follow one another.
            tx.run(
                "UPDATE directory SET revision = revision + 1 WHERE id = 1",
                &[],
            )
            .await?;
            let before = load(tx).await?;
            let mut after = before.clone();
            let made = change(&mut after).map_err(EditError::Refused)?;
            after.directory().map_err(EditError::Refused)?;
            write(tx, &before, &after, edit.at).await?;
            let row = AuditRow {
                at: edit.at,
                actor: edit.actor.clone(),
                action: edit.action.to_owned(),
                subject: edit.subject.clone(),
                reason: edit.reason.clone(),
            };
            note(tx, &row).await?;
            Ok::<T, EditError>(made)
        };
        self.0.change(whole).await
    }
}

async fn write(tx: &Tx<'_>, before: &Book, after: &Book, at: i64) -> Result<(), EditError> {
    let text = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| EditError::Refused(format!("it can't be stored: {error}")))
    };
    for id in before
        .parties
        .keys()
        .filter(|id| !after.parties.contains_key(*id))
    {
        tx.run("DELETE FROM party WHERE id = $1", params![id.as_str()])
            .await?;
    }
    for id in before
        .pairs
        .keys()
        .filter(|id| !after.pairs.contains_key(*id))
    {
        tx.run("DELETE FROM pair WHERE id = $1", params![id.to_string()])
            .await?;
        tx.run("DELETE FROM token WHERE pair = $1", params![id.to_string()])
            .await?;
    }
    for (id, party) in &after.parties {
        if before.parties.get(id) != Some(party) {
            let record = text(serde_json::to_string(party))?;
            let sql = "INSERT INTO party (id, record, changed_at) VALUES ($1, $2, $3) \
                       ON CONFLICT (id) DO UPDATE SET record = excluded.record, changed_at = excluded.changed_at";
            tx.run(sql, params![id.as_str(), record, at]).await?;
        }
    }
    for (id, pair) in &after.pairs {
        if before.pairs.get(id) != Some(pair) {
            let record = text(serde_json::to_string(pair))?;
            let sql = "INSERT INTO pair (id, record, changed_at) VALUES ($1, $2, $3) \
                       ON CONFLICT (id) DO UPDATE SET record = excluded.record, changed_at = excluded.changed_at";
            tx.run(sql, params![id.to_string(), record, at]).await?;
        }
    }
    Ok(())
}
