//! The beginning of a call: whose token is it, was it answered before, and is it stored?

use aid_aid1::headers::PartyId;
use aid_store::{Engine, Tx, params};
use http::StatusCode;
use uuid::Uuid;

use super::meter::{self, Meter};
use super::row::{self, CallRow, CallState, calls};
use super::{Store, Stored};
use crate::core::answer::Answer;
use crate::core::operation::{Delivery, Operation};
use crate::core::pair::PairId;
use crate::core::token::TokenKey;

/// How long a call is left to the task that answers it, ms: longer than any answer is waited for.
const LEASE: i64 = 60_000;

/// A call that came in.
#[derive(Clone, Debug)]
pub(crate) struct NewCall {
    /// Who calls, by its first client-id.
    pub(crate) party: PartyId,
    pub(crate) request_id: Uuid,
    pub(crate) correlation_id: Uuid,
    pub(crate) pair: PairId,
    pub(crate) target: PartyId,
    pub(crate) operation: Operation,
    /// SHA-256 of method, path and body.
    pub(crate) digest: [u8; 32],
    /// The names that the target gets.
    pub(crate) client_id: PartyId,
    pub(crate) target_id: PartyId,
    /// The token of the path; or, for a Send MSP Token, of the body.
    pub(crate) token: Option<TokenKey>,
    /// Path with query.
    pub(crate) path: String,
    /// `Content-Type`
    pub(crate) content_type: String,
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the hub may deliver it by itself.
    pub(crate) keep: bool,
    /// Whether there is room for one more call that the hub delivers by itself.
    pub(crate) room: bool,
    /// Status with which the hub accepts it.
    pub(crate) success: StatusCode,
    /// What is counted where the call is stored.
    pub(crate) meter: Meter,
    /// What is counted besides where the call is accepted at once, behind others of its token.
    pub(crate) meter_kept: Meter,
    /// ms since 1970
    pub(crate) at: i64,
}

/// What becomes of a call that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is stored under this number, and is carried on now.
    Go(i64),
    /// The same call was answered with this before.
    Answered(Answer),
    /// It is accepted, behind others of its token.
    Kept,
    /// It would have to wait behind others of its token, and too many calls of its pair wait already. Nothing is stored.
    Full,
    /// Another call had the same id.
    Mismatch,
    /// The same call is being answered by somebody else.
    Running,
    /// The token is not one of this pair.
    Unknown,
}

/// Whose a token is that a call brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Not one of the pair.
    None,
    /// One of the pair, which may go soon: the CMP has not accepted it yet, or its onboarding has ended.
    Passing,
    /// One of the pair; it goes at the earliest a day after its onboarding has ended.
    Lasting,
}

/// Whether a lease holds. One that ends later than any lease can was made under a wrong clock.
fn is_leased(until: i64, now: i64) -> bool {
    until > now && until <= now.saturating_add(LEASE)
}

impl Store {
    /// Whether a token is one of its pair. A pair's token and one that nobody has cost the same.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn owns(&self, key: TokenKey) -> Stored<Ownership> {
        let look = async move |tx: &Tx<'_>| {
            let sql = "SELECT CASE WHEN confirmed = 1 AND ended_at IS NULL THEN 1 ELSE 0 END FROM token WHERE key = $1";
            let found: Option<i64> = tx.first(sql, params![key.0], |row| row.number()).await?;
            Ok(match found {
                None => Ownership::None,
                Some(0) => Ownership::Passing,
                Some(_) => Ownership::Lasting,
            })
        };
        self.0.read(look).await
    }

    /// Begins a call: looks at its token and at what was answered before, and stores it.
    ///
    /// # Errors
    /// The database failed; nothing is stored.
    pub(crate) async fn begin(&self, call: NewCall) -> Stored<Begun> {
        self.0.change(async move |tx| begin(tx, &call).await).await
    }
}

/// Waits for others that change the lane of a token.
pub(super) async fn lock(tx: &Tx<'_>, key: TokenKey) -> Stored<bool> {
    match tx.engine() {
        Engine::Sqlite => {
            tx.exists("SELECT 1 FROM token WHERE key = $1", params![key.0])
                .await
        }
        Engine::Postgres => {
            let sql = "SELECT 1 FROM token WHERE key = $1 FOR NO KEY UPDATE";
            tx.exists(sql, params![key.0]).await
        }
    }
}

async fn begin(tx: &Tx<'_>, call: &NewCall) -> Stored<Begun> {
    let introduces = call.operation.introduces_token();
    let owned = match call.token {
        Some(key) => lock(tx, key).await?,
        None => false,
    };
    let key = params![call.party.as_str(), call.request_id.to_string()];
    let sql = calls!("WHERE party = $1 AND request_id = $2");
    let earlier = tx.first(sql, key, row::read).await?;
    if !introduces && !owned {
        return Ok(Begun::Unknown);
    }
    if let Some(earlier) = earlier {
        return again(tx, call, earlier).await;
    }
    if let Some(key) = call.token.filter(|_| introduces) {
        let sql = "INSERT INTO token (key, pair, confirmed, since) VALUES ($1, $2, 0, $3) \
                   ON CONFLICT (key) DO NOTHING";
        tx.run(sql, params![key.0, call.pair.to_string(), call.at])
            .await?;
    }
    let behind = is_behind(tx, call).await?;
    if behind && !call.room {
        return Ok(Begun::Full);
    }
    let id = insert(tx, call, behind).await?;
    begun(tx, call, id, behind).await
}

/// A call whose id was there before.
async fn again(tx: &Tx<'_>, call: &NewCall, earlier: CallRow) -> Stored<Begun> {
    if earlier.digest != call.digest || earlier.pair != call.pair {
        return Ok(Begun::Mismatch);
    }
    if let Some(answer) = earlier.answer {
        return Ok(Begun::Answered(answer));
    }
    if matches!(earlier.state, CallState::Waiting | CallState::Queued) {
        let sql = "UPDATE call SET status = success WHERE id = $1";
        tx.run(sql, params![earlier.id]).await?;
        return Ok(Begun::Kept);
    }
    if earlier.state == CallState::Open && is_leased(earlier.leased_until, call.at) {
        return Ok(Begun::Running);
    }
    let behind = is_behind(tx, call).await?;
    if behind && !call.room {
        return Ok(Begun::Full);
    }
    // The names may have changed since, and the content is gone where its caller was to repeat it.
    let sql = "UPDATE call SET state = $10, status = $11, leased_until = $2, path = $3, content_type = $4, body = $5, \
               lane = $6, client_id = $7, target_id = $8, attempts = 0, since = $9, changed_at = $9 WHERE id = $1";
    let content = call.is_kept();
    let (state, status, lease) = beginning(call, behind);
    let values = params![
        earlier.id,
        lease,
        if content { call.path.as_str() } else { "" },
        call.content_type.as_str(),
        call.body.clone().filter(|_| content),
        lane(call),
        call.client_id.as_str(),
        call.target_id.as_str(),
        call.at,
        state,
        status,
    ];
    tx.run(sql, values).await?;
    begun(tx, call, earlier.id, behind).await
}

/// Counts a call that is stored now.
async fn begun(tx: &Tx<'_>, call: &NewCall, id: i64, behind: bool) -> Stored<Begun> {
    meter::add(tx, &call.meter).await?;
    if behind {
        meter::add(tx, &call.meter_kept).await?;
        return Ok(Begun::Kept);
    }
    Ok(Begun::Go(id))
}

/// Whether a call has to wait for others of its token.
async fn is_behind(tx: &Tx<'_>, call: &NewCall) -> Stored<bool> {
    match call.token {
        Some(key) if call.is_kept() => is_busy(tx, key, &call.target).await,
        _ => Ok(false),
    }
}

/// State, status for repetitions and lease of a call that begins.
fn beginning(call: &NewCall, behind: bool) -> (&'static str, u16, i64) {
    match behind {
        true => (CallState::Queued.as_str(), call.success.as_u16(), 0),
        false => (CallState::Open.as_str(), 0, call.at + LEASE),
    }
}

/// Whether calls of a token towards a party wait.
pub(super) async fn is_busy(tx: &Tx<'_>, key: TokenKey, target: &PartyId) -> Stored<bool> {
    let sql = "SELECT 1 FROM call WHERE lane = $1 AND target = $2 AND state IN ('waiting', 'queued') LIMIT 1";
    tx.exists(sql, params![key.0, target.as_str()]).await
}

impl NewCall {
    /// Whether the hub delivers it by itself where it must. What its caller repeats in any case is not stored: account
    /// ids, and bodies of calls that only their callers make.
    fn is_kept(&self) -> bool {
        self.keep && self.operation.delivery() == Delivery::Kept
    }
}

fn lane(call: &NewCall) -> Option<[u8; 16]> {
    call.token.filter(|_| call.is_kept()).map(|key| key.0)
}

async fn insert(tx: &Tx<'_>, call: &NewCall, behind: bool) -> Stored<i64> {
    let kept = call.is_kept();
    let (state, status, lease) = beginning(call, behind);
    let sql = "INSERT INTO call (party, request_id, correlation_id, pair, target, operation, digest, client_id, \
               target_id, lane, path, content_type, body, kept, success, state, status, answer_type, answer, attempts, \
               next_at, leased_until, since, created_at, changed_at, last_error) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, '', NULL, 0, \
               $18, $19, $20, $21, $22, '') RETURNING id";
    let values = params![
        call.party.as_str(),
        call.request_id.to_string(),
        call.correlation_id.to_string(),
        call.pair.to_string(),
        call.target.as_str(),
        call.operation.contract().id,
        call.digest.to_vec(),
        call.client_id.as_str(),
        call.target_id.as_str(),
        lane(call),
        if kept { call.path.as_str() } else { "" },
        call.content_type.as_str(),
        call.body.clone().filter(|_| kept),
        kept,
        call.success.as_u16(),
        state,
        status,
        call.at,
        lease,
        call.at,
        call.at,
        call.at,
    ];
    let ids = tx.run_returning(sql, values, |row| row.number()).await?;
    ids.first()
        .copied()
        .ok_or_else(|| aid_store::StoreError::Failed("a call was stored without a number".into()))
}
