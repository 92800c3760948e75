//! How the card is reached: sockets with vpcd's framing in both directions, lpac's JSON lines.
//! The AT modem is in [`crate::at`].

mod listen;
mod lpac;
mod vpcd;

pub(crate) use listen::{Listener, Talk};
pub(crate) use lpac::talk as lpac;
pub(crate) use vpcd::{blank, connect as vpcd, talk as apdus};
