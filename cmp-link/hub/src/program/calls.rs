//! `aid-hub call`: what was stored, dead letters, replay.

use aid_cli::cli::Failure;
use serde_json::{Value, json};

use super::args::CallAction;
use crate::core::pair::PairId;
use crate::hub::now_ms;
use crate::shown;
use crate::store::{AuditRow, CallFilter, Store};

pub(super) async fn act(store: &Store, action: CallAction) -> Result<Vec<Value>, Failure> {
    let one = match action {
        CallAction::List { state, pair, limit } => {
            let pair = pair.map(|text| text.parse::<PairId>()).transpose()?;
            let limit = i64::from(limit);
            let calls = store.calls(CallFilter { state, pair, limit });
            return Ok(calls.await?.iter().map(shown::call).collect());
        }
        CallAction::Show { id } => {
            let call = store.call(id).await?;
            let absent = || Failure::new(format!("there is no call {id}; `call list` shows them"));
            shown::call(&call.ok_or_else(absent)?)
        }
        CallAction::Replay { id, why } => {
            store
                .replay(id, noted("call replayed", id, why.reason))
                .await?;
            json!({"id": id, "state": "waiting"})
        }
        CallAction::Drop { id, why } => {
            store
                .drop_call(id, noted("call dropped", id, why.reason))
                .await?;
            json!({"id": id, "state": "dropped"})
        }
    };
    Ok(vec![one])
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
