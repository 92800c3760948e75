//! What the CMP makes of an MSP that does not keep to AID.02: each misbehaviour of `aid-msp` by its name,
//! against the real CMP, and what came of it. The tables are those of docs/msp-control.md.

mod calls;
mod codes;
mod ends;
mod profiles;
mod swaps;

use super::stage::Stage;
use super::{Entry, Needs};
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::{Value, json};

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "misbehaving-calls",
        "the MSP calls wrongly: the CMP refuses by the contract, or does what can be done (§5, §7.3, §7.6)",
        Needs::of(1, 1, 1).controlled(),
        calls::play,
    ),
    (
        "misbehaving-codes",
        "the MSP answers wrongly: a car gets its profile all the same, or hears why not (§7.7)",
        Needs::of(1, 1, 60).controlled(),
        codes::play,
    ),
    (
        "misbehaving-swaps",
        "the MSP swaps what it should not: the CMP follows, and loses no other profile (§4.3.1)",
        Needs::of(3, 1, 6).with_pool(2).controlled(),
        swaps::play,
    ),
    (
        "misbehaving-profiles",
        "the MSP says wrong things about profiles, or does not listen: none is lost by it (§4.6, §4.7, §7.8)",
        Needs::of(1, 1, 2).controlled(),
        profiles::play,
    ),
    (
        "misbehaving-ends",
        "a link ends, and the MSP does it wrongly: the profile goes once, no code follows (§4.4, §7.4, §7.9)",
        Needs::of(1, 1, 12).controlled(),
        ends::play,
    ),
];

/// What was done on purpose after an event, and what the CMP said to it.
fn events(stage: &Stage, after: i64) -> Result<Vec<Value>, Failure> {
    stage.control()?.list(&format!("events?after={after}"))
}

/// The newest event of the MSP.
fn newest(stage: &Stage) -> Result<i64, Failure> {
    let events = events(stage, 0)?;
    Ok(events.last().and_then(|e| e["seq"].as_i64()).unwrap_or(0))
}

/// What the CMP answered to the calls after an event, once the MSP has misbehaved and there are `count`.
fn answers(stage: &Stage, after: i64, name: &str, count: usize) -> Result<String, Failure> {
    let mut said = Vec::new();
    poll(&format!("what the CMP says to {name}"), || {
        let mut events = events(stage, after)?;
        events.retain(|e| e["name"] == name);
        let answered = events.iter().filter(|e| e["status"].is_u64());
        said = answered
            .map(|e| match e["code"].as_str() {
                Some(code) if !code.is_empty() => format!("{}/{code}", e["status"]),
                _ => e["status"].to_string(),
            })
            .collect();
        Ok(!events.is_empty() && said.len() >= count)
    })?;
    Ok(said.join(", "))
}

/// Asks for a misbehaviour, once, where it shall act.
fn misbehave(stage: &Stage, name: &str, operation: &str) -> Result<(), Failure> {
    let mut wish = json!({"name": name, "operation": operation});
    if ["late-call", "late-code"].contains(&name) {
        wish["delay_ms"] = json!(300);
    }
    // The CMP leaves an MSP that says nothing alone for a minute; a connection that ends it notices at once.
    if name == "no-answer" {
        wish["delay_ms"] = json!(1000);
    }
    stage.control()?.misbehave(&wish)
}

/// What went otherwise than it should.
#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    /// One outcome beside what it should be.
    fn judge(&mut self, stage: &mut Stage, name: &str, got: &str, wanted: &str) {
        stage.step(format!("{name}: {got}"));
        if got != wanted {
            self.0.push(format!("{name}: {got:?}, not {wanted:?}"));
        }
    }

    fn given(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(self.0.join("; ")))
        }
    }
}

/// How many answers a row of a table speaks of.
fn count(wanted: &str) -> usize {
    wanted.split(", ").filter(|w| !w.is_empty()).count()
}

/// The driver ends his link, if there is one.
fn unlink(stage: &mut Stage) -> Result<(), Failure> {
    if stage.active(stage.driver(0).name)? > 0 {
        stage.portal(0)?.withdraw()?;
    }
    stage.wait_no_orders()?;
    poll("the MSP to hear of the end", || {
        let open = |f: &Value| f["kind"] == "invalidate" && f["state"] == "due";
        Ok(!stage.cmp_list("outbox")?.iter().any(open))
    })
}

/// State and verdict of a profile in the CMP's books.
fn at_cmp(stage: &Stage, iccid: &str) -> Result<String, Failure> {
    let list = stage.cmp_list("profile")?;
    let last = list.iter().rev().find(|p| p["iccid"] == iccid);
    let word = |name: &str| last.and_then(|p| p[name].as_str()).unwrap_or("unknown");
    Ok(format!("{}, {}", word("status"), word("msp_state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no CMP that keeps to AID.02 can see of an MSP; docs/msp-control.md says why.
    const UNSEEN: [&str; 1] = ["minds-candidate"];

    /// The words in backquotes that begin a row of a table.
    fn rows(text: &str) -> Vec<&str> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| row.split('`').next()).collect()
    }

    #[test]
    fn every_name_is_played_and_documented() {
        let document = include_str!("../../../../docs/msp-control.md");
        let (names, outcomes) = document
            .split_once("## What our CMP does")
            .expect("both parts");
        let (_, names) = names.split_once("## Names").expect("the names");
        let played = [
            calls::names(),
            codes::names(),
            swaps::names(),
            profiles::names(),
            ends::names(),
        ]
        .concat();
        let outcomes = rows(outcomes);
        for name in rows(names) {
            let seen = played.contains(&name);
            assert_ne!(seen, UNSEEN.contains(&name), "{name}");
        }
        for name in played.iter().chain(&UNSEEN) {
            assert!(outcomes.contains(name), "{name}: its outcome");
        }
    }
}
