//! Logins in cars without a connection: after a login with a PIN the CMP grants the car a verifier of that PIN, which the
//! car keeps and the CMP only names. It ends by its age, or when it is revoked (docs/wire/aid2.md, rule 13).

use super::policy::DAY_MS;
use super::{Context, Decision, Outgoing};
use crate::change::{Change, FleetChange};
use crate::model::Verifier;
use aid_id::{AccountRef, Eid, Id};
use aid_wire::Down;

/// Time for which a session that began in time is admitted after the verifier's end, ms.
const LATE_MS: u64 = DAY_MS;
/// Longest life of a verifier, days.
const MAX_DAYS: u32 = 366;

/// Grants a verifier where the policy allows any; it replaces an earlier one of this user and car.
#[must_use]
pub fn grant(context: &Context, eid: Eid, account: AccountRef) -> Decision {
    let mut decision = Decision::default();
    let days = context.policy.offline_days.min(MAX_DAYS);
    let attempts = context.policy.offline_attempts;
    if days == 0 || attempts == 0 {
        return decision;
    }
    let id = (context.random)();
    let verifier = Verifier {
        eid,
        account,
        id,
        expires_at: context.now.saturating_add(u64::from(days) * DAY_MS),
        revoked_at: None,
    };
    let change = FleetChange::PutVerifier(verifier);
    decision.changes.push(Change::Fleet(change));
    decision.down.push(Outgoing {
        eid,
        correlation: None,
        message_id: (context.fresh)(),
        body: Down::Verifier {
            account,
            verifier: id,
            salt: (context.random)(),
            now: context.now / 1000,
            valid_s: days.saturating_mul(24 * 3600),
            attempts,
        },
    });
    decision
}

/// Whether a session that began with this verifier is one of the user `found` was granted for.
#[must_use]
pub fn admits(found: Option<&Verifier>, id: Id, now: u64) -> bool {
    found.is_some_and(|v| {
        v.id == id && v.revoked_at.is_none() && now < v.expires_at.saturating_add(LATE_MS)
    })
}

/// Says that a verifier is void; the car acknowledges a message of this id.
#[must_use]
pub fn revocation(eid: Eid, account: AccountRef, verifier: Id) -> Outgoing {
    Outgoing {
        eid,
        correlation: None,
        message_id: verifier,
        body: Down::Revoke { account, verifier },
    }
}

impl Context {
    /// A user gets in nowhere without a connection until they have logged in with their PIN again.
    #[must_use]
    pub fn revoke_verifiers(&self, account: AccountRef) -> Change {
        Change::Fleet(FleetChange::RevokeVerifiers {
            eid: None,
            account: Some(account),
            at: self.now,
        })
    }

    /// Nobody, or not this user, gets in to this car without a connection.
    #[must_use]
    pub fn revoke_verifiers_in(&self, eid: Eid, account: Option<AccountRef>) -> Change {
        Change::Fleet(FleetChange::RevokeVerifiers {
            eid: Some(eid),
            account,
            at: self.now,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
    use super::*;
    use crate::decide::Policy;

    fn context(policy: Policy) -> Context {
        Context {
            now: 1_700_000_000_000,
            fresh: || [1; 16],
            random: || [2; 16],
            policy,
        }
    }

    #[test]
    fn a_grant_lives_as_long_as_the_policy_says_and_none_is_made_where_that_is_zero() {
        let eid = Eid::with_check_digits("890490320000010000000000000001").unwrap();
        let account = AccountRef([7; 16]);
        let granted = grant(&context(Policy::default()), eid, account);
        let Down::Verifier {
            verifier,
            now,
            valid_s,
            attempts,
            ..
        } = granted.down[0].body
        else {
            panic!("{granted:?}");
        };
        assert_eq!(
            (verifier, now, valid_s, attempts),
            ([2; 16], 1_700_000_000, 30 * 86_400, 5)
        );
        let Change::Fleet(FleetChange::PutVerifier(put)) = &granted.changes[0] else {
            panic!("{granted:?}");
        };
        // Revoked, another one, or too old: not admitted. The car may have been without a connection for a while.
        let at = |ms| 1_700_000_000_000 + ms;
        assert!(admits(Some(put), verifier, at(30 * DAY_MS)));
        assert!(!admits(Some(put), verifier, at(31 * DAY_MS)));
        assert!(!admits(Some(put), [3; 16], at(0)) && !admits(None, verifier, at(0)));
        let revoked = Verifier {
            revoked_at: Some(at(0)),
            ..*put
        };
        assert!(!admits(Some(&revoked), verifier, at(0)));
        for off in [
            Policy {
                offline_days: 0,
                ..Policy::default()
            },
            Policy {
                offline_attempts: 0,
                ..Policy::default()
            },
        ] {
            assert_eq!(grant(&context(off), eid, account), Decision::default());
        }
    }
}
