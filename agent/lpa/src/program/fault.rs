//! Why a command failed: a class with its exit code, the codes of card or server, a sentence, and what to do next.
//! docs/lpa.md has the table.

use crate::es9::HttpError;
use crate::{CardError, LpaError, ServerError};
use aid_cli::cli::Failure;
use serde_json::{Value, json};

/// What kind of failure it was; scripts decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A file, the configuration or the machine.
    Other,
    /// A wrong command line.
    Usage,
    /// No answer of a card.
    CardUnreachable,
    /// The card refuses.
    CardRefused,
    /// An answer of the card that can't be read.
    CardAnswer,
    /// No answer of a server.
    ServerUnreachable,
    /// The server is not who it should be.
    ServerUntrusted,
    /// An answer of a server that can't be read.
    ServerAnswer,
    /// The server refuses.
    ServerRefused,
    /// A malformed activation code, or no SM-DP+ address at all.
    ActivationCode,
    /// A Confirmation Code is missing or wrong.
    ConfirmationCode,
    /// The user did not agree.
    Declined,
    /// There is no such profile or notification.
    NotFound,
    /// The card did not install the profile.
    Installation,
    /// A rule of card or profile forbids it.
    NotAllowed,
    /// Notifications wait on the card.
    Undelivered,
}

impl Class {
    /// Every class with its word and exit code.
    pub(crate) const ALL: [(Self, &'static str, u8); 16] = [
        (Self::Other, "other", 1),
        (Self::Usage, "usage", 2),
        (Self::CardUnreachable, "card_unreachable", 3),
        (Self::CardRefused, "card_refused", 4),
        (Self::CardAnswer, "card_answer", 5),
        (Self::ServerUnreachable, "server_unreachable", 6),
        (Self::ServerUntrusted, "server_untrusted", 7),
        (Self::ServerAnswer, "server_answer", 8),
        (Self::ServerRefused, "server_refused", 9),
        (Self::ActivationCode, "activation_code", 10),
        (Self::ConfirmationCode, "confirmation_code", 11),
        (Self::Declined, "declined", 12),
        (Self::NotFound, "not_found", 13),
        (Self::Installation, "installation", 14),
        (Self::NotAllowed, "not_allowed", 15),
        (Self::Undelivered, "undelivered", 16),
    ];

    fn entry(self) -> (&'static str, u8) {
        let found = Self::ALL.iter().find(|(class, ..)| *class == self);
        found.map_or(("other", 1), |(_, word, code)| (word, *code))
    }

    /// Its word in JSON.
    pub(crate) fn word(self) -> &'static str {
        self.entry().0
    }

    /// Its exit code.
    pub(crate) fn exit_code(self) -> u8 {
        self.entry().1
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    /// Subject code of the server (SGP.22 §5.2.6.1), or the card's function.
    pub(crate) subject: Option<String>,
    /// Reason code of the server (§5.2.6.2), the name of the card's result, or its status word.
    pub(crate) reason: Option<String>,
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<&'static str>,
}

impl Fault {
    pub(crate) fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            subject: None,
            reason: None,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Class::Usage, message)
    }

    pub(crate) const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    fn codes(mut self, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self.reason = Some(reason.into());
        self
    }

    /// The `error` of the envelope.
    pub(crate) fn json(&self) -> Value {
        json!({
            "class": self.class.word(),
            "subject": self.subject,
            "reason": self.reason,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = match fault.hint {
            None => fault.message,
            Some(hint) => format!("{}. {hint}", fault.message.trim_end_matches('.')),
        };
        Self {
            text,
            code: fault.class.exit_code(),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let usage = failure.code == aid_cli::cli::USAGE;
        let class = if usage { Class::Usage } else { Class::Other };
        Self::new(class, failure.text)
    }
}

impl From<CardError> for Fault {
    fn from(error: CardError) -> Self {
        let text = error.to_string();
        match error {
            CardError::Transport(_) => Self::new(Class::CardUnreachable, text),
            CardError::Status { what, sw } => {
                Self::new(Class::CardRefused, text).codes(what, format!("{sw:04X}"))
            }
            CardError::Answer { what, .. } | CardError::TooLong { what, .. } => {
                let mut fault = Self::new(Class::CardAnswer, text);
                fault.subject = Some(what.into());
                fault
            }
            CardError::Refused { what, code, name } => {
                let class = match name {
                    "iccidOrAidNotFound" | "iccidNotFound" => Class::NotFound,
                    "disallowedByPolicy" => Class::NotAllowed,
                    _ => Class::CardRefused,
                };
                let mut fault = Self::new(class, text).codes(what, name);
                fault.hint = card_hint(name, code);
                fault
            }
        }
    }
}

fn card_hint(name: &str, code: u8) -> Option<&'static str> {
    Some(match (name, code) {
        ("iccidOrAidNotFound" | "iccidNotFound", _) => {
            "`profile list` shows the profiles on the card"
        }
        ("profileNotInDisabledState", _) => {
            "The profile is enabled: disable it before it is deleted"
        }
        ("profileNotInEnabledState", _) => "The profile is disabled already",
        ("disallowedByPolicy", _) => "A Profile Policy Rule of the operator forbids it",
        ("catBusy", _) => "The card is busy with its toolkit; try again in a moment",
        _ => return None,
    })
}

impl From<ServerError> for Fault {
    fn from(error: ServerError) -> Self {
        let text = error.to_string();
        match &error {
            ServerError::Http(HttpError::Tls { .. }) => Self::new(Class::ServerUntrusted, text),
            ServerError::Http(HttpError::TooLong { .. }) => Self::new(Class::ServerAnswer, text),
            ServerError::Http(HttpError::Unreachable { .. } | HttpError::Later { .. }) => {
                Self::new(Class::ServerUnreachable, text)
            }
            ServerError::Status { status, .. } => {
                let mut fault = Self::new(Class::ServerAnswer, text);
                fault.reason = Some(status.to_string());
                fault
            }
            ServerError::Json { .. } => Self::new(Class::ServerAnswer, text),
            ServerError::Failed { .. } => {
                let (subject, reason) = error.subject_reason().unwrap_or_default();
                let class = match subject {
                    "8.2.7" => Class::ConfirmationCode,
                    _ => Class::ServerRefused,
                };
                let mut fault = Self::new(class, text).codes(subject, reason);
                fault.hint = server_hint(subject, reason);
                fault
            }
        }
    }
}

/// What people do about the refusals that they meet (SGP.22 §5.6).
fn server_hint(subject: &str, reason: &str) -> Option<&'static str> {
    Some(match (subject, reason) {
        ("8.2.6", _) => {
            "The server does not know this matching id: check the activation code, or ask the operator for another"
        }
        ("8.2.7", "2.2") => "The profile needs a Confirmation Code: give --confirmation-code",
        ("8.2.7", _) => "The Confirmation Code is wrong: ask the operator for it",
        ("8.1.1", _) => "The order is for another eUICC: check the EID that the operator has",
        ("8.8.5", "4.10") => "The order has expired: ask the operator for another",
        ("8.8.5", _) => "Too many attempts: ask the operator for another activation code",
        ("8.2", "1.2") => "The operator has not released the profile yet; try again later",
        ("8.2", "3.7") => "The profile was bound to another download; ask the operator for another",
        ("8.1", "4.8") => "The card has not enough memory: delete a profile",
        ("8.2.5", "4.3") => "The profile does not fit this card or device: ask the operator",
        ("8.2.5", "3.7") => {
            "No profile is available right now; try again later, or ask the operator"
        }
        ("8.8.1", _) => {
            "The server has another name: check the SM-DP+ address of the activation code"
        }
        ("8.8.2" | "8.8.3", _) => "Server and card have no certificate issuer or version in common",
        _ => return None,
    })
}

impl From<LpaError> for Fault {
    fn from(error: LpaError) -> Self {
        let text = error.to_string();
        match error {
            LpaError::Card(error) => error.into(),
            LpaError::Server(error) => error.into(),
            LpaError::Code(_) | LpaError::NoAddress => Self::new(Class::ActivationCode, text),
            LpaError::Mismatch { .. } => Self::new(Class::ServerAnswer, text),
            LpaError::Oid { .. } | LpaError::ServerName { .. } => {
                Self::new(Class::ServerUntrusted, text)
            }
            LpaError::ConfirmationCode => Self::new(Class::ConfirmationCode, text),
            LpaError::ServerRefused { what, name, .. } => {
                Self::new(Class::CardRefused, text).codes(what, name)
            }
            LpaError::PolicyRules { .. } => Self::new(Class::NotAllowed, text),
            LpaError::Metadata { .. } | LpaError::Package(_) => {
                Self::new(Class::ServerAnswer, text)
            }
            LpaError::NoResult => Self::new(Class::CardAnswer, text),
            LpaError::Installation { command, reason } => {
                let mut fault =
                    Self::new(Class::Installation, text).codes(command.name(), reason.name());
                if matches!(reason, aid_rsp::es10::ErrorReason::InsufficientMemory) {
                    fault.hint = Some("The card has not enough memory: delete a profile");
                }
                fault
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_word_and_an_exit_code_of_its_own() {
        for (n, (class, word, code)) in Class::ALL.iter().enumerate() {
            assert_eq!(usize::from(*code), n + 1);
            assert_eq!((class.word(), class.exit_code()), (*word, *code));
        }
    }

    #[test]
    fn the_users_page_has_every_class() {
        let page = include_str!("../../../../docs/lpa.md");
        for (_, word, code) in Class::ALL {
            let row = format!("| {code} | `{word}` |");
            assert!(page.contains(&row), "{row}");
        }
    }
}
