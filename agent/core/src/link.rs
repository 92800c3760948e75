//! The link to the CMP, and what is known of the CMP behind it.

use crate::event::BootMs;
use aid_id::Id;

/// A link that stands.
#[derive(Debug)]
pub(crate) struct Link {
    /// Since when.
    pub(crate) since: BootMs,
    pub(crate) peer: Peer,
    /// When what has no acknowledgement is sent again.
    pub(crate) resend: Option<BootMs>,
}

/// The CMP behind the link.
#[derive(Debug)]
pub(crate) enum Peer {
    /// It has not answered this `Hello` yet, which was sent so many times, and is sent again then.
    Unknown {
        hello: Option<Id>,
        sent: u32,
        again: Option<BootMs>,
    },
    /// It knows revision 1 only.
    Unnumbered,
    /// It knows numbers of sessions.
    Numbered {
        /// The newest revision that both know.
        revision: u8,
        /// The message that waits for its acknowledgement, and the number in it.
        sent: Option<(Id, u64)>,
        /// The number that it has.
        told: Option<u64>,
    },
}

impl Default for Peer {
    fn default() -> Self {
        Self::Unknown {
            hello: None,
            sent: 0,
            again: None,
        }
    }
}
