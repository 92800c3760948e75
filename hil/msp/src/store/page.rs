//! Parts of lists: a list is read from a place on, in either direction, so that its length costs no memory and no part
//! costs more than another.

use std::fmt;
use std::str::FromStr;

use aid_store::{Fields, Value};

use super::{Stored, Tx};

/// Where a row stands in its list: its time or number, and what tells it from others of that time. Its text is a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) i64, pub(crate) String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let place = parts.and_then(|(at, key)| Some(Self(at.parse().ok()?, key.to_owned())));
        place.ok_or_else(|| format!("{text:?} is no place in this list"))
    }
}

/// Which part of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Behind this place; from the beginning without one.
    pub(crate) after: Option<Place>,
    /// At most so many rows.
    pub(crate) limit: u32,
    /// Whether the list begins with its newest row.
    pub(crate) newest_first: bool,
}

impl Page {
    /// The first rows, the newest first.
    pub(crate) fn newest(limit: u32) -> Self {
        Self {
            after: None,
            limit,
            newest_first: true,
        }
    }

    /// The place that all rows are behind.
    fn from(&self) -> Place {
        let beginning = || match self.newest_first {
            true => Place(i64::MAX, "\u{10FFFF}".into()),
            false => Place(i64::MIN, String::new()),
        };
        self.after.clone().unwrap_or_else(beginning)
    }
}

/// The rest of a statement that reads a part of a list, in both directions: rows that fit a condition, by time and key.
/// `$1`, `$2` and `$3` are time, key and limit; `$4` is the condition's.
macro_rules! by_time {
    ($select:ident, $at:literal, $key:literal $(, $condition:literal)?) => {
        [
            $select!("WHERE ", $($condition, " AND ",)? "(", $at, ", ", $key, ") > ($1, $2) ORDER BY ", $at, ", ", $key, " LIMIT $3"),
            $select!("WHERE ", $($condition, " AND ",)? "(", $at, ", ", $key, ") < ($1, $2) ORDER BY ", $at, " DESC, ", $key, " DESC LIMIT $3"),
        ]
    };
}
pub(super) use by_time;

/// The same by number: `$1` and `$2` are number and limit.
macro_rules! by_number {
    ($select:ident, $number:literal $(, $condition:literal)?) => {
        [
            $select!("WHERE ", $($condition, " AND ",)? $number, " > $1 ORDER BY ", $number, " LIMIT $2"),
            $select!("WHERE ", $($condition, " AND ",)? $number, " < $1 ORDER BY ", $number, " DESC LIMIT $2"),
        ]
    };
}
pub(super) use by_number;

impl Tx<'_> {
    /// A part of a list by time and key; `more` is the condition's value, where the statements have one.
    pub(super) async fn part_by_time<T>(
        self,
        statements: [&'static str; 2],
        page: &Page,
        more: Option<&str>,
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        let Place(at, key) = page.from();
        let mut values = vec![Value::from(at), Value::from(&key), limit(page)];
        values.extend(more.map(Value::from));
        let sql = statements[usize::from(page.newest_first)];
        self.all(sql, &values, read).await
    }

    /// A part of a list by number.
    pub(super) async fn part_by_number<T>(
        self,
        statements: [&'static str; 2],
        page: &Page,
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        let values = [Value::from(page.from().0), limit(page)];
        let sql = statements[usize::from(page.newest_first)];
        self.all(sql, &values, read).await
    }
}

fn limit(page: &Page) -> Value<'static> {
    Value::from(i64::from(page.limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for place in [Place(-3, String::new()), Place(7, "a.b/ü".into())] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "7", "x.y", "."] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
