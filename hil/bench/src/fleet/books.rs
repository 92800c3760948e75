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
pub(crate) struct Invariant {
    /// Name of its case in the report.
    pub(crate) name: &'static str,
    /// What it says, one sentence.
    pub(crate) about: &'static str,
    /// The clause.
    pub(crate) clause: &'static str,
    /// How many things were looked at.
    pub(crate) checked: usize,
    /// How many break it.
    pub(crate) broken: usize,
    /// The first that do.
    pub(crate) examples: Vec<String>,
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
pub(crate) struct Parked {
    pub(crate) eid: String,
    pub(crate) profiles: Vec<CardProfile>,
    /// Was its driver withdrawn by the MSP?
    pub(crate) withdrawn: bool,
    /// Did it ever get a profile?
    pub(crate) drove: bool,
}

/// State of each profile by (EID, ICCID).
type Book = BTreeMap<(String, String), String>;

/// The books of all servers.
#[derive(Debug, Clone, Default)]
struct Books {
    /// The last state that the CMP has of each profile.
    cmp: Book,
    /// The last state that the MSP was told.
    msp: Book,
    /// Profiles of whose installation the SM-DP+ was notified.
    smdp: BTreeSet<String>,
}

/// Reads the books of all servers, and compares them with the cards.
pub(crate) fn compare(site: &Site, cars: &[Parked]) -> Result<Vec<Invariant>, Failure> {
    let books = Books {
        cmp: at_cmp(site)?,
        msp: at_msp(site)?,
        smdp: at_smdp(site)?,
    };
    Ok(judge(&books, cars))
}

fn judge(books: &Books, cars: &[Parked]) -> Vec<Invariant> {
    let Books { cmp, msp, smdp } = books;
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
            for (book, rule) in [(cmp, &mut told), (msp, &mut forwarded)] {
                let state = book.get(&key).map(String::as_str);
                // A profile that was never enabled was installed, and is disabled.
                rule.check(matches!(state, Some("disabled" | "installed")), || {
                    format!(
                        "{iccid} in {}: disabled on the card, {state:?} in the books",
                        car.eid
                    )
                });
            }
            notified.check(smdp.contains(iccid), || format!("{iccid} in {}", car.eid));
            on_cards.insert(key);
        }
        if car.withdrawn {
            gone.check(car.profiles.is_empty(), || {
                format!("{} has a profile", car.eid)
            });
        } else if car.drove {
            kept.check(car.profiles.len() == 1, || {
                format!("{} has {} profiles", car.eid, car.profiles.len())
            });
        }
    }
    for (book, rule) in [(cmp, &mut told), (msp, &mut forwarded)] {
        for (key, state) in book {
            let there = on_cards.contains(key);
            let ended = matches!(state.as_str(), "deleted" | "installation_failed");
            rule.check(there || ended, || {
                format!(
                    "{} in {}: {state} in the books, not on the card",
                    key.1, key.0
                )
            });
        }
    }
    vec![parked, single, told, forwarded, notified, gone, kept]
}

fn text(value: &serde_json::Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn at_cmp(site: &Site) -> Result<Book, Failure> {
    let list = books::list(site, "aid-cmp", "cmp.toml", "profile")?;
    let row =
        |row: &serde_json::Value| ((text(row, "eid"), text(row, "iccid")), text(row, "status"));
    Ok(list.iter().map(row).collect())
}

/// The last report about each profile.
fn at_msp(site: &Site) -> Result<Book, Failure> {
    let list = books::list(site, "aid-msp", "msp.toml", "status")?;
    let row =
        |row: &serde_json::Value| ((text(row, "eid"), text(row, "iccid")), text(row, "status"));
    Ok(list.iter().map(row).collect())
}

/// The profiles that notifications are about.
fn at_smdp(site: &Site) -> Result<BTreeSet<String>, Failure> {
    let list = books::list(site, "aid-smdp", "smdp.toml", "notification")?;
    Ok(list.iter().map(|row| text(row, "iccid")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ICCID: &str = "8988000000000000003";
    const OTHER: &str = "8988000000000000011";

    fn car(eid: &str, profiles: &[(&str, bool)], withdrawn: bool) -> Parked {
        let profile = |(iccid, enabled): &(&str, bool)| CardProfile {
            iccid: iccid.parse().unwrap(),
            enabled: *enabled,
        };
        Parked {
            eid: eid.to_owned(),
            profiles: profiles.iter().map(profile).collect(),
            withdrawn,
            drove: true,
        }
    }

    /// Two cars: one keeps its profile, the other's driver was withdrawn.
    fn sound() -> (Books, Vec<Parked>) {
        let key = |eid: &str, iccid: &str| (eid.to_owned(), iccid.to_owned());
        let book = Book::from([
            (key("1", ICCID), "disabled".to_owned()),
            (key("2", OTHER), "deleted".to_owned()),
        ]);
        let books = Books {
            cmp: book.clone(),
            msp: book,
            smdp: BTreeSet::from([ICCID.to_owned(), OTHER.to_owned()]),
        };
        (
            books,
            vec![car("1", &[(ICCID, false)], false), car("2", &[], true)],
        )
    }

    fn broken(books: &Books, cars: &[Parked]) -> Vec<&'static str> {
        let all = judge(books, cars).into_iter();
        all.filter(|rule| rule.broken > 0)
            .map(|rule| rule.name)
            .collect()
    }

    #[test]
    fn each_invariant_is_broken_by_its_own_defect() {
        let (books, cars) = sound();
        assert!(broken(&books, &cars).is_empty());
        assert!(judge(&books, &cars).iter().all(|rule| rule.checked > 0));

        let enabled = vec![car("1", &[(ICCID, true)], false), car("2", &[], true)];
        assert_eq!(broken(&books, &enabled), ["fleet/parked"]);
        let mut twice = sound().0;
        for book in [&mut twice.cmp, &mut twice.msp] {
            book.insert(("3".into(), ICCID.into()), "disabled".into());
        }
        let two_cards = vec![
            car("1", &[(ICCID, false)], false),
            car("2", &[], true),
            car("3", &[(ICCID, false)], false),
        ];
        assert_eq!(broken(&twice, &two_cards), ["fleet/one-card"]);
        let withdrawn = vec![car("1", &[(ICCID, false)], true), car("2", &[], true)];
        assert_eq!(broken(&books, &withdrawn), ["fleet/withdrawn"]);
        let lost = vec![car("1", &[(ICCID, false)], false), car("2", &[], false)];
        assert_eq!(broken(&books, &lost), ["fleet/kept"]);

        let wrong = |change: fn(&mut Books)| {
            let (mut books, cars) = sound();
            change(&mut books);
            broken(&books, &cars)
        };
        assert_eq!(
            wrong(|b| drop(b.cmp.insert(("1".into(), ICCID.into()), "enabled".into()))),
            ["fleet/books-of-cmp"]
        );
        assert_eq!(
            wrong(|b| drop(b.msp.remove(&("1".into(), ICCID.into())))),
            ["fleet/books-of-msp"]
        );
        assert_eq!(
            wrong(|b| drop(b.msp.insert(("2".into(), OTHER.into()), "disabled".into()))),
            ["fleet/books-of-msp"]
        );
        assert_eq!(wrong(|b| b.smdp.clear()), ["fleet/books-of-smdp"]);
    }
}
