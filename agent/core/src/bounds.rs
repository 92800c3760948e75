//! Every bound of the agent's state, and what happens at each.
//!
//! The state lies in place (`heapless`): its size is known when the agent is built, and no message, user or card makes it
//! grow. Bodies of messages on their way in or out, and texts inside of a bounded entry, are on the heap.
//!
//! | bound | at it |
//! |---|---|
//! | [`MAX_PROFILES`] | the enabled profile, those that something is to be done with, and those with an owner are seen first; the others are seen once some are deleted. No download begins: the CMP is asked for space, as for a full card |
//! | [`MAX_OWNERS`] | the owner of a profile that is not on the card is forgotten first |
//! | [`MAX_CODES`] | no further code is requested until a request or a download ends |
//! | [`MAX_ORDERS`] | a further order is not acknowledged: the CMP repeats it |
//! | [`MAX_REPORTS`] | with [`REPORTS_RESERVED`] places left nothing begins on the card but disabling; without any left the oldest report is dropped, which shows as a gap in the numbers |
//! | [`MAX_LOGOUTS`] | the oldest is dropped: what counts is that nobody is logged in now |
//! | [`MAX_CLOSED`] | the oldest is forgotten: a repetition of it would be executed again |
//! | [`MAX_EFFECTS`] | with [`EFFECTS_RESERVED`] places left messages and notices are dropped; messages that matter are sent again. Without any left the journal is too slow: the agent goes into the safe state, as after a failed write |
//! | [`MAX_RECORDS`] | the next records are another write of the journal |
//! | [`MAX_TEXT`], [`MAX_CAUSE`] | a longer text is cut off, at a character |
//! | [`MAX_VERIFIERS`] | the verifier that was granted first is dropped: its user logs in with a connection next time |
//! | [`MAX_CREDENTIAL`] | the login is refused, and says so |
//! | [`aid_id::MAX_ACTIVATION_CODE`] | the installation has failed with [`BAD_CODE`] |

use heapless::{LinearMap, String, Vec};

/// Profiles of the card that are followed at a time.
pub const MAX_PROFILES: usize = 32;
/// Profiles whose owner is known.
pub const MAX_OWNERS: usize = MAX_PROFILES;
/// Requests for activation codes and downloads that are open, together.
pub const MAX_CODES: usize = 16;
/// Orders of the CMP that are open.
pub const MAX_ORDERS: usize = 32;
/// Reports that the CMP has not acknowledged.
pub const MAX_REPORTS: usize = 128;
/// Reports that are kept free for what can't wait: disabling, downloads that end, and those that are called off.
pub const REPORTS_RESERVED: usize = MAX_CODES + 8;
/// Ends of sessions that the CMP does not know.
pub const MAX_LOGOUTS: usize = 16;
/// Closed orders and requests that are remembered against repetitions.
pub const MAX_CLOSED: usize = 64;
/// Users who can log in without a connection.
pub const MAX_VERIFIERS: usize = 8;
/// Effects that wait for the shell.
pub const MAX_EFFECTS: usize = 128;
/// Effects that are kept free for records and card operations.
pub const EFFECTS_RESERVED: usize = 32;
/// Records in one write of the journal.
pub const MAX_RECORDS: usize = 64;
/// A text that the HMI shows of a user, bytes.
pub const MAX_TEXT: usize = aid_wire::MAX_TEXT;
/// Why something failed, bytes.
pub const MAX_CAUSE: usize = 160;
/// Name or PIN that a user types, bytes.
pub const MAX_CREDENTIAL: usize = 128;

/// Code of a failed installation whose activation code is longer than SGP.22 allows.
pub const BAD_CODE: u16 = 2;

/// Why something failed.
pub(crate) type Cause = String<MAX_CAUSE>;

/// The beginning of the text, as much as fits.
pub(crate) fn cut<const N: usize>(text: &str) -> String<N> {
    let mut out = String::new();
    for character in text.chars() {
        if out.push(character).is_err() {
            break;
        }
    }
    out
}

/// Adds an item to a set; the oldest makes room.
pub(crate) fn insert<T: PartialEq, const N: usize>(set: &mut Vec<T, N>, item: T) {
    if !set.contains(&item) {
        push_newest(set, item);
    }
}

/// Adds an item to a list; the oldest makes room.
pub(crate) fn push_newest<T, const N: usize>(list: &mut Vec<T, N>, item: T) {
    if list.is_full() {
        list.remove(0);
    }
    // There is room now.
    let _ = list.push(item);
}

/// Sets the value of a key; another key makes room.
pub(crate) fn put<K: Eq + Clone, V, const N: usize>(
    map: &mut LinearMap<K, V, N>,
    key: K,
    value: V,
) {
    if map.is_full() && !map.contains_key(&key) {
        let first = map.keys().next().cloned();
        first.map(|first| map.remove(&first));
    }
    // There is room now.
    let _ = map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        assert_eq!(cut::<8>("short"), "short");
        assert_eq!(cut::<8>("12345678"), "12345678");
        assert_eq!(cut::<8>("123456789"), "12345678");
        assert_eq!(cut::<8>("1234567ä9"), "1234567");
    }

    #[test]
    fn full_sets_and_maps_make_room() {
        let mut set: Vec<u8, 2> = Vec::new();
        for item in [1, 2, 1, 3] {
            insert(&mut set, item);
        }
        assert_eq!(set, [2, 3]);
        let mut map: LinearMap<u8, u8, 2> = LinearMap::new();
        for (key, value) in [(1, 1), (2, 2), (1, 3), (3, 3)] {
            put(&mut map, key, value);
        }
        assert_eq!(map.len(), 2);
        assert_eq!((map.get(&2), map.get(&3)), (Some(&2), Some(&3)));
    }
}
