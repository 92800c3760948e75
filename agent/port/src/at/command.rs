//! The commands that are sent to a modem, and what it says on its own.

use super::lines::Line;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Is somebody there?
    Call,
    /// No echo, result codes in words.
    Plain,
    /// Errors with numbers.
    Numbers,
    /// State of the PIN.
    Pin,
    /// Closes a session of which nobody knows any more; the answer changes nothing.
    CloseStale(u32),
    /// Opens a session with an application.
    Open(Vec<u8>),
    /// An APDU in a session.
    Channel(u32, Vec<u8>),
    /// An APDU as it is.
    Basic(Vec<u8>),
    /// Closes a session.
    Close(u32),
    /// The card loses its power.
    Off,
    /// The card has power.
    On,
    /// The card is back once this is answered.
    Back,
}

impl Command {
    /// The line to send.
    pub(super) fn text(&self) -> String {
        let apdu = |apdu: &[u8]| format!("{},\"{}\"", apdu.len() * 2, hex::encode_upper(apdu));
        match self {
            Self::Call => "AT\r".into(),
            Self::Plain => "ATE0V1\r".into(),
            Self::Numbers => "AT+CMEE=1\r".into(),
            Self::Pin | Self::Back => "AT+CPIN?\r".into(),
            Self::CloseStale(session) | Self::Close(session) => format!("AT+CCHC={session}\r"),
            Self::Open(aid) => format!("AT+CCHO=\"{}\"\r", hex::encode_upper(aid)),
            Self::Channel(session, bytes) => format!("AT+CGLA={session},{}\r", apdu(bytes)),
            Self::Basic(bytes) => format!("AT+CSIM={}\r", apdu(bytes)),
            Self::Off => "AT+CFUN=0\r".into(),
            Self::On => "AT+CFUN=1\r".into(),
        }
    }

    /// Name for messages.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Call => "AT",
            Self::Plain => "ATE0V1",
            Self::Numbers => "AT+CMEE",
            Self::Pin | Self::Back => "AT+CPIN?",
            Self::CloseStale(_) | Self::Close(_) => "AT+CCHC",
            Self::Open(_) => "AT+CCHO",
            Self::Channel(..) => "AT+CGLA",
            Self::Basic(_) => "AT+CSIM",
            Self::Off | Self::On => "AT+CFUN",
        }
    }

    /// Name of its information line.
    pub(super) const fn expects(&self) -> Option<&'static str> {
        match self {
            Self::Pin | Self::Back => Some("+CPIN"),
            Self::Open(_) => Some("+CCHO"),
            Self::Channel(..) => Some("+CGLA"),
            Self::Basic(_) => Some("+CSIM"),
            _ => None,
        }
    }

    /// The card may execute it: never sent twice.
    pub(super) const fn is_apdu(&self) -> bool {
        matches!(self, Self::Channel(..) | Self::Basic(_))
    }
}

/// Whether a line is what modems of several makers say when they start.
pub(super) fn is_restart(line: &Line<'_>) -> bool {
    match line {
        Line::Text(text) => matches!(
            *text,
            "RDY" | "MODEM:STARTUP" | "START" | "SYSSTART" | "^SYSSTART"
        ),
        Line::Info(name, _) => *name == "^SYSSTART",
        Line::Final(_) => false,
    }
}

/// Whether a line says, unasked, that the card is being reset or refreshed.
pub(super) fn is_refresh(line: &Line<'_>) -> bool {
    match line {
        Line::Info("+CPIN", rest) => matches!(*rest, "NOT READY" | "NOT INSERTED"),
        Line::Info(_, rest) => rest.contains("REFRESH"),
        _ => false,
    }
}
