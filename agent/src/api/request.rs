//! A request of AID4, whatever carried it here: its arguments checked, answered by the daemon's loop, or refused with a
//! reason for a person.

use super::{Api, Command};
use crate::signals;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Why a request is not carried out; each with a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An argument is malformed.
    Invalid(String),
    /// There is nothing of this name.
    NotFound(String),
    /// Not in the present state.
    Conflict(&'static str),
    /// The agent can't do it at present: its journal does not work, or it is stopping.
    Unavailable(String),
}

/// A login by PIN.
pub(crate) fn login(user: String, pin: String) -> Result<Command, Refusal> {
    let digits = (4..=16).contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit());
    if user.is_empty() || user.len() > 128 || user.chars().any(char::is_control) || !digits {
        let text = "user has 1 to 128 bytes without control characters, pin 4 to 16 digits";
        return Err(Refusal::Invalid(text.to_owned()));
    }
    Ok(Command::Login { user, pin })
}

/// The deletion of a profile by its ICCID.
pub(crate) fn delete(iccid: &str) -> Result<Command, Refusal> {
    let wrong = |_| Refusal::Invalid("this is no ICCID".to_owned());
    iccid.parse().map(Command::Delete).map_err(wrong)
}

impl Api {
    pub(super) async fn ask(&self, command: Command) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((command, answer)).await.ok()?;
        answered.await.ok()
    }

    /// The answer of the daemon's loop.
    pub(crate) async fn request(&self, command: Command) -> Result<Value, Refusal> {
        let conflict = match &command {
            Command::Delete(_) => Some("this is no profile of the user who is logged in"),
            Command::Provision => Some("nobody is logged in who was asked about another profile"),
            Command::FactoryReset => Some("the car is being reset already, or was"),
            _ => None,
        };
        let is_signal = matches!(command, Command::Signal(..));
        let Some(value) = self.ask(command).await else {
            return Err(Refusal::Unavailable("the agent is stopping".to_owned()));
        };
        if let Some(text) = value["unavailable"].as_str() {
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        if is_signal && value["unknown"] == true {
            let names = signals::SIGNALS.map(|(name, _)| name).join(", ");
            let text = format!("there is no such signal; the signals are {names}");
            return Err(Refusal::NotFound(text));
        }
        if is_signal && let Some(expected) = value["expected"].as_str() {
            let text = format!("the value has to be {expected}");
            return Err(Refusal::Invalid(text));
        }
        match conflict {
            Some(text) if value["accepted"] != true => Err(Refusal::Conflict(text)),
            Some(_) => Ok(json!({})),
            None => Ok(value),
        }
    }
}
