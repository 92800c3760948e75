//! Rows of either database, read field by field in the order of the statement. Whatever is in the database is checked
//! again.

use crate::{StoreError, Stored};
use std::error::Error;
use std::str::FromStr;
use tokio_postgres::types::{FromSql, Type};

/// The fields of one row, in the order in which the statement names them.
#[derive(Debug)]
pub struct Fields<'r> {
    row: Row<'r>,
    next: usize,
}

enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row")
    }
}

/// 16 bytes of a UUID or BYTEA.
struct Id([u8; 16]);

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::UUID | Type::BYTEA)
    }
}

/// BIGINT, INTEGER or SMALLINT.
struct Int(i64);

impl<'a> FromSql<'a> for Int {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT2 => i64::from(i16::from_sql(ty, raw)?),
            Type::INT4 => i64::from(i32::from_sql(ty, raw)?),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2)
    }
}

impl<'r> Fields<'r> {
    pub(crate) fn sqlite(row: &'r rusqlite::Row<'r>) -> Self {
        Self {
            row: Row::Sqlite(row),
            next: 0,
        }
    }

    pub(crate) fn postgres(row: &'r tokio_postgres::Row) -> Self {
        Self {
            row: Row::Postgres(row),
            next: 0,
        }
    }

    fn step(&mut self) -> usize {
        let at = self.next;
        self.next += 1;
        at
    }

    /// The name of the field at this place, for an error.
    fn unreadable(&self, at: usize) -> StoreError {
        let name = match self.row {
            Row::Sqlite(row) => row.as_ref().column_name(at).ok(),
            Row::Postgres(row) => row.columns().get(at).map(tokio_postgres::Column::name),
        };
        let name = name.unwrap_or("(none)");
        StoreError::Unreadable(format!("an odd value in the column {name}"))
    }

    /// BIGINT, or NULL.
    ///
    /// # Errors
    /// Another type.
    pub fn maybe_i64(&mut self) -> Stored<Option<i64>> {
        let at = self.step();
        let value = match self.row {
            Row::Sqlite(row) => row.get(at).ok(),
            Row::Postgres(row) => row
                .try_get::<_, Option<Int>>(at)
                .ok()
                .map(|v| v.map(|v| v.0)),
        };
        value.ok_or_else(|| self.unreadable(at))
    }

    /// A number that fits `T`, or NULL.
    ///
    /// # Errors
    /// Another type, or out of range.
    pub fn maybe_number<T: TryFrom<i64>>(&mut self) -> Stored<Option<T>> {
        let at = self.next;
        let value = self.maybe_i64()?;
        value
            .map(|n| T::try_from(n).map_err(|_| self.unreadable(at)))
            .transpose()
    }

    /// A number that fits `T`.
    ///
    /// # Errors
    /// NULL, another type, or out of range.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Stored<T> {
        let at = self.next;
        self.maybe_number()?.ok_or_else(|| self.unreadable(at))
    }

    /// TEXT, or NULL.
    ///
    /// # Errors
    /// Another type.
    pub fn maybe_text(&mut self) -> Stored<Option<String>> {
        let at = self.step();
        let value = match self.row {
            Row::Sqlite(row) => row.get(at).ok(),
            Row::Postgres(row) => row.try_get(at).ok(),
        };
        value.ok_or_else(|| self.unreadable(at))
    }

    /// TEXT.
    ///
    /// # Errors
    /// NULL, or another type.
    pub fn text(&mut self) -> Stored<String> {
        let at = self.next;
        self.maybe_text()?.ok_or_else(|| self.unreadable(at))
    }

    /// A TEXT that `T` can be read from, or NULL.
    ///
    /// # Errors
    /// Another type, or not readable.
    pub fn maybe_parsed<T: FromStr>(&mut self) -> Stored<Option<T>> {
        let at = self.next;
        let value = self.maybe_text()?;
        value
            .map(|text| text.parse().map_err(|_| self.unreadable(at)))
            .transpose()
    }

    /// A TEXT that `T` can be read from.
    ///
    /// # Errors
    /// NULL, another type, or not readable.
    pub fn parsed<T: FromStr>(&mut self) -> Stored<T> {
        let at = self.next;
        self.maybe_parsed()?.ok_or_else(|| self.unreadable(at))
    }

    /// A TEXT that is one of the words of an enum.
    ///
    /// # Errors
    /// NULL, another type, or none of the words.
    pub fn word<T>(&mut self, from_text: fn(&str) -> Option<T>) -> Stored<T> {
        let at = self.next;
        let text = self.text()?;
        from_text(&text).ok_or_else(|| self.unreadable(at))
    }

    /// 16 bytes, or NULL.
    ///
    /// # Errors
    /// Another type or length.
    pub fn maybe_id(&mut self) -> Stored<Option<[u8; 16]>> {
        let at = self.step();
        let value = match self.row {
            Row::Sqlite(row) => row.get(at).ok(),
            Row::Postgres(row) => row
                .try_get::<_, Option<Id>>(at)
                .ok()
                .map(|v| v.map(|v| v.0)),
        };
        value.ok_or_else(|| self.unreadable(at))
    }

    /// 16 bytes.
    ///
    /// # Errors
    /// NULL, or another type or length.
    pub fn id(&mut self) -> Stored<[u8; 16]> {
        let at = self.next;
        self.maybe_id()?.ok_or_else(|| self.unreadable(at))
    }

    /// BLOB or BYTEA, or NULL.
    ///
    /// # Errors
    /// Another type.
    pub fn maybe_bytes(&mut self) -> Stored<Option<Vec<u8>>> {
        let at = self.step();
        let value = match self.row {
            Row::Sqlite(row) => row.get(at).ok(),
            Row::Postgres(row) => row.try_get(at).ok(),
        };
        value.ok_or_else(|| self.unreadable(at))
    }

    /// BLOB or BYTEA.
    ///
    /// # Errors
    /// NULL, or another type.
    pub fn bytes(&mut self) -> Stored<Vec<u8>> {
        let at = self.next;
        self.maybe_bytes()?.ok_or_else(|| self.unreadable(at))
    }
}
