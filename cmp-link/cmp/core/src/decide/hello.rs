//! What a car says is on its card beside what the CMP has of it. Reports tell the CMP of every change (§7.8), so the two
//! differ only where a report was lost: the car's storage or the CMP's database was restored from a backup. Then the card
//! is the truth about its profiles.

use crate::model::{Order, OrderState, Profile, ProfileStatus};
use aid_id::{AccountRef, Iccid};
use aid_wire::{OrderKind, ProfileState, Status};
use serde::{Deserialize, Serialize};

/// Time in which a car sends the reports that were waiting for its connection, ms. What two Hellos say that are further
/// apart, no report explains.
pub const SETTLED_MS: u64 = 60_000;
/// Whether a Hello may be compared with the one before it, which was seen at `seen`: it came [`SETTLED_MS`] before `now` or
/// earlier, Unix milliseconds. One of the future was stamped by a clock that was wrong, and is older than this one.
#[must_use]
pub fn is_settled(seen: u64, now: u64) -> bool {
    seen > now || now - seen >= SETTLED_MS
}

/// When a report was received that may explain what a Hello that was seen at `seen` differed in. One of the future explains
/// nothing: a clock that was wrong stamped it, and it would explain everything for as long as that clock was ahead.
#[must_use]
pub fn since(seen: u64, now: u64) -> std::ops::RangeInclusive<u64> {
    seen.min(now)..=now
}

/// Profiles of a card that are kept for support and compared.
const MAX_LISTED: usize = 64;
/// Said of a profile in the stored card that should be on it: it was not listed once.
const ABSENT: &str = "absent";
/// It was not listed again, and this was noted.
const MISSING: &str = "missing";

/// A report that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The profile.
    pub iccid: Iccid,
    /// Whose it is, where the car knows.
    pub account: Option<AccountRef>,
    /// What it said.
    pub status: Status,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Reports that were lost, in their order. They are treated as if they came now.
    pub lost: Vec<Lost>,
    /// Profiles that should be on the card and are not: an operator has to find out why. Nothing is deleted for it.
    pub missing: Vec<Iccid>,
    /// The card, JSON: for support, and for the next comparison.
    pub card: String,
}

/// The profiles in which a stored card differed from what the CMP had.
#[must_use]
pub fn differing(before: &str) -> Vec<Iccid> {
    let differ = stored(before).into_iter().filter(|entry| entry.differs);
    differ
        .filter_map(|entry| entry.iccid.parse().ok())
        .collect()
}

/// A stored card without these profiles, of which the car has reported since: what differed then was a report on its way,
/// and says nothing of what differs now.
#[must_use]
pub fn without(before: &str, reported: &[Iccid]) -> String {
    let mut card = stored(before);
    card.retain(|entry| reported.iter().all(|iccid| iccid.as_str() != entry.iccid));
    serde_json::to_string(&card).unwrap_or_default()
}

/// Compares what a car lists with what the CMP has of it. `before` is the card that the Hello before this left behind;
/// none where it was less than [`SETTLED_MS`] ago. `orders` are the car's open ones: what they will change is no
/// difference. What differs counts once two Hellos in a row differ in the same.
#[must_use]
pub fn compare(
    listed: &[ProfileState],
    before: Option<&str>,
    profiles: &[Profile],
    orders: &[Order],
) -> Compared {
    let before = stored(before.unwrap_or_default());
    let (mut found, mut card) = (Compared::default(), Vec::new());
    for on_card in listed.iter().take(MAX_LISTED) {
        let known = profiles.iter().find(|p| p.iccid == on_card.iccid);
        let mut lost = reports(known.map(|p| p.status), on_card);
        if is_ordered(&on_card.iccid, orders) {
            lost = &[];
        }
        let entry = Entry {
            iccid: on_card.iccid.to_string(),
            state: ProfileStatus::from(on_card.state).as_str().to_owned(),
            differs: !lost.is_empty(),
        };
        if before.contains(&entry) {
            found.lost.extend(lost.iter().map(|status| Lost {
                iccid: on_card.iccid.clone(),
                account: on_card.owner,
                status: *status,
            }));
        }
        card.push(entry);
    }
    let gone = |p: &&Profile| {
        p.status.may_be_on_card()
            && p.status != ProfileStatus::Prepared
            && !is_ordered(&p.iccid, orders)
            && listed.iter().all(|l| l.iccid != p.iccid)
    };
    for profile in profiles.iter().filter(gone) {
        let earlier = before.iter().find(|e| e.iccid == profile.iccid.as_str());
        let state = match earlier.map(|e| e.state.as_str()) {
            Some(ABSENT) => {
                found.missing.push(profile.iccid.clone());
                MISSING
            }
            Some(MISSING) => MISSING,
            _ => ABSENT,
        };
        card.push(Entry {
            iccid: profile.iccid.to_string(),
            state: state.to_owned(),
            differs: true,
        });
    }
    found.card = serde_json::to_string(&card).unwrap_or_default();
    found
}

/// A profile of a stored card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    iccid: String,
    state: String,
    /// The CMP had it otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    differs: bool,
}

/// The profiles of a stored card. One that this version can't read says nothing.
fn stored(card: &str) -> Vec<Entry> {
    serde_json::from_str(card).unwrap_or_default()
}

/// The reports that would have made of the book's state what is on the card.
fn reports(book: Option<ProfileStatus>, card: &ProfileState) -> &'static [Status] {
    let enabled = card.state == Status::Enabled;
    match book {
        Some(ProfileStatus::Enabled) if enabled => &[],
        Some(ProfileStatus::Enabled) => &[Status::Disabled],
        Some(ProfileStatus::Installed | ProfileStatus::Disabled) if enabled => &[Status::Enabled],
        Some(ProfileStatus::Installed | ProfileStatus::Disabled) => &[],
        // Nobody's, as far as is known: such as the profile that the car came with.
        None if card.owner.is_none() => &[],
        _ if enabled => &[Status::Installed, Status::Enabled],
        _ => &[Status::Installed],
    }
}

/// Whether an open order will change this profile.
fn is_ordered(iccid: &Iccid, orders: &[Order]) -> bool {
    let changes = |o: &Order| match &o.kind {
        OrderKind::DeleteAll | OrderKind::Erase { .. } | OrderKind::FactoryReset => true,
        _ => o.iccid() == Some(iccid),
    };
    orders
        .iter()
        .any(|o| o.state == OrderState::Open && changes(o))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
    use super::*;
    use crate::model::MspVerdict;
    use aid_id::Eid;

    #[test]
    fn what_a_wrong_clock_stamped_explains_nothing_and_hides_nothing() {
        let (now, day) = (1_800_000_000_000, 86_400_000);
        assert!(is_settled(now - SETTLED_MS, now));
        assert!(!is_settled(now - SETTLED_MS + 1, now));
        assert!(!is_settled(now, now));
        assert!(is_settled(now + 3 * day, now));
        let may_explain = |received, seen| since(seen, now).contains(&received);
        assert!(may_explain(now - 1, now - 2));
        assert!(may_explain(now, now));
        assert!(!may_explain(now - 3, now - 2));
        assert!(!may_explain(now + day, now - 2));
        // A Hello of the future: what was received since can't be told, so only what comes at this very moment counts.
        assert!(!may_explain(now - 1, now + day));
        assert!(!may_explain(now + day, now + day));
    }

    const OWNER: AccountRef = AccountRef([7; 16]);

    fn iccid(n: u32) -> Iccid {
        format!("8988{n:015}").parse().unwrap()
    }

    fn eid() -> Eid {
        Eid::with_check_digits("890490320000010000000000000001").unwrap()
    }

    fn listed(n: u32, state: Status) -> ProfileState {
        ProfileState {
            iccid: iccid(n),
            state,
            owner: Some(OWNER),
        }
    }

    fn profile(n: u32, status: ProfileStatus) -> Profile {
        Profile {
            iccid: iccid(n),
            federation: [1; 16],
            eid: eid(),
            status,
            verdict: MspVerdict::Valid,
            last_used: 0,
            created_at: 0,
        }
    }

    fn order(kind: OrderKind) -> Order {
        Order {
            id: [2; 16],
            eid: eid(),
            kind,
            reason: String::new(),
            federation: None,
            correlation: [3; 16],
            state: OrderState::Open,
            code: None,
            attempts: 0,
            created_at: 0,
            sent_at: None,
            closed_at: None,
        }
    }

    /// What the second and the third of three Hellos find that list the same.
    fn twice(card: &[ProfileState], book: &[Profile], orders: &[Order]) -> [Compared; 2] {
        let first = compare(card, None, book, orders);
        assert!(first.lost.is_empty() && first.missing.is_empty());
        let second = compare(card, Some(&first.card), book, orders);
        let third = compare(card, Some(&second.card), book, orders);
        [second, third]
    }

    #[test]
    fn what_agrees_is_no_difference() {
        let card = [listed(1, Status::Enabled), listed(2, Status::Disabled)];
        for second in [ProfileStatus::Installed, ProfileStatus::Disabled] {
            let book = [profile(1, ProfileStatus::Enabled), profile(2, second)];
            for found in twice(&card, &book, &[]) {
                assert!(found.lost.is_empty() && found.missing.is_empty());
                assert!(!found.card.contains("differs"), "{}", found.card);
            }
        }
    }

    #[test]
    fn the_card_is_right_once_two_hellos_differ_in_the_same() {
        use ProfileStatus as Book;
        let cases: [(Option<Book>, Status, &[Status]); 8] = [
            (Some(Book::Enabled), Status::Disabled, &[Status::Disabled]),
            (Some(Book::Disabled), Status::Enabled, &[Status::Enabled]),
            (Some(Book::Installed), Status::Enabled, &[Status::Enabled]),
            (Some(Book::Prepared), Status::Disabled, &[Status::Installed]),
            (
                Some(Book::Prepared),
                Status::Enabled,
                &[Status::Installed, Status::Enabled],
            ),
            (Some(Book::Deleted), Status::Disabled, &[Status::Installed]),
            (Some(Book::Failed), Status::Disabled, &[Status::Installed]),
            (None, Status::Enabled, &[Status::Installed, Status::Enabled]),
        ];
        for (book, state, wanted) in cases {
            let card = [listed(1, state)];
            let book: Vec<Profile> = book.into_iter().map(|s| profile(1, s)).collect();
            let [second, _] = twice(&card, &book, &[]);
            let reported: Vec<Status> = second.lost.iter().map(|l| l.status).collect();
            assert_eq!(reported, wanted, "{book:?} {state:?}");
            assert!(second.lost.iter().all(|l| l.account == Some(OWNER)));
        }
    }

    #[test]
    fn a_difference_that_is_new_waits_for_its_report() {
        let book = [profile(1, ProfileStatus::Enabled)];
        let first = compare(&[listed(1, Status::Enabled)], None, &book, &[]);
        // Its report follows this Hello.
        let second = compare(
            &[listed(1, Status::Disabled)],
            Some(&first.card),
            &book,
            &[],
        );
        assert!(second.lost.is_empty());
        let book = [profile(1, ProfileStatus::Disabled)];
        let third = compare(
            &[listed(1, Status::Enabled)],
            Some(&second.card),
            &book,
            &[],
        );
        assert!(third.lost.is_empty(), "another difference than before");
    }

    #[test]
    fn what_is_not_on_the_card_is_noted_once_and_nothing_else() {
        let book = [profile(1, ProfileStatus::Enabled)];
        let [second, third] = twice(&[], &book, &[]);
        assert_eq!(second.missing, [iccid(1)]);
        assert!(second.lost.is_empty());
        assert!(third.missing.is_empty() && third.card == second.card);
        // One that came back and goes again is noted again.
        let back = compare(&[listed(1, Status::Enabled)], Some(&third.card), &book, &[]);
        let again = compare(&[], Some(&back.card), &book, &[]);
        assert!(again.missing.is_empty());
        assert_eq!(
            compare(&[], Some(&again.card), &book, &[]).missing,
            [iccid(1)]
        );
        // A code that no car has used is no profile yet.
        let prepared = [profile(1, ProfileStatus::Prepared)];
        assert!(twice(&[], &prepared, &[])[0].missing.is_empty());
    }

    #[test]
    fn what_is_ordered_or_nobodys_is_no_difference() {
        let delete = order(OrderKind::Delete { iccid: iccid(1) });
        let gone = [profile(1, ProfileStatus::Disabled)];
        for orders in [[delete], [order(OrderKind::DeleteAll)]] {
            assert!(twice(&[], &gone, &orders)[0].missing.is_empty());
            let card = [listed(1, Status::Enabled)];
            assert!(twice(&card, &gone, &orders)[0].lost.is_empty());
        }
        let closed = Order {
            state: OrderState::Done,
            ..order(OrderKind::DeleteAll)
        };
        assert_eq!(twice(&[], &gone, &[closed])[0].missing, [iccid(1)]);
        let foreign = ProfileState {
            owner: None,
            ..listed(9, Status::Enabled)
        };
        assert!(twice(&[foreign], &[], &[])[0].lost.is_empty());
    }

    #[test]
    fn a_report_that_came_explains_what_differed_before() {
        let card = [listed(1, Status::Enabled), listed(2, Status::Enabled)];
        let book = [
            profile(1, ProfileStatus::Disabled),
            profile(2, ProfileStatus::Disabled),
        ];
        let first = compare(&card, None, &book, &[]);
        assert_eq!(differing(&first.card), [iccid(1), iccid(2)]);
        // The first profile was reported since, and turned on again: that report is on its way.
        let before = without(&first.card, &[iccid(1)]);
        let second = compare(&card, Some(&before), &book, &[]);
        let lost: Vec<&Iccid> = second.lost.iter().map(|lost| &lost.iccid).collect();
        assert_eq!(lost, [&iccid(2)]);
        // Without a report it counts the next time.
        let third = compare(&card, Some(&second.card), &book, &[]);
        assert_eq!(third.lost.len(), 2);
        assert!(differing("no card").is_empty());
    }

    #[test]
    fn a_card_that_can_not_be_read_says_nothing() {
        let book = [profile(1, ProfileStatus::Enabled)];
        for before in ["", "[", "[1]", "{}", r#"[{"iccid":1,"state":"absent"}]"#] {
            assert!(compare(&[], Some(before), &book, &[]).missing.is_empty());
        }
        // Earlier versions stored no more than what was listed.
        let before = format!(r#"[{{"iccid":"{}","state":"disabled"}}]"#, iccid(1));
        let card = [listed(1, Status::Disabled)];
        assert!(compare(&card, Some(&before), &book, &[]).lost.is_empty());
    }
}
