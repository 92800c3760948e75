//! Each change as one SQL statement; a list of them as one transaction.
//! Called by `commit` only.

use super::row::id_text;
use super::work::{happened, work};
use super::{SqlStore, StoreError, Stored, Turn};
use aid_cmp_core::change::Change;
use aid_id::{AccountRef, Eid};
use aid_store::writer::Transaction;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

pub(super) type Statement<'q> = Query<'q, sqlx::Any, AnyArguments>;

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn maybe_id(id: Option<AccountRef>) -> Option<String> {
    id.map(|id| id_text(id.0))
}

/// The EID of a choice; that for all other cars has none.
pub(super) fn eid_text(eid: Option<Eid>) -> String {
    eid.map(|e| e.to_string()).unwrap_or_default()
}

impl SqlStore {
    pub(super) async fn apply(&self, changes: Vec<Change>) -> Stored<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let store = self.clone();
        carried_through(async move { store.write(None, changes).await }).await
    }

    /// The turn is held until all is on disk.
    pub(super) async fn apply_in(&self, turn: Turn, changes: Vec<Change>) -> Stored<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let store = self.clone();
        carried_through(async move {
            let (transaction, _end) = turn.into_transaction();
            store.write(transaction, changes).await
        })
        .await
    }

    async fn write(&self, begun: Option<Transaction>, changes: Vec<Change>) -> Stored<()> {
        let mut transaction = match begun {
            Some(transaction) => transaction,
            None => self.writer.begin().await.map_err(|e| self.error(&e))?,
        };
        for statement in super::codes::statements(changes, statements) {
            let done = statement.execute(&mut transaction).await;
            done.map_err(|e| self.error(&e))?;
        }
        transaction.commit().await.map_err(|e| self.error(&e))
    }
}

/// Goes on with a write whose caller is gone, such as a request whose client hung up: otherwise the turn would
/// end while the database still commits, and the next decision would be made on what was before.
async fn carried_through(write: impl Future<Output = Stored<()>> + Send + 'static) -> Stored<()> {
    match tokio::spawn(write).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}

/// An hour, ms.
const HOUR: u64 = 3600 * 1000;
/// A day, ms.
const DAY: u64 = 24 * 3600 * 1000;

/// Statements of `Prune`, and how old what they remove must be, ms. What makes repetitions harmless must be old by its
/// order too, unless its time was over within the last day: under a clock that is wrong by years everything is old. So
/// the newest ten thousand answers stay, and the newest hundred reports of each car and epoch: epochs are drawn at random,
/// so that of two the higher is not the newer.
const PRUNE: [(&str, u64); 9] = [
    ("DELETE FROM login_code WHERE expires_at < $1", HOUR),
    (
        "DELETE FROM idempotency WHERE at < $1 AND (at >= $1 - 86400000 OR at < \
         (SELECT at FROM idempotency ORDER BY at DESC LIMIT 1 OFFSET 9999))",
        7 * DAY,
    ),
    ("DELETE FROM notice WHERE at < $1", 90 * DAY),
    ("DELETE FROM outbox WHERE closed_at < $1", 90 * DAY),
    (
        "DELETE FROM history WHERE at < $1 AND NOT EXISTS \
         (SELECT 1 FROM vehicle_order WHERE vehicle_order.id = history.work) AND NOT EXISTS \
         (SELECT 1 FROM outbox WHERE outbox.id = history.work)",
        90 * DAY,
    ),
    (
        "DELETE FROM report WHERE received_at < $1 AND (received_at >= $1 - 86400000 OR EXISTS \
         (SELECT 1 FROM report n WHERE n.eid = report.eid AND n.seq >= report.seq + 100 \
         AND n.seq / 4294967296 = report.seq / 4294967296))",
        90 * DAY,
    ),
    ("DELETE FROM portal_session WHERE expires_at < $1", 0),
    // Also those that a wrong clock put a day or more into the future.
    (
        "DELETE FROM attempt WHERE since < $1 OR since > $1 + 172800000",
        DAY,
    ),
    (
        "DELETE FROM onboarding WHERE state <> 'done' AND expires_at < $1",
        30 * DAY,
    ),
];

fn statements(change: Change) -> Vec<Statement<'static>> {
    match change {
        Change::Prune(now) => {
            let old = |age| number(now.saturating_sub(age));
            PRUNE
                .map(|(sql, age)| sqlx::query(sql).bind(old(age)))
                .into()
        }
        Change::EraseAccount(account) => erase_account(account),
        Change::RemoveAccount(account) => by_text(&REMOVE_ACCOUNT, &id_text(account.0)),
        Change::PurgeFederation(federation) => by_text(&PURGE, &id_text(federation)),
        change @ (Change::AddOrder(_)
        | Change::OrderSent(..)
        | Change::CloseOrder(..)
        | Change::RetryCall { .. }
        | Change::GiveUpCall(..)
        | Change::ReviveCall(..)) => {
            let happened = happened(&change);
            work(change).into_iter().chain([happened]).collect()
        }
        change @ (Change::AddVehicle(_)
        | Change::Seen { .. }
        | Change::RetireVehicle(..)
        | Change::ForgetLogins(_)
        | Change::AddAccount(_)
        | Change::Prefer(..)
        | Change::AddNotice(_)
        | Change::RemoveNotice(..)
        | Change::SetAttempts(..)
        | Change::ForgetAttempts(_)
        | Change::LoggedIn(..)
        | Change::AddSession(_)
        | Change::RemoveSession(_)) => people_and_cars(change).into_iter().collect(),
        change @ (Change::AddOnboarding(_)
        | Change::CloseOnboarding(..)
        | Change::AddFederation(_)
        | Change::UpdateFederation(_)
        | Change::SetHold(_)
        | Change::ClearHold(..)
        | Change::AddSyncRun(_)) => subscriptions(change).into_iter().collect(),
        Change::Fleet(change) => vec![super::fleet::statement(change)],
        Change::Portal(change) => vec![super::portal::statement(change)],
        change => work(change).into_iter().collect(),
    }
}

/// What is left of a federation that ended: nothing. The order is that of what refers to what.
const PURGE: [&str; 9] = [
    "DELETE FROM report WHERE iccid IN (SELECT iccid FROM profile WHERE federation = $1)",
    "DELETE FROM history WHERE work IN (SELECT o.id FROM outbox o JOIN federation f \
     ON o.msp = f.msp AND o.token = f.token WHERE f.id = $1)",
    "DELETE FROM outbox WHERE EXISTS (SELECT 1 FROM federation f WHERE f.id = $1 \
     AND outbox.msp = f.msp AND outbox.token = f.token)",
    "DELETE FROM onboarding WHERE EXISTS (SELECT 1 FROM federation f WHERE f.id = $1 \
     AND onboarding.msp = f.msp AND onboarding.token = f.token)",
    "DELETE FROM code_request WHERE federation = $1",
    "DELETE FROM profile WHERE federation = $1",
    "DELETE FROM hold WHERE federation = $1",
    "DELETE FROM sync_run WHERE federation = $1",
    "DELETE FROM federation WHERE id = $1",
];

const REMOVE_ACCOUNT: [&str; 2] = [
    "DELETE FROM notice WHERE account = $1",
    "DELETE FROM account WHERE id = $1",
];

fn by_text(list: &[&'static str], id: &str) -> Vec<Statement<'static>> {
    let statement = |sql: &&'static str| sqlx::query(*sql).bind(id.to_owned());
    list.iter().map(statement).collect()
}

fn erase_account(account: AccountRef) -> Vec<Statement<'static>> {
    let id = id_text(account.0);
    let mut list = vec![
        sqlx::query(
            "UPDATE account SET name = $1, display_name = '', password = '', pin_mac = NULL \
             WHERE id = $2",
        )
        .bind(format!("{}{id}", aid_cmp_core::decide::removal::ERASED))
        .bind(id.clone()),
        sqlx::query("DELETE FROM attempt WHERE key IN ($1, $2)")
            .bind(format!("car-code:{}", hex::encode(account.0)))
            .bind(format!("password:{}", hex::encode(account.0))),
    ];
    let rest = [
        "DELETE FROM portal_session WHERE account = $1",
        "DELETE FROM vehicle_login WHERE account = $1",
        "DELETE FROM preference WHERE account = $1",
        "DELETE FROM user_preference WHERE account = $1",
        "DELETE FROM login_code WHERE account = $1",
        "UPDATE vehicle SET session = NULL WHERE session = $1",
        "DELETE FROM notice WHERE account = $1",
        "DELETE FROM onboarding WHERE account = $1 AND state <> 'done'",
    ];
    list.extend(by_text(&rest, &id));
    list
}

fn people_and_cars(change: Change) -> Option<Statement<'static>> {
    Some(match change {
        Change::AddVehicle(v) => sqlx::query(
            "INSERT INTO vehicle (eid, added_at, last_seen, software, card, certificate, vin, \
             retired_at, retired_reason, replaced_by) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(v.eid.to_string())
        .bind(number(v.added_at))
        .bind(v.last_seen.map(number))
        .bind(v.software)
        .bind(v.card)
        .bind(v.certificate)
        .bind(v.vin)
        .bind(v.retired_at.map(number))
        .bind(v.retired_reason)
        .bind(v.replaced_by.map(|e| e.to_string())),
        Change::RetireVehicle(eid, at, reason, replaced_by) => sqlx::query(
            "UPDATE vehicle SET retired_at = $1, retired_reason = $2, replaced_by = $3 WHERE eid = $4",
        )
        .bind(number(at))
        .bind(reason)
        .bind(replaced_by.map(|e| e.to_string()))
        .bind(eid.to_string()),
        Change::ForgetLogins(eid) => {
            sqlx::query("DELETE FROM vehicle_login WHERE eid = $1").bind(eid.to_string())
        }
        Change::Prefer(account, eid, Some(federation)) => sqlx::query(
            "INSERT INTO preference (account, eid, federation) VALUES ($1, $2, $3) \
             ON CONFLICT (account, eid) DO UPDATE SET federation = excluded.federation",
        )
        .bind(id_text(account.0))
        .bind(eid_text(eid))
        .bind(id_text(federation)),
        Change::Prefer(account, eid, None) => {
            sqlx::query("DELETE FROM preference WHERE account = $1 AND eid = $2")
                .bind(id_text(account.0))
                .bind(eid_text(eid))
        }
        Change::AddNotice(n) => sqlx::query(
            "INSERT INTO notice (id, account, at, kind, detail) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id_text(n.id))
        .bind(id_text(n.account.0))
        .bind(number(n.at))
        .bind(n.kind.as_str())
        .bind(n.detail),
        Change::RemoveNotice(account, id) => {
            sqlx::query("DELETE FROM notice WHERE account = $1 AND id = $2")
                .bind(id_text(account.0))
                .bind(id_text(id))
        }
        Change::Seen {
            eid,
            at,
            software,
            card,
        } => sqlx::query(
            "UPDATE vehicle SET last_seen = $1, software = $2, card = $3 WHERE eid = $4",
        )
        .bind(number(at))
        .bind(software)
        .bind(card)
        .bind(eid.to_string()),
        Change::AddAccount(a) => sqlx::query(
            "INSERT INTO account (id, name, display_name, password, pin_mac, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id_text(a.id.0))
        .bind(a.name)
        .bind(a.display_name)
        .bind(a.password.expose().to_owned())
        .bind(a.pin_mac)
        .bind(number(a.created_at)),
        Change::ForgetAttempts(prefix) => {
            sqlx::query("DELETE FROM attempt WHERE key LIKE $1").bind(format!("{prefix}%"))
        }
        Change::SetAttempts(key, None) => {
            sqlx::query("DELETE FROM attempt WHERE key = $1").bind(key)
        }
        Change::SetAttempts(key, Some(a)) => sqlx::query(
            "INSERT INTO attempt (key, count, since, last) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (key) DO UPDATE SET count = excluded.count, since = excluded.since, \
             last = excluded.last",
        )
        .bind(key)
        .bind(i64::from(a.count))
        .bind(number(a.since))
        .bind(a.last.map(id_text)),
        Change::LoggedIn(eid, account, at) => sqlx::query(
            "INSERT INTO vehicle_login (eid, account, first_at) VALUES ($1, $2, $3) \
             ON CONFLICT (eid, account) DO NOTHING",
        )
        .bind(eid.to_string())
        .bind(id_text(account.0))
        .bind(number(at)),
        Change::AddSession(s) => sqlx::query(
            "INSERT INTO portal_session (token_hash, account, expires_at) VALUES ($1, $2, $3)",
        )
        .bind(s.token_hash)
        .bind(id_text(s.account.0))
        .bind(number(s.expires_at)),
        Change::RemoveSession(hash) => {
            sqlx::query("DELETE FROM portal_session WHERE token_hash = $1").bind(hash)
        }
        _ => return None,
    })
}

fn subscriptions(change: Change) -> Option<Statement<'static>> {
    Some(match change {
        Change::AddOnboarding(o) => sqlx::query(
            "INSERT INTO onboarding (sid, msp, account, state, return_state, token, error, created_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id_text(o.sid))
        .bind(o.msp)
        .bind(id_text(o.account.0))
        .bind(o.state.as_str())
        .bind(o.return_state)
        .bind(o.token.map(|t| t.to_string()))
        .bind(o.error)
        .bind(number(o.created_at))
        .bind(number(o.expires_at)),
        Change::CloseOnboarding(sid, state, token, error) => {
            sqlx::query("UPDATE onboarding SET state = $1, token = $2, error = $3 WHERE sid = $4")
                .bind(state.as_str())
                .bind(token.map(|t| t.to_string()))
                .bind(error)
                .bind(id_text(sid))
        }
        Change::AddFederation(f) => sqlx::query(
            "INSERT INTO federation (id, msp, token, account, phone_number, iv, subscription_type, \
             customer_group, since, ended_at, ended_reason) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(id_text(f.id))
        .bind(f.msp)
        .bind(f.token.to_string())
        .bind(id_text(f.account.0))
        .bind(f.phone.phone_number)
        .bind(f.phone.iv)
        .bind(f.kind.as_str())
        .bind(f.customer_group)
        .bind(number(f.since))
        .bind(f.ended_at.map(number))
        .bind(f.ended_reason),
        Change::UpdateFederation(f) => sqlx::query(
            "UPDATE federation SET phone_number = $1, iv = $2, subscription_type = $3, \
             customer_group = $4, ended_at = $5, ended_reason = $6 WHERE id = $7",
        )
        .bind(f.phone.phone_number)
        .bind(f.phone.iv)
        .bind(f.kind.as_str())
        .bind(f.customer_group)
        .bind(f.ended_at.map(number))
        .bind(f.ended_reason)
        .bind(id_text(f.id)),
        Change::SetHold(h) => sqlx::query(
            "INSERT INTO hold (federation, eid, since) VALUES ($1, $2, $3) \
             ON CONFLICT (federation, eid) DO UPDATE SET since = excluded.since",
        )
        .bind(id_text(h.federation))
        .bind(h.eid.to_string())
        .bind(number(h.since)),
        Change::ClearHold(federation, eid) => {
            sqlx::query("DELETE FROM hold WHERE federation = $1 AND eid = $2")
                .bind(id_text(federation))
                .bind(eid.to_string())
        }
        Change::AddSyncRun(r) => sqlx::query(
            "INSERT INTO sync_run (id, federation, at, outcome, findings) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id_text(r.id))
        .bind(id_text(r.federation))
        .bind(number(r.at))
        .bind(r.outcome)
        .bind(r.findings),
        _ => return None,
    })
}
