//! Ids of decisions: a count for each thread, so that the same seed makes the same ids. (A decision's context takes plain
//! functions, which have no state of their own.)

use aid_id::Id;
use std::cell::Cell;

thread_local! {
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// Begins to count anew, at the beginning of a life.
pub fn begin(seed: u64) {
    LAST.set(seed << 32);
}

/// An id that was never used in this life. Spread over all bytes, because some are taken for random ones.
#[must_use]
pub fn fresh() -> Id {
    let count = LAST.get().wrapping_add(1);
    LAST.set(count);
    let mut random = crate::random::Random::new(count);
    let mut id = random.id();
    id[..8].copy_from_slice(&count.to_be_bytes());
    id
}
