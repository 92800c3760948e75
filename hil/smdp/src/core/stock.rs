//! Which profiles can be delivered: those that the inventory has, as a start finds it.

use super::{Change, Decided, Order};
use std::collections::{BTreeMap, BTreeSet};

/// The profiles of the books by ICCID, and whether the inventory had them at the last start.
pub type Known = BTreeMap<String, bool>;

/// Decides what a start changes: new profiles become available, and known ones keep their orders. A start that finds
/// the inventory as it was changes nothing, so that it needs no room on the disk.
pub fn restock(profiles: &[Order], known: &Known) -> Decided<()> {
    let iccids: BTreeSet<&str> = profiles.iter().map(|p| p.iccid.as_str()).collect();
    let new = profiles.iter().filter(|p| !known.contains_key(&p.iccid));
    let new = new.map(|profile| Change::Profile(Box::new(profile.clone())));
    let moved = known.iter().filter_map(|(iccid, was)| {
        let is = iccids.contains(iccid.as_str());
        (is != *was).then(|| Change::InInventory(iccid.clone(), is))
    });
    Decided {
        changes: new.chain(moved).collect(),
        result: Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_changes_what_came_and_what_went() {
        let profile = |iccid: &str| Order::available(iccid.into(), "t".into(), 1);
        let known = |list: &[(&str, bool)]| -> Known {
            list.iter().map(|(i, is)| ((*i).to_owned(), *is)).collect()
        };
        let profiles = [profile("1"), profile("2"), profile("3")];
        let all = known(&[("1", true), ("2", true), ("3", true), ("4", false)]);
        assert_eq!(restock(&profiles, &all).changes, []);
        let other = known(&[("1", true), ("2", false), ("4", true)]);
        assert_eq!(
            restock(&profiles, &other).changes,
            [
                Change::Profile(Box::new(profile("3"))),
                Change::InInventory("2".into(), true),
                Change::InInventory("4".into(), false),
            ]
        );
    }
}
