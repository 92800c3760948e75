//! Many rows in one statement: what calls of Send Activation Code are about, and the rows that they
//! write. A statement to either database costs more than a row does.
//! Called by `read` and `changes`.

use super::changes::{Statement, number};
use super::row::{Columns, id_text};
use super::{SqlStore, Stored};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{Answered, CodeRequest, Federation, Profile};
use aid_id::{Iccid, Id, MspToken};
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What a call of Send Activation Code (§7.7.2.1) names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeKey {
    /// Its CMP-request-id.
    pub request_id: Id,
    /// The subscription.
    pub token: MspToken,
    /// `activationCodeRequestID`, where it has one.
    pub request: Option<Id>,
    /// The correlation-id, where it has none.
    pub correlation: Id,
    /// The profile.
    pub iccid: Option<Iccid>,
}

/// What is known of all that some calls name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeRows {
    /// Earlier answers under their CMP-request-ids.
    pub answered: Vec<Answered>,
    /// Subscriptions of this MSP with their tokens.
    pub federations: Vec<Federation>,
    /// Requests with their ids, and those of the subscriptions with their correlation-ids; newest first.
    pub requests: Vec<CodeRequest>,
    /// Profiles of the subscriptions, and whatever has their ICCIDs; least recently used first.
    pub profiles: Vec<Profile>,
}

impl CodeRows {
    /// Those of a subscription.
    pub fn profiles_of(&self, federation: Id) -> impl Iterator<Item = &Profile> {
        self.profiles
            .iter()
            .filter(move |p| p.federation == federation)
    }
}

/// Rows of one statement that writes, at most.
const ROWS: usize = 32;

/// As many values as the next power of two, so that few different statements are prepared. No column
/// has the empty text that fills them up.
fn padded(mut values: Vec<String>) -> Vec<String> {
    let count = values.len().next_power_of_two();
    values.resize(count, String::new());
    values
}

/// `$from, ...`
fn places(from: usize, count: usize) -> String {
    let mut out = String::new();
    for n in from..from + count {
        // Writing into a String does not fail.
        let _ = write!(out, "{}${n}", if n == from { "" } else { ", " });
    }
    out
}

/// A statement with lists of texts: each `{}` is the places of the next list.
fn listed(sql: &str, first: &[&str], lists: Vec<Vec<String>>) -> Statement<'static> {
    let mut text = String::new();
    let mut from = first.len() + 1;
    let mut parts = sql.split("{}");
    text.push_str(parts.next().unwrap_or_default());
    let lists: Vec<_> = lists.into_iter().map(padded).collect();
    for (part, list) in parts.zip(&lists) {
        text.push_str(&places(from, list.len()));
        text.push_str(part);
        from += list.len();
    }
    let mut query = sqlx::query(AssertSqlSafe(text));
    for value in first {
        query = query.bind((*value).to_owned());
    }
    for value in lists.into_iter().flatten() {
        query = query.bind(value);
    }
    query
}

impl SqlStore {
    pub(super) async fn load_codes(
        &self,
        msp: &str,
        client: &str,
        keys: &[&CodeKey],
    ) -> Stored<CodeRows> {
        let of = |key: fn(&CodeKey) -> Option<String>| -> Vec<String> {
            keys.iter().filter_map(|k| key(k)).collect()
        };
        let q = listed(
            "SELECT * FROM idempotency WHERE client = $1 AND request_id IN ({})",
            &[client],
            vec![of(|k| Some(id_text(k.request_id)))],
        );
        let answered = self.many(q, Columns::answered).await?;
        let q = listed(
            "SELECT * FROM federation WHERE msp = $1 AND token IN ({})",
            &[msp],
            vec![of(|k| Some(k.token.to_string()))],
        );
        let federations = self.many(q, Columns::federation).await?;
        if federations.is_empty() {
            let (requests, profiles) = (Vec::new(), Vec::new());
            return Ok(CodeRows {
                answered,
                federations,
                requests,
                profiles,
            });
        }
        let own: Vec<String> = federations.iter().map(|f| id_text(f.id)).collect();
        let q = listed(
            "SELECT * FROM code_request WHERE id IN ({}) OR (federation IN ({}) \
             AND correlation IN ({})) ORDER BY created_at DESC, id",
            &[],
            vec![
                of(|k| k.request.map(id_text)),
                own.clone(),
                of(|k| Some(id_text(k.correlation))),
            ],
        );
        let requests = self.many(q, Columns::request).await?;
        let q = listed(
            "SELECT * FROM profile WHERE federation IN ({}) OR iccid IN ({}) \
             ORDER BY last_used, iccid",
            &[],
            vec![own, of(|k| k.iccid.as_ref().map(Iccid::to_string))],
        );
        let profiles = self.many(q, Columns::profile).await?;
        Ok(CodeRows {
            answered,
            federations,
            requests,
            profiles,
        })
    }
}

/// What can be written with several rows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Profile,
    Request,
    Answered,
}

impl Table {
    fn of(change: &Change) -> Option<(Self, String)> {
        Some(match change {
            Change::PutProfile(p) => (
                Self::Profile,
                format!("{}/{}", p.iccid, id_text(p.federation)),
            ),
            Change::PutRequest(r) => (Self::Request, id_text(r.id)),
            Change::Remember(a) => (
                Self::Answered,
                format!("{}/{}", a.client, id_text(a.request_id)),
            ),
            _ => return None,
        })
    }

    /// What stands before the rows, how many values a row has, and what stands after them.
    fn sql(self) -> (&'static str, usize, &'static str) {
        match self {
            Self::Profile => (
                "INSERT INTO profile (iccid, federation, eid, state, msp_state, last_used, created_at) \
                 VALUES ",
                7,
                " ON CONFLICT (iccid, federation) DO UPDATE SET eid = excluded.eid, \
                 state = excluded.state, msp_state = excluded.msp_state, \
                 last_used = excluded.last_used",
            ),
            Self::Request => (
                "INSERT INTO code_request (id, car_request, eid, account, federation, correlation, \
                 replace_iccid, state, code, iccid, swapped, error_code, error, created_at, \
                 expires_at, delivered_at, changed_at) VALUES ",
                17,
                " ON CONFLICT (id) DO UPDATE SET car_request = excluded.car_request, \
                 state = excluded.state, code = excluded.code, iccid = excluded.iccid, \
                 swapped = excluded.swapped, error_code = excluded.error_code, \
                 error = excluded.error, delivered_at = excluded.delivered_at, \
                 expires_at = excluded.expires_at, changed_at = excluded.changed_at",
            ),
            Self::Answered => (
                "INSERT INTO idempotency (client, request_id, digest, status, body, at) VALUES ",
                6,
                "",
            ),
        }
    }

    fn statement(self, rows: Vec<Change>) -> Statement<'static> {
        let (before, width, after) = self.sql();
        let mut text = before.to_owned();
        for n in 0..rows.len() {
            let comma = if n == 0 { "" } else { ", " };
            // Writing into a String does not fail.
            let _ = write!(text, "{comma}({})", places(1 + n * width, width));
        }
        text.push_str(after);
        let query = sqlx::query(AssertSqlSafe(text));
        rows.into_iter().fold(query, bind)
    }
}

/// Adds a row's values.
fn bind(query: Statement<'static>, row: Change) -> Statement<'static> {
    match row {
        Change::PutProfile(p) => query
            .bind(p.iccid.to_string())
            .bind(id_text(p.federation))
            .bind(p.eid.to_string())
            .bind(p.status.as_str())
            .bind(p.verdict.as_str())
            .bind(number(p.last_used))
            .bind(number(p.created_at)),
        Change::PutRequest(r) => query
            .bind(id_text(r.id))
            .bind(id_text(r.car_request))
            .bind(r.eid.to_string())
            .bind(id_text(r.account.0))
            .bind(id_text(r.federation))
            .bind(id_text(r.correlation))
            .bind(r.replace_iccid.map(String::from))
            .bind(r.state.as_str())
            .bind(r.code.map(|c| c.expose().to_owned()))
            .bind(r.iccid.map(String::from))
            .bind(r.swapped.map(String::from))
            .bind(r.error_code.map(i64::from))
            .bind(r.error)
            .bind(number(r.created_at))
            .bind(number(r.expires_at))
            .bind(r.delivered_at.map(number))
            .bind(number(r.changed_at)),
        Change::Remember(a) => query
            .bind(a.client)
            .bind(id_text(a.request_id))
            .bind(a.digest)
            .bind(i64::from(a.status))
            .bind(a.body)
            .bind(number(a.at)),
        _ => query,
    }
}

/// The statements of changes that follow each other: rows of one table share one, as long as none of
/// them comes twice. Powers of two, so that few different statements are prepared.
pub(super) fn statements(
    changes: Vec<Change>,
    alone: fn(Change) -> Vec<Statement<'static>>,
) -> Vec<Statement<'static>> {
    let mut list = Vec::new();
    let mut changes = changes.into_iter().peekable();
    while let Some(change) = changes.next() {
        let Some((table, key)) = Table::of(&change) else {
            list.extend(alone(change));
            continue;
        };
        let mut keys = BTreeSet::from([key]);
        let mut rows = vec![change];
        while rows.len() < ROWS
            && let Some(next) = changes.next_if(|next| {
                let of = Table::of(next).filter(|(t, _)| *t == table);
                of.is_some_and(|(_, key)| keys.insert(key))
            })
        {
            rows.push(next);
        }
        while !rows.is_empty() {
            let rest = rows.split_off(1 << rows.len().ilog2());
            list.push(table.statement(rows));
            rows = rest;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(n: u8) -> Change {
        Change::Remember(Answered {
            client: "m".into(),
            request_id: [n; 16],
            digest: "d".into(),
            status: 200,
            body: String::new(),
            at: 1,
        })
    }

    #[test]
    fn rows_of_one_table_share_statements_unless_one_comes_twice() {
        let count = |ids: &[u8]| {
            let changes = ids.iter().map(|n| remember(*n)).collect();
            statements(changes, |_| Vec::new()).len()
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[1]), 1);
        assert_eq!(count(&[1, 2, 3, 4]), 1);
        assert_eq!(count(&[1, 2, 3, 4, 5, 6, 7]), 3);
        assert_eq!(count(&[1, 1]), 2);
        assert_eq!(count(&(0..40).collect::<Vec<_>>()), 2);
    }

    #[test]
    fn lists_are_numbered_and_filled_up() {
        assert_eq!(places(3, 2), "$3, $4");
        assert_eq!(padded(vec!["a".into(); 3]).len(), 4);
        assert_eq!(padded(Vec::new()), [""]);
    }
}
