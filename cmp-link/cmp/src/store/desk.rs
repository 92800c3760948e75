//! Keys, people and sessions of the operator's desk, and what addresses outside hear of orders and alarms. Such an event is
//! written in the transaction that it tells of, once for each address, and stays until it was heard.

use super::row::{self, select_key, select_member, select_webhook};
use super::write::statement;
use super::{Stored, Tx};
use aid_cli::time::rfc3339;
use aid_cmp_core::change::DeskChange;
use aid_cmp_core::model::{ApiKey, CallState, Member, Order, OrderState, Webhook};
use aid_id::{Id, Secret};
use aid_store::{Fields, Statement, params};
use serde_json::{Value, json};

/// Calls of an MSP that were tried so often show that it fails. An index has this number, too.
pub const FAILING: u32 = 3;
/// Attempts at a secret that lock it. An index has this number, too.
pub const LOCKING: u32 = 5;

/// An event that an address has not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheard {
    /// The address.
    pub webhook: Id,
    /// The event.
    pub event: Id,
    /// Where it goes.
    pub url: String,
    /// Key of its signature.
    pub secret: Secret,
    /// The body, JSON.
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
    /// When it happened, Unix milliseconds.
    pub created_at: u64,
}

/// Events that are to be told now, oldest first; they are not due again before `until`.
pub(super) async fn claim(
    tx: &aid_store::Tx<'_>,
    now: u64,
    until: u64,
    limit: u32,
) -> Stored<Vec<Unheard>> {
    let sql = "SELECT e.webhook, e.event, w.url, w.secret, e.body, e.attempts, e.created_at \
         FROM webhook_event e JOIN webhook w ON w.id = e.webhook WHERE e.next_at <= $1 \
         ORDER BY e.next_at, e.event LIMIT $2";
    let read = |row: &mut Fields<'_>| {
        Ok(Unheard {
            webhook: row.id()?,
            event: row.id()?,
            url: row.text()?,
            secret: Secret::new(row.text()?),
            body: row.text()?,
            attempts: row.number()?,
            created_at: row.number()?,
        })
    };
    let due = tx.all(sql, params![now, limit], read).await?;
    let mut claimed = Vec::new();
    for event in due {
        // Another instance may have been quicker.
        let claim = "UPDATE webhook_event SET next_at = $1 WHERE webhook = $2 AND event = $3 AND next_at <= $4";
        let values = params![until, event.webhook, event.event, now];
        if tx.run(claim, values).await? > 0 {
            claimed.push(event);
        }
    }
    Ok(claimed)
}

pub(super) fn statements(change: DeskChange) -> Vec<Statement> {
    vec![match change {
        DeskChange::AddKey(k) => statement!(
            "INSERT INTO api_key (id, name, role, hash, created_at) VALUES ($1, $2, $3, $4, $5)",
            k.id,
            k.name,
            k.role.as_str(),
            k.hash,
            k.created_at,
        ),
        DeskChange::RevokeKey(id, at) => statement!(
            "UPDATE api_key SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
            at,
            id,
        ),
        DeskChange::PutMember(m) => {
            return vec![
                // Whoever had the old password is not in any more.
                statement!("DELETE FROM desk_session WHERE member = $1", m.name.clone()),
                statement!(
                    "INSERT INTO member (name, role, password, certificate, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET role = excluded.role, \
                     password = excluded.password, certificate = excluded.certificate",
                    m.name,
                    m.role.as_str(),
                    m.password.map(|p| p.expose().to_owned()),
                    m.certificate,
                    m.created_at,
                ),
            ];
        }
        DeskChange::RemoveMember(name) => {
            statement!("DELETE FROM member WHERE name = $1", name)
        }
        DeskChange::AddSession(hash, member, expires_at) => statement!(
            "INSERT INTO desk_session (token_hash, member, expires_at) VALUES ($1, $2, $3)",
            hash,
            member,
            expires_at,
        ),
        DeskChange::EndSession(hash) => {
            statement!("DELETE FROM desk_session WHERE token_hash = $1", hash)
        }
        DeskChange::AddWebhook(w) => statement!(
            "INSERT INTO webhook (id, url, secret, created_at) VALUES ($1, $2, $3, $4)",
            w.id,
            w.url,
            w.secret.expose().to_owned(),
            w.created_at,
        ),
        DeskChange::RemoveWebhook(id) => statement!("DELETE FROM webhook WHERE id = $1", id),
        DeskChange::Heard(webhook, event) => statement!(
            "DELETE FROM webhook_event WHERE webhook = $1 AND event = $2",
            webhook,
            event,
        ),
        DeskChange::NotHeard {
            webhook,
            event,
            attempts,
            next_at,
            error,
        } => statement!(
            "UPDATE webhook_event SET attempts = $1, next_at = $2, last_error = $3 \
             WHERE webhook = $4 AND event = $5",
            attempts,
            next_at,
            error,
            webhook,
            event,
        ),
    }]
}

/// An event for every address.
pub(super) fn alarm(kind: &str, data: &Value, at: u64) -> Statement {
    let event = crate::service::fresh();
    let id = uuid::Uuid::from_bytes(event);
    let body = json!({"id": id, "type": kind, "at": rfc3339(at), "data": data});
    statement!(
        "INSERT INTO webhook_event (webhook, event, body, next_at, created_at) \
         SELECT id, $1, $2, $3, $3 FROM webhook /* reads all: addresses, which are few */",
        event,
        body.to_string(),
        at,
    )
}

pub(super) fn order_given(order: &Order) -> Statement {
    let id = uuid::Uuid::from_bytes;
    let data = json!({
        "order": id(order.id), "eid": order.eid.as_str(), "reason": order.reason,
        "correlation_id": id(order.correlation),
    });
    alarm("order.given", &data, order.created_at)
}

pub(super) fn order_closed(order: Id, state: OrderState, code: Option<u16>, at: u64) -> Statement {
    let data = json!({
        "order": uuid::Uuid::from_bytes(order), "state": state.as_str(), "code": code,
    });
    alarm("order.closed", &data, at)
}

impl Tx<'_> {
    /// The key with this hash that was not revoked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn api_key(&self, hash: &str) -> Stored<Option<ApiKey>> {
        let sql = select_key!("WHERE hash = $1 AND revoked_at IS NULL");
        self.tx.first(sql, params![hash], row::key).await
    }

    /// All keys, revoked ones too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn api_keys(&self) -> Stored<Vec<ApiKey>> {
        let sql = select_key!("/* reads all: keys, which are few */ ORDER BY id");
        self.tx.all(sql, &[], row::key).await
    }

    /// Who signs in at the console under this name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn member(&self, name: &str) -> Stored<Option<Member>> {
        let sql = select_member!("WHERE name = $1");
        self.tx.first(sql, params![name], row::member).await
    }

    /// Who signs in at the console with this certificate.
    ///
    /// # Errors
    /// The database failed.
    pub async fn member_with(&self, certificate: &str) -> Stored<Option<Member>> {
        let sql = select_member!("WHERE certificate = $1");
        self.tx.first(sql, params![certificate], row::member).await
    }

    /// Everybody who signs in at the console.
    ///
    /// # Errors
    /// The database failed.
    pub async fn members(&self) -> Stored<Vec<Member>> {
        let sql = select_member!("/* reads all: people at the desk, who are few */ ORDER BY name");
        self.tx.all(sql, &[], row::member).await
    }

    /// Whose console session has this hash at `now`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn desk_session(&self, hash: &str, now: u64) -> Stored<Option<Member>> {
        let sql = "SELECT member FROM desk_session WHERE token_hash = $1 AND expires_at > $2";
        let values = params![hash, now];
        let name = self.tx.first(sql, values, |row| row.text()).await?;
        match name {
            Some(name) => self.member(&name).await,
            None => Ok(None),
        }
    }

    /// All addresses that hear of orders and alarms.
    ///
    /// # Errors
    /// The database failed.
    pub async fn webhooks(&self) -> Stored<Vec<Webhook>> {
        let sql = select_webhook!("/* reads all: addresses, which are few */ ORDER BY id");
        self.tx.all(sql, &[], row::webhook).await
    }

    /// How many events addresses have not heard. It looks at all of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unheard_count(&self) -> Stored<u64> {
        let sql = "/* reads all: counts, by an index */ SELECT COUNT(*) FROM webhook_event";
        let count = self.tx.first(sql, &[], |row| row.number()).await?;
        Ok(count.unwrap_or_default())
    }

    /// The oldest call to an MSP that was tried several times and is made again; none: the MSP is well.
    ///
    /// # Errors
    /// The database failed.
    pub async fn failing(&self, msp: &str) -> Stored<Option<aid_cmp_core::model::Call>> {
        let sql = row::select_call!(
            "WHERE msp = $1 AND state = 'due' AND attempts >= 3 ORDER BY position LIMIT 1"
        );
        let found = self.tx.first(sql, params![msp], row::call).await?;
        debug_assert!(found.as_ref().is_none_or(|c| c.state == CallState::Due));
        Ok(found)
    }

    /// Passwords that were tried so often since this time that they may be locked: key, begin of the window, attempts.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tried_often(&self, since: u64, limit: u32) -> Stored<Vec<(String, u64, u32)>> {
        let sql = "SELECT key, since, count FROM attempt WHERE count >= 5 AND since >= $1 \
             AND substr(key, 1, 9) = 'password:' ORDER BY since LIMIT $2";
        let read = |row: &mut Fields<'_>| Ok((row.text()?, row.number()?, row.number()?));
        self.tx.all(sql, params![since, limit], read).await
    }
}
