//! What operators see, as JSON: the same from the command line and from the console's API. Keys are never in it.

use serde_json::{Value, json};

use crate::core::pair::Pair;
use crate::core::party::PartyRecord;
use crate::hub::rfc3339;
use crate::store::{AuditRow, CallRow};

/// A party.
#[must_use]
pub(crate) fn party(party: &PartyRecord) -> Value {
    json!({
        "id": party.id,
        "role": party.role,
        "name": party.name,
        "state": if party.suspended.is_some() { "suspended" } else { "active" },
        "reason": party.suspended,
        "client_ids": party.client_ids,
        "logo": party.logo,
        "url": party.url,
        "sandbox_url": party.sandbox_url,
        "own_ca": party.ca.is_some(),
        "common_name": party.common_name,
        "certificate_sha256": party.certificate_sha256,
        "keys_in": party.proofs.len(),
        "key_out": match party.api_key_out {
            Some(_) => "api-key",
            None => "basic",
        },
        "next_key_out": party.api_key_next.is_some(),
        "touchpoint": party.touchpoint,
        "redirect_domains": party.redirect_domains,
    })
}

/// A pair.
#[must_use]
pub(crate) fn pair(pair: &Pair) -> Value {
    json!({
        "pair": pair.id().to_string(),
        "msp": pair.msp,
        "cmp": pair.cmp,
        "state": pair.state,
        "msp_as": pair.msp_as,
        "cmp_as": pair.cmp_as,
        "rate": pair.rate,
        "keep": pair.keep,
    })
}

/// A call: where it is, and nothing of what it says.
#[must_use]
pub(crate) fn call(call: &CallRow) -> Value {
    let waits = matches!(call.state.as_str(), "waiting" | "queued");
    json!({
        "id": call.id,
        "state": call.state.as_str(),
        "pair": call.pair.to_string(),
        "operation": call.operation.contract().id,
        "from": call.party,
        "to": call.target,
        "client_id": call.client_id,
        "target_id": call.target_id,
        "request_id": call.request_id,
        "correlation_id": call.correlation_id,
        "status": call.answer.as_ref().map(|answer| answer.status.as_u16()),
        "attempts": call.attempts,
        "next_at": waits.then(|| rfc3339(call.next_at)),
        "created_at": rfc3339(call.created_at),
        "changed_at": rfc3339(call.changed_at),
        "bytes": call.body.as_ref().map(Vec::len),
        "last_error": Some(&call.last_error).filter(|text| !text.is_empty()),
    })
}

/// An entry of the audit trail.
#[must_use]
pub(crate) fn audit(row: &AuditRow) -> Value {
    json!({
        "at": rfc3339(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "reason": Some(&row.reason).filter(|text| !text.is_empty()),
    })
}
