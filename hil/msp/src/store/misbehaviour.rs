//! Misbehaviours that were asked for, and what became of them.

use aid_aid1::headers::PartyId;
use aid_store::writer::Transaction;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, Stored, number, optional, parsed, text};
use crate::misbehave::{Fired, Name, NewRule, Parameters, Place, chance};

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) id: i64,
    pub(crate) name: Name,
    pub(crate) operation: Option<Place>,
    pub(crate) cmp: Option<PartyId>,
    /// How often it still acts; no end if absent.
    pub(crate) remaining: Option<i64>,
    pub(crate) skip: i64,
    /// Millionths.
    pub(crate) probability: i64,
    pub(crate) seed: i64,
    pub(crate) seen: i64,
    pub(crate) fired: i64,
    pub(crate) parameters: Parameters,
}

/// Something that was done on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    pub(crate) at: i64,
    /// The rule; none for a call that was asked for directly.
    pub(crate) rule: Option<i64>,
    pub(crate) name: String,
    pub(crate) operation: String,
    pub(crate) client_id: String,
    /// The other side's HTTP status, where we called.
    pub(crate) status: Option<i64>,
    pub(crate) code: Option<String>,
    pub(crate) note: String,
}

/// An event before it has a number.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) rule: Option<i64>,
    pub(crate) name: &'a str,
    pub(crate) operation: Place,
    pub(crate) client_id: &'a PartyId,
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) note: String,
}

fn read(row: &AnyRow) -> Stored<Rule> {
    let word = |column: &'static str| -> Stored<Option<String>> { optional(row, column) };
    let parameters = text(row, "parameters")?;
    let unreadable = |value: String| StoreError::Value {
        column: "parameters",
        value,
    };
    Ok(Rule {
        id: number(row, "id")?,
        name: parsed(row, "name")?,
        operation: match word("operation")? {
            None => None,
            Some(_) => Some(parsed(row, "operation")?),
        },
        cmp: match word("client_id")? {
            None => None,
            Some(_) => Some(parsed(row, "client_id")?),
        },
        remaining: row.try_get("remaining")?,
        skip: number(row, "skip")?,
        probability: number(row, "probability")?,
        seed: number(row, "seed")?,
        seen: number(row, "seen")?,
        fired: number(row, "fired")?,
        parameters: serde_json::from_str(&parameters).map_err(|_| unreadable(parameters))?,
    })
}

async fn add_event(tx: &mut Transaction, event: &NewEvent<'_>, now: i64) -> Stored<()> {
    sqlx::query(
        "INSERT INTO event (at, misbehaviour, name, operation, client_id, status, code, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(now)
    .bind(event.rule)
    .bind(event.name)
    .bind(event.operation.as_str())
    .bind(event.client_id.as_str())
    .bind(event.status.map(i64::from))
    .bind(event.code.clone())
    .bind(event.note.clone())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

impl Store {
    /// Adds a rule; yields its id.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_rule(&self, rule: &NewRule, now: i64) -> Stored<i64> {
        let parameters = serde_json::to_string(&rule.parameters).unwrap_or_else(|_| "{}".into());
        let row = sqlx::query(
            "INSERT INTO misbehaviour (name, operation, client_id, remaining, skip, probability, seed, seen, fired, parameters, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9) RETURNING id",
        )
        .bind(rule.name.as_str())
        .bind(rule.operation.map(Place::as_str))
        .bind(rule.cmp.as_ref().map(|c| c.as_str().to_owned()))
        .bind(rule.times.map(i64::from))
        .bind(i64::from(rule.skip))
        .bind(rule.probability)
        .bind(i64::from(rule.seed))
        .bind(parameters)
        .bind(now)
        .fetch_one(&self.writer)
        .await?;
        Ok(row.try_get(0)?)
    }

    /// All rules, also those that have acted as often as they should.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn rules(&self) -> Stored<Vec<Rule>> {
        let rows = sqlx::query("SELECT * FROM misbehaviour ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Removes one rule or all; yields how many there were.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn clear_rules(&self, id: Option<i64>) -> Stored<u64> {
        let query = match id {
            Some(id) => sqlx::query("DELETE FROM misbehaviour WHERE id = $1").bind(id),
            None => sqlx::query("DELETE FROM misbehaviour"),
        };
        Ok(query.execute(&self.writer).await?.rows_affected())
    }

    /// The rules that act at this opportunity. Each that could have acted has one opportunity less.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn fire(
        &self,
        place: Place,
        client: &PartyId,
        fits: impl Fn(Name) -> bool + Send,
        now: i64,
    ) -> Stored<Vec<Fired>> {
        let wanted = |rule: &Rule| {
            rule.remaining.is_none_or(|n| n > 0)
                && rule
                    .operation
                    .map_or_else(|| rule.name.places().contains(&place), |p| p == place)
                && rule.cmp.as_ref().is_none_or(|c| c == client)
                && fits(rule.name)
        };
        // Most of the time there is nothing, and no reason to take the write lock.
        if !self.rules().await?.iter().any(&wanted) {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let rows = sqlx::query("SELECT * FROM misbehaviour ORDER BY id")
            .fetch_all(&mut tx)
            .await?;
        let mut acting = Vec::new();
        for rule in rows.iter().map(read).collect::<Stored<Vec<_>>>()? {
            if !wanted(&rule) {
                continue;
            }
            let acts = rule.seen >= rule.skip && chance(rule.seed, rule.seen, rule.probability);
            sqlx::query(
                "UPDATE misbehaviour SET seen = seen + 1, fired = fired + $1, remaining = remaining - $1 WHERE id = $2",
            )
            .bind(i64::from(acts))
            .bind(rule.id)
            .execute(&mut tx)
            .await?;
            if acts {
                tracing::warn!(name = rule.name.as_str(), place = place.as_str(), %client, "misbehaves on purpose");
                // What a call of ours was answered is noted when it was.
                let event = NewEvent {
                    rule: Some(rule.id),
                    name: rule.name.as_str(),
                    operation: place,
                    client_id: client,
                    status: None,
                    code: None,
                    note: String::new(),
                };
                add_event(&mut tx, &event, now).await?;
                acting.push(Fired {
                    rule: rule.id,
                    name: rule.name,
                    parameters: rule.parameters,
                });
            }
        }
        tx.commit().await?;
        Ok(acting)
    }

    /// Notes what a call of ours was answered.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_event(&self, event: &NewEvent<'_>, now: i64) -> Stored<()> {
        let mut tx = self.write().await?;
        add_event(&mut tx, event, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The events after `seq`, oldest first; at most 1000.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn events(&self, seq: i64) -> Stored<Vec<Event>> {
        let rows = sqlx::query("SELECT * FROM event WHERE seq > $1 ORDER BY seq LIMIT 1000")
            .bind(seq)
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &AnyRow| {
            Ok(Event {
                seq: number(row, "seq")?,
                at: number(row, "at")?,
                rule: row.try_get("misbehaviour")?,
                name: text(row, "name")?,
                operation: text(row, "operation")?,
                client_id: text(row, "client_id")?,
                status: row.try_get("status")?,
                code: optional(row, "code")?,
                note: text(row, "note")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
