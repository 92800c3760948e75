//! Changes of orders, calls, requests, reports and what was answered, each as one SQL statement, and the
//! lines that they write into the history.
//! Called by `changes`.

use super::changes::{Statement, maybe_id, number};
use super::read::report_digest;
use super::row::{id_text, status_text};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::CallState;
use aid_id::Id;
use aid_wire::OrderKind;

/// The line that a change writes into the history of its order or call.
pub(super) fn happened(change: &Change) -> Statement<'static> {
    let (work, at, event, detail) = match change {
        Change::AddOrder(o) => (o.id, o.created_at, "given", o.reason.clone()),
        Change::OrderSent(id, at) => (*id, *at, "sent", String::new()),
        Change::CloseOrder(id, state, code, at) => {
            let code = code.map(|c| format!("code {c}")).unwrap_or_default();
            (*id, *at, state.as_str(), code)
        }
        Change::RetryCall {
            id,
            attempts,
            at,
            error,
            ..
        } => (*id, *at, "failed", format!("try {attempts}: {error}")),
        Change::GiveUpCall(id, at, error) => (*id, *at, "dead", error.clone()),
        Change::ReviveCall(id, at) => (*id, *at, "revived", String::new()),
        _ => ([0; 16], 0, "", String::new()),
    };
    happening(work, at, event.to_owned(), detail)
}

fn happening(work: Id, at: u64, event: String, detail: String) -> Statement<'static> {
    sqlx::query(
        "INSERT INTO history (id, position, work, at, event, detail) VALUES ($1, \
         (SELECT COALESCE(MAX(position), 0) + 1 FROM history), $2, $3, $4, $5)",
    )
    .bind(uuid::Uuid::new_v4().to_string())
    .bind(id_text(work))
    .bind(number(at))
    .bind(event)
    .bind(detail)
}

pub(super) fn work(change: Change) -> Option<Statement<'static>> {
    Some(match change {
        Change::AddReport(r) => {
            let digest = report_digest(&r);
            sqlx::query(
                "INSERT INTO report (eid, seq, digest, iccid, account, status, code, received_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(r.eid.to_string())
            .bind(number(r.seq))
            .bind(digest)
            .bind(r.iccid.map(String::from))
            .bind(maybe_id(r.account))
            .bind(status_text(r.status))
            .bind(i64::from(r.code))
            .bind(number(r.received_at))
        }
        Change::AddOrder(o) => {
            let (kind, iccid, account) = match o.kind {
                OrderKind::Delete { iccid } => ("delete", Some(iccid), None),
                OrderKind::Disable { iccid } => ("disable", Some(iccid), None),
                OrderKind::Logout { account } => ("logout", None, Some(account)),
                OrderKind::DeleteAll => ("delete-all", None, None),
                OrderKind::Erase { account } => ("erase", None, Some(account)),
            };
            sqlx::query(
                "INSERT INTO vehicle_order (id, position, eid, kind, iccid, account, reason, state, code, \
                 created_at, sent_at, closed_at, attempts, federation, correlation) VALUES ($1, \
                 (SELECT COALESCE(MAX(position), 0) + 1 FROM vehicle_order), $2, $3, $4, $5, $6, $7, \
                 $8, $9, $10, $11, $12, $13, $14)",
            )
            .bind(id_text(o.id))
            .bind(o.eid.to_string())
            .bind(kind)
            .bind(iccid.map(String::from))
            .bind(maybe_id(account))
            .bind(o.reason)
            .bind(o.state.as_str())
            .bind(o.code.map(i64::from))
            .bind(number(o.created_at))
            .bind(o.sent_at.map(number))
            .bind(o.closed_at.map(number))
            .bind(i64::from(o.attempts))
            .bind(o.federation.map(id_text))
            .bind(id_text(o.correlation))
        }
        Change::OrderSent(id, at) => by_id(
            "UPDATE vehicle_order SET sent_at = $1, attempts = attempts + 1 WHERE id = $2",
            at,
            id,
        ),
        Change::CloseOrder(id, state, code, at) => sqlx::query(
            "UPDATE vehicle_order SET state = $1, code = $2, closed_at = $3 WHERE id = $4 \
             AND state = 'open'",
        )
        .bind(state.as_str())
        .bind(code.map(i64::from))
        .bind(number(at))
        .bind(id_text(id)),
        Change::AddCall(c) => sqlx::query(
            "INSERT INTO outbox (id, position, msp, lane, kind, token, correlation, body, attempts, \
             next_at, state, last_error, created_at) VALUES ($1, \
             (SELECT COALESCE(MAX(position), 0) + 1 FROM outbox), $2, $3, $4, $5, $6, $7, $8, $9, $10, \
             $11, $12)",
        )
        .bind(id_text(c.id))
        .bind(c.msp)
        .bind(c.lane)
        .bind(c.kind.as_str())
        .bind(c.token.to_string())
        .bind(id_text(c.correlation))
        .bind(c.body)
        .bind(i64::from(c.attempts))
        .bind(number(c.next_at))
        .bind(c.state.as_str())
        .bind(c.last_error)
        .bind(number(c.created_at)),
        Change::RetryCall {
            id,
            attempts,
            next_at,
            error,
            ..
        } => sqlx::query(
            "UPDATE outbox SET attempts = $1, next_at = $2, last_error = $3, claimed_until = 0 \
             WHERE id = $4 AND state = 'due'",
        )
        .bind(i64::from(attempts))
        .bind(number(next_at))
        .bind(error)
        .bind(id_text(id)),
        Change::GiveUpCall(id, _, error) => sqlx::query(
            "UPDATE outbox SET state = 'dead', last_error = $1, claimed_until = 0 WHERE id = $2 \
             AND state = 'due'",
        )
        .bind(error)
        .bind(id_text(id)),
        Change::ReviveCall(id, at) => by_id(
            "UPDATE outbox SET state = 'due', attempts = 0, next_at = $1, claimed_until = 0 \
             WHERE id = $2 AND state IN ('due', 'dead')",
            at,
            id,
        ),
        Change::CloseCall(id, state, at) => {
            let state = match state {
                CallState::Done => state,
                _ => CallState::Dropped,
            };
            sqlx::query(
                "UPDATE outbox SET state = $1, closed_at = $2 WHERE id = $3 \
                 AND state IN ('due', 'dead')",
            )
            .bind(state.as_str())
            .bind(number(at))
            .bind(id_text(id))
        }
        Change::Happened(h) => happening(h.work, h.at, h.event, h.detail),
        Change::UseIv {
            msp,
            key_id,
            iv,
            digest,
            at,
        } => sqlx::query(
            "INSERT INTO phone_iv (msp, key_id, iv, digest, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (msp, key_id, iv) DO NOTHING",
        )
        .bind(msp)
        .bind(key_id)
        .bind(iv)
        .bind(digest)
        .bind(number(at)),
        Change::Audit(a) => sqlx::query(
            "INSERT INTO audit (id, at, actor, action, detail, reason) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(number(a.at))
        .bind(a.actor)
        .bind(a.action.into_owned())
        .bind(a.detail)
        .bind(a.reason),
        _ => return None,
    })
}

fn by_id(sql: &'static str, at: u64, id: Id) -> Statement<'static> {
    sqlx::query(sql).bind(number(at)).bind(id_text(id))
}
