//! Calls to MSPs: listed, made again, dropped.

use super::orders::history_row;
use super::{Listed, Operator, Refusal, changes, id_text, place, time};
use crate::store::Tx;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::Context;
use aid_cmp_core::model::{Call, CallState, Happening};
use serde_json::{Value, json};
use uuid::Uuid;

/// Which calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calls {
    /// Of this state; none: those that are due or were given up.
    pub state: Option<CallState>,
}

pub(crate) fn call_row(c: &Call) -> Value {
    json!({
        "call": id_text(c.id), "msp": c.msp, "kind": c.kind.as_str(), "state": c.state.as_str(),
        "attempts": c.attempts, "created_at": time(c.created_at), "next_at": time(c.next_at),
        "closed_at": time(c.closed_at), "last_error": c.last_error,
        "correlation_id": id_text(c.correlation),
    })
}

/// The call of this id.
async fn call(tx: &Tx<'_>, call: Uuid) -> Result<Call, Refusal> {
    let found = tx.call(call.into_bytes()).await?;
    found.ok_or_else(|| {
        Refusal::unknown(format!(
            "there is no call {call}; `outbox list` shows those that are due or given up"
        ))
    })
}

/// The call of this id, which has no end yet.
async fn open_call(tx: &Tx<'_>, id: Uuid) -> Result<Call, Refusal> {
    let call = call(tx, id).await?;
    match call.state {
        CallState::Due | CallState::Dead => Ok(call),
        closed => Err(Refusal::conflict(format!(
            "call {id} is closed already: {}",
            closed.as_str()
        ))),
    }
}

impl Operator<'_> {
    /// Calls to MSPs, oldest first: those of one state, or those that are due or were given up.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn outbox(
        &self,
        which: Calls,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        let state = which.state;
        let after: Option<u64> = place(after)?;
        let read = async move |tx: &Tx<'_>| {
            let mut calls = tx
                .calls(state.unwrap_or(CallState::Due), after, limit)
                .await?;
            if state.is_none() {
                calls.extend(tx.calls(CallState::Dead, after, limit).await?);
                calls.sort_by_key(|(position, _)| *position);
                calls.truncate(limit as usize);
            }
            Ok(calls)
        };
        let calls = self.store.read(read).await?;
        let row = |(position, call): &(u64, Call)| (position.to_string(), Some(call_row(call)));
        Ok(calls.iter().map(row).collect())
    }

    /// A call with its history.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn show_call(&self, id: Uuid) -> Result<Value, Refusal> {
        let read = async move |tx: &Tx<'_>| {
            let mut row = call_row(&call(tx, id).await?);
            let history = tx.history(id.into_bytes()).await?;
            row["history"] = history.iter().map(history_row).collect();
            Ok(row)
        };
        self.look(read).await
    }

    /// Makes a call now, also one that was given up.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn replay_call(&self, id: Uuid, reason: String) -> Result<Value, Refusal> {
        let replay = async move |tx: &Tx<'_>, context: &Context| {
            let call = open_call(tx, id).await?;
            let detail = format!("{id} to {}", call.msp);
            let revived = vec![
                Change::ReviveCall(call.id, context.now),
                context.audit_because("operator", "call replayed", detail, Some(reason.clone())),
            ];
            Ok((changes(revived), ()))
        };
        self.decide(replay).await?;
        Ok(json!({"call": id.to_string()}))
    }

    /// Closes a call without an answer.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn drop_call(&self, id: Uuid, reason: String) -> Result<Value, Refusal> {
        let drop = async move |tx: &Tx<'_>, context: &Context| {
            let call = open_call(tx, id).await?;
            let detail = format!("{id} {} to {}", call.kind.as_str(), call.msp);
            let why = Some(reason.clone());
            let dropped = vec![
                Change::CloseCall(call.id, CallState::Dropped, context.now),
                Change::Happened(Happening {
                    work: call.id,
                    at: context.now,
                    event: "dropped".into(),
                    detail: reason.clone(),
                }),
                context.audit_because("operator", "call dropped", detail, why),
            ];
            Ok((changes(dropped), ()))
        };
        self.decide(drop).await?;
        Ok(json!({"call": id.to_string(), "state": "dropped"}))
    }
}
