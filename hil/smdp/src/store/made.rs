//! Profiles that were made from a template, in rows.

use super::{Store, StoreError, Stored};
use crate::core::{Protection, Stock};
use crate::template::{Made, Secrets};
use aid_store::{Fields, Tx, params};

const COLUMNS: &str = "SELECT o.iccid, o.file, o.profile_type, o.name, m.template, m.number, m.secrets, m.package, \
     m.metadata, m.own_keys FROM made m JOIN orders o ON o.iccid = m.iccid WHERE m.iccid = $1";
const KEYS: &str = "SELECT m.iccid, m.template, m.number, m.secrets FROM made m \
     WHERE (m.template, m.number) > ($1, $2) ORDER BY m.template, m.number LIMIT $3";
const KEYS_OF: &str = "SELECT m.iccid, m.template, m.number, m.secrets FROM made m \
     WHERE m.template = $1 AND m.number > $2 ORDER BY m.number LIMIT $3";
const KEYS_WITH: &str =
    "SELECT m.iccid, m.template, m.number, m.secrets FROM made m WHERE m.iccid = $1";
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

/// What the operator's network needs to know of a profile that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Of the profile.
    pub iccid: String,
    /// From which it was made.
    pub template: String,
    /// Which of the template's, from 0.
    pub number: u32,
    /// IMSI, keys, PINs.
    pub secrets: Secrets,
}

/// Which profiles' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of all templates.
    All,
    /// Of this template.
    Template(String),
    /// Of the profile with this ICCID.
    Iccid(String),
}

/// A place in the list of keys: template and number. The default is before all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysPlace(String, i64);

impl Default for KeysPlace {
    fn default() -> Self {
        Self(String::new(), -1)
    }
}

impl std::fmt::Display for KeysPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.1, self.0)
    }
}

impl std::str::FromStr for KeysPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let place = parts.and_then(|(number, template)| Some((template, number.parse().ok()?)));
        let (template, number) =
            place.ok_or_else(|| format!("{text:?} is no place in this list"))?;
        Ok(Self(template.to_owned(), number))
    }
}

fn keys(row: &mut Fields<'_>) -> Stored<(KeysPlace, Keys)> {
    let keys = Keys {
        iccid: row.text()?,
        template: row.text()?,
        number: row.number()?,
        secrets: serde_json::from_str::<Secrets>(&row.text()?).map_err(odd)?,
    };
    let place = KeysPlace(keys.template.clone(), i64::from(keys.number));
    Ok((place, keys))
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

    /// The keys of at most `limit` profiles behind a place, by template and number, each with its own place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys_after(
        &self,
        which: Which,
        after: KeysPlace,
        limit: u32,
    ) -> Stored<Vec<(KeysPlace, Keys)>> {
        let look = self.0.read(async move |tx| {
            let (KeysPlace(template, number), limit) = (&after, i64::from(limit));
            match &which {
                Which::All => tx.all(KEYS, params![template, *number, limit], keys).await,
                Which::Template(name) => tx.all(KEYS_OF, params![name, *number, limit], keys).await,
                Which::Iccid(iccid) => {
                    let found = tx.all(KEYS_WITH, params![iccid], keys).await?;
                    let behind =
                        |(place, _): &(KeysPlace, Keys)| (&place.0, place.1) > (template, *number);
                    Ok(found.into_iter().filter(behind).collect())
                }
            }
        });
        look.await
    }
}
