//! Which profiles can be delivered: those that the inventory has now.

use super::{Change, Decided, Order};
use std::collections::{BTreeMap, BTreeSet};

/// A package of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stock {
    /// The profile.
    pub iccid: String,
    /// Name of its file without the extension.
    pub file: String,
    /// profileType for DownloadOrder.
    pub profile_type: String,
    /// Profile name of its metadata, for people.
    pub name: String,
}

/// What the books have of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The first package of each ICCID, and whether the inventory had it when it was last read.
    pub first: BTreeMap<String, (Stock, bool)>,
    /// Further packages of the same ICCIDs: the operator chooses by type or file, and one of them can be ordered at a
    /// time.
    pub further: BTreeSet<Stock>,
    /// ICCIDs of profiles that were made from a template.
    pub made: BTreeSet<String>,
}

/// Decides what a reading of the inventory changes: new profiles become available, and known ones keep their orders. One
/// that finds the inventory as it was changes nothing, so that it needs no room on the disk. `stock` is in the order of
/// the files. Yields the ICCIDs of packages that are left out because a template has made a profile with the same one.
pub fn restock(stock: &[Stock], known: &Known, now: u64) -> Decided<BTreeSet<String>> {
    let mut first: BTreeMap<&str, &Stock> = BTreeMap::new();
    let mut further = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for package in stock {
        if known.made.contains(&package.iccid) {
            taken.insert(package.iccid.clone());
            continue;
        }
        match first.get(package.iccid.as_str()) {
            None => drop(first.insert(&package.iccid, package)),
            Some(_) => drop(further.insert(package.clone())),
        }
    }
    let mut changes = Vec::new();
    for (iccid, package) in &first {
        match known.first.get(*iccid) {
            None => {
                let profile_type = package.profile_type.clone();
                let order = Order::available(package.iccid.clone(), profile_type, now);
                changes.push(Change::Profile(Box::new(order), (*package).clone()));
            }
            Some((was, true)) if was == *package => {}
            Some(_) => changes.push(Change::InInventory((*package).clone(), true, now)),
        }
    }
    for (iccid, (was, is)) in &known.first {
        if *is && !first.contains_key(iccid.as_str()) {
            changes.push(Change::InInventory(was.clone(), false, now));
        }
    }
    if further != known.further {
        changes.push(Change::Further(further.into_iter().collect()));
    }
    Decided {
        changes,
        result: Ok(taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(iccid: &str, file: &str, profile_type: &str) -> Stock {
        Stock {
            iccid: iccid.into(),
            file: file.into(),
            profile_type: profile_type.into(),
            name: "n".into(),
        }
    }

    #[test]
    fn a_reading_changes_what_came_and_what_went() {
        let known = |list: &[(&str, bool)]| Known {
            first: list
                .iter()
                .map(|(i, is)| ((*i).to_owned(), (package(i, i, "t"), *is)))
                .collect(),
            ..Known::default()
        };
        let profiles = ["1", "2", "3"].map(|i| package(i, i, "t"));
        let all = known(&[("1", true), ("2", true), ("3", true), ("4", false)]);
        assert_eq!(restock(&profiles, &all, 1).changes, []);
        let other = known(&[("1", true), ("2", false), ("4", true)]);
        let order = Order::available("3".into(), "t".into(), 1);
        assert_eq!(
            restock(&profiles, &other, 1).changes,
            [
                Change::InInventory(package("2", "2", "t"), true, 1),
                Change::Profile(Box::new(order), package("3", "3", "t")),
                Change::InInventory(package("4", "4", "t"), false, 1),
            ]
        );
    }

    #[test]
    fn a_package_with_the_iccid_of_a_made_profile_is_left_out() {
        let known = Known {
            made: ["1".to_owned()].into(),
            ..Known::default()
        };
        let packages = [package("1", "a", "t"), package("1", "b", "u")];
        let decided = restock(&packages, &known, 1);
        assert_eq!(decided.changes, []);
        assert_eq!(decided.result, Ok(known.made.clone()));
        let decided = restock(&[package("2", "c", "t")], &known, 1);
        assert_eq!(decided.changes.len(), 1);
        assert_eq!(decided.result, Ok(BTreeSet::new()));
    }

    #[test]
    fn packages_with_one_iccid_stand_beside_each_other() {
        let both = [package("1", "a", "t"), package("1", "b", "u")];
        let changes = restock(&both, &Known::default(), 1).changes;
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[1], Change::Further(vec![package("1", "b", "u")]));
        // A file that is renamed, or a type that changes, is noted; so is a further package that goes.
        let mut known = Known::default();
        known
            .first
            .insert("1".into(), (package("1", "a", "t"), true));
        known.further.insert(package("1", "b", "u"));
        assert_eq!(restock(&both, &known, 1).changes, []);
        let changes = restock(&[package("1", "b", "u")], &known, 1).changes;
        assert_eq!(
            changes,
            [
                Change::InInventory(package("1", "b", "u"), true, 1),
                Change::Further(Vec::new())
            ]
        );
    }
}
