//! A call as it is stored.

use std::fmt;
use std::str::FromStr;

use aid_aid1::headers::PartyId;
use aid_store::Fields;
use http::StatusCode;
use uuid::Uuid;

use super::Stored;
use crate::core::answer::Answer;
use crate::core::operation::Operation;
use crate::core::pair::PairId;
use crate::core::token::TokenKey;

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CallState {
    /// It is being answered.
    Open,
    /// Its caller got an answer that may be another one next time, and repeats it.
    Released,
    /// Accepted; to be delivered.
    Waiting,
    /// Accepted; behind another call of the same token.
    Queued,
    /// The target has answered it for good.
    Done,
    /// The hub has given it up.
    Dead,
    /// An operator has given it up, or its token has ended.
    Dropped,
}

impl CallState {
    const ALL: [Self; 7] = [
        Self::Open,
        Self::Released,
        Self::Waiting,
        Self::Queued,
        Self::Done,
        Self::Dead,
        Self::Dropped,
    ];

    /// Its word.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CallState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// A call as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct CallRow {
    pub(crate) id: i64,
    /// Who called, by its first client-id.
    pub(crate) party: PartyId,
    pub(crate) request_id: Uuid,
    pub(crate) correlation_id: Uuid,
    pub(crate) pair: PairId,
    pub(crate) target: PartyId,
    pub(crate) operation: Operation,
    pub(crate) digest: Vec<u8>,
    /// The names that the target gets.
    pub(crate) client_id: PartyId,
    pub(crate) target_id: PartyId,
    pub(crate) lane: Option<TokenKey>,
    /// Path with query; empty once the call is not made any more.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) state: CallState,
    /// The answer that its caller gets; none yet.
    pub(crate) answer: Option<Answer>,
    pub(crate) attempts: u32,
    pub(crate) next_at: i64,
    pub(crate) leased_until: i64,
    /// Since when it could be tried: accepted, first of its lane, out of a suspension, or replayed.
    pub(crate) since: i64,
    pub(crate) created_at: i64,
    pub(crate) changed_at: i64,
    pub(crate) last_error: String,
}

/// A SELECT of calls, to be followed by what it is to find.
macro_rules! calls {
    ($rest:literal) => {
        concat!(
            "SELECT id, party, request_id, correlation_id, pair, target, operation, digest, client_id, target_id, lane, \
             path, content_type, body, state, status, answer_type, answer, attempts, next_at, leased_until, \
             since, created_at, changed_at, last_error FROM call ",
            $rest
        )
    };
}
pub(super) use calls;

pub(super) fn read(row: &mut Fields<'_>) -> Stored<CallRow> {
    Ok(CallRow {
        id: row.number()?,
        party: row.parsed()?,
        request_id: row.parsed()?,
        correlation_id: row.parsed()?,
        pair: row.parsed()?,
        target: row.parsed()?,
        operation: row.word(Operation::by_id)?,
        digest: row.bytes()?,
        client_id: row.parsed()?,
        target_id: row.parsed()?,
        lane: row.maybe_id()?.map(TokenKey),
        path: row.text()?,
        content_type: row.text()?,
        body: row.maybe_bytes()?,
        state: row.parsed()?,
        answer: answer(row)?,
        attempts: row.number()?,
        next_at: row.number()?,
        leased_until: row.number()?,
        since: row.number()?,
        created_at: row.number()?,
        changed_at: row.number()?,
        last_error: row.text()?,
    })
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::OK)
}

fn answer(row: &mut Fields<'_>) -> Stored<Option<Answer>> {
    let number: u16 = row.number()?;
    let (kind, body) = (row.text()?, row.maybe_bytes()?);
    Ok((number != 0).then(|| Answer {
        status: status(number),
        kind,
        retry_after: None,
        body: body.unwrap_or_default(),
    }))
}
