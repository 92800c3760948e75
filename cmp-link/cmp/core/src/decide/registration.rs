//! How many accounts strangers may make where registration is open (§4.1 step 1 leaves open who may).

use crate::model::Attempts;

/// Length of a window, ms: an hour.
pub const WINDOW_MS: u64 = 3600 * 1000;

/// Charges one more account. `made` is what was charged before.
///
/// # Errors
/// There are `most` in this window already; milliseconds until it ends.
pub fn charge(made: Option<&Attempts>, most: u32, now: u64) -> Result<Attempts, u64> {
    // A window that begins in the future was written under a wrong clock: it is over.
    let open = made.filter(|m| now.checked_sub(m.since).is_some_and(|age| age < WINDOW_MS));
    let (count, since) = open.map_or((0, now), |m| (m.count, m.since));
    if count >= most {
        return Err(since.saturating_add(WINDOW_MS).saturating_sub(now));
    }
    Ok(Attempts {
        count: count.saturating_add(1),
        since,
        last: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_an_hour_and_then_again() {
        let (mut made, start) = (None, 5_000);
        for n in 1..=3 {
            made = Some(charge(made.as_ref(), 3, start).expect("one more"));
            assert_eq!(made.as_ref().map(|m| m.count), Some(n));
        }
        assert_eq!(charge(made.as_ref(), 3, start + 1), Err(WINDOW_MS - 1));
        let again = charge(made.as_ref(), 3, start + WINDOW_MS).expect("the next hour");
        assert_eq!(again.count, 1);
        // A clock that went back must not close the door for longer than an hour.
        assert!(charge(made.as_ref(), 3, start - 1).is_ok());
        assert_eq!(charge(None, 0, start), Err(WINDOW_MS));
    }
}
