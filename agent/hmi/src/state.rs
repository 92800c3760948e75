//! What the agent last said, as far as the page shows it.

use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longest text of the agent, a server or a card that is shown, characters.
const MAX_TEXT: usize = 300;

/// `GET /v1/status`, what is shown of it. Members that the page does not know are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) session: Option<Session>,
    pub(crate) phase: String,
    pub(crate) link: String,
    pub(crate) card: Part,
    pub(crate) journal: Part,
    pub(crate) profiles: Vec<Profile>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) waits_for_call: bool,
    pub(crate) logout_in_s: Option<u64>,
    pub(crate) vehicle: Vehicle,
    pub(crate) login: Option<Login>,
}

/// Who is logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Session {
    pub(crate) account: String,
    pub(crate) display_name: String,
    pub(crate) msp_name: String,
    pub(crate) masked_number: String,
    /// The user is asked whether another profile is wanted.
    pub(crate) asking: bool,
    /// Nobody but the car has checked the PIN so far.
    pub(crate) offline: bool,
}

/// Card or journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Part {
    pub(crate) state: String,
    pub(crate) error: String,
}

/// A profile on the card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Profile {
    pub(crate) iccid: String,
    pub(crate) state: String,
    pub(crate) owner: Option<String>,
}

/// Why the user has no profile yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Waiting {
    pub(crate) next_try_in_s: u64,
    pub(crate) cause: String,
}

/// What the vehicle says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Vehicle {
    pub(crate) moving: bool,
}

/// The last login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Login {
    pub(crate) login_id: String,
    pub(crate) state: String,
    pub(crate) cause: String,
    pub(crate) reason: String,
    pub(crate) code: String,
    pub(crate) url: String,
    pub(crate) expires_in: u64,
}

/// Something that went wrong, until it is over or another session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The profile could not be installed.
    Installation(String),
    /// The operator gave no profile.
    Code(String),
    /// The card's memory is full.
    CardFull,
    /// Something else.
    Other(String),
}

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// `None` while the agent does not answer.
    pub(crate) status: Option<Status>,
    /// The stage of the download that runs.
    pub(crate) stage: Option<String>,
    pub(crate) fault: Option<Fault>,
    /// When the code that is shown was first seen, by its login.
    code: Option<(String, Instant)>,
}

impl State {
    /// Takes the status. What was true of an earlier moment only is forgotten.
    pub(crate) fn status(&mut self, mut status: Status, now: Instant) {
        if status.phase != "downloading" {
            self.stage = None;
        }
        if status.session.is_none() || status.phase == "active" {
            self.fault = None;
        }
        if let Some(waiting) = &mut status.waiting {
            waiting.cause = cut(&waiting.cause);
        }
        let shown = status.login.as_ref().filter(|login| login.state == "code");
        self.code = shown.map(|login| match self.code.take() {
            Some((id, since)) if id == login.login_id => (id, since),
            _ => (login.login_id.clone(), now),
        });
        self.status = Some(status);
    }

    /// Takes an event; the status follows.
    pub(crate) fn event(&mut self, event: &Value) {
        let text = |key: &str| cut(event[key].as_str().unwrap_or_default());
        match event["event"].as_str().unwrap_or_default() {
            "download_progress" => self.stage = Some(text("stage")),
            "installation_failed" => self.fault = Some(Fault::Installation(text("text"))),
            "activation_code_failed" => self.fault = Some(Fault::Code(text("reason"))),
            "card_full" => self.fault = Some(Fault::CardFull),
            "error" => self.fault = Some(Fault::Other(text("text"))),
            "login_accepted" | "logged_out" | "installed" | "enabled" => self.fault = None,
            _ => {}
        }
    }

    /// For how long the code that is shown lives on; `None` where it is over.
    pub(crate) fn code_left(&self, now: Instant) -> Option<Duration> {
        let login = self.status.as_ref()?.login.as_ref()?;
        let (_, since) = self.code.as_ref()?;
        let end = since.checked_add(Duration::from_secs(login.expires_in.min(3600)))?;
        end.checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }

    /// Whether nobody should type.
    pub(crate) fn is_moving(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.vehicle.moving)
    }

    /// The profiles of who is logged in.
    pub(crate) fn own_profiles(&self) -> Vec<&Profile> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let account = status.session.as_ref().map(|s| s.account.as_str());
        let own = |p: &&Profile| account.is_some() && p.owner.as_deref() == account;
        status.profiles.iter().filter(own).collect()
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).expect("a status")
    }

    #[test]
    fn a_fault_is_over_with_its_session_and_when_it_went_well() {
        let failed = json!({"event": "installation_failed", "text": "no"});
        let now = Instant::now();
        for end in [
            json!({"phase": "guest", "session": null}),
            json!({"phase": "active", "session": {"account": "a"}}),
        ] {
            let mut state = State::default();
            state.event(&failed);
            state.status(
                status(json!({"phase": "no_profile", "session": {"account": "a"}})),
                now,
            );
            assert_eq!(state.fault, Some(Fault::Installation("no".into())));
            state.status(status(end), now);
            assert_eq!(state.fault, None);
        }
    }

    #[test]
    fn a_code_lives_from_when_it_was_first_seen() {
        let shown = |id: &str| {
            status(
                json!({"login": {"login_id": id, "state": "code", "code": "B", "expires_in": 600}}),
            )
        };
        let mut state = State::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        state.status(shown("1"), begin);
        state.status(shown("1"), at(500));
        assert_eq!(state.code_left(at(500)), Some(Duration::from_secs(100)));
        assert_eq!(state.code_left(at(600)), None);
        state.status(shown("2"), at(600));
        assert_eq!(state.code_left(at(600)), Some(Duration::from_secs(600)));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let mut state = State::default();
        state.event(&json!({"event": "error", "text": "é".repeat(10_000)}));
        let Some(Fault::Other(text)) = state.fault else {
            unreachable!("a fault");
        };
        assert_eq!(text.chars().count(), MAX_TEXT + 1);
    }
}
