//! What is removed: an erased user, a purged subscription, and what is old.

use super::Stored;
use super::write::statement;
use aid_id::{AccountRef, Id};
use aid_store::{Fields, Statement, Tx, params};

/// A user's name, password, PIN, sessions and logins.
pub(super) fn erase_account(account: AccountRef) -> Vec<Statement> {
    let id = uuid::Uuid::from_bytes(account.0);
    let key = hex::encode(account.0);
    let mut list = vec![
        statement!(
            "UPDATE account SET name = $1, display_name = '', password = '', pin_mac = NULL \
             WHERE id = $2",
            format!("{}{id}", aid_cmp_core::decide::removal::ERASED),
            account.0,
        ),
        statement!(
            "DELETE FROM attempt WHERE key IN ($1, $2)",
            format!("car-code:{key}"),
            format!("password:{key}"),
        ),
    ];
    list.extend(with_id(&ERASE, account.0));
    list
}

const ERASE: [&str; 10] = [
    "DELETE FROM portal_session WHERE account = $1",
    "DELETE FROM vehicle_login WHERE account = $1",
    "DELETE FROM preference WHERE account = $1",
    "DELETE FROM user_preference WHERE account = $1",
    "DELETE FROM login_code WHERE account = $1",
    "UPDATE vehicle SET session = NULL WHERE session = $1",
    "DELETE FROM notice WHERE account = $1",
    "DELETE FROM onboarding WHERE account = $1 AND state <> 'done'",
    "DELETE FROM car_name WHERE account = $1",
    "DELETE FROM openid_identity WHERE account = $1",
];

/// An erased user's reference; what still belongs to it goes along (ON DELETE CASCADE), except a subscription, which
/// keeps its user.
pub(super) fn remove_account(account: AccountRef) -> Vec<Statement> {
    vec![statement!("DELETE FROM account WHERE id = $1", account.0)]
}

/// What is left of a subscription that ended: nothing. Its profiles, requests, holds and synchronisations go along with it
/// (ON DELETE CASCADE); what is found by its token or by its profiles goes before.
pub(super) fn purge_federation(federation: Id) -> Vec<Statement> {
    with_id(&PURGE, federation)
}

const PURGE: [&str; 5] = [
    "DELETE FROM report WHERE iccid IN (SELECT iccid FROM profile WHERE federation = $1)",
    "DELETE FROM history WHERE work IN (SELECT o.id FROM outbox o JOIN federation f \
     ON o.msp = f.msp AND o.token = f.token WHERE f.id = $1)",
    "DELETE FROM outbox WHERE id IN (SELECT o.id FROM outbox o JOIN federation f \
     ON o.msp = f.msp AND o.token = f.token WHERE f.id = $1)",
    "DELETE FROM onboarding WHERE sid IN (SELECT o.sid FROM onboarding o JOIN federation f \
     ON o.msp = f.msp AND o.token = f.token WHERE f.id = $1)",
    "DELETE FROM federation WHERE id = $1",
];

fn with_id(list: &[&'static str], id: Id) -> Vec<Statement> {
    list.iter().map(|sql| statement!(sql, id)).collect()
}

/// An hour, ms.
const HOUR: u64 = 3600 * 1000;
/// A day, ms.
const DAY: u64 = 24 * HOUR;
/// Rows that one statement of [`prune`] removes at most: others get their turn.
const ROWS: u64 = 500;
/// Age of closed calls, notices and reports that are removed, ms.
const KEPT: u64 = 90 * DAY;

/// DELETE of at most [`ROWS`] rows, which an index finds.
macro_rules! prune {
    ($table:literal ($key:literal) WHERE $condition:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $condition,
            " LIMIT 500)"
        )
    };
}

/// Statements and how old what they remove must be, ms. What makes repetitions harmless must be old by its order too,
/// unless its time was over within the last day: under a clock that is wrong by years everything is old. So the newest ten
/// thousand answers stay.
const PRUNE: [(&str, u64); 10] = [
    // A car that was away for so long has dropped it by itself.
    (
        prune!("verifier" ("eid, account") WHERE "expires_at < $1"),
        KEPT,
    ),
    (prune!("login_code" ("eid") WHERE "expires_at < $1"), HOUR),
    (
        prune!("idempotency" ("client, request_id") WHERE
            "at < $1 AND (at >= $1 - 86400000 OR at < \
             (SELECT at FROM idempotency ORDER BY at DESC LIMIT 1 OFFSET 9999)) ORDER BY at"),
        7 * DAY,
    ),
    (prune!("notice" ("id") WHERE "at < $1"), KEPT),
    (prune!("sync_run" ("id") WHERE "at < $1"), KEPT),
    (
        prune!("portal_session" ("token_hash") WHERE "expires_at < $1"),
        0,
    ),
    (
        prune!("desk_session" ("token_hash") WHERE "expires_at < $1"),
        0,
    ),
    // Also those that a wrong clock put a day or more into the future. The condition once more: a row that was locked when
    // it was found may be of now when it is deleted.
    (
        concat!(
            prune!("attempt" ("key") WHERE "since < $1 OR since > $1 + 172800000"),
            " AND (since < $1 OR since > $1 + 172800000)"
        ),
        DAY,
    ),
    // What nobody told for a week, because no [webhooks] is there: where it is, events are told and dropped by themselves.
    (
        prune!("webhook_event" ("webhook, event") WHERE "next_at < $1"),
        7 * DAY,
    ),
    (
        prune!("onboarding" ("sid") WHERE "state <> 'done' AND expires_at < $1"),
        30 * DAY,
    ),
];

/// Closed calls, with their history.
const CALLS: &str = "DELETE FROM outbox WHERE id IN \
     (SELECT id FROM outbox WHERE closed_at < $1 ORDER BY closed_at LIMIT 500) RETURNING id";

/// Old reports in the order of their time, behind one of them.
const REPORTS: &str = "SELECT received_at, eid, seq, digest FROM report \
     WHERE received_at < $1 AND (received_at, eid, seq, digest) > ($2, $3, $4, $5) \
     ORDER BY received_at, eid, seq, digest LIMIT 500";
/// Of those, what is old by its order too, or was over within the last day. The newest hundred of each car and epoch
/// stay: epochs are drawn at random, so that of two the higher is not the newer.
const REPORT: &str = "DELETE FROM report WHERE eid = $1 AND seq = $2 AND digest = $3 \
     AND (received_at >= $4 OR EXISTS (SELECT 1 FROM report n WHERE n.eid = $1 \
     AND n.seq > $2 AND n.seq >= $5 AND n.seq <= $6))";
/// So many of a car's reports of an epoch stay.
const NEWEST: u64 = 100;
/// Reports of an epoch, at most: an epoch is the upper half of a number.
const EPOCH: u64 = 1 << 32;

/// Where the removal has left off among old reports. Those that have to stay are not looked at again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept(Option<OldReport>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct OldReport {
    received_at: u64,
    eid: String,
    seq: u64,
    digest: String,
}

/// Removes what is old at this time, at most [`ROWS`] rows of each table; yields whether there may be more, and where it
/// has left off. What is kept is passed over once, and found again from the beginning when everything was seen.
pub(super) async fn prune(tx: &Tx<'_>, now: u64, from: &Kept) -> Stored<(bool, Kept)> {
    let mut more = false;
    for (sql, age) in PRUNE {
        more |= tx.run(sql, params![now.saturating_sub(age)]).await? >= ROWS;
    }
    let old = now.saturating_sub(KEPT);
    let calls = tx
        .run_returning(CALLS, params![old], |row| row.id())
        .await?;
    more |= calls.len() as u64 >= ROWS;
    let history = calls.into_iter();
    let history = history.map(|id| statement!("DELETE FROM history WHERE work = $1", id));
    tx.write(&history.collect::<Vec<_>>()).await?;
    let next = prune_reports(tx, old, from).await?;
    more |= next.0.is_some();
    Ok((more, next))
}

async fn prune_reports(tx: &Tx<'_>, old: u64, from: &Kept) -> Stored<Kept> {
    let page = match &from.0 {
        Some(r) => {
            let values = params![old, r.received_at, &r.eid, r.seq, &r.digest];
            tx.all(REPORTS, values, old_report).await?
        }
        // No time is below zero.
        None => {
            tx.all(REPORTS, params![old, -1_i64, "", 0_i64, ""], old_report)
                .await?
        }
    };
    let delete = page.iter().map(|r| {
        let newest = (r.seq / EPOCH)
            .saturating_mul(EPOCH)
            .saturating_add(EPOCH - 1);
        statement!(
            REPORT,
            r.eid.clone(),
            r.seq,
            r.digest.clone(),
            old.saturating_sub(DAY),
            r.seq.saturating_add(NEWEST),
            newest,
        )
    });
    tx.write(&delete.collect::<Vec<_>>()).await?;
    let is_full = page.len() as u64 >= ROWS;
    Ok(Kept(page.into_iter().next_back().filter(|_| is_full)))
}

fn old_report(row: &mut Fields<'_>) -> Stored<OldReport> {
    Ok(OldReport {
        received_at: row.number()?,
        eid: row.text()?,
        seq: row.number()?,
        digest: row.text()?,
    })
}
