//! Who may see the page: tokens that let a browser in once, and what each browser that was let in has typed.

use crate::config::Theme;
use crate::language::Language;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Most browsers at a time; the one that was seen last stays, the one that was not seen for longest goes.
const MAX_SESSIONS: usize = 8;
/// User names that are offered for another login.
const MAX_NAMES: usize = 4;
/// Longest user name, bytes; longest PIN, digits. The limits of the agent.
pub(crate) const MAX_NAME: usize = 128;
pub(crate) const MAX_PIN: usize = 16;
/// Shortest PIN, digits.
pub(crate) const MIN_PIN: usize = 4;
/// Time after which what was typed is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// 128 random bits as text.
///
/// # Errors
/// The operating system has no random bytes.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// What one browser has typed and chosen.
#[derive(Debug)]
pub(crate) struct Session {
    id: String,
    seen: Instant,
    /// The name for the login, typed or chosen.
    pub(crate) name: String,
    pin: Zeroizing<String>,
    typed: Instant,
    pub(crate) language: Option<Language>,
    pub(crate) theme: Option<Theme>,
    /// The login whose failure the user has read.
    pub(crate) dismissed: Option<String>,
}

impl Session {
    fn new(id: String, now: Instant) -> Self {
        Self {
            id,
            seen: now,
            name: String::new(),
            // It never grows beyond that, so no copy of it stays behind.
            pin: Zeroizing::new(String::with_capacity(MAX_PIN)),
            typed: now,
            language: None,
            theme: None,
            dismissed: None,
        }
    }

    /// How many digits of the PIN are typed.
    pub(crate) fn digits(&self) -> usize {
        self.pin.len()
    }

    /// Something was typed.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.typed = now;
    }

    /// A key of the PIN pad.
    pub(crate) fn press(&mut self, key: PinKey, now: Instant) {
        self.typed = now;
        match key {
            PinKey::Digit(digit) if self.pin.len() < MAX_PIN => self.pin.push(digit),
            PinKey::Digit(_) => {}
            PinKey::Back => drop(self.pin.pop()),
        }
    }

    /// Takes the PIN, to send it.
    pub(crate) fn take_pin(&mut self) -> Zeroizing<String> {
        std::mem::replace(
            &mut self.pin,
            Zeroizing::new(String::with_capacity(MAX_PIN)),
        )
    }

    /// Forgets what was typed.
    pub(crate) fn forget(&mut self) {
        drop(self.take_pin());
        self.name.clear();
    }
}

/// A key of the PIN pad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PinKey {
    Digit(char),
    Back,
}

impl PinKey {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "back" => Some(Self::Back),
            _ => {
                let mut characters = text.chars();
                let digit = characters.next().filter(char::is_ascii_digit)?;
                characters.next().is_none().then_some(Self::Digit(digit))
            }
        }
    }
}

/// All browsers, and the token for the next one.
#[derive(Debug)]
pub(crate) struct Sessions {
    token: String,
    open: Vec<Session>,
    names: VecDeque<String>,
    /// The login that was begun here last, and by whom.
    begun: Option<(String, String)>,
}

impl Sessions {
    /// Lets nobody in before the token is used.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            token: random()?,
            open: Vec::new(),
            names: VecDeque::new(),
            begun: None,
        })
    }

    /// The unused token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Lets a browser in that has the token, which is used up by that; yields the value of its cookie.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub(crate) fn redeem(
        &mut self,
        token: &str,
        now: Instant,
    ) -> Result<Option<String>, getrandom::Error> {
        if !same(token, &self.token) {
            return Ok(None);
        }
        let next = random()?;
        let id = self.begin(now)?;
        self.token = next;
        Ok(Some(id))
    }

    /// Begins a session; yields the value of its cookie.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub(crate) fn begin(&mut self, now: Instant) -> Result<String, getrandom::Error> {
        let id = random()?;
        if self.open.len() >= MAX_SESSIONS {
            let oldest = self.open.iter().enumerate().min_by_key(|(_, s)| s.seen);
            if let Some(at) = oldest.map(|(at, _)| at) {
                self.open.swap_remove(at);
            }
        }
        self.open.push(Session::new(id.clone(), now));
        Ok(id)
    }

    /// The session of this cookie. What was typed long ago is forgotten.
    pub(crate) fn of(&mut self, cookie: &str, now: Instant) -> Option<&mut Session> {
        let session = self.open.iter_mut().find(|s| same(&s.id, cookie))?;
        session.seen = now;
        if now.saturating_duration_since(session.typed) > FORGOTTEN {
            session.forget();
        }
        Some(session)
    }

    /// User names that logged in here, the last one first. They live as long as the program.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// A login was begun with this name.
    pub(crate) fn begun(&mut self, login_id: &str, name: String) {
        self.begun = Some((login_id.to_owned(), name));
    }

    /// A login was accepted: its user is offered the next time.
    pub(crate) fn accepted(&mut self, login_id: &str) {
        if let Some((_, name)) = self.begun.take_if(|(id, _)| id == login_id) {
            self.names.retain(|known| *known != name);
            self.names.push_front(name);
            self.names.truncate(MAX_NAMES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lets_in_once_and_the_next_one_is_another() {
        let mut sessions = Sessions::new().expect("random");
        let now = Instant::now();
        let first = sessions.token().to_owned();
        for wrong in ["", "0", &first[1..], &format!("{first}0")] {
            assert_eq!(sessions.redeem(wrong, now), Ok(None));
        }
        let cookie = sessions.redeem(&first, now).expect("random").expect("in");
        assert_ne!(sessions.token(), first);
        assert_eq!(sessions.redeem(&first, now), Ok(None));
        assert!(sessions.of(&cookie, now).is_some());
        assert!(sessions.of(&first, now).is_none() && sessions.of("", now).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_one_in_use_stays() {
        let mut sessions = Sessions::new().expect("random");
        let begin = Instant::now();
        let own = sessions.begin(begin).expect("random");
        for n in 1..100 {
            let now = begin + Duration::from_secs(n);
            assert!(sessions.of(&own, now).is_some());
            sessions.begin(now).expect("random");
        }
        assert_eq!(sessions.open.len(), MAX_SESSIONS);
        assert!(
            sessions
                .of(&own, begin + Duration::from_secs(100))
                .is_some()
        );
    }

    #[test]
    fn what_was_typed_is_bounded_taken_once_and_forgotten() {
        let mut sessions = Sessions::new().expect("random");
        let now = Instant::now();
        let cookie = sessions.begin(now).expect("random");
        let session = sessions.of(&cookie, now).expect("open");
        for _ in 0..100 {
            session.press(PinKey::Digit('7'), now);
        }
        assert_eq!(session.digits(), MAX_PIN);
        session.press(PinKey::Back, now);
        assert_eq!(session.take_pin().len(), MAX_PIN - 1);
        assert_eq!(session.digits(), 0);
        session.press(PinKey::Back, now);
        session.press(PinKey::Digit('1'), now);
        session.name = "eva".into();
        let later = now + FORGOTTEN + Duration::from_secs(1);
        let session = sessions.of(&cookie, later).expect("open");
        assert_eq!((session.digits(), session.name.as_str()), (0, ""));
    }

    #[test]
    fn only_digits_are_keys_of_the_pad() {
        for bad in ["", "a", "12", "-1", "１", " 1", "go"] {
            assert_eq!(PinKey::parse(bad), None, "{bad}");
        }
        assert_eq!(PinKey::parse("7"), Some(PinKey::Digit('7')));
        assert_eq!(PinKey::parse("back"), Some(PinKey::Back));
    }

    #[test]
    fn names_that_logged_in_are_offered_and_no_others() {
        let mut sessions = Sessions::new().expect("random");
        for (n, name) in ["eva", "ada", "bob", "eva", "eve", "dan"]
            .iter()
            .enumerate()
        {
            let id = n.to_string();
            sessions.begun(&id, (*name).to_owned());
            sessions.accepted("another");
            if *name != "bob" {
                sessions.accepted(&id);
            }
        }
        let names: Vec<&str> = sessions.names().collect();
        assert_eq!(names, ["dan", "eve", "eva", "ada"]);
    }
}
