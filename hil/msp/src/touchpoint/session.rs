//! Sessions of browsers, in memory: bounded in number and time, because anybody can begin one.
//!
//! Each session belongs to an owner: a customer once they have logged in, before that the network of the browser. Owners
//! have a share, and who begins more than that ends the oldest of their own. Those who have logged in, those whom a CMP
//! sent with a verified account id, and everybody else are bounded apart, so that strangers evict nobody but strangers.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aid_aid1::headers::PartyId;
use aid_aid1::redirect::RedirectUri;
use aid_serve::slots::network;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// Life of a session, ms; a login begins it anew.
pub(super) const LIFE_MS: i64 = 30 * 60 * 1000;
/// Most sessions of one kind at once. Customers are as many as the configuration has.
const MAX_SESSIONS: usize = 10_000;
/// Most sessions of one network (IPv6: one /64) in which nobody has logged in, of each kind.
const PER_NETWORK: usize = 200;
/// Most sessions of one customer.
const PER_CUSTOMER: usize = 20;
/// Time between two looks at all sessions for those that are over, ms.
const SWEEP_MS: i64 = 60_000;

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

/// Whose session it is; set when it begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// A browser of this network that came by itself.
    Stranger(IpAddr),
    /// A browser of this network that a CMP sent.
    Sent(IpAddr),
    /// A customer who has logged in.
    Customer(String),
}

impl Owner {
    fn new(session: &Session, from: IpAddr) -> Self {
        match (&session.user, &session.visit) {
            (Some(user), _) => Self::Customer(user.clone()),
            (None, Some(_)) => Self::Sent(from),
            (None, None) => Self::Stranger(from),
        }
    }

    fn share(&self) -> usize {
        match self {
            Self::Stranger(_) | Self::Sent(_) => PER_NETWORK,
            Self::Customer(_) => PER_CUSTOMER,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<String, (Session, Owner)>,
    /// The names of each owner's sessions, oldest first.
    owners: BTreeMap<Owner, VecDeque<String>>,
    swept: i64,
}

impl Inner {
    fn remove(&mut self, name: &str) {
        let Some((_, owner)) = self.sessions.remove(name) else {
            return;
        };
        if let Some(names) = self.owners.get_mut(&owner) {
            names.retain(|n| n != name);
            if names.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    fn insert(&mut self, name: String, session: Session, owner: Owner, now: i64) {
        self.make_room(&owner, now);
        let names = self.owners.entry(owner.clone()).or_default();
        names.push_back(name.clone());
        self.sessions.insert(name, (session, owner));
    }

    /// Drops what has expired, then the oldest of this owner beyond its share. Where all of its kind together are too many,
    /// the oldest of whoever has most.
    fn make_room(&mut self, owner: &Owner, now: i64) {
        if !near(self.swept, now, SWEEP_MS) {
            self.swept = now;
            let over = |(name, (s, _)): (&String, &(Session, Owner))| {
                (!near(s.began, now, LIFE_MS)).then(|| name.clone())
            };
            let ended: Vec<_> = self.sessions.iter().filter_map(over).collect();
            ended.iter().for_each(|name| self.remove(name));
        }
        if self
            .owners
            .get(owner)
            .is_some_and(|n| n.len() >= owner.share())
        {
            self.remove_oldest(&owner.clone());
        }
        if matches!(owner, Owner::Customer(_)) || self.sessions.len() < MAX_SESSIONS {
            return;
        }
        let alike = self.owners.iter().filter(|(o, _)| o.is_like(owner));
        let count: usize = alike.clone().map(|(_, names)| names.len()).sum();
        if count >= MAX_SESSIONS {
            let most = alike.max_by_key(|(_, names)| names.len());
            if let Some(most) = most.map(|(owner, _)| owner.clone()) {
                self.remove_oldest(&most);
            }
        }
    }

    fn remove_oldest(&mut self, owner: &Owner) {
        let oldest = self.owners.get(owner).and_then(|names| names.front());
        if let Some(name) = oldest.cloned() {
            self.remove(&name);
        }
    }

    fn living(&mut self, name: &str, now: i64) -> Option<&mut Session> {
        self.sessions
            .get_mut(name)
            .map(|(session, _)| session)
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

    /// Begins a session under a new name, also instead of an old one: whoever knew that has nothing. `from` is the address
    /// of the browser. None if there is no randomness.
    pub(super) fn begin(
        &self,
        session: Session,
        from: IpAddr,
        now: i64,
    ) -> Option<(String, Session)> {
        let (name, csrf) = secret().zip(secret())?;
        let session = Session {
            csrf,
            began: now,
            ..session
        };
        let owner = Owner::new(&session, network(from));
        self.lock()
            .insert(name.clone(), session.clone(), owner, now);
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

    /// The value of the next form of a customer who is signed in, for a page that shows nothing else of them.
    pub(super) fn token(&self, name: &str, now: i64) -> Option<String> {
        let mut inner = self.lock();
        let session = inner.living(name, now)?;
        session.user.as_ref().map(|_| session.csrf.clone())
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
        if let Some((session, _)) = self.lock().sessions.get_mut(name) {
            change(session);
        }
    }

    /// Ends a session.
    pub(super) fn end(&self, name: &str) {
        self.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_works_once_and_only_with_its_value() {
        let sessions = Sessions::default();
        let (name, session) = sessions.begin(Session::default(), address(0), 0).unwrap();
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

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0A00_0000 + number).into()
    }

    fn customer(name: &str) -> Session {
        Session {
            user: Some(name.to_owned()),
            ..Session::default()
        }
    }

    fn sent() -> Session {
        Session {
            visit: Some(Visit {
                cmp: "cmp1".parse().unwrap(),
                account_id: String::new(),
                sid: Uuid::nil(),
                back: None,
            }),
            ..Session::default()
        }
    }

    #[test]
    fn strangers_evict_strangers_only() {
        let sessions = Sessions::default();
        let begin = |session, from, now| sessions.begin(session, address(from), now).unwrap().0;
        let alice = begin(customer("alice"), 1, 0);
        let onboarding = begin(sent(), 1, 0);
        let visitor = begin(Session::default(), 1, 0);
        // One stranger, many times: not even another visitor goes.
        for i in 0..MAX_SESSIONS as i64 + 400 {
            begin(Session::default(), 2, 1 + i / 100);
        }
        for name in [&alice, &onboarding, &visitor] {
            assert!(sessions.look(name, 200).is_some());
        }
        assert_eq!(sessions.lock().sessions.len(), 3 + PER_NETWORK);
        // Strangers of many networks.
        for i in 0..MAX_SESSIONS as u32 + 400 {
            begin(Session::default(), 3 + i, 200);
        }
        assert!(sessions.lock().sessions.len() <= MAX_SESSIONS + 2);
        for name in [&alice, &onboarding] {
            assert!(sessions.look(name, 201).is_some());
        }
        // A customer who logs in again and again ends sessions of their own, the oldest first.
        let bob = begin(customer("bob"), 1, 201);
        for _ in 0..PER_CUSTOMER {
            begin(customer("alice"), 1, 202);
        }
        assert!(sessions.look(&alice, 203).is_none() && sessions.look(&bob, 203).is_some());
    }

    #[test]
    fn what_is_over_goes_and_leaves_nothing() {
        let sessions = Sessions::default();
        for i in 0..500 {
            sessions.begin(customer(&format!("user {i}")), address(i), 0);
        }
        let (last, _) = sessions
            .begin(Session::default(), address(0), LIFE_MS)
            .unwrap();
        assert_eq!(sessions.lock().sessions.len(), 1);
        sessions.end(&last);
        assert!(sessions.lock().owners.is_empty());
    }
}
