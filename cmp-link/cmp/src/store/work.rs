//! Orders, calls and reports as statements, with the lines that they write into the history; and the claim of calls that
//! are due.

use super::Stored;
use super::look::Claim;
use super::row::{self, select_call};
use super::write::{account_id, statement};
use aid_cmp_core::decide::call::{LONGEST_CLAIM, MAX_PAUSE};
use aid_cmp_core::model::{Call, CallKind, Order, ProfileStatus, Report};
use aid_id::{Iccid, Id};
use aid_store::{Statement, Tx, params};
use aid_wire::{OrderKind, Status};

/// A line of the history of an order, where there is such an order.
pub(super) fn of_order(id: Id, at: u64, event: impl Into<String>, detail: String) -> Statement {
    statement!(
        "INSERT INTO history (work, at, event, detail) \
         SELECT id, $2, $3, $4 FROM vehicle_order WHERE id = $1",
        id,
        at,
        event.into(),
        detail,
    )
}

/// A line of the history of a call, where there is such a call: one that is purged while it is made leaves none.
pub(super) fn of_call(id: Id, at: u64, event: impl Into<String>, detail: String) -> Statement {
    statement!(
        "INSERT INTO history (work, at, event, detail) \
         SELECT id, $2, $3, $4 FROM outbox WHERE id = $1",
        id,
        at,
        event.into(),
        detail,
    )
}

/// The word of a status of a report.
fn status_text(status: Status) -> &'static str {
    ProfileStatus::from(status).as_str()
}

/// What tells a report from every other with the same count.
pub(super) fn report_digest(report: &Report) -> String {
    let iccid = report.iccid.as_ref().map_or("", Iccid::as_str);
    let account = report.account.map(|a| uuid::Uuid::from_bytes(a.0));
    let account = account.map(|id| id.to_string()).unwrap_or_default();
    let status = status_text(report.status);
    format!("{status}|{iccid}|{account}|{}", report.code)
}

pub(super) fn add_report(r: Report) -> Statement {
    let digest = report_digest(&r);
    statement!(
        "INSERT INTO report (eid, seq, digest, iccid, account, status, code, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        String::from(r.eid),
        r.seq,
        digest,
        r.iccid.map(String::from),
        account_id(r.account),
        status_text(r.status),
        r.code,
        r.received_at,
    )
}

pub(super) fn add_order(o: Order) -> Statement {
    let (kind, iccid, account) = match o.kind {
        // Whose it is, its link says.
        OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } => {
            ("delete", Some(iccid), None)
        }
        OrderKind::Disable { iccid } => ("disable", Some(iccid), None),
        OrderKind::Logout { account } => ("logout", None, Some(account)),
        OrderKind::DeleteAll => ("delete-all", None, None),
        OrderKind::FactoryReset => ("factory-reset", None, None),
        OrderKind::Erase { account } => ("erase", None, Some(account)),
    };
    statement!(
        "INSERT INTO vehicle_order (id, eid, kind, iccid, account, reason, state, code, attempts, \
         created_at, sent_at, closed_at, federation, correlation) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        o.id,
        String::from(o.eid),
        kind,
        iccid.map(String::from),
        account_id(account),
        o.reason,
        o.state.as_str(),
        o.code,
        o.attempts,
        o.created_at,
        o.sent_at,
        o.closed_at,
        o.federation,
        o.correlation,
    )
}

/// The statements of a new call. One that asks for the profiles of a subscription is noted there: the next is due a time
/// after it.
pub(super) fn add_call(c: Call) -> Vec<Statement> {
    let asked = (c.kind == CallKind::Query).then(|| {
        statement!(
            "UPDATE federation SET synced_at = $1 WHERE msp = $2 AND token = $3",
            c.created_at,
            c.msp.clone(),
            *c.token.as_bytes(),
        )
    });
    // Behind a call that waits it waits as long, so that a look for what is due does not find it again and again.
    let add = statement!(
        "INSERT INTO outbox (id, msp, lane, kind, token, correlation, body, attempts, next_at, state, \
         last_error, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
         (SELECT MAX(at) FROM (SELECT CAST($9 AS BIGINT) AS at UNION ALL SELECT next_at FROM outbox \
         WHERE msp = $2 AND lane = $3 AND state = 'due') AS waits), $10, $11, $12)",
        c.id,
        c.msp,
        c.lane,
        c.kind.as_str(),
        *c.token.as_bytes(),
        c.correlation,
        c.body,
        c.attempts,
        c.next_at,
        c.state.as_str(),
        c.last_error,
        c.created_at,
    );
    std::iter::once(add).chain(asked).collect()
}

/// The calls behind one that is put off wait as long.
pub(super) fn put_off_lane(id: Id, until: u64) -> Statement {
    statement!(
        "UPDATE outbox SET next_at = $1 WHERE state = 'due' AND next_at < $1 \
         AND msp = (SELECT msp FROM outbox WHERE id = $2 AND state = 'due') \
         AND lane = (SELECT lane FROM outbox WHERE id = $2)",
        until,
        id,
    )
}

/// The calls behind one that has ended, or is made now, wait no longer.
pub(super) fn let_lane_go(id: Id) -> Statement {
    statement!(
        "UPDATE outbox SET next_at = created_at WHERE state = 'due' AND next_at > created_at \
         AND msp = (SELECT msp FROM outbox WHERE id = $1) \
         AND lane = (SELECT lane FROM outbox WHERE id = $1)",
        id,
    )
}

/// Takes calls of one MSP and kind for one instance of several: the first of each lane only. The lane's order holds
/// because a claimed call is still due: those behind it wait. What this instance has claimed itself it gets again. A claim
/// that is longer than any ($5) was made under a wrong clock.
///
/// Another instance may claim the same at once. Then PostgreSQL waits for it and looks at the row again, so that the
/// conditions come twice.
///
/// Besides what it yields it looks at calls that are claimed, which are few, and at those behind them.
const CLAIM: &str = concat!(
    "UPDATE outbox SET claimed_by = $1, claimed_until = $2 WHERE id IN \
     (SELECT o.id FROM outbox o WHERE o.state = 'due' AND o.msp = $6 AND o.kind = $7 AND o.next_at <= $3 \
     AND (o.claimed_until <= $3 OR o.claimed_until > $5 OR o.claimed_by = $1) \
     AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.msp = o.msp AND e.lane = o.lane \
     AND e.state = 'due' AND e.position < o.position) ORDER BY o.next_at, o.position LIMIT $4) \
     AND state = 'due' AND next_at <= $3 \
     AND (claimed_until <= $3 OR claimed_until > $5 OR claimed_by = $1) RETURNING ",
    select_call!(columns)
);

/// Due is also what a wrong clock put off for longer than any pause.
const DUE_AFTER_ALL: &str = "UPDATE outbox SET next_at = $1 WHERE id IN (SELECT id FROM outbox \
     WHERE state = 'due' AND msp = $2 AND kind = $3 AND next_at > $4 LIMIT 100)";

pub(super) async fn claim(tx: &Tx<'_>, claim: &Claim) -> Stored<Vec<Call>> {
    let Claim { who, msp, now, .. } = claim;
    let (kind, now) = (claim.kind.as_str(), *now);
    let latest = now.saturating_add(MAX_PAUSE);
    tx.run(DUE_AFTER_ALL, params![now, msp, kind, latest])
        .await?;
    let longest = now.saturating_add(LONGEST_CLAIM);
    let values = params![who, claim.until, now, claim.limit, longest, msp, kind];
    tx.run_returning(CLAIM, values, row::call).await
}

pub(super) async fn renew(tx: &Tx<'_>, who: &str, until: u64) -> Stored<()> {
    let renew = "UPDATE outbox SET claimed_until = $2 WHERE state = 'due' AND claimed_by = $1 \
         AND claimed_until > 0";
    tx.run(renew, params![who, until]).await?;
    Ok(())
}

pub(super) async fn release(tx: &Tx<'_>, who: &str) -> Stored<()> {
    let release = "UPDATE outbox SET claimed_until = 0 WHERE state = 'due' AND claimed_by = $1 \
         AND claimed_until > 0";
    tx.run(release, params![who]).await?;
    Ok(())
}
