//! Misbehaviours that were asked for, and what became of them: reads, and the changes of `misbehave`.

use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::tx::{number, optional, parsed, parsed_optional, text};
use super::{StoreError, Stored, Tx, Write};
use crate::misbehave::{Event, NewEvent, Place, Rule, RuleChange};

fn rule(row: &AnyRow) -> Stored<Rule> {
    let parameters = text(row, "parameters")?;
    let unreadable = |value: String| StoreError::Value {
        column: "parameters",
        value,
    };
    Ok(Rule {
        id: number(row, "id")?,
        name: parsed(row, "name")?,
        operation: parsed_optional(row, "operation")?,
        cmp: parsed_optional(row, "client_id")?,
        remaining: row.try_get("remaining")?,
        skip: number(row, "skip")?,
        probability: number(row, "probability")?,
        seed: number(row, "seed")?,
        seen: number(row, "seen")?,
        fired: number(row, "fired")?,
        parameters: serde_json::from_str(&parameters).map_err(|_| unreadable(parameters))?,
    })
}

impl Tx {
    /// All rules, also those that have acted as often as they should.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn rules(&mut self) -> Stored<Vec<Rule>> {
        let rows = self
            .all(query("SELECT * FROM misbehaviour ORDER BY id"))
            .await?;
        rows.iter().map(rule).collect()
    }

    /// The events after `seq`, oldest first; at most 1000.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn events(&mut self, seq: i64) -> Stored<Vec<Event>> {
        let sql = query("SELECT * FROM event WHERE seq > $1 ORDER BY seq LIMIT 1000").bind(seq);
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
        self.all(sql).await?.iter().map(read).collect()
    }

    async fn add_rule(&mut self, rule: &Rule, at: i64) -> Stored<()> {
        let parameters = serde_json::to_string(&rule.parameters).unwrap_or_else(|_| "{}".into());
        let sql = query(
            "INSERT INTO misbehaviour (id, name, operation, client_id, remaining, skip, probability, seed, seen, fired, parameters, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(rule.id)
        .bind(rule.name.as_str())
        .bind(rule.operation.map(Place::as_str))
        .bind(rule.cmp.as_ref().map(|c| c.as_str().to_owned()))
        .bind(rule.remaining)
        .bind(rule.skip)
        .bind(rule.probability)
        .bind(rule.seed)
        .bind(rule.seen)
        .bind(rule.fired)
        .bind(parameters)
        .bind(at);
        self.run(sql).await
    }

    async fn add_event(&mut self, event: &NewEvent, at: i64) -> Stored<()> {
        let sql = query(
            "INSERT INTO event (at, misbehaviour, name, operation, client_id, status, code, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(at)
        .bind(event.rule)
        .bind(event.name.as_str())
        .bind(event.operation.as_str())
        .bind(event.client_id.as_str())
        .bind(event.status.map(i64::from))
        .bind(event.code.clone())
        .bind(event.note.as_str());
        self.run(sql).await
    }
}

impl Write for RuleChange {
    async fn write(self, tx: &mut Tx) -> Stored<()> {
        match self {
            Self::Added { rule, at } => tx.add_rule(&rule, at).await,
            Self::Set(rule) => {
                let sql = query(
                    "UPDATE misbehaviour SET seen = $1, fired = $2, remaining = $3 WHERE id = $4",
                );
                let sql = sql.bind(rule.seen).bind(rule.fired).bind(rule.remaining);
                tx.run(sql.bind(rule.id)).await
            }
            Self::Removed(id) => {
                tx.run(query("DELETE FROM misbehaviour WHERE id = $1").bind(id))
                    .await
            }
            Self::Event { event, at } => tx.add_event(&event, at).await,
        }
    }
}
