//! Which cars are connected, and to which instance. An instance renews its own row; where it stops to do so, because it was
//! killed or cut off, its cars count as disconnected from then on, whoever asks.

use super::look::{Contact, Instance, Presence};
use super::write::statement;
use super::{Stored, Tx};
use aid_id::{Eid, Id};
use aid_store::{Fields, Statement, params};

/// An instance that has not renewed its row for so long is gone, ms. Clocks of instances must differ by less.
pub const LEASE: u64 = 60_000;
/// A row that claims to be renewed so far in the future was written under a wrong clock, ms.
const FUTURE: u64 = 24 * 3600 * 1000;
/// Cars that one statement disconnects at most: others get their turn.
const ROWS: u64 = 500;

/// The times from and to which a renewal is that of a running instance.
fn living(now: u64) -> (u64, u64) {
    (now.saturating_sub(LEASE), now.saturating_add(FUTURE))
}

pub(super) async fn beat(tx: &aid_store::Tx<'_>, own: &Instance, now: u64) -> Stored<bool> {
    let renew = "UPDATE instance SET beat_at = $1 WHERE id = $2";
    if tx.run(renew, params![now, own.id]).await? > 0 {
        return Ok(true);
    }
    let begin = "INSERT INTO instance (id, name, started_at, beat_at) VALUES ($1, $2, $3, $4)";
    let values = params![own.id, &own.name, own.started_at, now];
    tx.run(begin, values).await?;
    Ok(false)
}

fn statements(instance: Id, contact: &Contact) -> Vec<Statement> {
    let eid = String::from(contact.eid);
    let mut list = Vec::new();
    if contact.is_new {
        list.push(statement!(
            "INSERT INTO presence (eid, instance, connected_at, heard_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (eid) DO UPDATE SET instance = excluded.instance, \
             connected_at = excluded.connected_at, heard_at = excluded.heard_at, disconnected_at = NULL",
            eid.clone(),
            instance,
            contact.connected_at,
            contact.heard_at,
        ));
    }
    match contact.disconnected_at {
        // Where the car has connected to another instance meanwhile, that one's word counts.
        Some(at) => list.push(statement!(
            "UPDATE presence SET disconnected_at = $1, heard_at = $2 WHERE eid = $3 AND instance = $4",
            at,
            contact.heard_at,
            eid,
            instance,
        )),
        None if contact.is_new => {}
        // Behind a broker the messages of one connection come through any instance.
        None => list.push(statement!(
            "INSERT INTO presence (eid, instance, connected_at, heard_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (eid) DO UPDATE SET instance = excluded.instance, heard_at = excluded.heard_at, \
             connected_at = CASE WHEN presence.disconnected_at IS NULL THEN presence.connected_at \
             ELSE excluded.connected_at END, disconnected_at = NULL",
            eid,
            instance,
            contact.connected_at,
            contact.heard_at,
        )),
    }
    list
}

pub(super) async fn contacts(
    tx: &aid_store::Tx<'_>,
    instance: Id,
    contacts: &[Contact],
) -> Stored<()> {
    let list = contacts.iter().flat_map(|c| statements(instance, c));
    tx.write(&list.collect::<Vec<_>>()).await
}

pub(super) async fn end_gone(
    tx: &aid_store::Tx<'_>,
    now: u64,
    all_but: Option<Id>,
) -> Stored<bool> {
    let instances = "/* reads all: instances, which are few */ SELECT id, beat_at FROM instance";
    let read = |row: &mut Fields<'_>| Ok((row.id()?, row.number::<u64>()?));
    let (from, to) = living(now);
    let mut more = false;
    for (id, beat_at) in tx.all(instances, &[], read).await? {
        let is_gone = match all_but {
            Some(own) => id != own,
            None => !(from..=to).contains(&beat_at),
        };
        if !is_gone {
            continue;
        }
        // Its last word, unless the car connected after it.
        let end = "UPDATE presence SET disconnected_at = \
             CASE WHEN heard_at > $2 THEN heard_at ELSE $2 END WHERE eid IN \
             (SELECT eid FROM presence WHERE instance = $1 AND disconnected_at IS NULL LIMIT 500) \
             AND instance = $1 AND disconnected_at IS NULL";
        let ended = tx.run(end, params![id, beat_at.min(now)]).await?;
        if ended < ROWS {
            tx.run("DELETE FROM instance WHERE id = $1", params![id])
                .await?;
        } else {
            more = true;
        }
    }
    Ok(more)
}

pub(super) async fn forget(tx: &aid_store::Tx<'_>, id: Id) -> Stored<()> {
    tx.run("DELETE FROM instance WHERE id = $1", params![id])
        .await?;
    Ok(())
}

/// Columns of a car's presence, with the instance's name and its last renewal.
macro_rules! presence {
    ($rest:literal) => {
        concat!(
            "SELECT p.eid, i.name, p.connected_at, p.heard_at, p.disconnected_at, i.beat_at \
             FROM presence p LEFT JOIN instance i ON i.id = p.instance ",
            $rest
        )
    };
}

/// Reads a row; that of a car whose instance is gone is that of one that is not connected.
fn presence(row: &mut Fields<'_>, now: u64) -> Stored<Presence> {
    let (eid, instance) = (row.parsed()?, row.maybe_text()?);
    let (connected_at, heard_at): (u64, u64) = (row.number()?, row.number()?);
    let (disconnected_at, beat_at): (Option<u64>, Option<u64>) =
        (row.maybe_number()?, row.maybe_number()?);
    let (from, to) = living(now);
    let lives = beat_at.is_some_and(|at| (from..=to).contains(&at));
    let last = heard_at.max(beat_at.unwrap_or_default()).min(now);
    Ok(Presence {
        eid,
        instance: instance.filter(|_| lives),
        connected_at,
        heard_at,
        disconnected_at: disconnected_at.or((!lives).then_some(last)),
    })
}

impl Tx<'_> {
    /// Whether a car is connected at `now`; none: it never was.
    ///
    /// # Errors
    /// The database failed.
    pub async fn presence(&self, eid: Eid, now: u64) -> Stored<Option<Presence>> {
        let sql = presence!("WHERE p.eid = $1");
        let read = |row: &mut Fields<'_>| presence(row, now);
        self.tx.first(sql, params![eid.as_str()], read).await
    }

    /// Of the cars from `first` to `last`, those that were ever connected, by EID.
    ///
    /// # Errors
    /// The database failed.
    pub async fn presences(&self, first: Eid, last: Eid, now: u64) -> Stored<Vec<Presence>> {
        let sql = presence!("WHERE p.eid >= $1 AND p.eid <= $2 ORDER BY p.eid");
        let read = |row: &mut Fields<'_>| presence(row, now);
        let values = params![first.as_str(), last.as_str()];
        self.tx.all(sql, values, read).await
    }

    /// Cars that were last heard before this time, longest silence first: those behind `after`, at most `limit`. Retired
    /// ones are not among them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn silent(
        &self,
        before: u64,
        after: Option<(u64, Eid)>,
        limit: u32,
        now: u64,
    ) -> Stored<Vec<Presence>> {
        let sql = presence!(
            "WHERE p.heard_at < $1 AND (p.heard_at, p.eid) > ($2, $3) \
             ORDER BY p.heard_at, p.eid LIMIT $4"
        );
        let (at, eid) = after.map_or((0, String::new()), |(at, eid)| (at, eid.into()));
        let read = |row: &mut Fields<'_>| presence(row, now);
        self.tx
            .all(sql, params![before, at, eid, limit], read)
            .await
    }

    /// How many cars are connected at `now`, to all instances together. It looks at all of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn online(&self, now: u64) -> Stored<u64> {
        let sql = "/* reads all: counts, by an index */ SELECT COUNT(*) FROM presence p \
             JOIN instance i ON i.id = p.instance WHERE p.disconnected_at IS NULL \
             AND i.beat_at >= $1 AND i.beat_at <= $2";
        let (from, to) = living(now);
        let read = |row: &mut Fields<'_>| row.number();
        let count = self.tx.first(sql, params![from, to], read).await?;
        Ok(count.unwrap_or_default())
    }
}
