//! Misbehaviours on the command line and over the control API (docs/msp-control.md).

use aid_cli::cli::Failure;
use serde_json::{Value, json};

use super::Refusal;
use crate::misbehave::{self, Event, Name, Place, Rule, Wish};
use crate::msp::{Msp, now_ms};

/// What can be done wrong.
pub(crate) fn misbehaviours() -> Value {
    let one = |name: &Name| {
        let places: Vec<_> = name.places().iter().map(|p| p.as_str()).collect();
        json!({"name": name.as_str(), "operations": places, "text": name.text()})
    };
    Name::ALL.iter().map(one).collect()
}

fn rule(rule: &Rule) -> Value {
    let mut shown = json!({
        "id": rule.id, "name": rule.name.as_str(), "operation": rule.operation.map(Place::as_str),
        "cmp": rule.cmp.as_ref().map(|c| c.as_str()), "remaining": rule.remaining, "skip": rule.skip,
        "probability": rule.probability as f64 / 1e6, "seed": rule.seed, "seen": rule.seen, "fired": rule.fired,
    });
    if let (Value::Object(all), Ok(Value::Object(more))) =
        (&mut shown, serde_json::to_value(&rule.parameters))
    {
        all.extend(more);
    }
    shown
}

/// The misbehaviours that were asked for.
///
/// # Errors
/// The database fails.
pub(crate) async fn rules(msp: &Msp) -> Result<Value, Refusal> {
    let rules = msp.store.read(async |tx| tx.rules().await).await?;
    Ok(rules.iter().map(rule).collect())
}

/// Asks for a misbehaviour.
///
/// # Errors
/// It makes no sense, nothing would look at it, or the database fails.
pub(crate) async fn add_rule(msp: &Msp, wish: Wish) -> Result<Value, Refusal> {
    if msp.layer.is_none() {
        return Err(Failure::new(
            "the configuration has no [control], so nothing misbehaves; add it and restart `serve`",
        )
        .into());
    }
    let new = wish.check().map_err(Failure::new)?;
    if let Some(cmp) = &new.cmp
        && msp.cmp(cmp).is_none()
    {
        return Err(Failure::new(format!("there is no cmp {cmp} in the configuration")).into());
    }
    let added = msp
        .store
        .decide(async move |tx| Ok(misbehave::add(&tx.rules().await?, new.clone(), now_ms())));
    Ok(rule(&added.await?))
}

/// Takes back one misbehaviour, or all.
///
/// # Errors
/// There is none of this id, or the database fails.
pub(crate) async fn clear_rules(msp: &Msp, id: Option<i64>) -> Result<Value, Refusal> {
    let cleared = msp
        .store
        .decide(async move |tx| Ok(misbehave::clear(&tx.rules().await?, id)));
    let cleared = cleared.await?;
    match id {
        Some(id) if cleared == 0 => Err(Failure::new(format!(
            "there is no misbehaviour {id}; `aid-msp misbehave list` shows all"
        ))
        .into()),
        _ => Ok(json!([{"cleared": cleared}])),
    }
}

/// What was done on purpose after event `seq`, and what CMPs said to it.
///
/// # Errors
/// The database fails.
pub(crate) async fn events(msp: &Msp, seq: i64) -> Result<Value, Refusal> {
    let row = |e: &Event| {
        json!({
            "seq": e.seq, "at": e.at, "misbehaviour": e.rule, "name": e.name, "operation": e.operation,
            "cmp": e.client_id, "status": e.status, "code": e.code, "error": e.note,
        })
    };
    let events = msp.store.read(async move |tx| tx.events(seq).await).await?;
    Ok(events.iter().map(row).collect())
}
