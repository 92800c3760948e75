//! Sessions of browsers, in memory: bounded in number and time, because anybody can begin one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aid_aid1::headers::PartyId;
use aid_aid1::redirect::RedirectUri;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Life of a session, ms; a login begins it anew.
pub(super) const LIFE_MS: i64 = 30 * 60 * 1000;
/// Most sessions at once; the oldest go first.
const MAX_SESSIONS: usize = 10_000;

/// What a visitor came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// The CMP that sent the visitor.
    pub(super) cmp: PartyId,
    /// The account id, verified when the visitor came.
    pub(super) account_id: String,
    /// Its `sid`.
    pub(super) sid: Uuid,
    /// Where the visitor goes back to; none if it began here (§4.2 [16]).
    pub(super) back: Option<RedirectUri>,
}

/// A session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The onboarding in progress.
    pub(super) visit: Option<Visit>,
    /// The CMP to which the browser was sent, and the value with which it has to come back.
    pub(super) away: Option<(PartyId, String)>,
    /// The value that the next form must have.
    pub(super) csrf: String,
    /// Who has logged in.
    pub(super) user: Option<String>,
    /// Shown once on the next page: what was done.
    pub(super) done: Option<&'static str>,
    pub(super) began: i64,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<String, Session>,
}

impl Inner {
    /// Drops what has expired, and the oldest tenth if that is not enough; so that not each visit has to look at all.
    fn make_room(&mut self, now: i64) {
        self.sessions.retain(|_, s| near(s.began, now, LIFE_MS));
        if self.sessions.len() >= MAX_SESSIONS {
            let mut ages: Vec<_> = self.sessions.values().map(|s| s.began).collect();
            ages.sort_unstable();
            let limit = ages.get(MAX_SESSIONS / 10).copied().unwrap_or(now);
            // Sessions of one moment go together, the present one's too.
            self.sessions.retain(|_, s| s.began > limit);
        }
    }

    fn living(&mut self, name: &str, now: i64) -> Option<&mut Session> {
        self.sessions
            .get_mut(name)
            .filter(|s| near(s.began, now, LIFE_MS))
    }
}

/// Whether less than `life` ms are between the two: what began further away in the future began under a wrong clock.
fn near(began: i64, now: i64, life: i64) -> bool {
    began.abs_diff(now) < life.unsigned_abs()
}

/// 128 random bits as text.
pub(super) fn secret() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session under a new name, also instead of an old one: whoever knew that has nothing. None if there is no
    /// randomness.
    pub(super) fn begin(&self, session: Session, now: i64) -> Option<(String, Session)> {
        let (name, csrf) = secret().zip(secret())?;
        let session = Session {
            csrf,
            began: now,
            ..session
        };
        let mut inner = self.lock();
        if inner.sessions.len() >= MAX_SESSIONS {
            inner.make_room(now);
        }
        inner.sessions.insert(name.clone(), session.clone());
        Some((name, session))
    }

    /// A session, to show a page. The line about what was done is shown once.
    pub(super) fn look(&self, name: &str, now: i64) -> Option<Session> {
        let mut inner = self.lock();
        let session = inner.living(name, now)?;
        let seen = session.clone();
        session.done = None;
        Some(seen)
    }

    /// A session, for a form that has its value. The value is used up: the next page has another.
    pub(super) fn use_up(&self, name: &str, csrf: &str, now: i64) -> Option<Session> {
        let mut inner = self.lock();
        let session = inner.living(name, now)?;
        let fits = bool::from(session.csrf.as_bytes().ct_eq(csrf.as_bytes()));
        let next = secret().filter(|_| fits)?;
        session.csrf = next;
        Some(session.clone())
    }

    /// Changes a session.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.lock().sessions.get_mut(name) {
            change(session);
        }
    }

    /// Ends a session.
    pub(super) fn end(&self, name: &str) {
        self.lock().sessions.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_works_once_and_only_with_its_value() {
        let sessions = Sessions::default();
        let (name, session) = sessions.begin(Session::default(), 0).unwrap();
        assert!(sessions.use_up(&name, "", 1).is_none());
        assert!(sessions.use_up("other", &session.csrf, 1).is_none());
        assert!(sessions.use_up(&name, &session.csrf, LIFE_MS).is_none());
        let used = sessions.use_up(&name, &session.csrf, 1).unwrap();
        assert_ne!(used.csrf, session.csrf);
        assert!(sessions.use_up(&name, &session.csrf, 1).is_none());
        assert!(sessions.use_up(&name, &used.csrf, 1).is_some());
        sessions.change(&name, |s| s.done = Some("Done."));
        assert_eq!(sessions.look(&name, 1).unwrap().done, Some("Done."));
        assert_eq!(sessions.look(&name, 1).unwrap().done, None);
        sessions.end(&name);
        assert!(sessions.look(&name, 1).is_none());
    }

    #[test]
    fn sessions_are_bounded() {
        let sessions = Sessions::default();
        for i in 0..MAX_SESSIONS as i64 + 5 {
            sessions.begin(Session::default(), i).unwrap();
        }
        let kept = sessions.lock().sessions.len();
        assert!(kept <= MAX_SESSIONS && kept > MAX_SESSIONS / 2);
    }
}
