//! The end of a call that came in: what its caller was answered, and what that means for its token.

use aid_store::{Tx, params};

use super::begin::{is_busy, lock};
use super::due::promote;
use super::meter::{self, Meter};
use super::row::{self, CallRow, CallState, calls};
use super::{Store, Stored};
use crate::core::answer::Answer;
use crate::core::token::TokenKey;

/// What the answer means for the token of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEnd {
    /// The token stays as it is.
    Stays,
    /// The CMP has accepted it (§7.3).
    Confirmed(TokenKey),
    /// The CMP has refused it: it is nobody's, unless it was accepted before.
    Refused(TokenKey),
    /// The onboarding has ended (§7.4, §7.9).
    Ended(TokenKey),
}

/// How a call ended for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer that is final: repetitions get it too.
    Answer(Answer),
    /// With an answer that may be another one next time.
    Pass,
    /// The hub has accepted it, and tries again at this time (ms since 1970) because of that.
    Keep(i64, String),
}

/// A success that its caller has heard, of a call that was stored before it was carried on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Success {
    /// The call's number.
    pub(crate) id: i64,
    pub(crate) answer: Answer,
}

impl Store {
    /// Stores successes and counts, all in one commit. Until then each of these calls counts as accepted and undelivered:
    /// an instance that finds it after a crash makes it once more, under the same id.
    ///
    /// # Errors
    /// The database failed; nothing is stored.
    pub(crate) async fn write_back(
        &self,
        successes: Vec<Success>,
        meter: Meter,
        now: i64,
    ) -> Stored<()> {
        let write = async move |tx: &Tx<'_>| {
            for Success { id, answer } in &successes {
                answered(tx, *id, answer, now).await?;
            }
            meter::add(tx, &meter).await
        };
        self.0.change(write).await
    }

    /// Stores how a call ended, before its caller hears it.
    ///
    /// # Errors
    /// The database failed: the caller must not hear of a success that is not stored.
    pub(crate) async fn end(
        &self,
        id: i64,
        ended: Ended,
        token: TokenEnd,
        meter: Meter,
        now: i64,
    ) -> Stored<()> {
        let end = async move |tx: &Tx<'_>| {
            match &ended {
                Ended::Answer(answer) => answered(tx, id, answer, now).await?,
                Ended::Pass => {
                    let sql = "UPDATE call SET state = 'released', leased_until = 0, path = '', body = NULL, \
                               lane = NULL, changed_at = $2 WHERE id = $1 AND state = 'open'";
                    tx.run(sql, params![id, now]).await?;
                }
                Ended::Keep(next, reason) => keep(tx, id, *next, reason, now).await?,
            }
            close_token(tx, token, now).await?;
            meter::add(tx, &meter).await
        };
        self.0.change(end).await
    }
}

async fn found(tx: &Tx<'_>, id: i64) -> Stored<Option<CallRow>> {
    let sql = calls!("WHERE id = $1");
    tx.first(sql, params![id], row::read).await
}

/// The hub has accepted a call: it waits, behind whatever of its lane was accepted while it was under way.
async fn keep(tx: &Tx<'_>, id: i64, next: i64, reason: &str, now: i64) -> Stored<()> {
    let Some(call) = found(tx, id).await? else {
        return Ok(());
    };
    let behind = match call.lane {
        Some(lane) => {
            lock(tx, lane).await?;
            is_busy(tx, lane, &call.target).await?
        }
        None => false,
    };
    let state = match behind {
        true => CallState::Queued,
        false => CallState::Waiting,
    };
    let sql = "UPDATE call SET state = $5, status = success, attempts = 1, next_at = $2, leased_until = 0, \
               last_error = $3, changed_at = $4 WHERE id = $1 AND state = 'open'";
    let values = params![id, next, reason, now, state.as_str()];
    tx.run(sql, values).await.map(|_| ())
}

/// The answer of a call that the hub does not make any more.
macro_rules! done {
    ($rest:literal) => {
        concat!(
            "UPDATE call SET state = 'done', status = $2, answer_type = $3, answer = $4, leased_until = 0, path = '', \
             body = NULL, lane = NULL, changed_at = $5 WHERE id = $1",
            $rest
        )
    };
}

/// Stores an answer. A call whose lease had ended may wait in its lane meanwhile: then the next of the lane is due.
async fn answered(tx: &Tx<'_>, id: i64, answer: &Answer, now: i64) -> Stored<()> {
    let values = params![
        id,
        answer.status.as_u16(),
        answer.kind.as_str(),
        (!answer.body.is_empty()).then(|| answer.body.clone()),
        now,
    ];
    if tx.run(done!(" AND state = 'open'"), values).await? == 1 {
        return Ok(());
    }
    let Some(call) = found(tx, id).await? else {
        return Ok(());
    };
    if let Some(lane) = call.lane {
        lock(tx, lane).await?;
    }
    tx.run(done!(""), values).await?;
    promote(tx, &call, now).await
}

/// Notes what became of a token. With its end goes what undelivered letters say of it.
pub(super) async fn close_token(tx: &Tx<'_>, token: TokenEnd, now: i64) -> Stored<()> {
    match token {
        TokenEnd::Stays => {}
        TokenEnd::Confirmed(key) => {
            let sql = "UPDATE token SET confirmed = 1, ended_at = NULL WHERE key = $1";
            tx.run(sql, params![key.0]).await?;
        }
        TokenEnd::Refused(key) => {
            let sql = "DELETE FROM token WHERE key = $1 AND confirmed = 0";
            tx.run(sql, params![key.0]).await?;
        }
        TokenEnd::Ended(key) => {
            let sql = "UPDATE token SET ended_at = $2 WHERE key = $1 AND ended_at IS NULL";
            tx.run(sql, params![key.0, now]).await?;
            let sql = calls!("WHERE lane = $1 AND state = 'dead' ORDER BY id");
            for dead in tx.all(sql, params![key.0], row::read).await? {
                let sql = "UPDATE call SET state = 'dropped', path = '', body = NULL, lane = NULL, changed_at = $2, \
                           last_error = 'the onboarding has ended' WHERE id = $1";
                tx.run(sql, params![dead.id, now]).await?;
            }
        }
    }
    Ok(())
}
