//! The books of all sides after a run: what the card did with each profile, by its own numbered notifications at the SM-DP+,
//! is what the MSP was told through the CMP, each thing once and in its order.

use super::pause;
use crate::fleet::{Parked, compare, nothing_open};
use crate::site::Site;
use crate::story::agent::Agent;
use crate::story::books;
use aid_agent_core::CardProfile;
use aid_cli::cli::Failure;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for the books to agree: reports and notifications are retried with pauses.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// How the SM-DP+ names an installation that was broken off.
const INTERRUPTED: &str = "installFailedDueToInterruption";
/// One that succeeded.
const INSTALLED: &str = "installed";

/// So much of a history is printed from where it differs.
const SHOWN: usize = 6;

/// What the books say.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Verdict {
    /// Profiles that were on the card once.
    pub(super) profiles: usize,
    /// What the card did with them.
    pub(super) operations: usize,
    /// What the MSP was told of them.
    pub(super) reports: usize,
    /// What does not agree, a sentence each.
    pub(super) broken: Vec<String>,
}

/// What happened to each profile, in order.
type Histories = BTreeMap<String, Vec<String>>;

/// Lets the car come to rest, and compares the books until they agree, or long enough.
pub(super) fn settle(site: &Site, agent: &Agent) -> Result<Verdict, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let is_over = Instant::now() > end;
        let verdict = match rest(agent) {
            Some(card) if nothing_open(site)? => look(site, card)?,
            _ => Verdict {
                broken: vec!["the car or the CMP did not come to rest".to_owned()],
                ..Verdict::default()
            },
        };
        if verdict.broken.is_empty() || is_over {
            return Ok(verdict);
        }
        pause(LOOK);
    }
}

/// The profiles of a car that is at rest; logs out whoever is logged in.
fn rest(agent: &Agent) -> Option<Vec<CardProfile>> {
    let status = agent.status().ok()?;
    if !status["session"].is_null() {
        let _ = agent.logout();
        return None;
    }
    let idle =
        status["phase"] == "guest" && status["link"] == "up" && status["pending_reports"] == 0;
    let profile = |p: &Value| {
        Some(CardProfile {
            iccid: p["iccid"].as_str()?.parse().ok()?,
            enabled: p["state"] == "enabled",
        })
    };
    idle.then(|| status["profiles"].as_array()?.iter().map(profile).collect())?
}

fn look(site: &Site, profiles: Vec<CardProfile>) -> Result<Verdict, Failure> {
    let parked = Parked {
        eid: site.eid.clone(),
        profiles,
        withdrawn: false,
        drove: false,
    };
    let invariants = compare(site, &[parked])?;
    let mut broken: Vec<String> = invariants
        .into_iter()
        .flat_map(|rule| {
            let about = rule.about;
            let examples = rule.examples.into_iter();
            examples.map(move |example| format!("{about} {example}"))
        })
        .collect();
    let (card, msp) = (at_card(site)?, at_msp(site)?);
    broken.extend(differences(&card, &msp));
    Ok(Verdict {
        profiles: card.len(),
        operations: card.values().map(Vec::len).sum(),
        reports: msp.values().map(Vec::len).sum(),
        broken,
    })
}

/// The card's history of each profile: its notifications by number.
fn at_card(site: &Site) -> Result<Histories, Failure> {
    let list = books::list(site, "aid-smdp", "smdp.toml", "notification")?;
    let mut numbered: Vec<(u64, &Value)> = list
        .iter()
        .map(|row| (row["seq_number"].as_u64().unwrap_or_default(), row))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    let mut all = histories(numbered.into_iter().map(|(_, row)| row), "outcome");
    all.values_mut().for_each(forget_tries);
    Ok(all)
}

/// Takes out the interrupted tries of an installation that succeeded: the card reports each of them to the SM-DP+
/// (SGP.22 §2.5.6), while the car tells how its one operation ended (§7.8).
fn forget_tries(history: &mut Vec<String>) {
    let mut next = String::new();
    let mut kept: Vec<String> = Vec::new();
    for what in std::mem::take(history).into_iter().rev() {
        if what.starts_with(INTERRUPTED) && next == INSTALLED {
            continue;
        }
        next.clone_from(&what);
        kept.push(what);
    }
    kept.reverse();
    *history = kept;
}

/// The MSP's.
fn at_msp(site: &Site) -> Result<Histories, Failure> {
    let list = books::list(site, "aid-msp", "msp.toml", "status")?;
    Ok(histories(list.iter(), "status"))
}

fn histories<'a>(rows: impl Iterator<Item = &'a Value>, what: &str) -> Histories {
    let mut all = Histories::new();
    for row in rows {
        if let (Some(iccid), Some(what)) = (row["iccid"].as_str(), row[what].as_str()) {
            all.entry(iccid.to_owned())
                .or_default()
                .push(what.to_owned());
        }
    }
    all
}

/// Where the MSP's books are not what the card did.
fn differences(card: &Histories, msp: &Histories) -> Vec<String> {
    let none = Vec::new();
    let iccids = card
        .keys()
        .chain(msp.keys().filter(|i| !card.contains_key(*i)));
    iccids
        .filter_map(|iccid| {
            let did = card.get(iccid).unwrap_or(&none);
            let told = msp.get(iccid).unwrap_or(&none);
            let same = did.iter().zip(told).take_while(|(a, b)| a == b).count();
            let rest = |all: &[String]| {
                let shown = &all[same..all.len().min(same + SHOWN)];
                if shown.is_empty() {
                    return "nothing more".to_owned();
                }
                shown.join(", ")
            };
            let text = || {
                format!(
                    "{iccid}: after {same} operations the card did {}; the MSP was told {}",
                    rest(did),
                    rest(told)
                )
            };
            (did != told).then(text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(all: &[&str]) -> Histories {
        let all = all.iter().map(|what| (*what).to_owned());
        Histories::from([("8944".to_owned(), all.collect())])
    }

    #[test]
    fn a_lost_doubled_or_swapped_report_is_found() {
        let did = history(&["installed", "enabled", "disabled", "deleted"]);
        assert!(differences(&did, &did).is_empty());
        for told in [
            &["installed", "enabled", "deleted"][..],
            &["installed", "enabled", "enabled", "disabled", "deleted"],
            &["installed", "disabled", "enabled", "deleted"],
            &[],
        ] {
            assert_eq!(differences(&did, &history(told)).len(), 1, "{told:?}");
        }
        assert_eq!(differences(&Histories::new(), &did).len(), 1);
    }

    #[test]
    fn interrupted_tries_count_with_the_installation_that_they_became() {
        let after = |all: &[&str]| {
            let mut history: Vec<String> = all.iter().map(|what| (*what).to_owned()).collect();
            forget_tries(&mut history);
            history
        };
        let tried = "installFailedDueToInterruption (11) in initialiseSecureChannel (0)";
        let kept = ["installed", "deleted"];
        assert_eq!(after(&[tried, tried, "installed", "deleted"]), kept);
        // One that nothing became of was to be told, and so was any other failure.
        assert_eq!(after(&[tried]), [tried]);
        assert_eq!(
            after(&["installed", "deleted", tried]),
            ["installed", "deleted", tried]
        );
        let full = "installFailedDueToInsufficientMemoryForProfile (10) in loadProfileElements (5)";
        assert_eq!(after(&[full, "installed"]), [full, "installed"]);
    }
}
