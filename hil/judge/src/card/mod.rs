//! The judge of cards: an eUICC of SGP.22 v2.x over any port. The judge plays the LPA and the SM-DP+ behind it.
//!
//! A test leaves the card as it found it: what it installed is deleted, the profile that was enabled is enabled again,
//! the default SM-DP+ address is put back, and notifications that were not there before are removed.

mod authenticate;
mod channels;
mod info;
mod installing;
mod load;
mod management;
mod memory;
mod notifications;
mod prepare;
mod rig;
mod server_keys;
mod session;
mod target;

pub use rig::Rig;
pub use target::Target;

use crate::subject::{Setting, Subject};
use crate::test::Test;
use aid_cli::cli::Failure;

/// The port opens channels itself, or lets the judge do it: what tests of single commands need.
fn with_commands(rig: &Rig) -> Result<(), String> {
    match rig.is_managed() {
        true => Err(
            "this port opens logical channels by itself and shows no MANAGE CHANNEL; judge the card over a socket or \
             PC/SC as well"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

/// The judge has keys of an SM-DP+ that this card accepts.
fn with_server(rig: &Rig) -> Result<(), String> {
    rig.server().map(drop)
}

/// The card may be emptied: the target file says so, and no profile is on it but the judge's.
fn with_reset(rig: &Rig) -> Result<(), String> {
    with_server(rig)?;
    rig.may_empty()
}

impl Subject for Rig {
    const KIND: &'static str = "card";
    type Target = Target;

    fn tests() -> Vec<Test<Self>> {
        [
            channels::tests(),
            info::tests(),
            authenticate::tests(),
            prepare::tests(),
            session::tests(),
            load::tests(),
            management::tests(),
            notifications::tests(),
            memory::tests(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn open(target: Target, setting: &Setting) -> Result<Self, Failure> {
        Self::at(target, setting)
    }
}
