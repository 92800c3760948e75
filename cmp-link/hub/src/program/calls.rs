//! `aid-hub call`: what was stored, dead letters, replay.

use aid_cli::cli::Failure;
use aid_cli::irreversible::Irreversible;
use serde_json::{Value, json};

use super::args::CallAction;
use crate::core::pair::PairId;
use crate::hub::now_ms;
use crate::shown;
use crate::store::{AuditRow, CallFilter, CallRow, Store};

pub(super) async fn act(
    store: &Store,
    action: CallAction,
    irreversible: Irreversible,
) -> Result<Vec<Value>, Failure> {
    let one = match action {
        CallAction::List { state, pair, limit } => {
            let pair = pair.map(|text| text.parse::<PairId>()).transpose()?;
            let limit = i64::from(limit);
            let calls = store.calls(CallFilter { state, pair, limit });
            return Ok(calls.await?.iter().map(shown::call).collect());
        }
        CallAction::Show { id } => shown::call(&found(store, id).await?),
        CallAction::Replay { id, why } => {
            let call = store.replay(id, noted("call replayed", id, why.reason));
            json!({"id": id, "state": call.await?.state.as_str()})
        }
        CallAction::Drop { id, why } => {
            let call = found(store, id).await?;
            let what = format!(
                "Give up call {id} ({}, {}), and erase what it says",
                call.operation.contract().id,
                call.state
            );
            if let Some(row) = irreversible.confirm(&what)? {
                return Ok(vec![row]);
            }
            store
                .drop_call(id, noted("call dropped", id, why.reason))
                .await?;
            json!({"id": id, "state": "dropped"})
        }
    };
    Ok(vec![one])
}

async fn found(store: &Store, id: i64) -> Result<CallRow, Failure> {
    let absent = || Failure::new(format!("there is no call {id}; `call list` shows them"));
    store.call(id).await?.ok_or_else(absent)
}

fn noted(action: &str, id: i64, reason: String) -> AuditRow {
    AuditRow {
        at: now_ms(),
        actor: "operator".into(),
        action: action.into(),
        subject: id.to_string(),
        reason,
    }
}
