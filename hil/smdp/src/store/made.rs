//! Profiles that were made from a template, in rows.

use super::{Store, StoreError, Stored};
use crate::core::{Protection, Stock};
use crate::template::{Made, Secrets};
use aid_store::{Fields, Tx, params};

const COLUMNS: &str = "SELECT o.iccid, o.file, o.profile_type, o.name, m.template, m.number, m.secrets, m.package, \
     m.metadata, m.own_keys FROM made m JOIN orders o ON o.iccid = m.iccid WHERE m.iccid = $1";
const ALL: &str = "/* reads all: an operator's list */ SELECT o.iccid, o.file, o.profile_type, o.name, m.template, \
     m.number, m.secrets, m.package, m.metadata, m.own_keys FROM made m JOIN orders o ON o.iccid = m.iccid \
     ORDER BY m.template, m.number";
const NEXT: &str = "SELECT number FROM template_next WHERE template = $1";
const USED: &str = "INSERT INTO template_next (template, number) VALUES ($1, $2) \
     ON CONFLICT (template) DO UPDATE SET number = $2";
const NEW: &str = "INSERT INTO made \
     (iccid, template, number, secrets, package, metadata, own_keys, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

fn odd(what: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(format!("an odd profile: {what}"))
}

fn made(row: &mut Fields<'_>) -> Stored<Made> {
    Ok(Made {
        stock: Stock {
            iccid: row.text()?,
            file: row.text()?,
            profile_type: row.text()?,
            name: row.text()?,
        },
        template: row.text()?,
        number: row.number()?,
        secrets: serde_json::from_str::<Secrets>(&row.text()?).map_err(odd)?,
        package: row.bytes()?,
        metadata: row.bytes()?,
        protection: match row.number::<i64>()? {
            0 => Protection::SessionKeys,
            _ => Protection::OwnKeys,
        },
    })
}

/// The number that a template makes next.
pub(super) async fn next(tx: &Tx<'_>, template: &str) -> Stored<u32> {
    let next = tx
        .first(NEXT, params![template], |row| row.number())
        .await?;
    Ok(next.unwrap_or(0))
}

/// Stores a profile whose order is stored already.
pub(super) async fn put(tx: &Tx<'_>, made: &Made, now: u64) -> Stored<()> {
    let secrets = serde_json::to_string(&made.secrets).map_err(odd)?;
    let own_keys = made.protection == Protection::OwnKeys;
    let values = params![
        &made.stock.iccid,
        &made.template,
        made.number,
        secrets,
        &made.package[..],
        &made.metadata[..],
        own_keys,
        now
    ];
    tx.run(NEW, values).await?;
    let next = made.number.saturating_add(1);
    tx.run(USED, params![&made.template, next]).await?;
    Ok(())
}

impl Store {
    /// The profile of this ICCID, where it was made from a template.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn made(&self, iccid: &str) -> Stored<Option<Made>> {
        let iccid = iccid.to_owned();
        let look = self
            .0
            .read(async move |tx| tx.first(COLUMNS, params![&iccid], made).await);
        look.await
    }

    /// All profiles that were made, by template and number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all_made(&self) -> Stored<Vec<Made>> {
        self.0.read(async |tx| tx.all(ALL, &[], made).await).await
    }
}
