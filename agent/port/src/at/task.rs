//! What the machine of [`super::modem`] is asked for, and what it ends with.

use super::lines::Cause;
#[cfg(doc)]
use super::modem::Modem;

/// Milliseconds of the shell's clock.
pub type Millis = u64;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// A logical channel with the application of this AID.
    Open(Vec<u8>),
    /// The R-APDU to this C-APDU; its class byte names the channel.
    Apdu(Vec<u8>),
    /// The end of this channel.
    Close(u8),
    /// The card without power, then with it.
    Reset,
}

/// What a task ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The channel that was opened; none: the modem has no +CCHO, the caller sends MANAGE CHANNEL.
    Channel(Option<u8>),
    /// An R-APDU.
    Apdu(Vec<u8>),
    /// Done.
    Done,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The modem refused a command for a reason that stays: what, and why.
    Refused(String),
    /// It was busy for too long.
    Busy(String),
    /// It does not answer.
    Silent(&'static str),
    /// It restarted while the command was at work: whether the card executed it is unknown.
    Restarted,
    /// The answer can't be read.
    Garbled(&'static str),
    /// The session is gone; the card did not get the command.
    ChannelGone(String),
}

/// What the shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes, then call [`Modem::step`] again.
    Write(Vec<u8>),
    /// Read until then, at most; hand over what came.
    Wait(Millis),
    /// The task is over.
    Done(Result<Reply, Fault>),
}

/// State of the SIM's PIN, as +CPIN tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pin {
    /// Not asked, or not answered.
    #[default]
    Unknown,
    /// No PIN is wanted.
    Ready,
    /// The PIN is wanted.
    Pin,
    /// The PUK is wanted.
    Puk,
    /// The modem sees no SIM: none is there, or no profile is enabled.
    Absent,
}

impl Pin {
    /// The state in the answer to AT+CPIN?.
    pub(super) fn read(result: &Result<(), Cause>, info: Option<&str>) -> Self {
        match (result, info) {
            (Ok(()), Some("READY")) => Self::Ready,
            (Ok(()), Some(text)) if text.contains("PUK") => Self::Puk,
            (Ok(()), Some(text)) if text.contains("PIN") => Self::Pin,
            (Err(cause), _) if cause.code == Some(10) => Self::Absent,
            (Err(cause), _) if cause.text.to_lowercase().contains("not inserted") => Self::Absent,
            _ => Self::Unknown,
        }
    }
}
