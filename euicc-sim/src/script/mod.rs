//! APDU scripts: recorded sessions as typed data, played again to a simulator or a real card.
//! `docs/wire/apdu-script.md` has the format.

mod card;
mod format;
mod pattern;
mod record;
mod replay;

pub(crate) use record::{RecordArgs, record};
pub(crate) use replay::{ReplayArgs, replay};
