//! What is wrong now, however long ago it began; and what happened in one transaction, across car, CMP and MSP.

use super::calls::call_row;
use super::orders::order_row;
use super::{Operator, Refusal, id_text, time};
use crate::service::now;
use crate::store::{LOCKING, Tx};
use aid_cli::time::rfc3339;
use aid_cli::validity::{self, Verdict};
use aid_cmp_core::decide::login::WINDOW_MS;
use aid_cmp_core::decide::policy::DAY_MS;
use aid_cmp_core::model::{CallState, CodeRequest};
use aid_id::AccountRef;
use serde_json::{Value, json};
use std::path::PathBuf;
use uuid::Uuid;

/// So many of each kind are named; of more the list says that there are more.
pub const MOST: u32 = 50;

/// A problem: what kind, about what, since when, and where to look.
fn problem(kind: &str, subject: &str, id: &str, since: u64, text: &str) -> Value {
    json!({"kind": kind, "subject": subject, "id": id, "since": time(since), "text": text})
}

impl Operator<'_> {
    /// What is wrong now: calls that were given up, overdue orders, silent vehicles, MSPs that fail, locked accounts, and
    /// certificates of these files that expire. At most [`MOST`] of each kind, those that began first.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn problems(&self, certificates: Vec<PathBuf>) -> Result<Vec<Value>, Refusal> {
        let at = now();
        let policy = self.file.policy;
        let overdue = at.saturating_sub(u64::from(policy.overdue_days).saturating_mul(DAY_MS));
        let silent = at.saturating_sub(u64::from(policy.silent_days).saturating_mul(DAY_MS));
        let msps: Vec<String> = self.file.msp.iter().map(|m| m.name.clone()).collect();
        let read = async move |tx: &Tx<'_>| {
            let mut list = Vec::new();
            for (_, call) in tx.calls(CallState::Dead, None, MOST).await? {
                let why = call.last_error.unwrap_or_default();
                let text = format!("{} to {} was given up: {why}", call.kind.as_str(), call.msp);
                let id = id_text(call.id);
                list.push(problem("dead-call", "call", &id, call.created_at, &text));
            }
            for msp in &msps {
                if let Some(call) = tx.failing(msp).await? {
                    let why = call.last_error.unwrap_or_default();
                    let text = format!("{msp} has not answered {} tries: {why}", call.attempts);
                    list.push(problem("msp-fails", "msp", msp, call.created_at, &text));
                }
            }
            let open = tx.orders(None, true, None, MOST).await?;
            for (_, order) in open.iter().filter(|(_, o)| o.created_at <= overdue) {
                let text = format!("{} has not carried out: {}", order.eid, order.reason);
                let id = id_text(order.id);
                list.push(problem(
                    "overdue-order",
                    "order",
                    &id,
                    order.created_at,
                    &text,
                ));
            }
            for car in tx.silent(silent, None, MOST, at).await? {
                let (id, text) = (car.eid.to_string(), format!("{} says nothing", car.eid));
                list.push(problem(
                    "silent-vehicle",
                    "vehicle",
                    &id,
                    car.heard_at,
                    &text,
                ));
            }
            for (key, since, count) in tx.tried_often(at.saturating_sub(WINDOW_MS), MOST).await? {
                let id = key.strip_prefix("password:").map(hex::decode);
                let id: Option<[u8; 16]> = id.and_then(Result::ok).and_then(|b| b.try_into().ok());
                let Some(id) = id.filter(|_| count >= LOCKING) else {
                    continue;
                };
                if let Some(account) = tx.account(AccountRef(id)).await? {
                    let text = format!("{} is locked after {count} wrong passwords", account.name);
                    list.push(problem(
                        "locked-account",
                        "user",
                        &account.name,
                        since,
                        &text,
                    ));
                }
            }
            Ok(list)
        };
        let mut list = self.store.read(read).await?;
        let seconds = i64::try_from(at / 1000).unwrap_or(i64::MAX);
        for certificate in validity::read(&certificates) {
            let Some(text) = certificate.complaint(seconds) else {
                continue;
            };
            let kind = match certificate.dates.judge(seconds) {
                Verdict::ExpiresSoon(_) => "certificate-expires",
                _ => "certificate-refused",
            };
            let file = certificate.file.display().to_string();
            let end = u64::try_from(certificate.dates.not_after).unwrap_or_default();
            list.push(problem(
                kind,
                "certificate",
                &file,
                end.saturating_mul(1000),
                &text,
            ));
        }
        Ok(list)
    }

    /// Everything that is known of a transaction, in one order: what the car asked for and did, what the CMP decided, what
    /// MSPs answered.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn correlation(&self, id: Uuid) -> Result<Value, Refusal> {
        let read = async move |tx: &Tx<'_>| {
            let correlation = id.into_bytes();
            let mut line: Vec<(u64, Value)> = Vec::new();
            let mut add = |at: u64,
                           party: &str,
                           event: &str,
                           what: &str,
                           of: String,
                           detail: &str| {
                let row = json!({
                    "at": rfc3339(at), "party": party, "event": event, "subject": what, "id": of,
                    "detail": detail,
                });
                line.push((at, row));
            };
            let requests = tx.requests_of(correlation).await?;
            for r in &requests {
                let (car, of) = (format!("by {}", r.eid), id_text(r.id));
                add(
                    r.created_at,
                    "car",
                    "asked for an activation code",
                    "request",
                    of.clone(),
                    &car,
                );
                let outcome = outcome(r);
                if r.changed_at > r.created_at {
                    add(
                        r.changed_at,
                        "cmp",
                        r.state.as_str(),
                        "request",
                        of.clone(),
                        &outcome,
                    );
                }
                if let Some(at) = r.delivered_at {
                    add(at, "car", "has the result", "request", of, "");
                }
            }
            let calls = tx.calls_of(correlation).await?;
            for c in &calls {
                let of = id_text(c.id);
                let detail = format!("{} to {}", c.kind.as_str(), c.msp);
                add(c.created_at, "cmp", "calls", "call", of.clone(), &detail);
                for h in tx.history(c.id).await? {
                    add(h.at, "msp", &h.event, "call", of.clone(), &h.detail);
                }
                if let Some(at) = c.closed_at {
                    add(at, "msp", c.state.as_str(), "call", of, "");
                }
            }
            let orders = tx.orders_of(correlation).await?;
            for o in &orders {
                for h in tx.history(o.id).await? {
                    let party = match h.event.as_str() {
                        "given" | "sent" | "closed" | "replayed" | "replay" | "why" => "cmp",
                        _ => "car",
                    };
                    let detail = format!("{} {}", o.eid, h.detail);
                    add(h.at, party, &h.event, "order", id_text(o.id), detail.trim());
                }
            }
            line.sort_by_key(|(at, _)| *at);
            if line.is_empty() {
                return Err(Refusal::unknown(format!(
                    "nothing is known of the transaction {id}"
                )));
            }
            let line: Vec<Value> = line.into_iter().map(|(_, row)| row).collect();
            Ok(json!({
                "correlation_id": id, "line": line,
                "orders": orders.iter().map(order_row).collect::<Vec<_>>(),
                "calls": calls.iter().map(call_row).collect::<Vec<_>>(),
            }))
        };
        self.look(read).await
    }
}

/// What came of a request, without its code.
fn outcome(r: &CodeRequest) -> String {
    match (&r.error, r.error_code, &r.iccid) {
        (Some(error), Some(code), _) => format!("{code} {error}"),
        (Some(error), None, _) => error.clone(),
        (None, _, Some(iccid)) => format!("profile {iccid}"),
        (None, _, None) => String::new(),
    }
}
