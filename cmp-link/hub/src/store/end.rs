//! The end of a call that came in: what its caller was answered, and what that means for its token.

use aid_store::{Tx, params};

use super::meter::{self, Meter};
use super::row::{self, calls};
use super::{Store, Stored};
use crate::core::answer::Answer;
use crate::core::token::TokenKey;

/// What the answer means for the token of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenEnd {
    /// Nothing.
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

impl Store {
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
                Ended::Keep(next, reason) => {
                    let sql = "UPDATE call SET state = 'waiting', status = success, attempts = 1, next_at = $2, \
                               leased_until = 0, last_error = $3, changed_at = $4 WHERE id = $1 AND state = 'open'";
                    tx.run(sql, params![id, *next, reason.as_str(), now])
                        .await?;
                }
            }
            close_token(tx, token, now).await?;
            meter::add(tx, &meter).await
        };
        self.0.change(end).await
    }
}

async fn answered(tx: &Tx<'_>, id: i64, answer: &Answer, now: i64) -> Stored<()> {
    let sql = "UPDATE call SET state = 'done', status = $2, answer_type = $3, answer = $4, leased_until = 0, path = '', \
               body = NULL, lane = NULL, changed_at = $5 WHERE id = $1";
    let values = params![
        id,
        answer.status.as_u16(),
        answer.kind.as_str(),
        (!answer.body.is_empty()).then(|| answer.body.clone()),
        now,
    ];
    tx.run(sql, values).await.map(|_| ())
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
