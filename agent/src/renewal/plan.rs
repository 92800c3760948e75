//! What a renewal does next, without I/O and clock.

use super::credentials::Pending;
use aid_cli::validity::{Dates, Verdict};

/// Refusals in a row after which another certificate is tried.
pub(crate) const REFUSALS: u32 = 3;

/// Which certificate the link uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// That of `[cmp]`.
    Operational,
    /// The one before it, because the CMP refuses that of `[cmp]`.
    Previous,
    /// That of `[cmp.bootstrap]`, which is good for renewal only.
    Bootstrap,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Previous => "previous",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// Where the certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Less than two thirds of its life are over.
    Fresh,
    /// It is to be renewed.
    Due,
    /// Its time is over.
    Expired,
    /// Its time has not come: the clock is wrong, such as that of 1970.
    NotYetValid,
}

/// Where a certificate stands at `now`, unix seconds.
pub(crate) fn standing(dates: Dates, now: i64) -> Standing {
    match dates.judge(now) {
        Verdict::Expired => Standing::Expired,
        Verdict::NotYetValid => Standing::NotYetValid,
        _ if now >= due(dates) => Standing::Due,
        _ => Standing::Fresh,
    }
}

/// When a certificate is to be renewed, unix seconds: two thirds of its life are over.
pub(crate) fn due(dates: Dates) -> i64 {
    let life = dates.not_after.saturating_sub(dates.not_before);
    dates.not_before.saturating_add(life / 3 * 2)
}

/// How the CMP refused a certificate, one time after another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Because it expired.
    pub(crate) expired: u32,
    /// For another reason, such as that another is bound.
    pub(crate) otherwise: u32,
}

/// What is known.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    pub(crate) standing: Standing,
    pub(crate) pending: &'a Pending,
    pub(crate) mode: Mode,
    /// The link stands, and the CMP renews certificates.
    pub(crate) can_ask: bool,
    /// It is time for the next try.
    pub(crate) is_time: bool,
    /// The new certificate is being tried.
    pub(crate) probing: bool,
    /// There is a bootstrap certificate.
    pub(crate) has_bootstrap: bool,
    /// The certificate before this one is valid.
    pub(crate) has_previous: bool,
    /// Of the certificate in use.
    pub(crate) refused: Refused,
    /// The CMP said that the operational certificate has expired, whatever this clock says.
    pub(crate) told_expired: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    /// Make a key, and write a request down.
    Begin,
    /// Send the request.
    Send,
    /// Connect with the new certificate beside the present connection.
    Probe,
    /// Use another certificate for the link.
    Switch(Mode),
}

/// The next act.
pub(crate) fn next(facts: &Facts<'_>) -> Act {
    let Facts { mode, refused, .. } = *facts;
    let over = facts.standing == Standing::Expired || refused.expired >= REFUSALS;
    match mode {
        Mode::Operational if over && facts.has_bootstrap => {
            return Act::Switch(Mode::Bootstrap);
        }
        Mode::Operational if refused.otherwise >= REFUSALS && facts.has_previous => {
            return Act::Switch(Mode::Previous);
        }
        Mode::Previous if refused.expired.max(refused.otherwise) >= REFUSALS => {
            return Act::Switch(Mode::Operational);
        }
        // The clock was wrong, or the bootstrap certificate is refused and the other one may be accepted again.
        Mode::Bootstrap
            if facts.standing != Standing::Expired
                && (!facts.told_expired || refused.expired.max(refused.otherwise) >= REFUSALS) =>
        {
            return Act::Switch(Mode::Operational);
        }
        _ => {}
    }
    if !facts.is_time {
        return Act::Nothing;
    }
    let wanted =
        mode != Mode::Operational || matches!(facts.standing, Standing::Due | Standing::Expired);
    match facts.pending {
        Pending::Issued if !facts.probing => Act::Probe,
        Pending::Requested { .. } if facts.can_ask => Act::Send,
        Pending::None if facts.can_ask && wanted => Act::Begin,
        _ => Act::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATES: Dates = Dates {
        not_before: 1000,
        not_after: 4000,
    };

    fn facts(pending: &Pending) -> Facts<'_> {
        Facts {
            standing: Standing::Fresh,
            pending,
            mode: Mode::Operational,
            can_ask: true,
            is_time: true,
            probing: false,
            has_bootstrap: true,
            has_previous: true,
            refused: Refused::default(),
            told_expired: true,
        }
    }

    #[test]
    fn a_certificate_is_due_after_two_thirds_of_its_life() {
        for (now, expected) in [
            (0, Standing::NotYetValid),
            (999, Standing::NotYetValid),
            (1000, Standing::Fresh),
            (2999, Standing::Fresh),
            (3000, Standing::Due),
            (4000, Standing::Due),
            (4001, Standing::Expired),
        ] {
            assert_eq!(standing(DATES, now), expected, "{now}");
        }
    }

    #[test]
    fn only_what_is_due_is_renewed() {
        let none = Pending::None;
        for (standing, expected) in [
            (Standing::Fresh, Act::Nothing),
            (Standing::NotYetValid, Act::Nothing),
            (Standing::Due, Act::Begin),
        ] {
            let facts = Facts {
                standing,
                ..facts(&none)
            };
            assert_eq!(next(&facts), expected, "{standing:?}");
            let away = Facts {
                can_ask: false,
                ..facts.clone()
            };
            assert_eq!(next(&away), Act::Nothing);
            let early = Facts {
                is_time: false,
                ..facts
            };
            assert_eq!(next(&early), Act::Nothing);
        }
        let requested = Pending::Requested {
            id: [1; 16],
            request: vec![],
        };
        assert_eq!(next(&facts(&requested)), Act::Send);
        let issued = Pending::Issued;
        assert_eq!(
            next(&Facts {
                can_ask: false,
                ..facts(&issued)
            }),
            Act::Probe
        );
        assert_eq!(
            next(&Facts {
                probing: true,
                ..facts(&issued)
            }),
            Act::Nothing
        );
    }

    #[test]
    fn another_certificate_is_used_only_where_this_one_is_refused() {
        let none = Pending::None;
        let refused = |expired, otherwise| Refused { expired, otherwise };
        let (op, prev, boot) = (Mode::Operational, Mode::Previous, Mode::Bootstrap);
        let (fresh, expired, early) = (Standing::Fresh, Standing::Expired, Standing::NotYetValid);
        for (mode, standing, refused, expected) in [
            (op, expired, refused(0, 0), Act::Switch(boot)),
            (op, fresh, refused(2, 0), Act::Nothing),
            (op, fresh, refused(3, 0), Act::Switch(boot)),
            // A clock of 1970 is no reason; what the CMP says is.
            (op, early, refused(0, 0), Act::Nothing),
            (op, early, refused(3, 0), Act::Switch(boot)),
            (op, fresh, refused(0, 3), Act::Switch(prev)),
            (prev, fresh, refused(0, 0), Act::Begin),
            (prev, fresh, refused(0, 3), Act::Switch(op)),
            (boot, expired, refused(0, 0), Act::Begin),
            (boot, expired, refused(0, 9), Act::Begin),
            (boot, fresh, refused(0, 3), Act::Switch(op)),
        ] {
            let facts = Facts {
                mode,
                standing,
                refused,
                ..facts(&none)
            };
            assert_eq!(next(&facts), expected, "{mode:?} {standing:?} {refused:?}");
        }
        // The clock was set right.
        let right = Facts {
            mode: boot,
            told_expired: false,
            ..facts(&none)
        };
        assert_eq!(next(&right), Act::Switch(op));
        let alone = Facts {
            standing: expired,
            has_bootstrap: false,
            can_ask: false,
            ..facts(&none)
        };
        assert_eq!(next(&alone), Act::Nothing);
    }
}
