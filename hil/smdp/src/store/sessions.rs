//! Sessions in rows.

use super::{StoreError, Stored};
use crate::core::{Euicc, Offered, OfferedOrder, StoredSession, TicketKey, has_time};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::{TransactionId, eid_from_digits};
use aid_store::{Fields, Tx, params};
use serde::{Deserialize, Serialize};

/// Sessions without time that go with each new one: more than come.
const SWEPT: i64 = 8;

const ONE: &str = "SELECT eid, touched_at, body FROM sessions WHERE transaction_id = $1";
const PUT: &str = "INSERT INTO sessions (transaction_id, eid, touched_at, body) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (transaction_id) DO UPDATE SET touched_at = $3, body = $4";
const OF_EUICC: &str = "SELECT transaction_id FROM sessions WHERE eid = $1 AND body IS NOT NULL \
     ORDER BY touched_at DESC";
const OVER: &str = "UPDATE sessions SET body = NULL WHERE transaction_id = $1";
const SWEEP: &str = "DELETE FROM sessions WHERE transaction_id IN \
     (SELECT transaction_id FROM sessions WHERE touched_at <= $1 ORDER BY touched_at LIMIT $2)";
const COUNT: &str = "/* reads all: at a start */ SELECT count(*) FROM sessions";
const KEY: &str = "SELECT secret FROM session_key WHERE id = 1";
const NEW_KEY: &str =
    "INSERT INTO session_key (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

/// A session that was offered a profile, but for what its row says.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(with = "hex")]
    public_key: Vec<u8>,
    iccid: String,
    package: Option<String>,
    #[serde(with = "hex")]
    smdp_signature2: Vec<u8>,
    signers: usize,
    refused: bool,
    order: OfferedOrder,
}

fn odd(what: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable(format!("an odd session: {what}"))
}

fn id_of(id: &TransactionId) -> Option<[u8; 16]> {
    // Ours have 16 bytes; a session of another length is none of ours.
    id.as_bytes().try_into().ok()
}

/// The session with this id, where it has still time.
pub(super) async fn session(
    tx: &Tx<'_>,
    id: &TransactionId,
    now: u64,
) -> Stored<Option<StoredSession>> {
    let Some(bytes) = id_of(id) else {
        return Ok(None);
    };
    let read = |row: &mut Fields<'_>| Ok((row.text()?, row.number::<u64>()?, row.maybe_text()?));
    let Some((eid, touched_at, body)) = tx.first(ONE, params![bytes], read).await? else {
        return Ok(None);
    };
    let Some(body) = body else {
        return Ok(Some(StoredSession::Over));
    };
    if !has_time(touched_at, now) {
        return Ok(None);
    }
    let body: Body = serde_json::from_str(&body).map_err(odd)?;
    let offered = Offered {
        transaction_id: *id,
        euicc: Euicc {
            eid_bytes: eid_from_digits(&eid).ok_or_else(|| odd("EID"))?,
            public_key: PublicKey::from_spki(&body.public_key).map_err(odd)?,
            eid,
        },
        iccid: body.iccid,
        package: body.package,
        smdp_signature2: body.smdp_signature2,
        signers: body.signers,
        refused: body.refused,
    };
    Ok(Some(StoredSession::Offered(Box::new(offered), body.order)))
}

/// The sessions of an eUICC that are not over, the newest first.
pub(super) async fn of_euicc(tx: &Tx<'_>, eid: &str) -> Stored<Vec<TransactionId>> {
    tx.all(OF_EUICC, params![eid], |row| {
        TransactionId::new(&row.bytes()?).ok_or_else(|| odd("id"))
    })
    .await
}

pub(super) async fn put(
    tx: &Tx<'_>,
    session: &Offered,
    order: &OfferedOrder,
    now: u64,
) -> Stored<()> {
    let Some(id) = id_of(&session.transaction_id) else {
        return Err(odd("id"));
    };
    let body = Body {
        public_key: session.euicc.public_key.to_spki(),
        iccid: session.iccid.clone(),
        package: session.package.clone(),
        smdp_signature2: session.smdp_signature2.clone(),
        signers: session.signers,
        refused: session.refused,
        order: order.clone(),
    };
    let body = serde_json::to_string(&body).map_err(odd)?;
    tx.run(PUT, params![id, &session.euicc.eid, now, body])
        .await?;
    Ok(())
}

pub(super) async fn end(tx: &Tx<'_>, id: &TransactionId) -> Stored<()> {
    if let Some(id) = id_of(id) {
        tx.run(OVER, params![id]).await?;
    }
    Ok(())
}

/// Removes some of the sessions whose time was over at `before`; how many.
pub(super) async fn sweep(tx: &Tx<'_>, before: u64) -> Stored<u64> {
    tx.run(SWEEP, params![before, SWEPT]).await
}

pub(super) async fn count(tx: &Tx<'_>) -> Stored<u64> {
    let count = tx.first(COUNT, &[], |row| row.number::<u64>()).await?;
    Ok(count.unwrap_or(0))
}

/// The secret that ids are made with; `new` from now on where there is none.
pub(super) async fn key(tx: &Tx<'_>, new: &TicketKey) -> Stored<TicketKey> {
    tx.run(NEW_KEY, params![&new.expose()[..]]).await?;
    let secret = tx.first(KEY, &[], |row| row.bytes()).await?;
    let secret = secret.and_then(|secret| secret.try_into().ok());
    secret.map(TicketKey::new).ok_or_else(|| odd("secret"))
}
