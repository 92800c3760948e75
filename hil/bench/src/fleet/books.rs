//! The books of all sides at the end: what is on the cards is what CMP and MSP have, each profile is on one card, and who
//! was withdrawn has none.

use crate::site::Site;
use crate::story::books;
use aid_agent_core::CardProfile;
use aid_cli::cli::Failure;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most violations that are written out for one invariant.
const MOST: usize = 20;

/// A rule that must hold whatever happened on the way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Invariant {
    /// Name of its case in the report.
    pub(super) name: &'static str,
    /// What it says, one sentence.
    pub(super) about: &'static str,
    /// The clause.
    pub(super) clause: &'static str,
    /// How many things were looked at.
    pub(super) checked: usize,
    /// How many break it.
    pub(super) broken: usize,
    /// The first that do.
    pub(super) examples: Vec<String>,
}

impl Invariant {
    const fn new(name: &'static str, about: &'static str, clause: &'static str) -> Self {
        Self {
            name,
            about,
            clause,
            checked: 0,
            broken: 0,
            examples: Vec::new(),
        }
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.broken += 1;
            if self.examples.len() < MOST {
                self.examples.push(otherwise());
            }
        }
    }
}

/// A car as it stands at the end.
pub(super) struct Parked {
    pub(super) eid: String,
    pub(super) profiles: Vec<CardProfile>,
    /// Was its driver withdrawn by the MSP?
    pub(super) withdrawn: bool,
    /// Did it ever get a profile?
    pub(super) drove: bool,
}

/// State of each profile by (EID, ICCID).
type Book = BTreeMap<(String, String), String>;

/// Compares all books.
pub(super) fn compare(site: &Site, cars: &[Parked]) -> Result<Vec<Invariant>, Failure> {
    let (cmp, msp) = (at_cmp(site)?, at_msp(site)?);
    let smdp = at_smdp(site)?;
    let mut parked = Invariant::new(
        "fleet/parked",
        "No profile is enabled in a car that nobody is logged in to.",
        "AID.02 §4.3",
    );
    let mut single = Invariant::new(
        "fleet/one-card",
        "Each profile is on one card.",
        "SGP.22 §3.1.3",
    );
    let mut told = Invariant::new(
        "fleet/books-of-cmp",
        "The CMP has each profile of each card, as the card has it.",
        "AID.02 §7.8",
    );
    let mut forwarded = Invariant::new(
        "fleet/books-of-msp",
        "The MSP was told the present state of each profile.",
        "AID.02 §7.8",
    );
    let mut notified = Invariant::new(
        "fleet/books-of-smdp",
        "The SM-DP+ was notified of the installation of each profile.",
        "SGP.22 §3.5",
    );
    let mut gone = Invariant::new(
        "fleet/withdrawn",
        "A withdrawn driver's profile is on no card, and CMP and MSP know it.",
        "AID.02 §4.4.2",
    );
    let mut kept = Invariant::new(
        "fleet/kept",
        "A driver who was not withdrawn keeps the profile.",
        "AID.02 §4.3",
    );
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let mut on_cards = BTreeSet::new();
    for car in cars {
        for profile in &car.profiles {
            let iccid = profile.iccid.as_str();
            let key = (car.eid.clone(), iccid.to_owned());
            parked.check(!profile.enabled, || format!("{iccid} in {}", car.eid));
            let other = owners.insert(iccid, &car.eid);
            single.check(other.is_none(), || {
                format!("{iccid} in {} and {}", car.eid, other.unwrap_or_default())
            });
            for (book, rule) in [(&cmp, &mut told), (&msp, &mut forwarded)] {
                let state = book.get(&key).map(String::as_str);
                rule.check(state == Some("disabled"), || {
                    format!("{iccid} in {}: disabled on the card, {state:?} in the books", car.eid)
                });
            }
            notified.check(smdp.contains(iccid), || format!("{iccid} in {}", car.eid));
            on_cards.insert(key);
        }
        if car.withdrawn {
            gone.check(car.profiles.is_empty(), || format!("{} has a profile", car.eid));
        } else if car.drove {
            kept.check(car.profiles.len() == 1, || {
                format!("{} has {} profiles", car.eid, car.profiles.len())
            });
        }
    }
    for (book, rule) in [(&cmp, &mut told), (&msp, &mut forwarded)] {
        for (key, state) in book {
            let there = on_cards.contains(key);
            let ended = matches!(state.as_str(), "deleted" | "installation_failed");
            rule.check(there || ended, || {
                format!("{} in {}: {state} in the books, not on the card", key.1, key.0)
            });
        }
    }
    Ok(vec![parked, single, told, forwarded, notified, gone, kept])
}

fn text(value: &serde_json::Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn at_cmp(site: &Site) -> Result<Book, Failure> {
    let list = books::list(site, "aid-cmp", "cmp.toml", "profile")?;
    let row = |row: &serde_json::Value| ((text(row, "eid"), text(row, "iccid")), text(row, "status"));
    Ok(list.iter().map(row).collect())
}

/// The last report about each profile.
fn at_msp(site: &Site) -> Result<Book, Failure> {
    let list = books::list(site, "aid-msp", "msp.toml", "status")?;
    let row = |row: &serde_json::Value| ((text(row, "eid"), text(row, "iccid")), text(row, "status"));
    Ok(list.iter().map(row).collect())
}

/// The profiles that notifications are about.
fn at_smdp(site: &Site) -> Result<BTreeSet<String>, Failure> {
    let list = books::list(site, "aid-smdp", "smdp.toml", "notification")?;
    Ok(list.iter().map(|row| text(row, "iccid")).collect())
}
