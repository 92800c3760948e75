//! What is old goes, a limited number at a time, so that others get their turn.

use aid_store::{Tx, params};

use super::row::CallState;
use super::{Store, Stored};

/// Rows of a kind that go at once.
const BATCH: i64 = 200;

/// What is older goes; times in ms since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    /// Answers for repetitions, calls that are done.
    pub(crate) answers: i64,
    /// Dead letters and what operators have dropped.
    pub(crate) letters: i64,
    /// Tokens whose onboarding has ended.
    pub(crate) ended_tokens: i64,
    /// Tokens that no CMP has confirmed.
    pub(crate) pending_tokens: i64,
    /// Entries of the audit trail.
    pub(crate) audit: i64,
    /// The first day that the meter keeps.
    pub(crate) meter_day: String,
}

impl Store {
    /// Removes what is old; yields how many rows went.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn prune(&self, old: Retention) -> Stored<u64> {
        let prune = async move |tx: &Tx<'_>| {
            let mut gone = 0;
            for (state, before) in [
                (CallState::Done, old.answers),
                (CallState::Released, old.answers),
                (CallState::Dead, old.letters),
                (CallState::Dropped, old.letters),
            ] {
                let sql = "DELETE FROM call WHERE id IN \
                           (SELECT id FROM call WHERE state = $1 AND changed_at < $2 ORDER BY changed_at LIMIT $3)";
                gone += tx.run(sql, params![state.as_str(), before, BATCH]).await?;
            }
            let sql = "DELETE FROM token WHERE key IN (SELECT key FROM token \
                       WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)";
            gone += tx.run(sql, params![old.ended_tokens, BATCH]).await?;
            let sql = "DELETE FROM token WHERE key IN (SELECT key FROM token \
                       WHERE confirmed = 0 AND since < $1 ORDER BY since LIMIT $2)";
            gone += tx.run(sql, params![old.pending_tokens, BATCH]).await?;
            let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)";
            gone += tx.run(sql, params![old.audit, BATCH]).await?;
            gone += tx
                .run(
                    "DELETE FROM meter WHERE day < $1",
                    params![old.meter_day.as_str()],
                )
                .await?;
            Ok(gone)
        };
        self.0.change(prune).await
    }
}
