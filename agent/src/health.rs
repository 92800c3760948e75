//! What is wrong at present, and since when: for `status`, so that a person sees why the agent waits.

use aid_agent_core::BootMs;

/// Something that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Since then.
    pub(crate) since: BootMs,
    /// What it says now.
    pub(crate) text: String,
}

/// Notes a failure: the first one's time stays, the last one's text counts.
pub(crate) fn failed(trouble: &mut Option<Trouble>, now: BootMs, text: String) {
    let since = trouble.take().map_or(now, |earlier| earlier.since);
    *trouble = Some(Trouble { since, text });
}

/// The moments of a status: the boot clock, and the wall clock that people read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) now: BootMs,
    /// Unix seconds.
    pub(crate) unix: u64,
}

impl Clock {
    /// An earlier moment in Unix seconds, by the clock as it is set now.
    pub(crate) fn unix_of(self, earlier: BootMs) -> u64 {
        let ago = self.now.0.saturating_sub(earlier.0) / 1000;
        self.unix.saturating_sub(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_and_the_last_text_are_kept() {
        let mut trouble = None;
        failed(&mut trouble, BootMs(5000), "a".into());
        failed(&mut trouble, BootMs(9000), "b".into());
        let expected = Trouble {
            since: BootMs(5000),
            text: "b".into(),
        };
        assert_eq!(trouble, Some(expected));
        let (now, unix) = (BootMs(9500), 1_800_000_000);
        let clock = Clock { now, unix };
        assert_eq!(clock.unix_of(BootMs(5000)), 1_799_999_996);
        assert_eq!(clock.unix_of(BootMs(u64::MAX)), 1_800_000_000);
    }
}
