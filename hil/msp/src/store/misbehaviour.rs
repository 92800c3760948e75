//! Misbehaviours that were asked for, and what became of them: reads, and the changes of `misbehave`.

use aid_store::{Fields, Statement, Value, params};

use super::write::statement;
use super::{StoreError, Stored, Tx, Write};
use crate::misbehave::{Event, NewEvent, Place, Rule, RuleChange};

fn rule(row: &mut Fields<'_>) -> Stored<Rule> {
    Ok(Rule {
        id: row.number()?,
        name: row.parsed()?,
        operation: row.maybe_parsed()?,
        cmp: row.maybe_parsed()?,
        remaining: row.maybe_i64()?,
        skip: row.number()?,
        probability: row.number()?,
        seed: row.number()?,
        seen: row.number()?,
        fired: row.number()?,
        parameters: serde_json::from_str(&row.text()?)
            .map_err(|_| StoreError::Unreadable("unknown parameters of a misbehaviour".into()))?,
    })
}

impl Tx<'_> {
    /// All rules, also those that have acted as often as they should.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn rules(self) -> Stored<Vec<Rule>> {
        let sql = "/* reads all: there are few */ SELECT id, name, operation, client_id, remaining, skip, probability, seed, seen, fired, parameters
                   FROM misbehaviour ORDER BY id";
        self.all(sql, &[], rule).await
    }

    /// The events after `seq`, oldest first; at most 1000.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn events(self, seq: i64) -> Stored<Vec<Event>> {
        let sql = "SELECT seq, at, misbehaviour, name, operation, client_id, status, code, note
                   FROM event WHERE seq > $1 ORDER BY seq LIMIT 1000";
        let read = |row: &mut Fields<'_>| {
            Ok(Event {
                seq: row.number()?,
                at: row.number()?,
                rule: row.maybe_i64()?,
                name: row.text()?,
                operation: row.text()?,
                client_id: row.text()?,
                status: row.maybe_number()?,
                code: row.maybe_text()?,
                note: row.text()?,
            })
        };
        self.all(sql, params![seq], read).await
    }
}

fn add_rule(rule: &Rule, at: i64) -> Statement {
    let parameters = serde_json::to_string(&rule.parameters).unwrap_or_else(|_| "{}".into());
    statement!(
        "INSERT INTO misbehaviour (id, name, operation, client_id, remaining, skip, probability, seed, seen, fired, parameters, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        rule.id,
        rule.name.as_str(),
        rule.operation.map(Place::as_str),
        rule.cmp.as_ref().map(|c| c.as_str().to_owned()),
        rule.remaining,
        rule.skip,
        rule.probability,
        rule.seed,
        rule.seen,
        rule.fired,
        parameters,
        at,
    )
}

fn add_event(event: NewEvent, at: i64) -> Statement {
    statement!(
        "INSERT INTO event (at, misbehaviour, name, operation, client_id, status, code, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        at,
        event.rule,
        event.name.as_str(),
        event.operation.as_str(),
        event.client_id.as_str().to_owned(),
        event.status,
        event.code,
        event.note,
    )
}

impl Write for RuleChange {
    fn write(self, to: &mut Vec<Statement>) {
        to.push(match self {
            Self::Added { rule, at } => add_rule(&rule, at),
            Self::Set(rule) => statement!(
                "UPDATE misbehaviour SET seen = $1, fired = $2, remaining = $3 WHERE id = $4",
                rule.seen,
                rule.fired,
                rule.remaining,
                rule.id,
            ),
            Self::Removed(id) => statement!("DELETE FROM misbehaviour WHERE id = $1", id),
            Self::Event { event, at } => add_event(event, at),
        });
    }
}
