//! Who signs in at the operator's console, and who did what there.

use super::model::words;
use super::{Change, Decision};

words! {
    /// What a member may do; each role may do what those before it may.
    #[derive(PartialOrd, Ord)]
    Role {
        /// See everything.
        Viewer = "viewer",
        /// What can be taken back.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

/// Somebody who signs in at the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Unique; lower case.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// Argon2id in PHC form.
    pub(crate) password: String,
    /// When they first could, ms since 1970.
    pub(crate) created_at: i64,
}

/// How long a session lasts, ms: a day's work.
pub(crate) const SESSION_MS: i64 = 10 * 3600 * 1000;

/// Who does something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By {
    /// Who is in the audit trail.
    pub(crate) who: String,
    /// Why; also what customer care at the CMP reads, where a call tells of it.
    pub(crate) reason: Option<String>,
}

/// Who is in the audit trail for a command.
const OPERATOR: &str = "operator";

impl By {
    /// A command, or a call of the control API.
    pub(crate) fn command(reason: Option<&str>) -> Self {
        Self {
            who: OPERATOR.into(),
            reason: reason.map(str::to_owned),
        }
    }

    /// Puts who and why into the entries of the audit trail that an operator's deed made.
    pub(crate) fn sign<T>(&self, mut decision: Decision<T>) -> Decision<T> {
        for change in &mut decision.changes {
            if let Change::Audited { actor, reason, .. } = change
                && actor == OPERATOR
            {
                actor.clone_from(&self.who);
                *reason = self.reason.clone().unwrap_or_default();
            }
        }
        decision
    }
}

/// Lets somebody sign in, or changes how.
pub(crate) fn put_member(member: Member, now: i64) -> Decision<()> {
    let detail = format!("{}, {}", member.name, member.role.as_str());
    let audit = Change::audit(OPERATOR, "console access given", &detail, now);
    Decision::of(vec![Change::MemberPut(member), audit], ())
}

/// Lets nobody of this name sign in any more. `false` if nobody could.
pub(crate) fn remove_member(stored: Option<&Member>, now: i64) -> Decision<bool> {
    let Some(member) = stored else {
        return Decision::nothing(false);
    };
    let name = member.name.clone();
    let audit = Change::audit(OPERATOR, "console access taken", &name, now);
    Decision::of(vec![Change::MemberRemoved { name }, audit], true)
}

/// Begins a session for a member who was judged as `judged`; `false` if they are not the same any more, such as after
/// another password. `cookie` is the hash of the cookie.
pub(crate) fn begin_session(
    stored: Option<&Member>,
    judged: &Member,
    cookie: &str,
    now: i64,
) -> Decision<bool> {
    if stored != Some(judged) {
        return Decision::nothing(false);
    }
    let begun = Change::SessionBegun {
        cookie: cookie.to_owned(),
        member: judged.name.clone(),
        expires_at: now.saturating_add(SESSION_MS),
        at: now,
    };
    let audit = Change::audit(&judged.name, "signed in", "console", now);
    Decision::of(vec![begun, audit], true)
}

/// Ends a session.
pub(crate) fn end_session(cookie: &str) -> Decision<()> {
    let cookie = cookie.to_owned();
    Decision::of(vec![Change::SessionEnded { cookie }], ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(password: &str) -> Member {
        Member {
            name: "kim".into(),
            role: Role::Operator,
            password: password.into(),
            created_at: 1,
        }
    }

    #[test]
    fn who_was_changed_meanwhile_is_not_let_in() {
        let judged = member("old");
        for stored in [None, Some(member("new"))] {
            let begun = begin_session(stored.as_ref(), &judged, "hash", 5);
            assert!(!begun.outcome && begun.changes.is_empty());
        }
        let begun = begin_session(Some(&judged), &judged, "hash", 5);
        assert!(begun.outcome);
        assert!(begun.changes.contains(&Change::SessionBegun {
            cookie: "hash".into(),
            member: "kim".into(),
            expires_at: 5 + SESSION_MS,
            at: 5,
        }));
    }

    #[test]
    fn a_deed_is_signed_and_nobody_else_is() {
        let by = By {
            who: "kim".into(),
            reason: Some("why".into()),
        };
        let changes = vec![
            Change::audit(OPERATOR, "withdrawn", "x", 1),
            Change::audit("alice", "connection ended", "x", 1),
        ];
        let signed = by.sign(Decision::of(changes, ())).changes;
        let entry = |change: &Change| match change {
            Change::Audited { actor, reason, .. } => (actor.clone(), reason.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(entry(&signed[0]), ("kim".into(), "why".into()));
        assert_eq!(entry(&signed[1]), ("alice".into(), String::new()));
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
